// SPDX-License-Identifier: GPL-2.0
//! Removing entries. Locks: the directory's `lock`, then the victim's. Source: `unlink(2)`, `rmdir(2)`.

use super::pathname::PathName;
use super::slow::lookup_locked;
use super::walk::{Start, Walker};
use crate::dcache;
use crate::inode::{Inode, iop};
use crate::mount::is_mountpoint;
use crate::name::Key;
use crate::notify;
use crate::path::Path;
use crate::perm::{MAY_EXEC, MAY_WRITE, inode_permission, sticky_denies};
use errno::{Result, code::*};
use kalloc::Arc;

/// Whether the current task may take `victim` out of `dir`, by an operation on directories (`is_dir`) or on other files.
pub(crate) fn may_delete(dir: &Inode, victim: &Inode, is_dir: bool) -> Result {
    inode_permission(dir, MAY_WRITE | MAY_EXEC)?;
    if dir.iflags() & iop::APPEND != 0
        || victim.iflags() & (iop::APPEND | iop::IMMUTABLE | iop::SWAPFILE) != 0
        || sticky_denies(dir, victim)?
    {
        return Err(EPERM);
    }
    match (is_dir, victim.is_dir()) {
        (true, false) => return Err(ENOTDIR),
        (false, true) => return Err(EISDIR),
        _ => {}
    }
    if dir.nlink() == 0 { Err(ENOENT) } else { Ok(()) }
}

/// `unlink`.
pub fn unlink(start: Start<'_>, name: &PathName) -> Result {
    let mut walker = Walker::new(start, name, 0)?;
    let Some(dir) = walker.parent()? else { return Err(EISDIR) };
    let (key, slash) = walker.last();
    if key.dots() != 0 {
        return Err(EISDIR);
    }
    let _write = dir.mnt.want_write()?;
    let inode = dir.inode()?;
    let gone: Arc<Inode> = {
        let _lock = inode.lock.write();
        let dentry = lookup_locked(&dir.dentry, &key)?.ok_or(ENOENT)?;
        let victim = dentry.positive()?;
        if slash {
            return Err(if victim.is_dir() { EISDIR } else { ENOTDIR });
        }
        may_delete(inode, victim, false)?;
        if is_mountpoint(&dentry) {
            return Err(EBUSY);
        }
        let victim_lock = victim.lock.write();
        inode.ops().unlink(inode, key.bytes, victim)?;
        dcache::unhash(&dentry);
        drop(victim_lock);
        notify::link_count(victim);
        notify::name_gone(victim);
        notify::deleted(inode, victim, key.bytes);
        victim.clone()
    };
    // Outside of the locks: giving back the data may take long.
    gone.put_user(false);
    Ok(())
}

/// `rmdir`.
pub fn rmdir(start: Start<'_>, name: &PathName) -> Result {
    let mut walker = Walker::new(start, name, 0)?;
    let Some(dir) = walker.parent()? else { return Err(EBUSY) };
    let (key, _) = walker.last();
    match key.dots() {
        0 => {}
        1 => return Err(EINVAL),
        _ => return Err(ENOTEMPTY),
    }
    let _write = dir.mnt.want_write()?;
    let inode = dir.inode()?;
    let gone: Arc<Inode> = {
        let _lock = inode.lock.write();
        let dentry = lookup_locked(&dir.dentry, &key)?.ok_or(ENOENT)?;
        let victim = dentry.positive()?;
        may_delete(inode, victim, true)?;
        if is_mountpoint(&dentry) {
            return Err(EBUSY);
        }
        let victim_lock = victim.lock.write();
        inode.ops().rmdir(inode, key.bytes, victim)?;
        // Negative names cached in it go with it.
        dcache::invalidate(&dentry);
        drop(victim_lock);
        notify::name_gone(victim);
        notify::deleted(inode, victim, key.bytes);
        victim.clone()
    };
    gone.put_user(false);
    Ok(())
}

/// Removes `name` from `dir` by the kernel's own right (a device went away). `ENOENT`, `ENOTEMPTY`. May sleep.
pub fn kernel_remove(dir: &Path, name: &[u8]) -> Result {
    kernel_remove_if(dir, name, |_| true).map(drop)
}

/// As [`kernel_remove`], if `is_it` says so of what has that name, whose lock is held; whether it did. May sleep.
pub fn kernel_remove_if(dir: &Path, name: &[u8], is_it: impl FnOnce(&Inode) -> bool) -> Result<bool> {
    let inode = dir.inode()?;
    let gone: Arc<Inode> = {
        let _lock = inode.lock.write();
        let dentry = lookup_locked(&dir.dentry, &Key::new(name))?.ok_or(ENOENT)?;
        let victim = dentry.positive()?;
        let victim_lock = victim.lock.write();
        if !is_it(victim) {
            return Ok(false);
        }
        if victim.is_dir() {
            inode.ops().rmdir(inode, name, victim)?;
        } else {
            inode.ops().unlink(inode, name, victim)?;
        }
        dcache::invalidate(&dentry);
        drop(victim_lock);
        notify::name_gone(victim);
        notify::deleted(inode, victim, name);
        victim.clone()
    };
    gone.put_user(false);
    Ok(true)
}
