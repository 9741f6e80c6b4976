// SPDX-License-Identifier: GPL-2.0
//! `fcntl(2)`.

use super::fd::duplicate;
use super::lock::record_lock;
use crate::fasync::OwnerKind;
use crate::fdtable::{current_files, nofile_limit};
use crate::file::{File, SETFL_MASK, fmode};
use crate::iop;
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
        uapi::F_SETFL => set_flags(&file, fd as i32, arg as u32),
        uapi::F_GETLK | uapi::F_SETLK | uapi::F_SETLKW => record_lock(&file, cmd, arg, files.lock_owner(), false),
        uapi::F_OFD_GETLK | uapi::F_OFD_SETLK | uapi::F_OFD_SETLKW => {
            record_lock(&file, cmd, arg, Arc::as_ptr(&file).addr(), true)
        }
        uapi::F_SETOWN => file.set_owner_number(arg as i32).map(|()| 0),
        uapi::F_GETOWN => Ok(file.owner_number() as isize as usize),
        uapi::F_SETOWN_EX => set_owner_ex(&file, arg),
        uapi::F_GETOWN_EX => get_owner_ex(&file, arg),
        uapi::F_GETSIG => Ok(file.owner_signal() as usize),
        uapi::F_SETSIG => file.set_owner_signal(arg).map(|()| 0),
        uapi::F_SETLEASE => crate::lease::set(&file, fd as i32, arg),
        uapi::F_GETLEASE => Ok(crate::lease::get(&file)),
        uapi::F_GET_RW_HINT => {
            let hint = (file.inode().iflags() & iop::WRITE_HINT) >> iop::WRITE_HINT_SHIFT;
            user::put_user(arg, u64::from(hint)).map(|()| 0)
        }
        uapi::F_SET_RW_HINT => set_write_hint(&file, arg),
        _ => file.ops().fcntl(&file, cmd, arg),
    }
}

/// `F_SET_RW_HINT`: how long what is written to the file will live; kept while the inode is in memory.
fn set_write_hint(file: &File, arg: usize) -> Result<usize> {
    let hint = user::get_user::<u64>(arg)?;
    let hint = u32::try_from(hint).ok().filter(|hint| *hint <= uapi::RWH_WRITE_LIFE_EXTREME).ok_or(EINVAL)?;
    file.inode().change_iflags(hint << iop::WRITE_HINT_SHIFT, iop::WRITE_HINT);
    Ok(0)
}

/// `F_SETOWN_EX`: a `struct f_owner_ex`.
fn set_owner_ex(file: &File, arg: usize) -> Result<usize> {
    let [kind, id]: [i32; 2] = user::get(arg)?;
    let kind = match kind.cast_unsigned() {
        uapi::F_OWNER_TID => OwnerKind::Thread,
        uapi::F_OWNER_PID => OwnerKind::Process,
        uapi::F_OWNER_PGRP => OwnerKind::Group,
        _ => return Err(EINVAL),
    };
    file.set_owner(kind, u32::try_from(id).map_err(|_| ESRCH)?, true)?;
    Ok(0)
}

/// `F_GETOWN_EX`.
fn get_owner_ex(file: &File, arg: usize) -> Result<usize> {
    let (kind, id) = file.owner();
    let kind = match kind {
        OwnerKind::Thread => uapi::F_OWNER_TID,
        OwnerKind::Process => uapi::F_OWNER_PID,
        OwnerKind::Group => uapi::F_OWNER_PGRP,
    };
    user::put(arg, &[kind, id])?;
    Ok(0)
}

fn set_flags(file: &File, fd: i32, flags: u32) -> Result<usize> {
    let old = file.flags().0;
    let inode = file.inode();
    if old & uapi::O_APPEND != 0 && flags & uapi::O_APPEND == 0 && inode.iflags() & iop::APPEND != 0 {
        return Err(EPERM);
    }
    if flags & uapi::O_NOATIME != 0 && old & uapi::O_NOATIME == 0 && !owner_or_capable(inode)? {
        return Err(EPERM);
    }
    if flags & uapi::O_DIRECT != 0 {
        file.ops().check_flags(file, flags)?;
    }
    if (flags ^ old) & uapi::FASYNC != 0 {
        match file.ops().fasync(file, fd, flags & uapi::FASYNC != 0) {
            // Files that never signal leave the flag as it is.
            Ok(()) | Err(ENOTTY) => {}
            Err(error) => return Err(error),
        }
    }
    file.change_flags(flags, SETFL_MASK);
    Ok(0)
}
