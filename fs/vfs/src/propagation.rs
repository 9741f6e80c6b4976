// SPDX-License-Identifier: GPL-2.0
//! Propagation: a change on a shared mount happens on its peers and slaves too. Source: `mount_namespaces(7)`.
//!
//! A peer group is a number that its members carry; a slave carries its master group's number. Under `MOUNTS` throughout.

use crate::dcache::is_subdir;
use crate::mount::{Mount, Mounts};
use crate::path::Path;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};

/// A tree of mounts that is about to be attached somewhere: parents before children.
pub(crate) type Tree = KVec<Arc<Mount>>;

/// A copy of a tree, and where it is to go.
pub(crate) struct TreeCopy {
    pub(crate) tree: Tree,
    pub(crate) at: Path,
}

impl Mounts {
    fn members(&self, group: u32) -> impl Iterator<Item = &Arc<Mount>> {
        self.list.iter().filter(move |mount| group != 0 && mount.group() == group)
    }

    fn slaves(&self, group: u32) -> impl Iterator<Item = &Arc<Mount>> {
        self.list.iter().filter(move |mount| group != 0 && mount.master() == group)
    }

    /// The lowest number that no group has; `extra` are mounts that are not in the list yet.
    fn free_group(&self, extra: &[TreeCopy], more: &[u32]) -> u32 {
        let copies = || extra.iter().flat_map(|copy| copy.tree.iter());
        let used = |n: u32| {
            let by = |mount: &Arc<Mount>| mount.group() == n || mount.master() == n;
            self.list.iter().any(by) || copies().any(by) || more.contains(&n)
        };
        (1..u32::MAX).find(|&n| !used(n)).unwrap_or(u32::MAX)
    }

    /// `MS_SHARED`.
    pub(crate) fn make_shared(&self, mount: &Mount) {
        if mount.group() == 0 {
            mount.set_group(self.free_group(&[], &[]));
        }
        mount.set_unbindable(false);
    }

    /// `MS_SLAVE`: receives from the peers it had; what received from it alone receives from its own master.
    pub(crate) fn make_slave(&self, mount: &Mount) {
        let group = mount.group();
        if group == 0 {
            return;
        }
        mount.set_group(0);
        if self.members(group).next().is_some() {
            mount.set_master(group);
        } else {
            self.slaves(group).for_each(|slave| slave.set_master(mount.master()));
        }
    }

    /// `MS_PRIVATE`.
    pub(crate) fn make_private(&self, mount: &Mount) {
        self.make_slave(mount);
        mount.set_master(0);
        mount.set_unbindable(false);
    }

    /// `MS_UNBINDABLE`.
    pub(crate) fn make_unbindable(&self, mount: &Mount) {
        self.make_private(mount);
        mount.set_unbindable(true);
    }

    /// A copy of the tree `originals` (parents first) whose top shows `root`. Each copy is a peer and fellow slave of its
    /// original; the parts know where they belong in the tree by the originals' places.
    pub(crate) fn copy_tree(&self, originals: &[Arc<Mount>]) -> Result<Tree> {
        let mut tree = KVec::with_capacity(originals.len(), GFP_KERNEL)?;
        for original in originals {
            let copy = Mount::new(&original.sb, original.root.clone(), original.source.as_bytes(), original.flags())?;
            copy.set_group(original.group());
            copy.set_master(original.master());
            copy.set_unbindable(original.is_unbindable());
            tree.push(copy, GFP_KERNEL)?;
        }
        Ok(tree)
    }

    /// Attaches the parts of `copy` below its top as those of `originals` lie below theirs. The top is attached already.
    pub(crate) fn attach_parts(&mut self, originals: &[Arc<Mount>], copy: &[Arc<Mount>], ns: u64) -> Result {
        for (original, part) in originals.iter().zip(copy).skip(1) {
            let Some(place) = original.mountpoint_path() else { continue };
            let parent = originals.iter().zip(copy).find(|pair| Arc::ptr_eq(pair.0, &place.mnt));
            let Some((_, parent)) = parent else { continue };
            self.attach(part, ns, Some(&Path { mnt: parent.clone(), dentry: place.dentry }))?;
        }
        Ok(())
    }

