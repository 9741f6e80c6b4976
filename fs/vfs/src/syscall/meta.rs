// SPDX-License-Identifier: GPL-2.0
//! Attributes, sizes, and the task's own places. Source: `chmod(2)`, `chown(2)`, `utimensat(2)`, `truncate(2)`, `fallocate(2)`,
//! `chdir(2)`, `chroot(2)`, `getcwd(2)`, `umask(2)`.

use super::DirFd;
use crate::File;
use crate::attr::{SetAttr, chown, notify_change, truncate};
use crate::fdtable::{fdget, fdget_raw};
use crate::file::{OpenFlags, fmode};
use crate::fs_struct::current_fs;
use crate::inode::iop;
use crate::namei::pathname::PATH_MAX;
use crate::namei::{PathName, Start, lflag, walk::lookup_path};
use crate::notify;
use crate::path::Path;
use crate::perm::{MAY_EXEC, MAY_WRITE, inode_permission};
use crate::types::{FileType, Timespec, current_time};
use crate::user;
use errno::{Result, code::*};
use uapi::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use x86_cpu::regs::PtRegs;

const CWD: usize = uapi::AT_FDCWD as usize;

/// The place a `*at` call names with `AT_SYMLINK_NOFOLLOW` and `AT_EMPTY_PATH` among its flags.
fn place(dirfd: usize, name: usize, flags: u32) -> Result<Path> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    let name = PathName::from_user(name, flags & AT_EMPTY_PATH != 0)?;
    let mut walk = if flags & AT_SYMLINK_NOFOLLOW == 0 { lflag::FOLLOW } else { 0 };
    if flags & AT_EMPTY_PATH != 0 {
        walk |= lflag::EMPTY;
    }
    let dir = DirFd::new(dirfd, &name)?;
    lookup_path(dir.start(), &name, walk)
}

fn chmod(path: &Path, mode: usize) -> Result<usize> {
    let _write = path.mnt.want_write()?;
    let inode = path.inode()?;
    if inode.is_symlink() {
        return Err(EOPNOTSUPP);
    }
    notify_change(inode, SetAttr { mode: Some(mode as u32 & 0o7777), ..SetAttr::default() })?;
    notify::path_event(path, uapi::IN_ATTRIB);
    Ok(0)
}

/// `chmod(name, mode)`.
pub fn sys_chmod(regs: &PtRegs) -> Result<usize> {
    chmod(&place(CWD, regs.arg0(), 0)?, regs.arg1())
}

/// `fchmod(fd, mode)`.
pub fn sys_fchmod(regs: &PtRegs) -> Result<usize> {
    chmod(fdget(regs.arg0())?.path(), regs.arg1())
}

/// `fchmodat(dirfd, name, mode)`.
pub fn sys_fchmodat(regs: &PtRegs) -> Result<usize> {
    chmod(&place(regs.arg0(), regs.arg1(), 0)?, regs.arg2())
}

fn do_chown(path: &Path, uid: usize, gid: usize) -> Result<usize> {
    let _write = path.mnt.want_write()?;
    let id = |id: usize| (id as u32 != u32::MAX).then_some(id as u32);
    chown(path.inode()?, id(uid), id(gid))?;
    // As Linux: a change of nothing changes no attribute.
    if id(uid).is_some() || id(gid).is_some() {
        notify::path_event(path, uapi::IN_ATTRIB);
    }
    Ok(0)
}

/// `chown(name, uid, gid)`.
pub fn sys_chown(regs: &PtRegs) -> Result<usize> {
    do_chown(&place(CWD, regs.arg0(), 0)?, regs.arg1(), regs.arg2())
}

/// `lchown(name, uid, gid)`.
pub fn sys_lchown(regs: &PtRegs) -> Result<usize> {
    do_chown(&place(CWD, regs.arg0(), AT_SYMLINK_NOFOLLOW)?, regs.arg1(), regs.arg2())
}

/// `fchown(fd, uid, gid)`.
pub fn sys_fchown(regs: &PtRegs) -> Result<usize> {
    do_chown(fdget(regs.arg0())?.path(), regs.arg1(), regs.arg2())
}

/// `fchownat(dirfd, name, uid, gid, flags)`.
pub fn sys_fchownat(regs: &PtRegs) -> Result<usize> {
    do_chown(&place(regs.arg0(), regs.arg1(), regs.arg4() as u32)?, regs.arg2(), regs.arg3())
}

/// `UTIME_NOW`.
const NOW: i64 = 0x3fff_ffff;
/// `UTIME_OMIT`.
const OMIT: i64 = 0x3fff_fffe;

