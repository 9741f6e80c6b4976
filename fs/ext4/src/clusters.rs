// SPDX-License-Identifier: GPL-2.0
//! Space that is reserved for blocks without a place (delayed allocation), counted in clusters.
//!
//! A cluster of a file is reserved while at least one of its blocks waits for its place and none of its blocks has one: what it
//! then gets counts for the whole cluster. Without `bigalloc` a cluster is a block, and every block that waits is reserved.
//!
//! A file without extents has blocks of pointers promised besides: as many as the blocks that wait may need, whether they are there
//! already or not. (For the trees of others some clusters are kept, see `last_clusters`.)

use crate::node::{Shared, Tree};
use errno::Result;
use ext4_core::State;

impl Shared {
    fn cluster_bits(&self) -> u32 {
        self.mount.core.geo.cluster_bits
    }

    /// Whether a block of the cluster waits for its place.
    fn has_waiting(&self, tree: &Tree, cluster: u32) -> bool {
        let bits = self.cluster_bits();
        tree.delayed.next(cluster << bits).is_some_and(|(at, _)| at >> bits == cluster)
    }

    /// Whether a block of the cluster has a place.
    fn has_place(&self, tree: &Tree, cluster: u32) -> Result<bool> {
        let core = &self.mount.core;
        let bits = self.cluster_bits();
        let mut at = cluster << bits;
        let mut left = core.geo.cluster_blocks();
        while left > 0 {
            let found = core.map(&tree.inode, at, left)?;
            if found.allocated().is_some() {
                return Ok(true);
            }
            let len = found.len.clamp(1, left);
            left -= len;
            at = at.saturating_add(len);
        }
        Ok(false)
    }

    /// Clusters with a block in `from..to` that are reserved.
    pub(crate) fn reserved_in(&self, tree: &Tree, from: u32, to: u32) -> Result<u64> {
        let bits = self.cluster_bits();
        if bits == 0 || from >= to || tree.delayed.is_empty() {
            return Ok(0);
        }
        let (first, last) = (from >> bits, (to - 1) >> bits);
        let mut at = first << bits;
        let mut count = 0;
        // The first cluster that was not looked at.
        let mut next = first;
        while let Some((start, len)) = tree.delayed.next(at).filter(|(start, _)| start >> bits <= last) {
            at = start + len;
            let (low, high) = ((start >> bits).max(next), ((at - 1) >> bits).min(last));
            if low > high {
                continue;
            }
            next = high + 1;
            // Those at the ends may have blocks of another kind; those between wait as a whole.
            count += u64::from(!self.has_place(tree, low)?);
            if high > low {
                count += u64::from(high - low - 1) + u64::from(!self.has_place(tree, high)?);
            }
        }
        Ok(count)
    }

    /// Clusters that must be reserved before the blocks `at..at + len`, a hole in which nothing waits, may wait.
    pub(crate) fn wanted_for(&self, tree: &Tree, at: u32, len: u32) -> Result<u64> {
        let bits = self.cluster_bits();
        if bits == 0 || len == 0 {
            return Ok(len.into());
        }
        let (first, last) = (at >> bits, (at + (len - 1)) >> bits);
        let taken = |cluster| -> Result<bool> { Ok(self.has_waiting(tree, cluster) || self.has_place(tree, cluster)?) };
        let mut count = u64::from(last - first) + 1 - u64::from(taken(first)?);
        if last > first {
            count -= u64::from(taken(last)?);
        }
        Ok(count)
    }

    /// Runs `change`, which gives blocks of `from..to` a place or takes it from them otherwise than for those that wait, and
    /// brings the number of reserved clusters up to date: a neighbour in the cluster may wait.
    pub(crate) fn keep_reserved<R>(
        &self,
        tree: &mut Tree,
        (from, to): (u32, u32),
        change: impl FnOnce(&mut Tree) -> Result<R>,
    ) -> Result<R> {
        if self.cluster_bits() == 0 {
            return change(tree);
        }
        let before = self.reserved_in(tree, from, to)?;
        let result = change(tree);
        let after = self.reserved_in(tree, from, to)?;
        if before > after {
            self.mount.core.unreserve(&mut tree.inode, before - after);
        } else if after > before {
            self.mount.core.reserve_again(&mut tree.inode, after - before);
        }
        result
    }

    /// Blocks of pointers that lead to one of the blocks `from..to` and to one that waits. None for a file with extents.
    fn nodes_in(&self, tree: &Tree, from: u32, to: u32) -> u64 {
        match tree.inode.uses_extents() || tree.delayed.is_empty() {
            true => 0,
            false => tree.delayed.nodes(self.mount.core.geo.pointers(), from, to),
        }
    }

    /// The blocks `from..to` do not wait any more. Returns how many of them did; `ENOMEM`: nothing changed.
    pub(crate) fn undelay(&self, tree: &mut Tree, from: u32, to: u32) -> Result<u32> {
        let before = self.nodes_in(tree, from, to);
        let gone = tree.delayed.remove(from, to)?;
        let after = self.nodes_in(tree, from, to);
        if before != after {
            self.mount.core.return_nodes(&mut tree.inode, before.saturating_sub(after));
        }
        Ok(gone)
    }

    /// Blocks of a hole wait from now on: their own clusters are reserved already. ENOSPC, ENOMEM.
    fn delay(&self, tree: &mut Tree, from: u32, to: u32, privileged: bool) -> Result {
        let before = self.nodes_in(tree, from, to);
        tree.delayed.insert(from, to)?;
        let more = self.nodes_in(tree, from, to).saturating_sub(before);
        if more == 0 {
            return Ok(());
        }
        self.mount.core.promise_nodes(&mut tree.inode, more, privileged).or_else(|error| {
            // Without memory to tell them apart they wait all the same.
            if tree.delayed.remove(from, to).is_ok() { Err(error) } else { Ok(()) }
        })
    }

    /// Reserves space for those of the blocks `from..to` that have neither a place nor a reservation. ENOSPC, EDQUOT.
    pub(crate) fn reserve(&self, from: u32, to: u32) -> Result {
        let core = &self.mount.core;
        let mut privileged = None;
        let mut tree = self.tree.write();
        let mut at = from;
        while at < to {
            let (delayed, len) = tree.delayed.look(at, to - at);
            if delayed {
                at += len;
                continue;
            }
            let found = core.map(&tree.inode, at, len)?;
            let len = found.len.clamp(1, len);
            if found.state == State::Hole {
                let wanted = self.wanted_for(&tree, at, len)?;
                let privileged = *privileged.get_or_insert_with(|| self.mount.is_privileged());
                core.reserve(&mut tree.inode, wanted, privileged)?;
                if let Err(error) = self.delay(&mut tree, at, at + len, privileged) {
                    core.unreserve(&mut tree.inode, wanted);
                    return Err(error);
                }
            }
            at += len;
        }
        self.count(&tree);
        Ok(())
    }

    /// Gives back reservations of blocks `from..to`, which are truncated.
    pub(crate) fn unreserve(&self, tree: &mut Tree, from: u32, to: u32) -> Result {
        let bits = self.cluster_bits();
        let before = self.reserved_in(tree, from, to)?;
        let gone = self.undelay(tree, from, to)?;
        let gone = if bits == 0 { gone.into() } else { before.saturating_sub(self.reserved_in(tree, from, to)?) };
        if gone != 0 {
            self.mount.core.unreserve(&mut tree.inode, gone);
        }
        self.count(tree);
        Ok(())
    }
}
