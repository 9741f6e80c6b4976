// SPDX-License-Identifier: GPL-2.0
//! Requests about a tracee's signals: the cause of its stop, its queues, its mask. Locks: the tracee's `signals` and `pending`.

use crate::signal::{SigInfo, SigSet};
use crate::thread::Thread;
use crate::user::{copy_from_user, copy_to_user, read_user, write_user};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EINVAL, EIO};
use task::{Task, TaskFlags};

/// `PTRACE_GETSIGINFO`.
pub(super) fn get(thread: &Thread, data: usize) -> Result {
    let info = thread.trace.lock_irqsave().info.ok_or(EINVAL)?;
    copy_to_user(data, &info.to_bytes())
}

/// `PTRACE_SETSIGINFO`.
pub(super) fn set(thread: &Thread, data: usize) -> Result {
    let mut bytes = [0; crate::signal::info::SIGINFO_SIZE];
    copy_from_user(&mut bytes, data)?;
    let info = SigInfo::from_bytes(&bytes).ok_or(errno::code::E2BIG)?;
    let mut trace = thread.trace.lock_irqsave();
    let slot = trace.info.as_mut().ok_or(EINVAL)?;
    *slot = info;
    Ok(())
}

/// `PTRACE_PEEKSIGINFO`: queued signals from a position on; how many were written.
pub(super) fn peek(thread: &Thread, args: usize, data: usize) -> Result<usize> {
    let [offset, rest]: [u64; 2] = read_user(args)?;
    let (flags, count) = (rest as u32, (rest >> 32) as i32);
    if flags & !uapi::PTRACE_PEEKSIGINFO_SHARED != 0 {
        return Err(EINVAL);
    }
    let count = usize::try_from(count).map_err(|_| EINVAL)?;
    let Ok(offset) = usize::try_from(offset) else { return Ok(0) };
    for done in 0..count {
        let found = {
            let signals = thread.process().signals.lock_irqsave();
            let position = offset.saturating_add(done);
            match flags & uapi::PTRACE_PEEKSIGINFO_SHARED {
                0 => thread.pending.lock_irqsave().nth(position),
                _ => signals.shared.nth(position),
            }
        };
        let Some(info) = found else { return Ok(done) };
        let at = data.wrapping_add(done.wrapping_mul(crate::signal::info::SIGINFO_SIZE));
        if let Err(error) = copy_to_user(at, &info.to_bytes()) {
            return if done == 0 { Err(error) } else { Ok(done) };
        }
        if crate::fatal_pending(&task::current()) || task::current().signal_pending() {
            return Ok(done + 1);
        }
    }
    Ok(count)
}

/// `PTRACE_GETSIGMASK`.
pub(super) fn get_mask(task: &Task, thread: &Thread, size: usize, data: usize) -> Result {
    if size != 8 {
        return Err(EINVAL);
    }
    // Between a temporary mask and its end the old one counts.
    let mask = if task.test_flags(TaskFlags::RESTORE_SIGMASK) {
        thread.saved_mask.load(Ordering::Relaxed)
    } else {
        thread.blocked().0
    };
    write_user(data, &mask)
}

/// `PTRACE_SETSIGMASK`.
pub(super) fn set_mask(task: &Task, thread: &Thread, size: usize, data: usize) -> Result {
    if size != 8 {
        return Err(EINVAL);
    }
    let mask = SigSet(read_user::<u64>(data)?).without(SigSet::UNMASKABLE);
    let _signals = thread.process().signals.lock_irqsave();
    // It is stopped, and looks at its signals again when it goes on.
    thread.blocked.store(mask.0, Ordering::Relaxed);
    task.clear_flags(TaskFlags::RESTORE_SIGMASK);
    Ok(())
}

/// `PTRACE_GETEVENTMSG`.
pub(super) fn message(thread: &Thread, data: usize) -> Result {
    let message = thread.trace.lock_irqsave().message;
    write_user(data, &message)
}

/// The signal number in `data`. `EIO` if it is none.
pub(super) fn signal_data(data: usize) -> Result<i32> {
    match data {
        0..=64 => Ok(data as i32),
        _ => Err(EIO),
    }
}
