// SPDX-License-Identifier: GPL-2.0
//! Writing back. Source: `sync(2)`, `fsync(2)`.

use crate::fdtable::{fdget, fdget_raw};
use crate::mount::for_each_mount;
use errno::{Result, code::*};
use x86_cpu::regs::PtRegs;

/// `sync()`.
pub fn sys_sync(_: &PtRegs) -> Result<usize> {
    // `sync` reports no error; those of a file are reported by its `fsync`.
    let _ = for_each_mount(|mount| {
        let _ = mount.sb.ops().sync(&mount.sb, true);
        Ok(())
    });
    Ok(0)
}

/// `syncfs(fd)`.
pub fn sys_syncfs(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    let sb = file.inode().sb();
    sb.ops().sync(sb, true).map(|()| 0)
}

/// `fsync(fd)`.
pub fn sys_fsync(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    file.ops().fsync(&file, false).map(|()| 0)
}

/// `fdatasync(fd)`.
pub fn sys_fdatasync(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    file.ops().fsync(&file, true).map(|()| 0)
}

/// `sync_file_range(fd, offset, len, flags)`: here the whole file is written back.
pub fn sys_sync_file_range(regs: &PtRegs) -> Result<usize> {
    let (offset, len, flags) = (regs.arg1() as i64, regs.arg2() as i64, regs.arg3() as u32);
    let file = fdget_raw(regs.arg0())?;
    if file.mode() & crate::file::fmode::PATH != 0 {
        return Err(EBADF);
    }
    if flags & !7 != 0 || offset < 0 || len < 0 || offset.checked_add(len).is_none() {
        return Err(EINVAL);
    }
    if !file.inode().is_reg() && !file.inode().is_dir() && !file.inode().is_symlink() {
        return Err(ESPIPE);
    }
    if flags == 0 { Ok(0) } else { file.ops().fsync(&file, true).map(|()| 0) }
}

/// `posix_fadvise(fd, offset, len, advice)`: advice is checked; nothing is done with it, which it allows.
pub fn sys_fadvise64(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    if file.inode().file_type() == crate::types::FileType::Fifo {
        return Err(ESPIPE);
    }
    if (regs.arg2() as i64) < 0 || regs.arg3() > 5 { Err(EINVAL) } else { Ok(0) }
}
