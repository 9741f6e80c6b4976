// SPDX-License-Identifier: GPL-2.0
//! Making a file with block pointers one with extents (`EXT4_IOC_MIGRATE`, `chattr +e`): the data stays where it is, the blocks of pointers are
//! freed. One operation, so that a crash leaves either map.

use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::extent::{Extent, Header, Index};
use ext4_format::inode::flag;
use ext4_format::le;
use ext4_store::{Buffer, Store};
use kalloc::KVec;
use kalloc::flags::GFP_NOFS;

/// What a file will consist of, and what it will not need any more.
pub struct Migration {
    extents: KVec<Extent>,
    pointers: KVec<u32>,
}

impl<S: Store> Fs<S> {
    /// Looks at a file that is to be migrated; it must not change until [`Self::migrate`]. `EINVAL`: it has extents, or cannot have any.
    pub fn plan_migration(&self, inode: &Inode) -> Result<Migration> {
        let fit = inode.is_regular() || inode.is_dir();
        if !self.geo.extents() || !fit || inode.uses_extents() || inode.is_inline() || self.geo.cluster_bits != 0 {
            return Err(EINVAL);
        }
        let mut extents: KVec<Extent> = KVec::new();
        self.runs(inode, 0, u32::MAX.into(), |run, _| {
            let start = run.block().ok_or(EUCLEAN)?;
            let next = Extent { block: run.lblk, len: run.len, start, unwritten: false };
            match extents.last_mut() {
                Some(last)
                    if last.end() == u64::from(next.block)
                        && last.start + u64::from(last.len) == next.start
                        && last.len + next.len <= Extent::max_len(false) =>
                {
                    last.len += next.len;
                }
                _ => extents.push(next, GFP_NOFS)?,
            }
            Ok(true)
        })?;
        let mut pointers = KVec::new();
        for levels in 1..=3u32 {
            let block = le::u32_at(&inode.raw.block, (11 + levels as usize) * 4);
            self.note_pointers(inode, block, levels, &mut pointers)?;
        }
        Ok(Migration { extents, pointers })
    }

    /// Adds a block of pointers, and those below it.
    fn note_pointers(&self, inode: &Inode, block: u32, levels: u32, out: &mut KVec<u32>) -> Result {
        // A damaged file may name a block again and again.
        if block == 0 {
            return Ok(());
        }
        if u64::try_from(out.len()).is_ok_and(|found| found > self.blocks_count()) {
            return Err(self.corrupt("migrate", inode.ino, block.into()));
        }
        out.push(block, GFP_NOFS)?;
        if levels > 1 {
            let buf = self.pointer_block(inode, block)?;
            for slot in 0..self.geo.pointers() as usize {
                let child = le::u32_at(&buf.read(), slot * 4);
                self.note_pointers(inode, child, levels - 1, out)?;
            }
        }
        Ok(())
    }

    /// Credits for it.
    pub fn credits_for_migration(&self, plan: &Migration) -> u32 {
        let nodes = plan.extents.len().div_ceil(usize::from(self.geo.node_max()).max(1)) + 4;
        // A node with bitmap and descriptor; a block of pointers' bitmap and descriptor; the inode and quotas.
        u32::try_from(3 * nodes + 2 * plan.pointers.len() + 16).unwrap_or(u32::MAX)
    }

    /// Gives the file its new map. In case of error it keeps the old one.
    pub fn migrate(&self, tx: &mut Tx<S>, inode: &mut Inode, plan: &Migration) -> Result {
        let (block, flags) = (inode.raw.block, inode.raw.flags);
        inode.raw.block.fill(0);
        Header { entries: 0, max: 4, depth: 0, generation: 0 }.encode(&mut inode.raw.block);
        inode.raw.flags |= flag::EXTENTS;
        inode.last_goal = None;
        let made = plan.extents.iter().try_for_each(|extent| self.insert_extent(tx, inode, *extent));
        if let Err(error) = made {
            let nodes = self.tree_nodes(inode);
            (inode.raw.block, inode.raw.flags) = (block, flags);
            for node in nodes? {
                self.free(tx, inode, node, 1, true)?;
            }
            self.write_inode(tx, inode)?;
            return Err(error);
        }
        for &pointer in plan.pointers.iter() {
            self.free(tx, inode, pointer.into(), 1, true)?;
        }
        self.touch(inode, false);
        self.write_inode(tx, inode)
    }

    /// The blocks of a tree that was just made.
    fn tree_nodes(&self, inode: &Inode) -> Result<KVec<u64>> {
        let mut found = KVec::new();
        add_children(&inode.raw.block, &mut found)?;
        let mut at = 0;
        while let Some(&node) = found.get(at) {
            let buf = self.store.bread(node)?;
            add_children(&buf.read(), &mut found)?;
            at += 1;
        }
        Ok(found)
    }
}

/// Adds the blocks that an inner node leads to.
fn add_children(node: &[u8], found: &mut KVec<u64>) -> Result {
    let header = Header::decode(node).ok_or(EUCLEAN)?;
    let count = if header.depth == 0 { 0 } else { usize::from(header.entries) };
    (0..count).try_for_each(|index| found.push(Index::decode(node, index).leaf, GFP_NOFS))?;
    Ok(())
}
