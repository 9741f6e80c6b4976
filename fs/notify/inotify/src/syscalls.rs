// SPDX-License-Identifier: GPL-2.0
//! The system calls. Source: `inotify_init(2)`, `inotify_add_watch(2)`, `inotify_rm_watch(2)`.

use crate::group::{Group, InotifyFile};
use errno::{Result, code::*};
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;
use uapi::{
    IN_ALL_EVENTS, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD, IN_MASK_CREATE, IN_ONESHOT,
    IN_ONLYDIR, IN_Q_OVERFLOW, IN_UNMOUNT,
};
use vfs::namei::{Start, lflag, walk::lookup_path};
use vfs::perm::{MAY_READ, inode_permission};
use vfs::{AnonKind, OpenFlags, fdget, get_unused_fd};
use x86_cpu::regs::PtRegs;

static KIND: AnonKind = AnonKind::new("inotify");

/// All bits of a mask that mean something.
const ALL_BITS: u32 = IN_ALL_EVENTS
    | IN_UNMOUNT
    | IN_Q_OVERFLOW
    | IN_IGNORED
    | IN_ONLYDIR
    | IN_DONT_FOLLOW
    | IN_EXCL_UNLINK
    | IN_MASK_CREATE
    | IN_MASK_ADD
    | IN_ISDIR
    | IN_ONESHOT;

fn init(flags: u32) -> Result<usize> {
    if flags & !(uapi::O_CLOEXEC | uapi::O_NONBLOCK) != 0 {
        return Err(EINVAL);
    }
    let group = Group::new()?;
    let fd = get_unused_fd(flags & uapi::O_CLOEXEC != 0)?;
    let ops = KBox::new(InotifyFile(group), GFP_KERNEL)?;
    let file = KIND.open(OpenFlags(uapi::O_RDONLY | flags & uapi::O_NONBLOCK), ops)?;
    Ok(fd.install(file) as usize)
}

/// `inotify_init()`.
pub fn sys_inotify_init(_: &PtRegs) -> Result<usize> {
    init(0)
}

/// `inotify_init1(flags)`.
pub fn sys_inotify_init1(regs: &PtRegs) -> Result<usize> {
    init(regs.arg0() as u32)
}

/// `inotify_add_watch(fd, path, mask)`.
pub fn sys_inotify_add_watch(regs: &PtRegs) -> Result<usize> {
    let mask = regs.arg2() as u32;
    if mask & ALL_BITS == 0 {
        return Err(EINVAL);
    }
    let file = fdget(regs.arg0())?;
    if mask & IN_MASK_ADD != 0 && mask & IN_MASK_CREATE != 0 {
        return Err(EINVAL);
    }
    let group = &file.private::<InotifyFile>().ok_or(EINVAL)?.0;
    let mut walk = if mask & IN_DONT_FOLLOW == 0 { lflag::FOLLOW } else { 0 };
    if mask & IN_ONLYDIR != 0 {
        walk |= lflag::DIRECTORY;
    }
    let path = lookup_path(Start::Cwd, &vfs::get_name(regs.arg1(), false)?, walk)?;
    let inode = path.inode()?;
    inode_permission(inode, MAY_READ)?;
    group.watch(inode, mask).map(|wd| wd as usize)
}

/// `inotify_rm_watch(fd, wd)`.
pub fn sys_inotify_rm_watch(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    let group = &file.private::<InotifyFile>().ok_or(EINVAL)?.0;
    group.unwatch(regs.arg1() as i32).map(|()| 0)
}