    /// The copies of `tree` that attaching it at `at` makes elsewhere. If `at`'s mount is shared the mounts of the tree become
    /// so.
    pub(crate) fn propagate(&self, tree: &[Arc<Mount>], at: &Path) -> Result<KVec<TreeCopy>> {
        let mut copies = KVec::new();
        let group = at.mnt.group();
        if group == 0 {
            return Ok(copies);
        }
        let mut groups: KVec<u32> = KVec::with_capacity(tree.len(), GFP_KERNEL)?;
        let mut masters: KVec<u32> = KVec::with_capacity(tree.len(), GFP_KERNEL)?;
        for mount in tree {
            let new = if mount.group() == 0 { self.free_group(&copies, &groups) } else { mount.group() };
            groups.push(new, GFP_KERNEL)?;
            masters.push(mount.master(), GFP_KERNEL)?;
        }
        // Levels of groups still to be served: group, the numbers its copies get, and those they receive from.
        let mut levels: KVec<(u32, KVec<u32>, KVec<u32>)> = KVec::new();
        levels.push((group, groups.try_clone(GFP_KERNEL)?, masters), GFP_KERNEL)?;
        while let Some((group, own, above)) = levels.pop() {
            for member in self.members(group).filter(|member| !Arc::ptr_eq(member, &at.mnt)) {
                self.copy_to(member, tree, at, &own, &above, &mut copies)?;
            }
            for slave in self.slaves(group) {
                if slave.group() == 0 {
                    let none = KVec::from_elem(0u32, own.len(), GFP_KERNEL)?;
                    self.copy_to(slave, tree, at, &none, &own, &mut copies)?;
                } else if !levels.iter().any(|level| level.0 == slave.group()) {
                    let mut fresh: KVec<u32> = KVec::new();
                    for _ in own.iter() {
                        let mut taken = groups.try_clone(GFP_KERNEL)?;
                        taken.extend(fresh.iter().copied(), GFP_KERNEL)?;
                        taken.extend(levels.iter().flat_map(|level| level.1.iter().copied()), GFP_KERNEL)?;
                        fresh.push(self.free_group(&copies, &taken), GFP_KERNEL)?;
                    }
                    levels.push((slave.group(), fresh, own.try_clone(GFP_KERNEL)?), GFP_KERNEL)?;
                }
            }
        }
        for (mount, group) in tree.iter().zip(groups.iter()) {
            mount.set_group(*group);
        }
        Ok(copies)
    }

    fn copy_to(
        &self,
        member: &Arc<Mount>,
        tree: &[Arc<Mount>],
        at: &Path,
        groups: &[u32],
        masters: &[u32],
        copies: &mut KVec<TreeCopy>,
    ) -> Result {
        // A peer that shows another part of the file system does not have the place.
        if !is_subdir(&at.dentry, &member.root) || member.ns() == 0 {
            return Ok(());
        }
        let copy = self.copy_tree(tree)?;
        for (index, mount) in copy.iter().enumerate() {
            mount.set_group(groups.get(index).copied().unwrap_or(0));
            mount.set_master(masters.get(index).copied().unwrap_or(0));
        }
        let at = Path { mnt: member.clone(), dentry: at.dentry.clone() };
        Ok(copies.push(TreeCopy { tree: copy, at }, GFP_KERNEL)?)
    }

    /// Every mount that a change on `mount` reaches, without itself.
    pub(crate) fn receivers(&self, mount: &Arc<Mount>) -> Result<KVec<Arc<Mount>>> {
        let mut out: KVec<Arc<Mount>> = KVec::new();
        let mut groups: KVec<u32> = KVec::new();
        groups.push(mount.group(), GFP_KERNEL)?;
        let mut index = 0;
        while let Some(&group) = groups.get(index) {
            index += 1;
            for found in self.members(group).chain(self.slaves(group)) {
                if Arc::ptr_eq(found, mount) || out.iter().any(|seen| Arc::ptr_eq(seen, found)) {
                    continue;
                }
                out.push(found.clone(), GFP_KERNEL)?;
                if found.group() != 0 && !groups.contains(&found.group()) {
                    groups.push(found.group(), GFP_KERNEL)?;
                }
            }
        }
        Ok(out)
    }

    /// The copies that propagation made of `mount`: what is mounted at its place in the mounts its parent's changes reach.
    pub(crate) fn copies_of(&self, mount: &Arc<Mount>) -> Result<KVec<Arc<Mount>>> {
        let mut out = KVec::new();
        let Some(place) = mount.mountpoint_path() else { return Ok(out) };
        if place.mnt.group() == 0 {
            return Ok(out);
        }
        for receiver in self.receivers(&place.mnt)?.iter() {
            let child = self.child_at(receiver, &place.dentry);
            if let Some(child) = child.filter(|child| Arc::ptr_eq(&child.root, &mount.root)) {
                out.push(child, GFP_KERNEL)?;
            }
        }
        Ok(out)
    }

    /// For `mountinfo`: the nearest group above `mount` that has a member in its name space (`propagate_from`).
    fn dominating(&self, mount: &Mount) -> u32 {
        let mut group = mount.master();
        // No chain is longer than there are mounts.
        for _ in 0..self.list.len() {
            if group == 0 || self.members(group).any(|member| member.ns() == mount.ns()) {
                return group;
            }
            group = self.members(group).next().map_or(0, |member| member.master());
        }
        0
    }
}

/// What `mountinfo` shows of a mount's propagation: its group, its master, the group it receives through, whether it is
/// unbindable.
pub struct Shown {
    /// `shared:N`; 0 for none.
    pub shared: u32,
    /// `master:N`; 0 for none.
    pub master: u32,
    /// `propagate_from:N`; 0 for none.
    pub from: u32,
    /// `unbindable`.
    pub unbindable: bool,
}

/// See [`Shown`]. `mounts` is the locked list.
pub(crate) fn shown(mounts: &Mounts, mount: &Mount) -> Shown {
    let (master, from) = (mount.master(), mounts.dominating(mount));
    let from = if from == master { 0 } else { from };
    Shown { shared: mount.group(), master, from, unbindable: mount.is_unbindable() }
}

/// See [`Shown`]. Takes `MOUNTS`. May sleep.
pub fn show(mount: &Mount) -> Shown {
    shown(&crate::mount::MOUNTS.lock(), mount)
}
