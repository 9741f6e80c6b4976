// SPDX-License-Identifier: GPL-2.0
//! Leaving what is shared, entering what others have. Source: `unshare(2)`, `setns(2)`. Of the name spaces only mounts have
//! theirs; the others are refused as by a Linux that has them configured out.

use crate::thread::current_process;
use errno::Result;
use errno::code::{EINVAL, EPERM};
use uapi::{CLONE_FILES, CLONE_FS, CLONE_NEWNS, CLONE_SIGHAND, CLONE_SYSVSEM, CLONE_THREAD, CLONE_VM};
use x86_cpu::regs::PtRegs;

/// `unshare(flags)`.
pub fn sys_unshare(regs: &PtRegs) -> Result<usize> {
    let mut flags = regs.arg0() as u32;
    if regs.arg0() as u64 >> 32 != 0
        || flags & !(CLONE_FILES | CLONE_FS | CLONE_NEWNS | CLONE_SIGHAND | CLONE_SYSVSEM | CLONE_THREAD | CLONE_VM)
            != 0
    {
        return Err(EINVAL);
    }
    // Memory and signal handlers go with the thread group here: alone in it, they are the caller's own.
    let alone = current_process().is_some_and(|process| process.thread_count() == 1);
    if flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) != 0 && !alone {
        return Err(EINVAL);
    }
    if flags & CLONE_NEWNS != 0 {
        if !cred::capable(cred::CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        flags |= CLONE_FS;
    }
    // All that may fail before anything changes.
    let files = if flags & CLONE_FILES != 0 { Some(vfs::unshare_files()?) } else { None };
    let fs = match flags & (CLONE_FS | CLONE_NEWNS) {
        0 => None,
        CLONE_FS => Some(vfs::unshare_fs()?),
        _ => Some(vfs::tasks::unshare_ns()?),
    };
    if let Some(files) = files {
        files.install();
    }
    if let Some(fs) = fs {
        fs.install();
    }
    crate::hooks::unshare(&task::current(), flags);
    Ok(0)
}

/// `setns(fd, kind)`.
pub fn sys_setns(regs: &PtRegs) -> Result<usize> {
    let file = vfs::fdget(regs.arg0())?;
    if !matches!(regs.arg1() as u32, 0 | CLONE_NEWNS) {
        return Err(EINVAL);
    }
    vfs::mnt_ns::enter(&file).map(|()| 0)
}
