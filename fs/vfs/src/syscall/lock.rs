// SPDX-License-Identifier: GPL-2.0
//! `flock(2)` and the lock commands of `fcntl(2)`.

use crate::fdtable::fdget;
use crate::file::{File, RemoteLock, fmode};
use crate::flock::{Kind, Range, follow_remote};
use crate::user;
use errno::{Result, code::*};
use kalloc::Arc;
use x86_cpu::regs::PtRegs;

/// `flock(fd, operation)`.
pub fn sys_flock(regs: &PtRegs) -> Result<usize> {
    let operation = regs.arg1() as u32;
    // Mandatory locks are gone, and asking for one does nothing.
    if operation & uapi::LOCK_MAND != 0 {
        return Ok(0);
    }
    if !matches!(operation & !uapi::LOCK_NB, uapi::LOCK_SH | uapi::LOCK_EX | uapi::LOCK_UN) {
        return Err(EINVAL);
    }
    let file = fdget(regs.arg0())?;
    let owner = Arc::as_ptr(&file).addr();
    let mut range = Range {
        owner,
        through: owner,
        pid: crate::hooks::current_pid() as i32,
        kind: Kind::Shared,
        start: 0,
        end: i64::MAX,
        flock: true,
        rank: 0,
    };
    match operation & !uapi::LOCK_NB {
        uapi::LOCK_SH => {}
        uapi::LOCK_EX => range.kind = Kind::Exclusive,
        uapi::LOCK_UN => {
            if let Some(state) = file.inode().locks() {
                state.unset(&range)?;
                follow_remote(&file, state, &range, false, false)?;
            }
            return Ok(0);
        }
        _ => return Err(EINVAL),
    }
    if file.mode() & (fmode::READ | fmode::WRITE) == 0 {
        return Err(EBADF);
    }
    let state = file.inode().locks_or_new()?;
    let wait = operation & uapi::LOCK_NB == 0;
    // A conversion is not atomic: the old lock goes first, so that two who share it can both ask for more.
    match state.set(&range, false) {
        Err(EAGAIN) => {
            let had = state.holds(&range);
            state.unset(&range)?;
            if had {
                follow_remote(&file, state, &range, false, false)?;
            }
            state.set(&range, wait)?;
        }
        other => other?,
    }
    follow_remote(&file, state, &range, true, wait).map(|()| 0)
}

/// The range a `struct flock` means.
fn range_of(file: &File, lock: &uapi::flock) -> Result<(i64, i64)> {
    let base = match lock.l_whence as u32 {
        uapi::SEEK_SET => 0,
        uapi::SEEK_CUR => file.position(),
        uapi::SEEK_END => file.inode().size().cast_signed(),
        _ => return Err(EINVAL),
    };
    let start = base.checked_add(lock.l_start).ok_or(EOVERFLOW)?;
    if start < 0 {
        return Err(EINVAL);
    }
    match lock.l_len {
        0 => Ok((start, i64::MAX)),
        1.. => Ok((start, start.checked_add(lock.l_len - 1).ok_or(EOVERFLOW)?)),
        _ => {
            let first = start.checked_add(lock.l_len).ok_or(EINVAL)?;
            if first < 0 { Err(EINVAL) } else { Ok((first, start - 1)) }
        }
    }
}

/// Whether `file` is open for what a lock of `kind` (`F_*LCK`) protects.
fn may_lock(file: &File, kind: u32) -> bool {
    match kind {
        uapi::F_RDLCK => file.mode() & fmode::READ != 0,
        uapi::F_WRLCK => file.mode() & fmode::WRITE != 0,
        _ => true,
    }
}

/// `F_GETLK`, `F_SETLK`, `F_SETLKW` and their OFD forms.
pub(crate) fn record_lock(file: &Arc<File>, cmd: u32, arg: usize, owner: usize, ofd: bool) -> Result<usize> {
    let mut lock: uapi::flock = user::get(arg)?;
    let asks = cmd == uapi::F_GETLK || cmd == uapi::F_OFD_GETLK;
    if asks && !matches!(lock.l_type as u32, uapi::F_RDLCK | uapi::F_WRLCK) {
        return Err(EINVAL);
    }
    let (start, end) = range_of(file, &lock)?;
    let pid = if ofd { -1 } else { crate::hooks::current_pid() as i32 };
    let through = Arc::as_ptr(file).addr();
    let mut range = Range { owner, through, pid, kind: Kind::Shared, start, end, flock: false, rank: 0 };
    let kind = lock.l_type as u32;
    match kind {
        uapi::F_RDLCK => {}
        uapi::F_WRLCK => range.kind = Kind::Exclusive,
        uapi::F_UNLCK => {}
        _ => return Err(EINVAL),
    }
    if !asks && !may_lock(file, kind) {
        return Err(EBADF);
    }
    if ofd && lock.l_pid != 0 {
        return Err(EINVAL);
    }
    if asks {
        match file.inode().locks().and_then(|state| state.conflict(&range)) {
            None => remote_conflict(file, &range, &mut lock)?,
            Some(held) => {
                lock.l_type = (if held.kind == Kind::Exclusive { uapi::F_WRLCK } else { uapi::F_RDLCK }) as i16;
                lock.l_whence = uapi::SEEK_SET as i16;
                lock.l_start = held.start;
                lock.l_len = if held.end == i64::MAX { 0 } else { held.end - held.start + 1 };
                // Locks of open files are nobody's.
                let here = |pid| crate::hooks::number_here(pid).cast_signed();
                lock.l_pid = u32::try_from(held.pid).map_or(held.pid, here);
            }
        }
        user::put(arg, &lock)?;
        return Ok(0);
    }
    if kind == uapi::F_UNLCK {
        if let Some(state) = file.inode().locks() {
            state.unset(&range)?;
            follow_remote(file, state, &range, false, false)?;
        }
        return Ok(0);
    }
    let wait = cmd == uapi::F_SETLKW || cmd == uapi::F_OFD_SETLKW;
    let state = file.inode().locks_or_new()?;
    state.set(&range, wait)?;
    follow_remote(file, state, &range, true, wait).map(|()| 0)
}

/// What on the server of `file`, if it has one, is in the way of `range`.
fn remote_conflict(file: &File, range: &Range, lock: &mut uapi::flock) -> Result {
    let wanted =
        RemoteLock { kind: lock.l_type as u32, start: range.start, end: range.end, pid: range.pid, wait: false };
    match file.ops().get_lock(file, &wanted)? {
        None => lock.l_type = uapi::F_UNLCK as i16,
        Some(held) => {
            lock.l_type = held.kind as i16;
            lock.l_whence = uapi::SEEK_SET as i16;
            lock.l_start = held.start;
            lock.l_len = if held.end == i64::MAX { 0 } else { held.end.saturating_sub(held.start).saturating_add(1) };
            lock.l_pid = held.pid;
        }
    }
    Ok(())
}
