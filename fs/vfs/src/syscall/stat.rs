// SPDX-License-Identifier: GPL-2.0
//! What a file is. Source: `stat(2)`, `statx(2)`, `statfs(2)`, `access(2)`, `readlink(2)`.

use super::DirFd;
use crate::fdtable::fdget_raw;
use crate::inode::{Inode, Link, iop};
use crate::mount::Mount;
use crate::namei::{PathName, Start, lflag, lookup, walk::lookup_path};
use crate::path::Path;
use crate::perm::{MAY_EXEC, MAY_WRITE, inode_permission};
use crate::types::{FileType, Kstat, Timespec};
use crate::user;
use cred::CapSet;
use errno::{Result, code::*};
use kalloc::{Arc, KVec, flags::GFP_KERNEL};
use uapi::{AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_STATX_DONT_SYNC, AT_SYMLINK_NOFOLLOW};
use x86_cpu::regs::PtRegs;

/// What `stat` shows of `inode` seen through `mnt`.
#[inline]
fn fill(mnt: &Mount, inode: &Arc<Inode>, stat: &mut Kstat) {
    inode.ops().getattr(inode, stat);
    stat.mnt_id = mnt.id;
}

/// As [`fill`], for an inode whose attributes may have changed elsewhere. `flags`: `AT_STATX_DONT_SYNC` does not ask. May sleep.
#[cold]
#[inline(never)]
fn fill_fresh(path: &Path, flags: u32, stat: &mut Kstat) -> Result {
    let inode = path.inode()?;
    if flags & AT_STATX_DONT_SYNC == 0 {
        inode.ops().refresh(inode)?;
    }
    fill(&path.mnt, inode, stat);
    Ok(())
}

#[inline(always)]
fn stat_name(dirfd: usize, address: usize, flags: u32, stat: &mut Kstat) -> Result {
    let mut name = PathName::blank();
    name.read(address, flags & AT_EMPTY_PATH != 0)?;
    let mut walk = 0;
    if flags & AT_SYMLINK_NOFOLLOW == 0 {
        walk |= lflag::FOLLOW;
    }
    if flags & AT_EMPTY_PATH != 0 {
        walk |= lflag::EMPTY;
    }
    let dir = DirFd::new(dirfd, &name)?;
    let asks = lookup(dir.start(), &name, walk, |place| {
        if core::ptr::eq(&*place.dentry, &*place.mnt.root) {
            stat.attributes |= uapi::STATX_ATTR_MOUNT_ROOT as u64;
        }
        if place.inode.iflags() & iop::REFRESH != 0 {
            return Ok(Some(place.to_path()));
        }
        fill(&place.mnt, place.inode, stat);
        Ok(None)
    })?;
    match asks {
        Some(path) => fill_fresh(&path, flags, stat),
        None => Ok(()),
    }
}

#[inline(always)]
fn stat_fd(fd: usize, stat: &mut Kstat) -> Result {
    let file = fdget_raw(fd)?;
    if file.inode().iflags() & iop::REFRESH != 0 {
        return fill_fresh(file.path(), 0, stat);
    }
    fill(&file.path().mnt, file.inode(), stat);
    Ok(())
}

#[inline]
fn put_stat(to: usize, stat: &Kstat) -> Result<usize> {
    let out = uapi::stat {
        st_dev: stat.dev.encode(),
        st_ino: stat.ino,
        st_nlink: stat.nlink.into(),
        st_mode: stat.mode,
        st_uid: stat.uid,
        st_gid: stat.gid,
        st_rdev: stat.rdev.encode(),
        st_size: stat.size.cast_signed(),
        st_blksize: stat.blksize.into(),
        st_blocks: stat.blocks.cast_signed(),
        st_atime: stat.atime.sec.cast_unsigned(),
        st_atime_nsec: stat.atime.nsec.into(),
        st_mtime: stat.mtime.sec.cast_unsigned(),
        st_mtime_nsec: stat.mtime.nsec.into(),
        st_ctime: stat.ctime.sec.cast_unsigned(),
        st_ctime_nsec: stat.ctime.nsec.into(),
        ..uapi::stat::default()
    };
    user::put(to, &out)?;
    Ok(0)
}

/// `stat(name, buf)`.
pub fn sys_newstat(regs: &PtRegs) -> Result<usize> {
    let mut stat = Kstat::default();
    stat_name(uapi::AT_FDCWD as usize, regs.arg0(), 0, &mut stat)?;
    put_stat(regs.arg1(), &stat)
}

/// `lstat(name, buf)`.
pub fn sys_newlstat(regs: &PtRegs) -> Result<usize> {
    let mut stat = Kstat::default();
    stat_name(uapi::AT_FDCWD as usize, regs.arg0(), AT_SYMLINK_NOFOLLOW, &mut stat)?;
    put_stat(regs.arg1(), &stat)
}

