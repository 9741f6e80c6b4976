// SPDX-License-Identifier: GPL-2.0
//! Trees of mounts that belong to a descriptor: made by `fsmount(2)` and `open_tree(2)`, attached by `move_mount(2)`, or gone with
//! the descriptor; and attributes of a tree at once (`mount_setattr(2)`). Such a tree is in a name space of its own that no task is
//! in (its number has the top bit). Locks: `MOUNTS`.

use crate::file::{File, FileOps, OpenFlags, Prepared};
use crate::mnt_ns::{check_mnt, would_loop};
use crate::mount::{MOUNTS, Mount, Mounts, follow_down};
use crate::mounting::{attach_tree, check_target, copy_at, is_mount_root, one};
use crate::nsfs::new_number;
use crate::path::Path;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};

/// Marks the number of a name space that no task is in.
const ANONYMOUS: u64 = 1 << 63;

fn is_anonymous(mount: &Mount) -> bool {
    mount.ns() & ANONYMOUS != 0
}

/// Puts `mount` into a name space of its own. May sleep.
pub(crate) fn detached(mount: &Arc<Mount>) -> Result {
    detached_tree(&mut MOUNTS.lock(), mount, |_, _| Ok(()))
}

/// Puts the tree of `top` into a name space of its own; `parts` attaches what is below the top.
fn detached_tree(mounts: &mut Mounts, top: &Arc<Mount>, parts: impl FnOnce(&mut Mounts, u64) -> Result) -> Result {
    let ns = new_number() | ANONYMOUS;
    let result = mounts.attach(top, ns, None).and_then(|()| parts(mounts, ns));
    if result.is_err() {
        dissolve_locked(mounts, top);
    }
    result
}

fn dissolve_locked(mounts: &mut Mounts, top: &Arc<Mount>) {
    // Without memory its mounts stay, seen by nobody.
    let Ok(tree) = mounts.tree_of(top) else { return };
    for mount in tree.iter().rev() {
        mounts.detach(mount);
    }
}

/// What is behind a descriptor of such a tree. It goes with the descriptor, unless it was attached meanwhile.
struct TreeFile {
    ns: u64,
    top: Arc<Mount>,
}

impl FileOps for TreeFile {}

impl Drop for TreeFile {
    fn drop(&mut self) {
        let mut mounts = MOUNTS.lock();
        if self.top.ns() == self.ns && self.top.parent_arc().is_none() {
            dissolve_locked(&mut mounts, &self.top);
        }
    }
}

/// An `O_PATH` file for the top of a detached tree. May sleep.
pub(crate) fn tree_file(path: Path) -> Result<Arc<File>> {
    // On failure the value is dropped, and the tree with it.
    let tree = TreeFile { ns: path.mnt.ns(), top: path.mnt.clone() };
    File::new(path, OpenFlags(uapi::O_PATH), KBox::new(tree, GFP_KERNEL)?, Prepared::nothing())
}

/// `open_tree(OPEN_TREE_CLONE)`: a copy of the mount at `from` (with `recursive` of those below it too), attached nowhere. May
/// sleep.
pub(crate) fn copy_detached(from: &Path, recursive: bool) -> Result<Path> {
    let mut mounts = MOUNTS.lock();
    let (originals, copies) = copy_at(&mounts, from, recursive)?;
    let top = copies.first().ok_or(EINVAL)?;
    detached_tree(&mut mounts, top, |mounts, ns| mounts.attach_parts(&originals, &copies, ns))?;
    Ok(Path { mnt: top.clone(), dentry: from.dentry.clone() })
}

