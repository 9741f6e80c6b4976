// SPDX-License-Identifier: GPL-2.0
//! Opening by name. Source: `open(2)`, `openat2(2)`, `creat(2)`.

use super::DirFd;
use crate::fdtable::{FdGuard, current_files, get_unused_fd};
use crate::namei::{OpenHow, PathName, lflag, open_path};
use crate::{File, user};
use errno::{Result, code::*};
use kalloc::Arc;
use x86_cpu::regs::PtRegs;

/// Every flag that `openat2` knows.
pub(super) const VALID_FLAGS: u32 = uapi::O_ACCMODE
    | uapi::O_CREAT
    | uapi::O_EXCL
    | uapi::O_NOCTTY
    | uapi::O_TRUNC
    | uapi::O_APPEND
    | uapi::O_NONBLOCK
    | uapi::O_SYNC
    | uapi::O_DSYNC
    | uapi::FASYNC
    | uapi::O_DIRECT
    | uapi::O_LARGEFILE
    | uapi::O_DIRECTORY
    | uapi::O_NOFOLLOW
    | uapi::O_NOATIME
    | uapi::O_CLOEXEC
    | uapi::O_PATH
    | uapi::__O_TMPFILE;

fn do_open(dirfd: usize, address: usize, how: &OpenHow) -> Result<usize> {
    let (fd, file) = open_file(dirfd, address, how)?;
    Ok(fd.install(file) as usize)
}

#[inline(always)]
fn open_file(dirfd: usize, address: usize, how: &OpenHow) -> Result<(FdGuard, Arc<File>)> {
    let mut name = PathName::blank();
    name.read(address, false)?;
    let fd = get_unused_fd(how.flags.any(uapi::O_CLOEXEC))?;
    // Where the root is the directory itself, absolute names start there too.
    let dir = if how.walk & lflag::IN_ROOT != 0 { DirFd::always(dirfd)? } else { DirFd::new(dirfd, &name)? };
    let file = open_path(dir.start(), &name, how)?;
    Ok((fd, file))
}

/// Opens without waiting for anybody, as io_uring tries first: EAGAIN where that cannot be (what makes or cuts files may wait). As on Linux
/// one end of a FIFO does not wait for the other then, and to write to it without a reader is ENXIO.
fn open_now(dirfd: usize, address: usize, mut how: OpenHow) -> Result<usize> {
    if how.flags.any(uapi::O_CREAT | uapi::O_TRUNC | uapi::__O_TMPFILE) {
        return Err(EAGAIN);
    }
    let asked = how.flags.0 & uapi::O_NONBLOCK;
    if !how.flags.any(uapi::O_PATH) {
        how.flags.0 |= uapi::O_NONBLOCK;
    }
    let (fd, file) = open_file(dirfd, address, &how)?;
    file.change_flags(asked, uapi::O_NONBLOCK);
    Ok(fd.install(file) as usize)
}

/// As [`sys_openat`], without waiting for anybody.
pub fn openat_now(regs: &PtRegs) -> Result<usize> {
    let how = OpenHow::new(regs.arg2() as u32 & VALID_FLAGS | uapi::O_LARGEFILE, regs.arg3() as u32)?;
    open_now(regs.arg0(), regs.arg1(), how)
}

/// As [`sys_openat2`], without waiting for anybody.
pub fn openat2_now(regs: &PtRegs) -> Result<usize> {
    let how: uapi::open_how = user::get_extensible(regs.arg2(), regs.arg3(), 24)?;
    open_now(regs.arg0(), regs.arg1(), checked_how(&how)?)
}

/// `open(name, flags, mode)`.
pub fn sys_open(regs: &PtRegs) -> Result<usize> {
    let how = OpenHow::new(regs.arg1() as u32 & VALID_FLAGS | uapi::O_LARGEFILE, regs.arg2() as u32)?;
    do_open(uapi::AT_FDCWD as usize, regs.arg0(), &how)
}

/// `openat(dirfd, name, flags, mode)`.
pub fn sys_openat(regs: &PtRegs) -> Result<usize> {
    let how = OpenHow::new(regs.arg2() as u32 & VALID_FLAGS | uapi::O_LARGEFILE, regs.arg3() as u32)?;
    do_open(regs.arg0(), regs.arg1(), &how)
}

/// `creat(name, mode)`.
pub fn sys_creat(regs: &PtRegs) -> Result<usize> {
    let flags = uapi::O_CREAT | uapi::O_WRONLY | uapi::O_TRUNC | uapi::O_LARGEFILE;
    do_open(uapi::AT_FDCWD as usize, regs.arg0(), &OpenHow::new(flags, regs.arg1() as u32)?)
}

/// `openat2(dirfd, name, how, size)`.
pub fn sys_openat2(regs: &PtRegs) -> Result<usize> {
    let how: uapi::open_how = user::get_extensible(regs.arg2(), regs.arg3(), 24)?;
    do_open(regs.arg0(), regs.arg1(), &checked_how(&how)?)
}

/// `openat2` refuses what `open` ignores.
fn checked_how(how: &uapi::open_how) -> Result<OpenHow> {
    let flags = u32::try_from(how.flags)?;
    if flags & !VALID_FLAGS != 0 {
        return Err(EINVAL);
    }
    let resolve = u32::try_from(how.resolve)?;
    let known = uapi::RESOLVE_NO_XDEV
        | uapi::RESOLVE_NO_MAGICLINKS
        | uapi::RESOLVE_NO_SYMLINKS
        | uapi::RESOLVE_BENEATH
        | uapi::RESOLVE_IN_ROOT
        | uapi::RESOLVE_CACHED;
    if resolve & !known != 0 {
        return Err(EINVAL);
    }
    if resolve & uapi::RESOLVE_BENEATH != 0 && resolve & uapi::RESOLVE_IN_ROOT != 0 {
        return Err(EINVAL);
    }
    let makes = flags & (uapi::O_CREAT | uapi::__O_TMPFILE) != 0;
    if how.mode & !0o7777 != 0 || !makes && how.mode != 0 {
        return Err(EINVAL);
    }
    let path_flags = uapi::O_DIRECTORY | uapi::O_NOFOLLOW | uapi::O_PATH | uapi::O_CLOEXEC;
    if flags & uapi::O_PATH != 0 && flags & !path_flags != 0 {
        return Err(EINVAL);
    }
    let mut open = OpenHow::new(flags | uapi::O_LARGEFILE, how.mode as u32)?;
    let changes = flags & (uapi::O_TRUNC | uapi::O_CREAT | uapi::__O_TMPFILE) != 0;
    if resolve & uapi::RESOLVE_CACHED != 0 && changes {
        return Err(EAGAIN);
    }
    for (bit, walk) in [
        (uapi::RESOLVE_NO_XDEV, lflag::NO_XDEV),
        (uapi::RESOLVE_NO_MAGICLINKS, lflag::NO_MAGICLINKS),
        (uapi::RESOLVE_NO_SYMLINKS, lflag::NO_SYMLINKS | lflag::NO_MAGICLINKS),
        (uapi::RESOLVE_BENEATH, lflag::BENEATH),
        (uapi::RESOLVE_IN_ROOT, lflag::IN_ROOT),
        (uapi::RESOLVE_CACHED, lflag::CACHED),
    ] {
        if resolve & bit != 0 {
            open.walk |= walk;
        }
    }
    Ok(open)
}

/// `close(fd)`.
pub fn sys_close(regs: &PtRegs) -> Result<usize> {
    current_files()?.close(regs.arg0() as u32).map(|()| 0)
}
