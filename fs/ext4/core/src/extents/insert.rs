// SPDX-License-Identifier: GPL-2.0
//! Changing nodes: inserting with merging, making room by splitting nodes and growing the root.

use super::path::{Level, Path, with_node};
use crate::balloc::Request;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::extent::{Extent, Header, Index, MAX_DEPTH, RECORD, tail_offset};
use ext4_format::{crc::crc32c, le};
use ext4_store::{Buffer, Store};
use kalloc::{KVec, flags::GFP_NOFS};

/// Shifts records so that `index` is free, and counts one more.
fn open_gap(node: &mut [u8], header: &Header, index: usize) {
    let (from, to) = (RECORD * (index + 1), RECORD * (usize::from(header.entries) + 1));
    if from <= to && to + RECORD <= node.len() {
        node.copy_within(from..to, from + RECORD);
    }
    Header { entries: header.entries + 1, ..*header }.encode(node);
}

/// Takes record `index` out.
pub(crate) fn close_gap(node: &mut [u8], header: &Header, index: usize) {
    let (from, to) = (RECORD * (index + 2), RECORD * (usize::from(header.entries) + 1));
    if from <= to && to <= node.len() {
        node.copy_within(from..to, from - RECORD);
    }
    Header { entries: header.entries.saturating_sub(1), ..*header }.encode(node);
}

impl<S: Store> Fs<S> {
    /// Changes a node and its checksum. The root's change is in memory until the inode is written.
    pub(crate) fn edit_node<R>(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        buf: Option<&S::Buf>,
        f: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        let Some(buf) = buf else { return Ok(f(&mut inode.raw.block)) };
        let (seed, csum) = (inode.seed, self.geo.csum);
        self.modify(tx, buf, |node| {
            let result = f(node);
            if csum {
                finish_node(node, seed);
            }
            result
        })
    }

    /// The first record of a node below the root has a new first block: parents that begin with it follow.
    pub(crate) fn fix_keys(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        path: &Path<S>,
        from: usize,
        block: u32,
    ) -> Result {
        for number in (0..from).rev() {
            let level = path.level(number)?;
            let pos = level.chosen();
            let buf = level.buf.clone();
            self.edit_node(tx, inode, buf.as_ref(), |node| {
                let index = Index::decode(node, pos);
                Index { block, ..index }.encode(node, pos);
            })?;
            if pos != 0 {
                break;
            }
        }
        Ok(())
    }

    /// Inserts an extent for blocks that are a hole; merged with its neighbours in the leaf where that may be.
    pub(crate) fn insert_extent(&self, tx: &mut Tx<S>, inode: &mut Inode, new: Extent) -> Result {
        // Each round splits a node or grows the tree by a level.
        for _ in 0..=2 * MAX_DEPTH + 2 {
            let path = self.find_path(inode, new.block)?;
            if self.try_insert(tx, inode, &path, new)? {
                return Ok(());
            }
            self.make_room(tx, inode, &path)?;
        }
        Err(self.corrupt("extent_insert", inode.ino, 0))
    }

    fn try_insert(&self, tx: &mut Tx<S>, inode: &mut Inode, path: &Path<S>, new: Extent) -> Result<bool> {
        let leaf = path.leaf()?;
        let (pos, header, buf) = (leaf.pos, leaf.header, leaf.buf.clone());
        let before = match pos {
            Some(pos) => self.leaf_extent(inode, path, pos)?,
            None => None,
        };
        let at = pos.map_or(0, |pos| pos + 1);
        let after = self.leaf_extent(inode, path, at)?;
        let overlaps = before.is_some_and(|e| e.end() > u64::from(new.block))
            || after.is_some_and(|e| u64::from(e.block) < new.end());
        if overlaps {
            return Err(self.corrupt("extent_overlap", inode.ino, new.start));
        }
        let joins_before = before.filter(|e| e.can_merge(&new));
        let joins_after = after.filter(|e| new.can_merge(e));
        match (joins_before, joins_after) {
            (Some(left), Some(right)) if left.can_merge(&Extent { len: new.len + right.len, ..new }) => {
                let whole = Extent { len: left.len + new.len + right.len, ..left };
                self.edit_node(tx, inode, buf.as_ref(), |node| {
                    whole.encode(node, at - 1);
                    close_gap(node, &header, at);
                })?;
            }
            (Some(left), _) => {
                let whole = Extent { len: left.len + new.len, ..left };
                self.edit_node(tx, inode, buf.as_ref(), |node| whole.encode(node, at - 1))?;
            }
            (None, Some(right)) => {
                let whole = Extent { len: new.len + right.len, ..new };
                self.edit_node(tx, inode, buf.as_ref(), |node| whole.encode(node, at))?;
                if at == 0 {
                    self.fix_keys(tx, inode, path, path.depth, new.block)?;
                }
            }
            (None, None) => {
                if header.entries >= header.max {
                    return Ok(false);
                }
                self.edit_node(tx, inode, buf.as_ref(), |node| {
                    open_gap(node, &header, at);
                    new.encode(node, at);
                })?;
                if at == 0 {
                    self.fix_keys(tx, inode, path, path.depth, new.block)?;
                }
            }
        }
        Ok(true)
    }

