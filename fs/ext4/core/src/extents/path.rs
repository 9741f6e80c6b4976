// SPDX-License-Identifier: GPL-2.0
//! Looking up: from the root to the leaf that covers a block.

use crate::fs::Fs;
use crate::inode::Inode;
use crate::map::{Mapping, State};
use errno::{Result, code::*};
use ext4_format::extent::{Extent, Header, Index, MAX_DEPTH, max_entries, tail_offset};
use ext4_format::{crc::crc32c, le};
use ext4_store::{Buffer, Store};

/// A level of a path.
pub(crate) struct Level<S: Store> {
    /// The node's block; None for the root.
    pub(crate) buf: Option<S::Buf>,
    pub(crate) header: Header,
    /// The record that covers the block: the last one that begins at or before it. None if all begin after it.
    pub(crate) pos: Option<usize>,
}

impl<S: Store> Level<S> {
    /// The record, for an inner node: the first if all begin after the block.
    pub(crate) fn chosen(&self) -> usize {
        self.pos.unwrap_or(0)
    }
}

/// Nodes from the root (0) to a leaf.
pub(crate) struct Path<S: Store> {
    levels: [Option<Level<S>>; MAX_DEPTH as usize + 1],
    pub(crate) depth: usize,
    /// The first block that belongs to the leaf after this one, if there is one.
    pub(crate) next_leaf: Option<u32>,
}

impl<S: Store> Path<S> {
    pub(crate) fn level(&self, number: usize) -> Result<&Level<S>> {
        self.levels.get(number).and_then(Option::as_ref).ok_or(EUCLEAN)
    }
    pub(crate) fn leaf(&self) -> Result<&Level<S>> {
        self.level(self.depth)
    }
}

/// Runs `f` on a node's bytes.
pub(crate) fn with_node<S: Store, R>(inode: &Inode, buf: Option<&S::Buf>, f: impl FnOnce(&[u8]) -> R) -> R {
    match buf {
        Some(buf) => f(&buf.read()),
        None => f(inode.root_node()),
    }
}

/// The last of `count` records whose block is at or before `lblk`.
fn search(node: &[u8], count: usize, lblk: u32) -> Option<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = (low + high) / 2;
        if le::u32_at(node, 12 * (middle + 1)) <= lblk {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low.checked_sub(1)
}

impl<S: Store> Fs<S> {
    /// Checks a node: header, and records in order and within the file system. `depth`: what its parent says it must be.
    pub(crate) fn check_node(&self, inode: &Inode, node: &[u8], depth: Option<u16>) -> Result<Header> {
        let header = Header::decode(node).ok_or(EUCLEAN)?;
        let fits = max_entries(node.len());
        // Quota and journal files may own blocks that no other file may.
        let trusted = self.is_hidden(inode.ino);
        if header.depth > MAX_DEPTH
            || depth.is_some_and(|depth| depth != header.depth)
            || header.max == 0
            || header.max > fits
        {
            return Err(EUCLEAN);
        }
        if header.entries > header.max || (header.entries == 0 && header.depth > 0) {
            return Err(EUCLEAN);
        }
        let mut least = 0u64;
        for index in 0..usize::from(header.entries) {
            let (block, end, start, len) = if header.depth == 0 {
                let extent = Extent::decode(node, index);
                (extent.block, extent.end(), extent.start, extent.len)
            } else {
                let entry = Index::decode(node, index);
                (entry.block, u64::from(entry.block) + 1, entry.leaf, 1)
            };
            if u64::from(block) < least || len == 0 || end > u64::from(u32::MAX) {
                return Err(EUCLEAN);
            }
            if !trusted && !self.valid_blocks(start, len) {
                return Err(EUCLEAN);
            }
            least = end;
        }
        Ok(header)
    }

    /// Reads and checks a node below the root.
    pub(crate) fn read_node(&self, inode: &Inode, block: u64, depth: u16) -> Result<(S::Buf, Header)> {
        let buf = self.store.bread(block)?;
        let data = buf.read();
        if buf.is_verified() {
            let header = Header::decode(&data).ok_or(EUCLEAN);
            drop(data);
            return match header {
                Ok(header)
                    if header.depth == depth && header.entries <= header.max && header.max <= self.geo.node_max() =>
                {
                    Ok((buf, header))
                }
                _ => Err(self.corrupt("extent_header", inode.ino, block)),
            };
        }
        let header = match self.check_node(inode, &data, Some(depth)) {
            Ok(header) => header,
            Err(_) => {
                drop(data);
                return Err(self.corrupt("extent_header", inode.ino, block));
            }
        };
        if self.geo.csum {
            let at = tail_offset(&header);
            let crc = crc32c(inode.seed, data.get(..at).unwrap_or(&[]));
            if le::u32_at(&data, at) != crc {
                drop(data);
                return Err(self.bad_csum("extent_block", inode.ino, block));
            }
        }
        drop(data);
        buf.set_verified();
        Ok((buf, header))
    }

