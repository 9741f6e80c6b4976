// SPDX-License-Identifier: GPL-2.0
//! Looking a name up in the file system when it is not cached. Locks: the directory's `lock`, exclusively, so that two tasks
//! do not make two dentries of one name.

use crate::dcache::{self, Move};
use crate::dentry::Dentry;
use crate::inode::{Inode, iop};
use crate::name::{Key, NAME_MAX};
use errno::{Result, code::*};
use kalloc::Arc;

/// The dentry of `key` in `dir`, negative or positive; `None` if there is none and it is not to be cached. May sleep.
pub(crate) fn lookup_slow(dir: &Arc<Dentry>, key: &Key<'_>) -> Result<Option<Arc<Dentry>>> {
    let inode = dir.positive()?;
    let _lock = inode.lock.write();
    lookup_locked(dir, key)
}

/// As [`lookup_slow`], with the directory's `lock` held exclusively by the caller.
pub(crate) fn lookup_locked(dir: &Arc<Dentry>, key: &Key<'_>) -> Result<Option<Arc<Dentry>>> {
    let inode = dir.positive()?;
    if !inode.is_dir() {
        return Err(ENOTDIR);
    }
    if key.bytes.len() > NAME_MAX {
        return Err(if inode.nlink() == 0 { ENOENT } else { ENAMETOOLONG });
    }
    let cached = {
        let section = rcu::read_lock();
        dcache::lookup(&section, dir, key).map(Arc::from)
    };
    if let Some(dentry) = cached {
        if stands(inode, key, &dentry)? {
            return Ok(Some(dentry));
        }
        dcache::invalidate(&dentry);
    }
    if inode.nlink() == 0 {
        return Err(ENOENT);
    }
    if inode.iflags() & iop::COMPLETE != 0 {
        return Ok(None);
    }
    let found = inode.ops().lookup(inode, key.bytes)?;
    if let Some(found) = found.as_ref().filter(|found| found.is_dir())
        && dcache::is_inside(dir, found)
    {
        // A damaged file system: who goes down would never be done, and who locks from above to below waits for himself.
        return Err(ELOOP);
    }
    match found {
        Some(found) if inode.iflags() & iop::ALIASES != 0 => under_this_name(dir, key, found).map(Some),
        Some(found) => dcache::add(dir, key, Some(found)).map(Some),
        None if inode.iflags() & iop::NO_NEGATIVE != 0 => Ok(None),
        None => dcache::add(dir, key, None).map(Some),
    }
}

/// The dentry of `inode`, which may be there by another name already: then that gets this one, so that there is one for each entry.
fn under_this_name(dir: &Arc<Dentry>, key: &Key<'_>, inode: Arc<Inode>) -> Result<Arc<Dentry>> {
    let Some(dentry) = dir.child_of(&inode) else { return dcache::add(dir, key, Some(inode)) };
    let step = Move::prepare(&dentry, dir, key)?;
    dcache::apply_moves([step], None);
    Ok(dentry)
}

/// Whether the cached `dentry`, `key` of `dir`, still stands. `dir.lock` is held.
fn stands(dir: &Arc<Inode>, key: &Key<'_>, dentry: &Dentry) -> Result<bool> {
    let Some(inode) = dentry.inode() else { return Ok(true) };
    if inode.iflags() & iop::REVALIDATE == 0 || inode.ops().revalidate(inode) {
        return Ok(true);
    }
    inode.ops().check(dir, key.bytes, inode)
}

/// Looks whether `dentry`, `key` of `dir`, really stands no longer, and drops it then. Whether it does stand.
pub(crate) fn stale(dir: &Arc<Dentry>, dentry: &Arc<Dentry>, key: &Key<'_>) -> Result<bool> {
    let inode = dir.positive()?;
    {
        let _lock = inode.lock.read();
        if !dentry.is_unhashed() && stands(inode, key, dentry)? {
            return Ok(true);
        }
    }
    let _lock = inode.lock.write();
    if !dentry.is_unhashed() {
        dcache::invalidate(dentry);
    }
    Ok(false)
}
