// SPDX-License-Identifier: GPL-2.0
//! `Path`: a place in the tree of mounts, and the way back to its text. Locks: none (RCU).

use crate::dentry::Dentry;
use crate::inode::Inode;
use crate::mount::Mount;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use rcu::ReadGuard;

/// A dentry in a mount.
#[derive(Clone)]
pub struct Path {
    /// The mount.
    pub mnt: Arc<Mount>,
    /// The dentry, in the mount's file system.
    pub dentry: Arc<Dentry>,
}

impl Path {
    /// Whether both are the same place.
    #[inline]
    pub fn same(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.mnt, &other.mnt) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }

    /// What is there; `ENOENT` for a negative dentry.
    #[inline]
    pub fn inode(&self) -> Result<&Arc<Inode>> {
        self.dentry.positive()
    }

    /// The place's name, up to `root` (or as far as it goes): `/` and components, with ` (deleted)` behind a removed one.
    /// The second value: whether `root` was reached. `ENAMETOOLONG` over `limit` bytes.
    pub fn text(&self, root: &Path, limit: usize) -> Result<(KVec<u8>, bool)> {
        // Components from last to first, each with its bytes reversed; turned round at the end.
        let mut out = KVec::with_capacity(256.min(limit), GFP_KERNEL)?;
        let nameless = self.dentry.is_root() && !Arc::ptr_eq(&self.dentry, &self.mnt.root);
        let deleted = nameless || self.dentry.is_unhashed();
        loop {
            out.clear();
            match self.text_reversed(root, &mut out) {
                Ok(reached) => {
                    if out.is_empty() {
                        out.push(b'/', GFP_KERNEL)?;
                    }
                    if out.len() >= limit {
                        return Err(ENAMETOOLONG);
                    }
                    out.reverse();
                    if deleted {
                        out.extend_from_slice(b" (deleted)", GFP_KERNEL)?;
                    }
                    return Ok((out, reached));
                }
                // The section must not allocate; make room and walk again.
                Err(ENOMEM) if out.capacity() < limit => {
                    let room = (out.capacity() * 2).min(limit);
                    out = KVec::with_capacity(room, GFP_KERNEL)?;
                }
                Err(ENOMEM) => return Err(ENAMETOOLONG),
                Err(error) => return Err(error),
            }
        }
    }

    fn text_reversed(&self, root: &Path, out: &mut KVec<u8>) -> Result<bool> {
        let section = rcu::read_lock();
        let mut mnt = self.mnt.as_arc_borrow();
        let mut dentry = self.dentry.as_arc_borrow();
        let root = (&*root.mnt, &*root.dentry);
        loop {
            if core::ptr::eq(&*mnt, root.0) && core::ptr::eq(&*dentry, root.1) {
                return Ok(true);
            }
            if core::ptr::eq(&*dentry, &*mnt.root) {
                let Some((parent, mountpoint)) = mnt.mounted_on(&section) else { return Ok(false) };
                mnt = parent;
                dentry = mountpoint;
                continue;
            }
            let Some(parent) = dentry.parent(&section) else {
                // In no directory (memfd, O_TMPFILE): its own name is all there is.
                push_reversed(&dentry, &section, out)?;
                return Ok(true);
            };
            push_reversed(&dentry, &section, out)?;
            dentry = parent;
        }
    }
}

fn push_reversed(dentry: &Dentry, _section: &ReadGuard, out: &mut KVec<u8>) -> Result {
    let start = out.len();
    dentry.with_name(|name| {
        out.truncate(start);
        for &byte in name.iter().rev() {
            out.push_within_capacity(byte).map_err(|_| ENOMEM)?;
        }
        out.push_within_capacity(b'/').map_err(|_| ENOMEM)
    })
}

/// The place as the current task sees it: from its root, `pipe:[1]` and the like for what has no place. For `readlink` of magic
/// links and `/proc`.
pub fn shown(path: &Path) -> Result<KVec<u8>> {
    // What such an inode is mounted on has a name in the tree.
    let mounted = Arc::ptr_eq(&path.dentry, &path.mnt.root);
    if !mounted && let Some(inode) = path.dentry.inode().filter(|inode| inode.iflags() & crate::inode::iop::DNAME != 0)
    {
        let mut out = KVec::with_capacity(64, GFP_KERNEL)?;
        inode.ops().dname(inode, &mut out).map_err(|_| ENAMETOOLONG)?;
        return Ok(out);
    }
    let paths = crate::fs_struct::current_fs()?.paths()?;
    Ok(path.text(&paths.root, crate::namei::pathname::PATH_MAX)?.0)
}
