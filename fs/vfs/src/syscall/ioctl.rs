// SPDX-License-Identifier: GPL-2.0
//! `ioctl(2)`: the requests that are the same for all files; the rest goes to the file.

use super::remap;
use crate::fdtable::{current_files, fdget};
use crate::file::File;
use crate::fileattr;
use crate::types::Kstat;
use crate::user;
use errno::{Result, code::*};
use x86_cpu::regs::PtRegs;

const FIFREEZE: u32 = 0xc004_5877;
const FITHAW: u32 = 0xc004_5878;

/// `ioctl(fd, cmd, arg)`.
pub fn sys_ioctl(regs: &PtRegs) -> Result<usize> {
    let (fd, cmd, arg) = (regs.arg0(), regs.arg1() as u32, regs.arg2());
    let file = fdget(fd)?;
    match cmd {
        uapi::FIOCLEX => current_files()?.set_cloexec(fd as u32, true).map(|()| 0),
        uapi::FIONCLEX => current_files()?.set_cloexec(fd as u32, false).map(|()| 0),
        uapi::FIONBIO => {
            let on: i32 = user::get(arg)?;
            file.change_flags(if on != 0 { uapi::O_NONBLOCK } else { 0 }, uapi::O_NONBLOCK);
            Ok(0)
        }
        uapi::FIOASYNC => {
            let on: i32 = user::get(arg)?;
            if file.flags().any(uapi::FASYNC) != (on != 0) {
                file.ops().fasync(&file, fd as i32, on != 0)?;
            }
            Ok(0)
        }
        uapi::FIOQSIZE => {
            let inode = file.inode();
            if !inode.is_dir() && !inode.is_reg() && !inode.is_symlink() {
                return Err(ENOTTY);
            }
            // What it takes, whatever its size is: Linux's `inode_get_bytes`.
            let mut stat = Kstat::default();
            inode.ops().getattr(inode, &mut stat);
            user::put(arg, &stat.blocks.saturating_mul(512))?;
            Ok(0)
        }
        uapi::FIGETBSZ => {
            user::put(arg, &file.inode().sb().block_size)?;
            Ok(0)
        }
        FIFREEZE | FITHAW => {
            if !cred::capable(cred::CAP_SYS_ADMIN) {
                return Err(EPERM);
            }
            file.inode().sb().set_frozen(cmd == FIFREEZE).map(|()| 0)
        }
        remap::FICLONE => remap::clone(&file, arg as u32 as usize),
        remap::FICLONERANGE => remap::clone_range(&file, arg),
        remap::FIDEDUPERANGE => remap::dedupe_range(&file, arg),
        uapi::FS_IOC_GETFLAGS | uapi::FS_IOC_SETFLAGS | uapi::FS_IOC_FSGETXATTR | uapi::FS_IOC_FSSETXATTR => {
            match fileattr::ioctl(&file, cmd, arg) {
                Err(ENOTTY) => file.ops().ioctl(&file, cmd, arg),
                result => result,
            }
        }
        uapi::FIONREAD if file.inode().is_reg() && !file.is_anon() => regular_available(&file, arg),
        _ => file.ops().ioctl(&file, cmd, arg),
    }
}

fn regular_available(file: &File, arg: usize) -> Result<usize> {
    let left = file.inode().size().cast_signed().saturating_sub(file.position());
    user::put(arg, &(left as i32))?;
    Ok(0)
}