/// `fstat(fd, buf)`.
pub fn sys_newfstat(regs: &PtRegs) -> Result<usize> {
    let mut stat = Kstat::default();
    stat_fd(regs.arg0(), &mut stat)?;
    put_stat(regs.arg1(), &stat)
}

/// `newfstatat(dirfd, name, buf, flags)`.
pub fn sys_newfstatat(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg3() as u32;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | uapi::AT_STATX_SYNC_TYPE) != 0 {
        return Err(EINVAL);
    }
    let mut stat = Kstat::default();
    stat_name(regs.arg0(), regs.arg1(), flags, &mut stat)?;
    put_stat(regs.arg2(), &stat)
}

fn statx_time(time: Timespec) -> uapi::statx_timestamp {
    uapi::statx_timestamp { tv_sec: time.sec, tv_nsec: time.nsec, __reserved: 0 }
}

/// Attributes that every file has or has not.
const ATTRIBUTES: u64 = (uapi::STATX_ATTR_MOUNT_ROOT | uapi::STATX_ATTR_AUTOMOUNT | uapi::STATX_ATTR_DAX) as u64;

/// `statx(dirfd, name, flags, mask, buf)`.
pub fn sys_statx(regs: &PtRegs) -> Result<usize> {
    let (flags, mask) = (regs.arg2() as u32, regs.arg3() as u32);
    if mask & uapi::STATX__RESERVED != 0 {
        return Err(EINVAL);
    }
    let sync = flags & uapi::AT_STATX_SYNC_TYPE;
    if sync == uapi::AT_STATX_SYNC_TYPE {
        return Err(EINVAL);
    }
    let known = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | uapi::AT_STATX_SYNC_TYPE;
    if flags & !known != 0 {
        return Err(EINVAL);
    }
    let mut stat = Kstat::default();
    stat_name(regs.arg0(), regs.arg1(), flags, &mut stat)?;
    // The time of creation is told only to who asks for it.
    if mask & stat.result_mask & uapi::STATX_BTIME == 0 {
        stat.result_mask &= !uapi::STATX_BTIME;
        stat.btime = Timespec::default();
    }
    let out = uapi::statx {
        stx_mask: stat.result_mask | uapi::STATX_MNT_ID,
        stx_blksize: stat.blksize,
        stx_attributes: stat.attributes,
        stx_nlink: stat.nlink,
        stx_uid: stat.uid,
        stx_gid: stat.gid,
        stx_mode: stat.mode as u16,
        stx_ino: stat.ino,
        stx_size: stat.size,
        stx_blocks: stat.blocks,
        stx_attributes_mask: stat.attributes_mask | ATTRIBUTES,
        stx_atime: statx_time(stat.atime),
        stx_btime: statx_time(stat.btime),
        stx_ctime: statx_time(stat.ctime),
        stx_mtime: statx_time(stat.mtime),
        stx_rdev_major: stat.rdev.major(),
        stx_rdev_minor: stat.rdev.minor(),
        stx_dev_major: stat.dev.major(),
        stx_dev_minor: stat.dev.minor(),
        stx_mnt_id: stat.mnt_id,
        ..uapi::statx::default()
    };
    user::put(regs.arg4(), &out)?;
    Ok(0)
}

fn put_statfs(path: &Path, to: usize) -> Result<usize> {
    let sb = &path.mnt.sb;
    let stat = sb.statfs()?;
    let mut flags = path.mnt.flags();
    if sb.is_rdonly() {
        flags |= uapi::MS_RDONLY;
    }
    // The `ST_*` bits are those of the mount flags but for these two, and ST_VALID says that they are filled.
    let mut st = flags & (uapi::MS_RDONLY | uapi::MS_NOSUID | uapi::MS_NODEV | uapi::MS_NOEXEC);
    st |= flags & (uapi::MS_NOATIME | uapi::MS_NODIRATIME);
    if flags & uapi::MS_RELATIME != 0 {
        st |= 0x1000;
    }
    if flags & uapi::MS_NOSYMFOLLOW != 0 {
        st |= 0x2000;
    }
    let out = uapi::statfs {
        f_type: stat.f_type.cast_signed(),
        f_bsize: stat.bsize.cast_signed(),
        f_blocks: stat.blocks.cast_signed(),
        f_bfree: stat.bfree.cast_signed(),
        f_bavail: stat.bavail.cast_signed(),
        f_files: stat.files.cast_signed(),
        f_ffree: stat.ffree.cast_signed(),
        f_fsid: uapi::__kernel_fsid_t { val: [sb.dev.encode() as i32, 0] },
        f_namelen: stat.namelen.cast_signed(),
        f_frsize: stat.bsize.cast_signed(),
        f_flags: (st | 0x20).into(),
        ..uapi::statfs::default()
    };
    user::put(to, &out)?;
    Ok(0)
}