/// Sets access and modification time; `None` twice is "now".
fn set_times(path: &Path, times: Option<[uapi::timespec; 2]>) -> Result<usize> {
    let now = current_time();
    let mut attr = SetAttr { atime: Some(now), mtime: Some(now), ..SetAttr::default() };
    let mut as_now = times.is_none();
    if let Some([atime, mtime]) = times {
        as_now = atime.tv_nsec == NOW && mtime.tv_nsec == NOW;
        for (slot, time) in [(&mut attr.atime, atime), (&mut attr.mtime, mtime)] {
            *slot = match time.tv_nsec {
                NOW => Some(now),
                OMIT => None,
                0..1_000_000_000 => Some(Timespec { sec: time.tv_sec, nsec: time.tv_nsec as u32 }),
                _ => return Err(EINVAL),
            };
        }
    }
    let _write = path.mnt.want_write()?;
    let inode = path.inode()?;
    if as_now {
        if inode.iflags() & iop::IMMUTABLE != 0 {
            return Err(EPERM);
        }
        // Whoever may write may say that it was just now.
        if !crate::perm::owner_or_capable(inode)? {
            inode_permission(inode, MAY_WRITE)?;
        }
    }
    attr.times_set = !as_now;
    notify_change(inode, attr)?;
    let event = match (attr.atime, attr.mtime) {
        (Some(_), None) => uapi::IN_ACCESS,
        (None, Some(_)) => uapi::IN_MODIFY,
        _ => uapi::IN_ATTRIB,
    };
    notify::path_event(path, event);
    Ok(0)
}

/// `utimensat(dirfd, name, times, flags)`.
pub fn sys_utimensat(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg3() as u32;
    let times = if regs.arg2() == 0 { None } else { Some(user::get::<[uapi::timespec; 2]>(regs.arg2())?) };
    // Nothing to do: neither the name nor the flags are looked at.
    if times.is_some_and(|times| times.iter().all(|time| time.tv_nsec == OMIT)) {
        return Ok(0);
    }
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    if regs.arg1() == 0 && regs.arg0() as i32 != uapi::AT_FDCWD {
        if flags != 0 {
            return Err(EINVAL);
        }
        return set_times(fdget(regs.arg0())?.path(), times);
    }
    set_times(&place(regs.arg0(), regs.arg1(), flags)?, times)
}

fn timeval_times(address: usize) -> Result<Option<[uapi::timespec; 2]>> {
    if address == 0 {
        return Ok(None);
    }
    let mut times = user::get::<[uapi::timespec; 2]>(address)?;
    for time in &mut times {
        // `struct timeval` has the same shape with microseconds.
        if !(0..1_000_000).contains(&time.tv_nsec) {
            return Err(EINVAL);
        }
        time.tv_nsec *= 1000;
    }
    Ok(Some(times))
}

/// `utimes(name, times)`.
pub fn sys_utimes(regs: &PtRegs) -> Result<usize> {
    let times = timeval_times(regs.arg1())?;
    set_times(&place(CWD, regs.arg0(), 0)?, times)
}

/// `futimesat(dirfd, name, times)`.
pub fn sys_futimesat(regs: &PtRegs) -> Result<usize> {
    let times = timeval_times(regs.arg2())?;
    if regs.arg1() == 0 {
        return set_times(fdget(regs.arg0())?.path(), times);
    }
    set_times(&place(regs.arg0(), regs.arg1(), 0)?, times)
}

/// `utime(name, times)`.
pub fn sys_utime(regs: &PtRegs) -> Result<usize> {
    let times = if regs.arg1() == 0 {
        None
    } else {
        let [atime, mtime] = user::get::<[i64; 2]>(regs.arg1())?;
        Some([atime, mtime].map(|sec| uapi::timespec { tv_sec: sec, tv_nsec: 0 }))
    };
    set_times(&place(CWD, regs.arg0(), 0)?, times)
}

/// `truncate(name, length)`.
pub fn sys_truncate(regs: &PtRegs) -> Result<usize> {
    let len = regs.arg1() as i64;
    if len < 0 {
        return Err(EINVAL);
    }
    let path = place(CWD, regs.arg0(), 0)?;
    let inode = path.inode()?;
    match inode.file_type() {
        FileType::Reg => {}
        FileType::Dir => return Err(EISDIR),
        _ => return Err(EINVAL),
    }
    let _write = path.mnt.want_write()?;
    inode_permission(inode, MAY_WRITE)?;
    if inode.iflags() & iop::APPEND != 0 {
        return Err(EPERM);
    }
    inode.get_write_access()?;
    let broken = crate::lease::break_lease(inode, OpenFlags(uapi::O_WRONLY));
    let result = broken.and_then(|()| truncate(inode, len.cast_unsigned(), false));
    inode.put_write_access();
    result?;
    notify::path_event(&path, uapi::IN_MODIFY);
    Ok(0)
}

/// `ftruncate(fd, length)`.
pub fn sys_ftruncate(regs: &PtRegs) -> Result<usize> {
    let len = regs.arg1() as i64;
    if len < 0 {
        return Err(EINVAL);
    }
    let file = fdget(regs.arg0())?;
    let inode = file.inode();
    if !inode.is_reg() || file.mode() & fmode::WRITE == 0 {
        return Err(EINVAL);
    }
    if inode.iflags() & iop::APPEND != 0 {
        return Err(EPERM);
    }
    truncate(inode, len.cast_unsigned(), true)?;
    notify::file_event(&file, uapi::IN_MODIFY);
    Ok(0)
}

