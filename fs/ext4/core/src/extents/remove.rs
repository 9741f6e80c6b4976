// SPDX-License-Identifier: GPL-2.0
//! Freeing blocks: from the end of the range to its start, an extent at a time, as far as the operation's credits go.

use super::insert::close_gap;
use super::path::{Path, with_node};
use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::extent::{Extent, Header, Index, RECORD};
use ext4_format::le;
use ext4_store::{Buffer, Store};
use kalloc::{KVec, flags::GFP_NOFS};

impl<S: Store> Fs<S> {
    /// Credits that freeing one extent may need: its groups, and the way down with all its nodes freed.
    pub(crate) fn credits_for_free(&self, inode: &Inode) -> u32 {
        let groups = 0x8000 / self.geo.blocks_per_group + 2;
        2 * groups + 6 * (self.depth(inode) + 2) + 6
    }

    /// Frees the blocks `from..to` of a file. False if the operation ran out of credits: what is done is consistent, and the
    /// rest is to be done in another operation. The inode is written.
    pub fn remove_range(&self, tx: &mut Tx<S>, inode: &mut Inode, from: u32, to: u64) -> Result<bool> {
        if inode.is_inline() || inode.is_fast_symlink() || !matches!(inode.kind() >> 12, 4 | 8 | 10) {
            return Ok(true);
        }
        if to > u64::from(inode.last_goal.map_or(0, |(next, _)| next)) {
            inode.last_goal = None;
        }
        if !inode.uses_extents() {
            return self.indirect_remove(tx, inode, from, to);
        }
        let mut to = to.min(u64::from(u32::MAX));
        while to > u64::from(from) {
            if !self.has_credits(tx, self.credits_for_free(inode))? {
                self.write_inode(tx, inode)?;
                return Ok(false);
            }
            let path = self.find_path(inode, (to - 1) as u32)?;
            let Some(pos) = path.leaf()?.pos else {
                // Nothing of this leaf: go on below what its parents say it begins with.
                let Some(start) = self.leaf_start(inode, &path)? else { break };
                to = to.min(start.into()).min(to - 1);
                continue;
            };
            let Some(extent) = self.leaf_extent(inode, &path, pos)? else { break };
            if extent.end() <= u64::from(from) {
                break;
            }
            let (mut first, end) = (extent.block.max(from), extent.end().min(to));
            if self.data_is_metadata(inode) {
                let most = self.may_forget(tx, (end - u64::from(first)) as u32)?;
                if most == 0 {
                    self.write_inode(tx, inode)?;
                    return Ok(false);
                }
                first = first.max((end - u64::from(most)) as u32);
            }
            self.cut(tx, inode, path, pos, extent, (first, end))?;
            to = first.into();
        }
        self.shrink(tx, inode)?;
        self.write_inode(tx, inode)?;
        Ok(true)
    }

    /// The block with which the path's leaf begins, by its parents; None for the first leaf.
    pub(crate) fn leaf_start(&self, inode: &Inode, path: &Path<S>) -> Result<Option<u32>> {
        for number in (0..path.depth).rev() {
            let level = path.level(number)?;
            let pos = level.chosen();
            if pos > 0 {
                return Ok(Some(with_node::<S, _>(inode, level.buf.as_ref(), |node| Index::decode(node, pos).block)));
            }
        }
        Ok(None)
    }

    /// Takes the blocks `first..end` out of an extent, and frees them.
    fn cut(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        path: Path<S>,
        pos: usize,
        extent: Extent,
        (first, end): (u32, u64),
    ) -> Result {
        let left = Extent { len: first - extent.block, ..extent };
        let skip = (end - u64::from(extent.block)) as u32;
        let right =
            Extent { block: end as u32, len: extent.len - skip, start: extent.start + u64::from(skip), ..extent };
        match (left.len, right.len) {
            (0, 0) => self.delete_record(tx, inode, path, pos)?,
            (_, 0) => self.edit_leaf(tx, inode, &path, pos, left)?,
            (0, _) => {
                self.edit_leaf(tx, inode, &path, pos, right)?;
                if pos == 0 {
                    self.fix_keys(tx, inode, &path, path.depth, right.block)?;
                }
            }
            _ => {
                drop(path);
                let before = core::mem::replace(&mut tx.last_resort, true);
                let room = self.ensure_room(tx, inode, extent.block, 1);
                tx.last_resort = before;
                room?;
                self.replace_extent(tx, inode, extent, [Some(left), Some(right), None])?;
            }
        }
        let start = extent.start + u64::from(first - extent.block);
        let metadata = self.data_is_metadata(inode);
        self.free_clusters_of(tx, inode, first, (start, (end - u64::from(first)) as u32), metadata)
    }