/// `statfs(name, buf)`.
pub fn sys_statfs(regs: &PtRegs) -> Result<usize> {
    let name = PathName::from_user(regs.arg0(), false)?;
    put_statfs(&lookup_path(Start::Cwd, &name, lflag::FOLLOW)?, regs.arg1())
}

/// `fstatfs(fd, buf)`.
pub fn sys_fstatfs(regs: &PtRegs) -> Result<usize> {
    put_statfs(fdget_raw(regs.arg0())?.path(), regs.arg1())
}

/// The real ids act as file-access ids while this lives (`access` asks for the user who started the program).
fn real_ids() -> Result<Option<cred::Override>> {
    const SECURE_NO_SETUID_FIXUP: u32 = 1 << 2;
    let cred = cred::current_cred()?;
    let mut effective = cred.cap_effective;
    if cred.securebits & SECURE_NO_SETUID_FIXUP == 0 {
        effective = if cred.uid == 0 { cred.cap_permitted } else { CapSet::EMPTY };
    }
    if cred.fsuid == cred.uid && cred.fsgid == cred.gid && effective == cred.cap_effective {
        return Ok(None);
    }
    let mut new = (*cred).clone();
    new.fsuid = cred.uid;
    new.fsgid = cred.gid;
    new.cap_effective = effective;
    cred::override_with(Arc::new(new, GFP_KERNEL)?).map(Some)
}

fn access(dirfd: usize, name: usize, mode: u32, flags: u32) -> Result<usize> {
    const AT_EACCESS: u32 = 0x200;
    if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    let name = PathName::from_user(name, flags & AT_EMPTY_PATH != 0)?;
    let _ids = if flags & AT_EACCESS == 0 { real_ids()? } else { None };
    let mut walk = if flags & AT_SYMLINK_NOFOLLOW == 0 { lflag::FOLLOW } else { 0 };
    if flags & AT_EMPTY_PATH != 0 {
        walk |= lflag::EMPTY;
    }
    let dir = DirFd::new(dirfd, &name)?;
    lookup(dir.start(), &name, walk, |place| {
        let inode = place.inode;
        if mode & MAY_EXEC != 0 && inode.is_reg() && place.mnt.flags() & uapi::MS_NOEXEC != 0 {
            return Err(EACCES);
        }
        inode_permission(inode, mode)?;
        let special = matches!(inode.file_type(), FileType::Char | FileType::Block | FileType::Fifo | FileType::Sock);
        if mode & MAY_WRITE != 0 && !special && place.mnt.is_rdonly() { Err(EROFS) } else { Ok(0) }
    })
}

/// `access(name, mode)`.
pub fn sys_access(regs: &PtRegs) -> Result<usize> {
    access(uapi::AT_FDCWD as usize, regs.arg0(), regs.arg1() as u32, 0)
}

/// `faccessat(dirfd, name, mode)`.
pub fn sys_faccessat(regs: &PtRegs) -> Result<usize> {
    access(regs.arg0(), regs.arg1(), regs.arg2() as u32, 0)
}

/// `faccessat2(dirfd, name, mode, flags)`.
pub fn sys_faccessat2(regs: &PtRegs) -> Result<usize> {
    access(regs.arg0(), regs.arg1(), regs.arg2() as u32, regs.arg3() as u32)
}

fn readlink(dirfd: usize, name: usize, to: usize, size: usize) -> Result<usize> {
    if (size as i32) <= 0 {
        return Err(EINVAL);
    }
    let name = PathName::from_user(name, true)?;
    let dir = DirFd::new(dirfd, &name)?;
    let path = lookup_path(dir.start(), &name, lflag::EMPTY)?;
    let inode = path.inode()?;
    if !inode.is_symlink() {
        return Err(if name.is_empty() { ENOENT } else { EINVAL });
    }
    crate::times::touch_atime(&path.mnt, inode);
    let text: KVec<u8>;
    let bytes = match inode.ops().get_link(inode)? {
        Link::Text(text) => text,
        Link::Owned(owned) => {
            text = owned;
            &text
        }
        Link::Jump(target) => {
            text = crate::path::shown(&target)?;
            &text
        }
    };
    let len = bytes.len().min(size);
    user::copy_out(to, bytes.get(..len).ok_or(EFAULT)?)?;
    Ok(len)
}

/// `readlink(name, buf, size)`.
pub fn sys_readlink(regs: &PtRegs) -> Result<usize> {
    readlink(uapi::AT_FDCWD as usize, regs.arg0(), regs.arg1(), regs.arg2())
}

/// `readlinkat(dirfd, name, buf, size)`.
pub fn sys_readlinkat(regs: &PtRegs) -> Result<usize> {
    readlink(regs.arg0(), regs.arg1(), regs.arg2(), regs.arg3())
}
