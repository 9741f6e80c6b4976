// SPDX-License-Identifier: GPL-2.0
//! `fcntl(2)`.

use super::fd::duplicate;
use super::lock::record_lock;
use crate::fdtable::{current_files, nofile_limit};
use crate::file::{File, SETFL_MASK, fmode};
use crate::perm::owner_or_capable;
use crate::user;
use errno::{Result, code::*};
use kalloc::Arc;
use x86_cpu::regs::PtRegs;

const FD_CLOEXEC: usize = uapi::FD_CLOEXEC as usize;

/// `fcntl(fd, cmd, arg)`.
pub fn sys_fcntl(regs: &PtRegs) -> Result<usize> {
    let (fd, cmd, arg) = (regs.arg0(), regs.arg1() as u32, regs.arg2());
    let files = current_files()?;
    let file = files.get_raw(fd as u32)?;
    match cmd {
        uapi::F_DUPFD | uapi::F_DUPFD_CLOEXEC => {
            if arg >= nofile_limit() as usize {
                return Err(EINVAL);
            }
            return duplicate(fd, arg as u32, cmd == uapi::F_DUPFD_CLOEXEC);
        }
        uapi::F_GETFD => return Ok(if files.cloexec(fd as u32)? { FD_CLOEXEC } else { 0 }),
        uapi::F_SETFD => return files.set_cloexec(fd as u32, arg & FD_CLOEXEC != 0).map(|()| 0),
        uapi::F_GETFL => return Ok(file.flags().0 as usize),
        _ => {}
    }
    if file.mode() & fmode::PATH != 0 {
        return Err(EBADF);
    }
    match cmd {
        uapi::F_SETFL => set_flags(&file, arg as u32),
        uapi::F_GETLK | uapi::F_SETLK | uapi::F_SETLKW => record_lock(&file, cmd, arg, files.lock_owner(), false),
        uapi::F_OFD_GETLK | uapi::F_OFD_SETLK | uapi::F_OFD_SETLKW => {
            record_lock(&file, cmd, arg, Arc::as_ptr(&file).addr(), true)
        }
        uapi::F_SETOWN => set_owner(&file, arg as i32),
        uapi::F_GETOWN => Ok(file.owner() as isize as usize),
        uapi::F_SETOWN_EX => {
            let owner: [i32; 2] = user::get(arg)?;
            match owner {
                [kind, id] if kind.cast_unsigned() == uapi::F_OWNER_PGRP => set_owner(&file, id.wrapping_neg()),
                [kind, id] if kind.cast_unsigned() == uapi::F_OWNER_PID => set_owner(&file, id),
                _ => Err(EINVAL),
            }
        }
        uapi::F_GETOWN_EX => {
            let owner = file.owner();
            let kind = if owner < 0 { uapi::F_OWNER_PGRP } else { uapi::F_OWNER_PID };
            user::put(arg, &[kind.cast_signed(), owner.wrapping_abs()])?;
            Ok(0)
        }
        // Only SIGIO itself is sent.
        uapi::F_GETSIG => Ok(0),
        uapi::F_SETSIG if arg == 0 => Ok(0),
        _ => file.ops().fcntl(&file, cmd, arg),
    }
}

fn set_owner(file: &File, owner: i32) -> Result<usize> {
    if owner == i32::MIN {
        return Err(EINVAL);
    }
    file.set_owner(owner);
    Ok(0)
}

fn set_flags(file: &File, flags: u32) -> Result<usize> {
    let old = file.flags().0;
    let inode = file.inode();
    if old & uapi::O_APPEND != 0 && flags & uapi::O_APPEND == 0 && inode.iflags() & crate::iop::APPEND != 0 {
        return Err(EPERM);
    }
    if flags & uapi::O_NOATIME != 0 && old & uapi::O_NOATIME == 0 && !owner_or_capable(inode)? {
        return Err(EPERM);
    }
    if flags & uapi::O_DIRECT != 0 {
        file.ops().check_flags(file, flags)?;
    }
    let mut mask = SETFL_MASK;
    if (flags ^ old) & uapi::FASYNC != 0 {
        match file.ops().fasync(file, flags & uapi::FASYNC != 0) {
            Ok(()) => {}
            // Files that never signal, on Linux neither, leave the flag as it is.
            Err(ENOTTY) => mask &= !uapi::FASYNC,
            Err(error) => return Err(error),
        }
    }
    file.change_flags(flags, mask);
    Ok(0)
}
