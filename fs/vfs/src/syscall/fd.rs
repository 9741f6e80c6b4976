// SPDX-License-Identifier: GPL-2.0
//! Descriptors: duplicating and closing. Source: `dup(2)`, `close_range(2)`.

use crate::fdtable::{current_files, nofile_limit, set_current_files};
use errno::{Result, code::*};
use x86_cpu::regs::PtRegs;

/// A second number for `fd`, of at least `from`.
pub(crate) fn duplicate(fd: usize, from: u32, cloexec: bool) -> Result<usize> {
    let files = current_files()?;
    let file = files.get_raw(fd as u32)?;
    Ok(files.reserve(from, nofile_limit(), cloexec)?.install(file) as usize)
}

/// `dup(fd)`.
pub fn sys_dup(regs: &PtRegs) -> Result<usize> {
    duplicate(regs.arg0(), 0, false)
}

fn duplicate_to(old: u32, new: u32, cloexec: bool) -> Result<usize> {
    if new >= nofile_limit() {
        return Err(EBADF);
    }
    let files = current_files()?;
    let file = files.get_raw(old)?;
    files.replace(new, file, cloexec)?;
    Ok(new as usize)
}

/// `dup2(old, new)`.
pub fn sys_dup2(regs: &PtRegs) -> Result<usize> {
    let (old, new) = (regs.arg0() as u32, regs.arg1() as u32);
    if old == new {
        current_files()?.get_raw(old)?;
        return Ok(new as usize);
    }
    duplicate_to(old, new, false)
}

/// `dup3(old, new, flags)`.
pub fn sys_dup3(regs: &PtRegs) -> Result<usize> {
    let (old, new, flags) = (regs.arg0() as u32, regs.arg1() as u32, regs.arg2() as u32);
    if flags & !uapi::O_CLOEXEC != 0 || old == new {
        return Err(EINVAL);
    }
    duplicate_to(old, new, flags & uapi::O_CLOEXEC != 0)
}

/// `close_range(first, last, flags)`.
pub fn sys_close_range(regs: &PtRegs) -> Result<usize> {
    let (first, last, flags) = (regs.arg0() as u32, regs.arg1() as u32, regs.arg2() as u32);
    if flags & !(uapi::CLOSE_RANGE_UNSHARE | uapi::CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(EINVAL);
    }
    let mark = flags & uapi::CLOSE_RANGE_CLOEXEC != 0;
    let mut files = current_files()?;
    if flags & uapi::CLOSE_RANGE_UNSHARE != 0 && files.is_shared() {
        files = files.duplicate(u32::MAX)?;
        set_current_files(Some(files.clone()));
    }
    files.close_range(first, last, mark);
    Ok(0)
}
