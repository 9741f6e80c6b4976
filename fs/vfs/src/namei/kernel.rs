// SPDX-License-Identifier: GPL-2.0
//! Entries looked up and changed by the kernel's own right, in directories that it holds: for a file system that lies over others
//! (overlayfs). Neither permissions nor the umask count; the caller has asked for write access to the mount. Locks as in the calls of
//! programs: the directory's `lock`, and for a rename `rename_lock` before both.

use super::open::open_trusted;
use super::rename::{Plan, lock_both};
use super::slow::lookup_locked;
use crate::dcache::{self, Pending};
use crate::dentry::Dentry;
use crate::file::{File, OpenFlags};
use crate::inode::{Inode, iop};
use crate::name::Key;
use crate::notify;
use crate::path::Path;
use errno::{Result, code::*};
use kalloc::Arc;

/// The entry `name` of `dir`, if there is one. What is mounted on it does not count. May sleep.
pub fn kernel_lookup(dir: &Path, name: &[u8]) -> Result<Option<Arc<Dentry>>> {
    let found = match dcache::lookup_cached(&dir.dentry, name) {
        Some(dentry) if dentry.inode().is_none_or(|inode| inode.iflags() & iop::REVALIDATE == 0) => Some(dentry),
        _ => {
            let inode = dir.inode()?;
            let _lock = inode.lock.write();
            lookup_locked(&dir.dentry, &Key::new(name))?
        }
    };
    Ok(found.filter(|dentry| dentry.inode().is_some()))
}

/// Makes the entry `name` of `dir`: `make` is told the directory, whose lock is held. `EEXIST`, and those of `make`. May sleep.
pub fn kernel_make(
    dir: &Path,
    name: &[u8],
    make: impl FnOnce(&Arc<Inode>) -> Result<Arc<Inode>>,
) -> Result<Arc<Dentry>> {
    let key = Key::new(name);
    let inode = dir.inode()?;
    let _lock = inode.lock.write();
    let cached = lookup_locked(&dir.dentry, &key)?;
    if cached.as_ref().is_some_and(|dentry| dentry.inode().is_some()) {
        return Err(EEXIST);
    }
    if inode.nlink() == 0 {
        return Err(ENOENT);
    }
    let pending = Pending::new(&dir.dentry, &key, cached)?;
    let made = make(inode)?;
    let dentry = pending.commit(made.clone());
    notify::created(inode, &made, name);
    Ok(dentry)
}

/// Renames (flags: `RENAME_NOREPLACE`, `RENAME_EXCHANGE`) within one file system. Errors of `renameat2(2)` without those of
/// permissions. May sleep.
pub fn kernel_rename(old_dir: &Path, old_name: &[u8], new_dir: &Path, new_name: &[u8], flags: u32) -> Result {
    let (old_key, new_key) = (&Key::new(old_name), &Key::new(new_name));
    let plan = Plan { old_dir, old_key, old_slash: false, new_dir, new_key, new_slash: false, flags, trusted: true };
    let replaced = {
        let _locks = lock_both(old_dir, new_dir)?;
        plan.run()?
    };
    if let Some(inode) = replaced {
        inode.put_user(false);
    }
    Ok(())
}

/// Opens what is at `path` without asking for permissions: no `O_CREAT`, no `O_TRUNC`. `EROFS`, `ETXTBSY` and those of the file
/// system. May sleep.
pub fn kernel_open_real(path: Path, flags: u32) -> Result<Arc<File>> {
    open_trusted(path, OpenFlags(flags))
}
