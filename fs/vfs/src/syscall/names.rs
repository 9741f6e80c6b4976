// SPDX-License-Identifier: GPL-2.0
//! Making, removing and renaming entries. Source: `mkdir(2)`, `unlink(2)`, `rename(2)`, `link(2)`, `symlink(2)`, `mknod(2)`.

use super::DirFd;
use crate::fdtable::fdget_raw;
use crate::namei::{PathName, create, lflag, remove, rename, walk::lookup_path};
use crate::types::Dev;
use cred::CAP_DAC_READ_SEARCH;
use errno::{Result, code::*};
use x86_cpu::regs::PtRegs;

const CWD: usize = uapi::AT_FDCWD as usize;

fn mkdir(dirfd: usize, name: usize, mode: usize) -> Result<usize> {
    let name = PathName::from_user(name, false)?;
    let dir = DirFd::new(dirfd, &name)?;
    create::mkdir(dir.start(), &name, mode as u32).map(|()| 0)
}

/// `mkdir(name, mode)`.
pub fn sys_mkdir(regs: &PtRegs) -> Result<usize> {
    mkdir(CWD, regs.arg0(), regs.arg1())
}

/// `mkdirat(dirfd, name, mode)`.
pub fn sys_mkdirat(regs: &PtRegs) -> Result<usize> {
    mkdir(regs.arg0(), regs.arg1(), regs.arg2())
}

fn mknod(dirfd: usize, name: usize, mode: usize, dev: usize) -> Result<usize> {
    create::may_mknod(mode as u32)?;
    let name = PathName::from_user(name, false)?;
    let dir = DirFd::new(dirfd, &name)?;
    create::mknod(dir.start(), &name, mode as u32 & 0xffff, Dev::decode(dev as u32)).map(|()| 0)
}

/// `mknod(name, mode, dev)`.
pub fn sys_mknod(regs: &PtRegs) -> Result<usize> {
    mknod(CWD, regs.arg0(), regs.arg1(), regs.arg2())
}

/// `mknodat(dirfd, name, mode, dev)`.
pub fn sys_mknodat(regs: &PtRegs) -> Result<usize> {
    mknod(regs.arg0(), regs.arg1(), regs.arg2(), regs.arg3())
}

fn unlink(dirfd: usize, name: usize) -> Result<usize> {
    let name = PathName::from_user(name, false)?;
    let dir = DirFd::new(dirfd, &name)?;
    remove::unlink(dir.start(), &name).map(|()| 0)
}

fn rmdir(dirfd: usize, name: usize) -> Result<usize> {
    let name = PathName::from_user(name, false)?;
    let dir = DirFd::new(dirfd, &name)?;
    remove::rmdir(dir.start(), &name).map(|()| 0)
}

/// `unlink(name)`.
pub fn sys_unlink(regs: &PtRegs) -> Result<usize> {
    unlink(CWD, regs.arg0())
}

/// `rmdir(name)`.
pub fn sys_rmdir(regs: &PtRegs) -> Result<usize> {
    rmdir(CWD, regs.arg0())
}

/// `unlinkat(dirfd, name, flags)`.
pub fn sys_unlinkat(regs: &PtRegs) -> Result<usize> {
    match regs.arg2() as u32 {
        0 => unlink(regs.arg0(), regs.arg1()),
        uapi::AT_REMOVEDIR => rmdir(regs.arg0(), regs.arg1()),
        _ => Err(EINVAL),
    }
}

fn do_rename(from: usize, old: usize, to: usize, new: usize, flags: u32) -> Result<usize> {
    rename::check_flags(flags)?;
    // What is wrong with the old name counts before what is wrong with the new one.
    let old = PathName::from_user(old, false)?;
    let from = DirFd::new(from, &old)?;
    let source = rename::Source::new(from.start(), &old)?;
    let new = PathName::from_user(new, false)?;
    let to = DirFd::new(to, &new)?;
    rename::rename(source, to.start(), &new, flags).map(|()| 0)
}

/// `rename(old, new)`.
pub fn sys_rename(regs: &PtRegs) -> Result<usize> {
    do_rename(CWD, regs.arg0(), CWD, regs.arg1(), 0)
}

/// `renameat(olddirfd, old, newdirfd, new)`.
pub fn sys_renameat(regs: &PtRegs) -> Result<usize> {
    do_rename(regs.arg0(), regs.arg1(), regs.arg2(), regs.arg3(), 0)
}

/// `renameat2(olddirfd, old, newdirfd, new, flags)`.
pub fn sys_renameat2(regs: &PtRegs) -> Result<usize> {
    do_rename(regs.arg0(), regs.arg1(), regs.arg2(), regs.arg3(), regs.arg4() as u32)
}

fn link(olddir: usize, old: usize, newdir: usize, new: usize, flags: u32) -> Result<usize> {
    if flags & !(uapi::AT_SYMLINK_FOLLOW | uapi::AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    let empty = flags & uapi::AT_EMPTY_PATH != 0;
    // What is wrong with the old name counts before what is wrong with the new one.
    let old = PathName::from_user(old, empty)?;
    let from = DirFd::new(olddir, &old)?;
    let mut walk = 0;
    if flags & uapi::AT_SYMLINK_FOLLOW != 0 {
        walk |= lflag::FOLLOW;
    }
    if empty {
        walk |= lflag::EMPTY;
        // A descriptor may be linked by who opened it, or by who may search everything.
        if old.is_empty() && !cred::capable(CAP_DAC_READ_SEARCH) {
            let file = fdget_raw(olddir)?;
            let cred = cred::current_cred()?;
            if !core::ptr::eq(&**file.cred(), &*cred) {
                return Err(ENOENT);
            }
        }
    }
    let path = lookup_path(from.start(), &old, walk)?;
    let new = PathName::from_user(new, false)?;
    let to = DirFd::new(newdir, &new)?;
    create::link(&path, to.start(), &new).map(|()| 0)
}

/// `link(old, new)`.
pub fn sys_link(regs: &PtRegs) -> Result<usize> {
    link(CWD, regs.arg0(), CWD, regs.arg1(), 0)
}

/// `linkat(olddirfd, old, newdirfd, new, flags)`.
pub fn sys_linkat(regs: &PtRegs) -> Result<usize> {
    link(regs.arg0(), regs.arg1(), regs.arg2(), regs.arg3(), regs.arg4() as u32)
}

fn symlink(target: usize, dirfd: usize, name: usize) -> Result<usize> {
    let target = PathName::from_user(target, false)?;
    let name = PathName::from_user(name, false)?;
    let dir = DirFd::new(dirfd, &name)?;
    create::symlink(&target, dir.start(), &name).map(|()| 0)
}

/// `symlink(target, name)`.
pub fn sys_symlink(regs: &PtRegs) -> Result<usize> {
    symlink(regs.arg0(), CWD, regs.arg1())
}

/// `symlinkat(target, dirfd, name)`.
pub fn sys_symlinkat(regs: &PtRegs) -> Result<usize> {
    symlink(regs.arg0(), regs.arg1(), regs.arg2())
}
