// SPDX-License-Identifier: GPL-2.0
//! `write(2)` on a terminal. One writer at a time (`Tty::write_lock`, which is also the buffer), so that writes do not mix.

use crate::terminal::WRITE_CHUNK;
use crate::{Tty, job};
use core::sync::atomic::Ordering;
use errno::{
    Result,
    code::{EAGAIN, EFAULT, EIO, ERESTARTSYS},
};
use vfs::IovIter;

/// Writes to `tty`. `hung_up` says whether the caller's file is dead; `console`: without regard to job control. May sleep.
pub(crate) fn write(
    tty: &Tty,
    hung_up: &dyn Fn() -> bool,
    nonblock: bool,
    console: bool,
    from: &mut IovIter<'_>,
) -> Result<usize> {
    if !console {
        job::check_write(tty)?;
    }
    let mut buffer = match nonblock {
        true => tty.write_lock.try_lock().ok_or(EAGAIN)?,
        false => tty.write_lock.lock_interruptible()?,
    };
    let mut done = 0usize;
    let mut result = Ok(());
    while result.is_ok() && !from.is_empty() {
        let want = from.count().min(WRITE_CHUNK);
        let Some(part) = buffer.get_mut(..want) else { break };
        let got = from.copy_from_iter(part);
        let (sent, outcome) = send(tty, hung_up, nonblock, part.get(..got).unwrap_or_default());
        done = done.saturating_add(sent);
        result = match outcome {
            Ok(()) if got < want => Err(EFAULT),
            outcome => outcome,
        };
        if result.is_ok() && !from.is_empty() && task::current().signal_pending() {
            result = Err(ERESTARTSYS);
        }
    }
    drop(buffer);
    match result {
        Err(error) if done == 0 => Err(error),
        _ => Ok(done),
    }
}

/// Sends all of `data`, waiting for room; returns how much went, and why not all.
fn send(tty: &Tty, hung_up: &dyn Fn() -> bool, nonblock: bool, data: &[u8]) -> (usize, Result) {
    let mut done = 0usize;
    while let Some(rest) = data.get(done..)
        && !rest.is_empty()
    {
        if hung_up() || tty.ops.other_closed() || tty.has_failed() {
            return (done, Err(EIO));
        }
        let sent = process_output(tty, rest);
        done = done.saturating_add(sent);
        if sent == rest.len() {
            break;
        }
        if tty.fasync.is_active() || tty.console_fasync.is_active() {
            tty.wants_room.store(true, Ordering::Relaxed);
        }
        if nonblock {
            return (done, Err(EAGAIN));
        }
        // Two bytes of room, so that a `\n` that becomes `\r\n` does not spin.
        let ready = || tty.ops.write_room() >= 8 || tty.ops.other_closed() || hung_up() || tty.has_failed();
        if sent == 0
            && let Err(error) = tty.write_wait.wait_interruptible(ready)
        {
            return (done, Err(error));
        }
    }
    (done, Ok(()))
}

/// Gives the device what it has room for, after pending echo; returns how much of `data` that was.
fn process_output(tty: &Tty, data: &[u8]) -> usize {
    let mut ld = tty.ld.lock();
    if ld.has_echo() {
        tty.send_echo(&mut ld);
        if ld.has_echo() {
            return 0;
        }
    }
    let room = tty.ops.write_room();
    let sent = ld.write(data, room, &mut |bytes| {
        tty.ops.write(tty, bytes);
    });
    tty.ops.flush_chars(tty);
    sent
}
