// SPDX-License-Identifier: GPL-2.0
//! `read(2)` on a terminal: a line, or bytes by `VMIN` and `VTIME`. Source: `termios(3)`, POSIX 11.1.7.
//!
//! One reader at a time (`Tty::read_lock`, which is also the buffer); the line discipline's lock is held only to take bytes out.

use crate::file::TtyFile;
use crate::job;
use errno::{
    Result,
    code::{EAGAIN, EFAULT, EIO},
};
use n_tty::ReadMode;
use vfs::IovIter;

/// A tenth of a second, `VTIME`'s unit.
const TENTH_NS: u64 = 100_000_000;

/// When a wait for more ends.
#[derive(Clone, Copy)]
enum Patience {
    /// With the first look.
    None,
    /// At the earliest so many nanoseconds after the last byte.
    For(u64),
    /// Only with input.
    Forever,
}

/// Reads from the file's terminal. May sleep.
pub(crate) fn read(file: &TtyFile, nonblock: bool, to: &mut IovIter<'_>) -> Result<usize> {
    let tty = &**file.tty();
    job::check_read(tty, file.is_console())?;
    let mut buffer = match nonblock {
        true => tty.read_lock.try_lock().ok_or(EAGAIN)?,
        false => tty.read_lock.lock_interruptible()?,
    };
    let mode = tty.ld.lock().read_mode();
    let (line, minimum, mut patience, between) = match mode {
        ReadMode::Line => (true, usize::MAX, Patience::Forever, 0),
        ReadMode::Bytes { min, time } => (false, usize::from(min), Patience::Forever, u64::from(time)),
        ReadMode::Timed { time: 0 } => (false, 1, Patience::None, 0),
        ReadMode::Timed { time } => (false, 1, Patience::For(u64::from(time).saturating_mul(TENTH_NS)), 0),
    };
    let mut done = 0usize;
    let mut deadline = None;
    let result = loop {
        if to.is_empty() {
            break Ok(());
        }
        let want = to.count().min(buffer.len());
        let got = match buffer.get_mut(..want) {
            Some(part) => tty.ld.lock().read(part),
            None => None,
        };
        if let Some(n) = got {
            let bytes = buffer.get(..n).unwrap_or_default();
            if to.copy_to_iter(bytes) != n {
                break Err(EFAULT);
            }
            done = done.saturating_add(n);
            tty.check_unthrottle();
            // A line is what `read` gives, an end of file too.
            if line || done >= minimum {
                break Ok(());
            }
            if between != 0 {
                patience = Patience::For(between.saturating_mul(TENTH_NS));
            }
            deadline = None;
            continue;
        }
        if tty.ops.other_closed() {
            break Err(EIO);
        }
        if file.is_hung_up() || matches!(patience, Patience::None) {
            break Ok(());
        }
        if tty.has_failed() {
            break Err(EIO);
        }
        if nonblock {
            break Err(EAGAIN);
        }
        if let (Patience::For(ns), None) = (patience, deadline) {
            deadline = Some(ktime::now_ns().saturating_add(ns));
        }
        let ready = || tty.ld.lock().is_readable() || tty.ops.other_closed() || file.is_hung_up() || tty.has_failed();
        match tty.read_wait.wait_interruptible_deadline(deadline, ready) {
            Ok(true) => {}
            // Time is up: what came is all there is.
            Ok(false) => patience = Patience::None,
            Err(error) => break Err(error),
        }
    };
    drop(buffer);
    match result {
        Err(error) if done == 0 => Err(error),
        _ => Ok(done),
    }
}
