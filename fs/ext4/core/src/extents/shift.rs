// SPDX-License-Identifier: GPL-2.0
//! Moving what lies behind a range: `FALLOC_FL_COLLAPSE_RANGE` and `FALLOC_FL_INSERT_RANGE`. A leaf at a time, so that a long
//! shift is made of operations whose size is known; between them the tree is always in order.

use super::path::with_node;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::extent::Extent;
use ext4_store::Store;

/// A shift under way.
#[derive(Clone, Copy, Debug)]
pub struct Shift {
    /// Extents that begin here or later move.
    pub from: u32,
    /// By so many blocks.
    pub by: u32,
    /// Towards the end of the file (insert), or its start (collapse).
    pub right: bool,
    /// How far it got: the next extents to move begin at or after (`right`: end at or before) this block.
    pub at: Option<u32>,
}

impl<S: Store> Fs<S> {
    /// Moves the extents of one leaf. False while there is more to move. For a collapse the range before `from` must be a
    /// hole of `by` blocks.
    pub fn shift_step(&self, tx: &mut Tx<S>, inode: &mut Inode, shift: &mut Shift) -> Result<bool> {
        if !inode.uses_extents() {
            return Err(EOPNOTSUPP);
        }
        inode.last_goal = None;
        let done = if shift.right { self.shift_right(tx, inode, shift)? } else { self.shift_left(tx, inode, shift)? };
        self.write_inode(tx, inode)?;
        Ok(done)
    }

    fn shift_left(&self, tx: &mut Tx<S>, inode: &mut Inode, shift: &mut Shift) -> Result<bool> {
        let start = shift.at.unwrap_or(shift.from);
        let (mut path, found, next) = self.find_extent(inode, start)?;
        if found.is_none() {
            let Some(next) = next else { return Ok(true) };
            (path, _, _) = self.find_extent(inode, next)?;
        }
        let (count, buf) = (usize::from(path.leaf()?.header.entries), path.leaf()?.buf.clone());
        let (by, next_leaf) = (shift.by, path.next_leaf);
        let first =
            with_node::<S, _>(inode, buf.as_ref(), |node| (0..count).find(|&i| Extent::decode(node, i).block >= start));
        if let Some(first) = first {
            let key = self.edit_node(tx, inode, buf.as_ref(), |node| {
                for i in first..count {
                    let extent = Extent::decode(node, i);
                    Extent { block: extent.block.saturating_sub(by), ..extent }.encode(node, i);
                }
                Extent::decode(node, 0).block
            })?;
            if first == 0 {
                self.fix_keys(tx, inode, &path, path.depth, key)?;
            }
        }
        match next_leaf {
            Some(next) => {
                shift.at = Some(next.max(start.saturating_add(1)));
                Ok(false)
            }
            None => Ok(true),
        }
    }

    fn shift_right(&self, tx: &mut Tx<S>, inode: &mut Inode, shift: &mut Shift) -> Result<bool> {
        let by = shift.by;
        let last = shift.at.unwrap_or(u32::MAX - 1);
        let path = self.find_path(inode, last)?;
        if shift.at.is_none() {
            let pos = path.leaf()?.pos;
            let end = match pos {
                Some(pos) => self.leaf_extent(inode, &path, pos)?.map_or(0, |extent| extent.end()),
                None => 0,
            };
            if end + u64::from(by) >= u64::from(u32::MAX) && end > u64::from(shift.from) {
                return Err(EFBIG);
            }
        }
        if path.leaf()?.pos.is_none() {
            // All of this leaf lies behind: what is left is before what its parents say it begins with.
            return match self.leaf_start(inode, &path)? {
                Some(start) if start > shift.from && start <= last => {
                    shift.at = Some(start - 1);
                    Ok(false)
                }
                _ => self.split_for_insert(tx, inode, shift),
            };
        }
        let (count, buf) = (usize::from(path.leaf()?.header.entries), path.leaf()?.buf.clone());
        let bounds = with_node::<S, _>(inode, buf.as_ref(), |node| {
            let first = (0..count).find(|&i| Extent::decode(node, i).block >= shift.from);
            (first, (count > 0).then(|| Extent::decode(node, 0).block))
        });
        let (Some(first), Some(lowest)) = bounds else { return self.split_for_insert(tx, inode, shift) };
        let end = path.leaf()?.pos.map_or(0, |pos| pos + 1);
        self.edit_node(tx, inode, buf.as_ref(), |node| {
            for i in first..end {
                let extent = Extent::decode(node, i);
                Extent { block: extent.block.saturating_add(by), ..extent }.encode(node, i);
            }
        })?;
        if first == 0 && end > 0 {
            self.fix_keys(tx, inode, &path, path.depth, lowest.saturating_add(by))?;
        }
        if first > 0 || lowest == 0 || lowest <= shift.from {
            return self.split_for_insert(tx, inode, shift);
        }
        shift.at = Some(lowest - 1);
        Ok(false)
    }

    /// The last step of an insertion: an extent across `from` gives its upper part away.
    fn split_for_insert(&self, tx: &mut Tx<S>, inode: &mut Inode, shift: &Shift) -> Result<bool> {
        let (path, found, _) = self.find_extent(inode, shift.from)?;
        drop(path);
        let Some(extent) = found.filter(|extent| extent.block < shift.from) else { return Ok(true) };
        let skip = shift.from - extent.block;
        let left = Extent { len: skip, ..extent };
        let right = Extent {
            block: shift.from.saturating_add(shift.by),
            len: extent.len - skip,
            start: extent.start + u64::from(skip),
            ..extent
        };
        let before = core::mem::replace(&mut tx.last_resort, true);
        let room = self.ensure_room(tx, inode, extent.block, 1);
        tx.last_resort = before;
        room?;
        self.replace_extent(tx, inode, extent, [Some(left), Some(right), None])?;
        Ok(true)
    }
}