    /// Sees to it that the leaf for `lblk` has room for `records` more, so that changes that follow cannot fail for want of
    /// space.
    pub(crate) fn ensure_room(&self, tx: &mut Tx<S>, inode: &mut Inode, lblk: u32, records: u16) -> Result {
        for _ in 0..=4 * MAX_DEPTH + 4 {
            let path = self.find_path(inode, lblk)?;
            let header = path.leaf()?.header;
            if header.max - header.entries >= records {
                return Ok(());
            }
            self.make_room(tx, inode, &path)?;
        }
        Err(self.corrupt("extent_room", inode.ino, 0))
    }

    fn new_node(&self, tx: &mut Tx<S>, inode: &mut Inode, near: u64, header: Header, records: &[u8]) -> Result<u64> {
        let (block, _) = self.allocate(tx, inode, Request::meta(near))?;
        let (seed, csum) = (inode.seed, self.geo.csum);
        let made = self.create_block(tx, block, |node| {
            header.encode(node);
            le::put(node, RECORD, records);
            if csum {
                finish_node(node, seed);
            }
        });
        if let Err(error) = made {
            self.free(tx, inode, block, 1, true)?;
            return Err(error);
        }
        Ok(block)
    }

    /// Splits the lowest node on the way whose parent has room; grows the tree if none has.
    fn make_room(&self, tx: &mut Tx<S>, inode: &mut Inode, path: &Path<S>) -> Result {
        for parent in (0..path.depth).rev() {
            let level = path.level(parent)?;
            if level.header.entries < level.header.max {
                return self.split_node(tx, inode, level, path.level(parent + 1)?);
            }
        }
        self.grow_root(tx, inode)
    }

    fn split_node(&self, tx: &mut Tx<S>, inode: &mut Inode, parent: &Level<S>, child: &Level<S>) -> Result {
        let header = child.header;
        let count = usize::from(header.entries);
        if count < 2 {
            return Err(self.corrupt("extent_split", inode.ino, 0));
        }
        // A file that grows at its end leaves full nodes behind.
        let middle = if child.pos == Some(count - 1) { count - 1 } else { count / 2 };
        let old = with_node::<S, _>(inode, child.buf.as_ref(), |node| KVec::from_slice(node, GFP_NOFS))?;
        let moved = old.get(RECORD * (middle + 1)..RECORD * (count + 1)).unwrap_or(&[]);
        let key = le::u32_at(moved, 0);
        let near = child.buf.as_ref().map_or(0, |buf| buf.block());
        let upper = Header { entries: (count - middle) as u16, max: self.geo.node_max(), ..header };
        let block = self.new_node(tx, inode, near, upper, moved)?;
        self.edit_node(tx, inode, child.buf.as_ref(), |node| Header { entries: middle as u16, ..header }.encode(node))?;
        let at = parent.chosen() + 1;
        let parent_header = parent.header;
        self.edit_node(tx, inode, parent.buf.as_ref(), |node| {
            open_gap(node, &parent_header, at);
            Index { block: key, leaf: block }.encode(node, at);
        })?;
        self.write_inode(tx, inode)
    }

    /// Moves the root's records to a block of their own, one level down.
    fn grow_root(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result {
        let header = Header::decode(inode.root_node()).ok_or(EUCLEAN)?;
        if header.depth >= MAX_DEPTH {
            return Err(ENOSPC);
        }
        let records = KVec::from_slice(inode.root_node().get(RECORD..).unwrap_or(&[]), GFP_NOFS)?;
        let key = if header.entries == 0 { 0 } else { le::u32_at(&records, 0) };
        // A goal that somebody asked for is one for data.
        let last = inode.last_goal.filter(|_| !inode.wished);
        let goal = last.map_or_else(|| self.default_goal(inode), |(_, block)| block);
        let child = Header { max: self.geo.node_max(), ..header };
        let block = self.new_node(tx, inode, goal, child, &records)?;
        let root = &mut inode.raw.block;
        root.fill(0);
        Header { entries: 1, max: 4, depth: header.depth + 1, generation: header.generation }.encode(root);
        Index { block: key, leaf: block }.encode(root, 0);
        self.write_inode(tx, inode)
    }
}

/// Sets the checksum of a node in a block.
fn finish_node(node: &mut [u8], seed: u32) {
    let Some(header) = Header::decode(node) else { return };
    let at = tail_offset(&header);
    let crc = crc32c(seed, node.get(..at).unwrap_or(&[]));
    le::put_u32(node, at, crc);
}