/// `move_mount(2)`, `MS_MOVE`: attaches the mount at `from`, with all below it, at `target`. May sleep.
pub(crate) fn move_tree(from: &Path, target: Path) -> Result {
    let mut mounts = MOUNTS.lock();
    let mut at = target;
    follow_down(&mut at);
    check_mnt(&at.mnt)?;
    let parent = from.mnt.parent_arc();
    match &parent {
        Some(_) => check_mnt(&from.mnt)?,
        None if !is_anonymous(&from.mnt) => return Err(EINVAL),
        None => {}
    }
    if !is_mount_root(from) {
        return Err(EINVAL);
    }
    check_target(&from.mnt, &at).map_err(|error| if error == ENOTDIR { EINVAL } else { error })?;
    // What moves away from a shared mount would have to move away from its peers.
    if parent.is_some_and(|parent| parent.group() != 0) {
        return Err(EINVAL);
    }
    let tree = mounts.tree_of(&from.mnt)?;
    if at.mnt.group() != 0 && tree.iter().any(|mount| mount.is_unbindable()) {
        return Err(EINVAL);
    }
    // Not below itself.
    if tree.iter().any(|mount| Arc::ptr_eq(mount, &at.mnt)) {
        return Err(ELOOP);
    }
    for mount in tree.iter() {
        if would_loop(&Path { mnt: mount.clone(), dentry: mount.root.clone() })? {
            return Err(ELOOP);
        }
    }
    attach_tree(&mut mounts, &tree, &at, |mounts, ns| {
        mounts.unhook(&from.mnt);
        tree.iter().for_each(|mount| mount.set_ns(ns));
        mounts.hook_in(&from.mnt, &at);
        Ok(())
    })
}

/// `MOVE_MOUNT_SET_GROUP`: the private mount at `to` becomes a peer, or fellow slave, of the one at `from`.
pub(crate) fn set_group(from: &Path, to: &Path) -> Result {
    let _mounts = MOUNTS.lock();
    if !is_mount_root(from) || !is_mount_root(to) {
        return Err(EINVAL);
    }
    let (from, to) = (&from.mnt, &to.mnt);
    check_mnt(from)?;
    check_mnt(to)?;
    let same = Arc::ptr_eq(&from.sb, &to.sb) && crate::dcache::is_subdir(&to.root, &from.root);
    if to.group() != 0 || to.master() != 0 || !same || from.group() == 0 && from.master() == 0 {
        return Err(EINVAL);
    }
    to.set_master(from.master());
    to.set_group(from.group());
    Ok(())
}

/// What `mount_setattr(2)` changes.
pub(crate) struct Attributes {
    /// `MS_*` bits to set, after those to clear are cleared.
    pub(crate) set: u32,
    pub(crate) clear: u32,
    /// `MS_SHARED` or its kin; 0 for none.
    pub(crate) propagation: u32,
}

/// Changes the mount that `path` is the root of, and with `recursive` all below it: all, or none. May sleep.
pub(crate) fn set_attributes(path: &Path, recursive: bool, change: &Attributes) -> Result {
    let mounts = MOUNTS.lock();
    if !is_mount_root(path) {
        return Err(EINVAL);
    }
    // A tree that is attached nowhere is its descriptor's; everything else must be in the caller's name space.
    if path.mnt.parent_arc().is_some() || !is_anonymous(&path.mnt) {
        check_mnt(&path.mnt)?;
    }
    let tree = if recursive { mounts.tree_of(&path.mnt)? } else { one(&path.mnt)? };
    change_flags(&tree, change)?;
    for mount in tree.iter() {
        match change.propagation {
            uapi::MS_SHARED => mounts.make_shared(mount),
            uapi::MS_SLAVE => mounts.make_slave(mount),
            uapi::MS_PRIVATE => mounts.make_private(mount),
            uapi::MS_UNBINDABLE => mounts.make_unbindable(mount),
            _ => {}
        }
    }
    Ok(())
}

/// The flags of all mounts of `tree`, or, with an error, of none.
fn change_flags(tree: &[Arc<Mount>], change: &Attributes) -> Result {
    let mut old = KVec::with_capacity(tree.len(), GFP_KERNEL)?;
    for mount in tree {
        let flags = mount.flags();
        if let Err(error) = mount.remount(flags & !change.clear | change.set) {
            for (mount, flags) in tree.iter().zip(old.iter()) {
                mount.set_flags(*flags);
            }
            return Err(error);
        }
        old.push(flags, GFP_KERNEL)?;
    }
    Ok(())
}
