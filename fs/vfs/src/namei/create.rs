// SPDX-License-Identifier: GPL-2.0
//! Making entries: files, directories, devices, links. Locks: the directory's `lock`, exclusively.
//! Source: `mkdir(2)`, `mknod(2)`, `symlink(2)`, `link(2)`.

use super::pathname::{PATH_MAX, PathName};
use super::slow::lookup_locked;
use super::walk::{Start, Walker};
use crate::dcache::Pending;
use crate::fs_struct::borrow_fs;
use crate::inode::{Inode, iop};
use crate::notify;
use crate::path::Path;
use crate::perm::{MAY_EXEC, MAY_WRITE, inode_permission};
use crate::types::{Dev, FileType};
use errno::{Result, code::*};
use kalloc::Arc;

/// Whether the current task may add an entry to `dir`.
pub(crate) fn may_create(dir: &Inode) -> Result {
    if dir.nlink() == 0 {
        return Err(ENOENT);
    }
    inode_permission(dir, MAY_WRITE | MAY_EXEC)
}

/// The bits that the current task's new files do not get.
pub fn current_umask() -> u32 {
    let section = rcu::read_lock();
    borrow_fs(&section).map_or(0, |fs| fs.umask())
}

/// `mode` for a new file in `dir`: without the umask's bits, but where the file system has ACLs, which decides that itself.
pub(crate) fn masked(dir: &Inode, mode: u32) -> u32 {
    let mut mode = mode;
    if dir.mode() & uapi::S_ISGID != 0 {
        // The group that may execute it counts, whatever the umask leaves of that.
        mode = crate::inode::owner_for_new(dir, mode).map_or(mode, |(_, _, mode)| mode);
    }
    if dir.sb().flags() & uapi::MS_POSIXACL != 0 { mode } else { mode & !current_umask() }
}

/// Walks to where `name` is to be made, on the mount of what it is to be another name of (`old`), checks that it may be, and lets `make` do
/// it.
fn create_entry(
    start: Start<'_>,
    name: &PathName,
    is_dir: bool,
    old: Option<&Path>,
    make: impl FnOnce(&Path, &Arc<Inode>, &[u8]) -> Result<Arc<Inode>>,
) -> Result {
    let mut walker = Walker::new(start, name, 0)?;
    let Some(dir) = walker.parent()? else { return Err(EEXIST) };
    let (key, slash) = walker.last();
    if key.dots() != 0 {
        return Err(EEXIST);
    }
    let inode = dir.inode()?;
    let _lock = inode.lock.write();
    let cached = lookup_locked(&dir.dentry, &key)?;
    if cached.as_ref().is_some_and(|dentry| dentry.inode().is_some()) {
        return Err(EEXIST);
    }
    if slash && !is_dir {
        return Err(ENOENT);
    }
    let _write = dir.mnt.want_write()?;
    if let Some(old) = old {
        if !Arc::ptr_eq(&old.mnt, &dir.mnt) {
            return Err(EXDEV);
        }
        // As on Linux, before the directory is asked.
        crate::protect::may_link(old.inode()?)?;
    }
    may_create(inode)?;
    let pending = Pending::new(&dir.dentry, &key, cached)?;
    let made = make(&dir, inode, key.bytes)?;
    pending.commit(made.clone());
    notify::created(inode, &made, key.bytes);
    Ok(())
}

/// `mkdir`. `mode`: permissions before the umask.
pub fn mkdir(start: Start<'_>, name: &PathName, mode: u32) -> Result {
    let mode = uapi::S_IFDIR | mode & (0o777 | uapi::S_ISVTX);
    create_entry(start, name, true, None, |_, dir, name| dir.ops().mkdir(dir, name, masked(dir, mode)))
}

/// Whether `mknod` makes what the type in `mode` says, whatever the name. `EPERM`, `EINVAL`.
pub fn may_mknod(mode: u32) -> Result {
    match mode & uapi::S_IFMT {
        0 | uapi::S_IFREG | uapi::S_IFCHR | uapi::S_IFBLK | uapi::S_IFIFO | uapi::S_IFSOCK => Ok(()),
        uapi::S_IFDIR => Err(EPERM),
        _ => Err(EINVAL),
    }
}

/// `mknod`. `mode` with type (0 is a regular file) and permissions before the umask.
pub fn mknod(start: Start<'_>, name: &PathName, mode: u32, dev: Dev) -> Result {
    let kind = mode & uapi::S_IFMT;
    let permissions = mode & 0o7777;
    may_mknod(mode)?;
    create_entry(start, name, false, None, |_, dir, name| match kind {
        0 | uapi::S_IFREG => dir.ops().create(dir, name, masked(dir, uapi::S_IFREG | permissions)),
        uapi::S_IFCHR | uapi::S_IFBLK => {
            // The one device that everybody may make stands for a removed name (overlayfs whiteout).
            let whiteout = kind == uapi::S_IFCHR && dev == Dev::default();
            if !whiteout && !cred::capable(cred::CAP_MKNOD) {
                return Err(EPERM);
            }
            dir.ops().mknod(dir, name, masked(dir, kind | permissions), dev)
        }
        _ => dir.ops().mknod(dir, name, masked(dir, kind | permissions), Dev::default()),
    })
}

/// Makes the socket `name` (`bind`) and returns where it is.
pub fn mksock(start: Start<'_>, name: &PathName, mode: u32) -> Result<Path> {
    let mode = uapi::S_IFSOCK | mode & 0o777;
    let mut place = None;
    create_entry(start, name, false, None, |path, dir, name| {
        place = Some(path.clone());
        dir.ops().mknod(dir, name, masked(dir, mode), Dev::default())
    })?;
    let dir = place.ok_or(ENOENT)?;
    let mut walker = Walker::new(start, name, 0)?;
    walker.parent()?;
    let (key, _) = walker.last();
    let dentry = crate::dcache::lookup_cached(&dir.dentry, key.bytes).ok_or(ENOENT)?;
    Ok(Path { mnt: dir.mnt, dentry })
}

/// `symlink`.
pub fn symlink(target: &PathName, start: Start<'_>, name: &PathName) -> Result {
    let target = target.as_bytes();
    if target.is_empty() {
        return Err(ENOENT);
    }
    if target.len() >= PATH_MAX {
        return Err(ENAMETOOLONG);
    }
    create_entry(start, name, false, None, |_, dir, name| dir.ops().symlink(dir, name, target))
}

/// `link`: another name for what is at `old`.
pub fn link(old: &Path, start: Start<'_>, name: &PathName) -> Result {
    let inode = old.inode()?;
    create_entry(start, name, false, Some(old), |_, dir, name| {
        if inode.iflags() & (iop::APPEND | iop::IMMUTABLE) != 0 || inode.file_type() == FileType::Dir {
            return Err(EPERM);
        }
        // The inode's own lock: against the last name going at the same time.
        let _inode_lock = inode.lock.write();
        if inode.nlink() == 0 && inode.iflags() & iop::LINKABLE == 0 {
            return Err(ENOENT);
        }
        dir.ops().link(dir, name, inode)?;
        inode.change_iflags(0, iop::LINKABLE);
        notify::link_count(inode);
        Ok(inode.clone())
    })
}