/// `fallocate(fd, mode, offset, len)`.
pub fn sys_fallocate(regs: &PtRegs) -> Result<usize> {
    let (mode, offset, len) = (regs.arg1() as u32, regs.arg2() as i64, regs.arg3() as i64);
    fallocate(&*fdget(regs.arg0())?, mode, offset, len).map(|()| 0)
}

/// What `fallocate(2)` does to an open file, and `MADV_REMOVE` to a mapped one. May sleep.
pub(crate) fn fallocate(file: &File, mode: u32, offset: i64, len: i64) -> Result {
    if offset < 0 || len <= 0 {
        return Err(EINVAL);
    }
    let known = uapi::FALLOC_FL_KEEP_SIZE
        | uapi::FALLOC_FL_PUNCH_HOLE
        | uapi::FALLOC_FL_COLLAPSE_RANGE
        | uapi::FALLOC_FL_ZERO_RANGE
        | uapi::FALLOC_FL_INSERT_RANGE
        | uapi::FALLOC_FL_UNSHARE_RANGE;
    let punch = mode & uapi::FALLOC_FL_PUNCH_HOLE != 0;
    if mode & !known != 0
        || punch && mode & uapi::FALLOC_FL_ZERO_RANGE != 0
        || punch && mode & uapi::FALLOC_FL_KEEP_SIZE == 0
    {
        return Err(EOPNOTSUPP);
    }
    let alone = |flag: u32, with: u32| mode & flag != 0 && mode & !(flag | with) != 0;
    if alone(uapi::FALLOC_FL_COLLAPSE_RANGE, 0)
        || alone(uapi::FALLOC_FL_INSERT_RANGE, 0)
        || alone(uapi::FALLOC_FL_UNSHARE_RANGE, uapi::FALLOC_FL_KEEP_SIZE)
    {
        return Err(EINVAL);
    }
    if file.mode() & fmode::WRITE == 0 {
        return Err(EBADF);
    }
    let inode = file.inode();
    if mode & !uapi::FALLOC_FL_KEEP_SIZE != 0 && inode.iflags() & iop::APPEND != 0
        || inode.iflags() & iop::IMMUTABLE != 0
    {
        return Err(EPERM);
    }
    if inode.iflags() & iop::SWAPFILE != 0 {
        return Err(ETXTBSY);
    }
    match inode.file_type() {
        FileType::Fifo => return Err(ESPIPE),
        FileType::Dir => return Err(EISDIR),
        FileType::Reg | FileType::Block => {}
        _ => return Err(ENODEV),
    }
    let end = offset.checked_add(len).ok_or(EFBIG)?;
    if end.cast_unsigned() > inode.sb().max_bytes {
        return Err(EFBIG);
    }
    file.ops().fallocate(file, mode, offset.cast_unsigned(), len.cast_unsigned())?;
    notify::file_event(file, uapi::IN_MODIFY);
    Ok(())
}

fn enter(path: Path) -> Result<usize> {
    inode_permission(path.inode()?, MAY_EXEC)?;
    current_fs()?.change(None, Some(path)).map(|()| 0)
}

/// `chdir(name)`.
pub fn sys_chdir(regs: &PtRegs) -> Result<usize> {
    let name = PathName::from_user(regs.arg0(), false)?;
    enter(lookup_path(Start::Cwd, &name, lflag::FOLLOW | lflag::DIRECTORY)?)
}

/// `fchdir(fd)`.
pub fn sys_fchdir(regs: &PtRegs) -> Result<usize> {
    let file = fdget_raw(regs.arg0())?;
    if !file.inode().is_dir() {
        return Err(ENOTDIR);
    }
    enter(file.path().clone())
}

/// `chroot(name)`.
pub fn sys_chroot(regs: &PtRegs) -> Result<usize> {
    let name = PathName::from_user(regs.arg0(), false)?;
    let path = lookup_path(Start::Cwd, &name, lflag::FOLLOW | lflag::DIRECTORY)?;
    inode_permission(path.inode()?, MAY_EXEC)?;
    if !cred::capable(cred::CAP_SYS_CHROOT) {
        return Err(EPERM);
    }
    current_fs()?.change(Some(path), None).map(|()| 0)
}

/// `getcwd(buf, size)`: the length with its NUL.
pub fn sys_getcwd(regs: &PtRegs) -> Result<usize> {
    let paths = current_fs()?.paths()?;
    if paths.pwd.dentry.is_unhashed() {
        return Err(ENOENT);
    }
    let (text, reached) = paths.pwd.text(&paths.root, PATH_MAX)?;
    let prefix: &[u8] = if reached { b"" } else { b"(unreachable)" };
    let len = prefix.len() + text.len() + 1;
    if len > PATH_MAX {
        return Err(ENAMETOOLONG);
    }
    if len > regs.arg1() {
        return Err(ERANGE);
    }
    let at = regs.arg0();
    user::copy_out(at, prefix)?;
    user::copy_out(at.wrapping_add(prefix.len()), &text)?;
    user::copy_out(at.wrapping_add(len - 1), &[0])?;
    Ok(len)
}

/// `umask(mask)`.
pub fn sys_umask(regs: &PtRegs) -> Result<usize> {
    Ok(current_fs()?.set_umask(regs.arg0() as u32) as usize)
}