    fn edit_leaf(&self, tx: &mut Tx<S>, inode: &mut Inode, path: &Path<S>, pos: usize, extent: Extent) -> Result {
        let buf = path.leaf()?.buf.clone();
        self.edit_node(tx, inode, buf.as_ref(), |node| extent.encode(node, pos))
    }

    /// Frees blocks that are in no extent any more; of clusters that other blocks of the file still use, nothing.
    fn free_clusters_of(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        lblk: u32,
        (start, len): (u64, u32),
        metadata: bool,
    ) -> Result {
        let bits = self.geo.cluster_bits;
        if bits == 0 {
            return self.free(tx, inode, start, len, metadata);
        }
        let mask = self.geo.cluster_blocks() - 1;
        let end = u64::from(lblk) + u64::from(len);
        let mut first = u64::from(lblk & !mask);
        let mut last = (end + u64::from(mask)) & !u64::from(mask);
        let mut block = start.wrapping_sub(u64::from(lblk & mask));
        if self.cluster_in_use(inode, first as u32)? {
            first += u64::from(mask) + 1;
            block += u64::from(mask) + 1;
        }
        if last > first && self.cluster_in_use(inode, (last - 1) as u32 & !mask)? {
            last -= u64::from(mask) + 1;
        }
        if last <= first {
            return Ok(());
        }
        self.free(tx, inode, block, (last - first) as u32, metadata)
    }

    /// Whether any block of the cluster that begins at `lblk` is allocated.
    fn cluster_in_use(&self, inode: &Inode, lblk: u32) -> Result<bool> {
        let (_, at, next) = self.find_extent(inode, lblk)?;
        if at.is_some() {
            return Ok(true);
        }
        let end = u64::from(lblk) + u64::from(self.geo.cluster_blocks());
        let Some(next) = next.filter(|&next| u64::from(next) < end) else { return Ok(false) };
        // The next leaf's first block by its parent may be smaller than its first extent's.
        let (_, at, after) = self.find_extent(inode, next)?;
        Ok(at.is_some() || after.is_some_and(|block| u64::from(block) < end))
    }

    /// Deletes a record of a leaf; nodes that get empty are freed, up to the root.
    fn delete_record(&self, tx: &mut Tx<S>, inode: &mut Inode, path: Path<S>, pos: usize) -> Result {
        let mut pos = pos;
        for number in (0..=path.depth).rev() {
            let level = path.level(number)?;
            let (header, buf) = (level.header, level.buf.clone());
            if header.entries > 1 || number == 0 {
                self.edit_node(tx, inode, buf.as_ref(), |node| close_gap(node, &header, pos))?;
                if header.entries <= 1 {
                    // The tree is empty: its root is a leaf again.
                    Header { entries: 0, max: 4, depth: 0, generation: header.generation }.encode(&mut inode.raw.block);
                } else if pos == 0 {
                    let block = with_node::<S, _>(inode, buf.as_ref(), |node| le::u32_at(node, RECORD));
                    self.fix_keys(tx, inode, &path, number, block)?;
                }
                return Ok(());
            }
            let block = buf.as_ref().map_or(0, |buf| buf.block());
            drop(buf);
            self.free(tx, inode, block, 1, true)?;
            pos = path.level(number - 1)?.chosen();
        }
        Ok(())
    }

    /// Takes levels off the tree while the root's only child fits into the root.
    pub(crate) fn shrink(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result {
        for _ in 0..ext4_format::extent::MAX_DEPTH {
            let Some(root) = Header::decode(inode.root_node()) else { return Err(EUCLEAN) };
            if root.depth == 0 || root.entries != 1 || !self.has_credits(tx, 8)? {
                return Ok(());
            }
            let child = Index::decode(inode.root_node(), 0).leaf;
            let (buf, header) = self.read_node(inode, child, root.depth - 1)?;
            if header.entries > 4 {
                return Ok(());
            }
            let records = KVec::from_slice(buf.read().get(RECORD..RECORD * 5).unwrap_or(&[]), GFP_NOFS)?;
            le::put(&mut inode.raw.block, RECORD, &records);
            Header { max: 4, ..header }.encode(&mut inode.raw.block);
            drop(buf);
            self.free(tx, inode, child, 1, true)?;
        }
        Ok(())
    }
}