    /// Levels of the tree below its root.
    pub(crate) fn depth(&self, inode: &Inode) -> u32 {
        Header::decode(inode.root_node()).map_or(0, |header| header.depth.min(MAX_DEPTH).into())
    }

    /// The path to the leaf that covers `lblk`, or would.
    pub(crate) fn find_path(&self, inode: &Inode, lblk: u32) -> Result<Path<S>> {
        let root =
            Header::decode(inode.root_node()).filter(|h| h.depth <= MAX_DEPTH && h.entries <= h.max && h.max <= 4);
        let mut header = root.ok_or_else(|| self.corrupt("extent_root", inode.ino, 0))?;
        let mut path =
            Path { levels: [const { None }; MAX_DEPTH as usize + 1], depth: header.depth.into(), next_leaf: None };
        let mut buf: Option<S::Buf> = None;
        for number in 0..=path.depth {
            let count = usize::from(header.entries);
            let (pos, child, next) = with_node::<S, _>(inode, buf.as_ref(), |node| {
                let pos = search(node, count, lblk);
                let chosen = pos.unwrap_or(0);
                let next = (chosen + 1 < count).then(|| Index::decode(node, chosen + 1).block);
                (pos, Index::decode(node, chosen).leaf, next)
            });
            let inner = number < path.depth;
            if let Some(place) = path.levels.get_mut(number) {
                *place = Some(Level { buf: buf.take(), header, pos });
            }
            if inner {
                if count == 0 || (!self.valid_blocks(child, 1) && !self.is_hidden(inode.ino)) {
                    return Err(self.corrupt("extent_index", inode.ino, child));
                }
                path.next_leaf = next.or(path.next_leaf);
                let below = header.depth.checked_sub(1).ok_or(EUCLEAN)?;
                let (node, found) = self.read_node(inode, child, below)?;
                (buf, header) = (Some(node), found);
            }
        }
        Ok(path)
    }

    /// Record `index` of the path's leaf.
    pub(crate) fn leaf_extent(&self, inode: &Inode, path: &Path<S>, index: usize) -> Result<Option<Extent>> {
        let leaf = path.leaf()?;
        if index >= usize::from(leaf.header.entries) {
            return Ok(None);
        }
        Ok(Some(with_node::<S, _>(inode, leaf.buf.as_ref(), |node| Extent::decode(node, index))))
    }

    /// The extent that holds `lblk` or the one after it, with the path to `lblk`: `(path, at, next)`, where `at` covers the
    /// block and `next` is where the next extent begins (if in this leaf; else the next leaf's first block).
    pub(crate) fn find_extent(&self, inode: &Inode, lblk: u32) -> Result<(Path<S>, Option<Extent>, Option<u32>)> {
        let path = self.find_path(inode, lblk)?;
        let pos = path.leaf()?.pos;
        let at = match pos {
            Some(pos) => self.leaf_extent(inode, &path, pos)?.filter(|extent| extent.end() > u64::from(lblk)),
            None => None,
        };
        let next = match self.leaf_extent(inode, &path, pos.map_or(0, |pos| pos + 1))? {
            Some(extent) => Some(extent.block),
            None => path.next_leaf,
        };
        Ok((path, at, next))
    }

    /// `Fs::map` for files with extents.
    pub(crate) fn extent_map(&self, inode: &Inode, lblk: u32, len: u32) -> Result<Mapping> {
        let (_, at, next) = self.find_extent(inode, lblk)?;
        Ok(match at {
            Some(extent) => {
                let skip = lblk - extent.block;
                let start = extent.start + u64::from(skip);
                let state = if extent.unwritten { State::Unwritten(start) } else { State::Written(start) };
                Mapping { lblk, len: len.min(extent.len - skip).max(1), state, new: false }
            }
            None => {
                let hole = next.map_or(u32::MAX - lblk, |next| next.saturating_sub(lblk));
                Mapping { lblk, len: len.min(hole).max(1), state: State::Hole, new: false }
            }
        })
    }
}
