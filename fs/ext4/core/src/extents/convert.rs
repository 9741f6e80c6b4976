// SPDX-License-Identifier: GPL-2.0
//! Replacing an extent by parts of it: from unwritten to written and back, and other blocks on the disk.

use super::insert::close_gap;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_format::extent::Extent;
use ext4_store::Store;

impl<S: Store> Fs<S> {
    /// Replaces `extent`, which is there, by up to three that lie within its blocks, in order. The leaf must have room for
    /// one less than there are parts.
    pub(crate) fn replace_extent(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        extent: Extent,
        parts: [Option<Extent>; 3],
    ) -> Result {
        let path = self.find_path(inode, extent.block)?;
        let leaf = path.leaf()?;
        let pos = leaf.pos.ok_or(EUCLEAN)?;
        if self.leaf_extent(inode, &path, pos)? != Some(extent) {
            return Err(self.corrupt("extent_replace", inode.ino, extent.start));
        }
        let buf = leaf.buf.clone();
        let mut rest = parts.into_iter().flatten();
        let first = rest.next().ok_or(EINVAL)?;
        self.edit_node(tx, inode, buf.as_ref(), |node| first.encode(node, pos))?;
        if pos == 0 && first.block != extent.block {
            self.fix_keys(tx, inode, &path, path.depth, first.block)?;
        }
        drop(path);
        for part in rest {
            self.insert_extent(tx, inode, part)?;
        }
        self.merge_at(tx, inode, first.block)
    }

    /// Merges the extent at `lblk` with those beside it in its leaf.
    fn merge_at(&self, tx: &mut Tx<S>, inode: &mut Inode, lblk: u32) -> Result {
        let path = self.find_path(inode, lblk)?;
        let Some(mut pos) = path.leaf()?.pos else { return Ok(()) };
        let buf = path.leaf()?.buf.clone();
        pos = pos.saturating_sub(1);
        for _ in 0..2 {
            // Read anew: the first merge changes the node.
            let path = self.find_path(inode, lblk)?;
            let header = path.leaf()?.header;
            let (Some(left), Some(right)) =
                (self.leaf_extent(inode, &path, pos)?, self.leaf_extent(inode, &path, pos + 1)?)
            else {
                break;
            };
            if left.can_merge(&right) {
                let whole = Extent { len: left.len + right.len, ..left };
                self.edit_node(tx, inode, buf.as_ref(), |node| {
                    whole.encode(node, pos);
                    close_gap(node, &header, pos + 1);
                })?;
            } else {
                pos += 1;
            }
        }
        Ok(())
    }

    /// Marks the allocated blocks of `from..to` written, or unwritten. The inode is written.
    pub(crate) fn set_written(&self, tx: &mut Tx<S>, inode: &mut Inode, from: u32, to: u64, written: bool) -> Result {
        let mut at = u64::from(from);
        while at < to.min(u64::from(u32::MAX)) {
            let (path, found, next) = self.find_extent(inode, at as u32)?;
            drop(path);
            let Some(extent) = found else {
                at = next.map_or(to, u64::from).max(at + 1);
                continue;
            };
            let (first, end) = (at as u32, to.min(extent.end()));
            at = end;
            if extent.unwritten != written {
                continue;
            }
            // A written extent may be one block longer than an unwritten one can be.
            let most = u64::from(first) + u64::from(Extent::max_len(!written));
            let end = end.min(most);
            at = end;
            let part = |from: u32, to: u64, unwritten: bool| {
                (u64::from(from) < to).then(|| Extent {
                    block: from,
                    len: (to - u64::from(from)) as u32,
                    start: extent.start + u64::from(from - extent.block),
                    unwritten,
                })
            };
            let parts = [
                part(extent.block, first.into(), extent.unwritten),
                part(first, end, !written),
                part(end as u32, extent.end(), extent.unwritten),
            ];
            let more = parts.iter().flatten().count() as u16 - 1;
            if more > 0 {
                let before = core::mem::replace(&mut tx.last_resort, true);
                let room = self.ensure_room(tx, inode, extent.block, more);
                tx.last_resort = before;
                room?;
            }
            self.replace_extent(tx, inode, extent, parts)?;
        }
        self.write_inode(tx, inode)
    }

    /// Marks blocks written: their data is on the disk. Blocks `lblk..lblk + len` must have been mapped unwritten; what is
    /// written, or a hole by now, is passed over. At most one extent may be split for each `credits_for_map`.
    pub fn convert_written(&self, tx: &mut Tx<S>, inode: &mut Inode, lblk: u32, len: u32) -> Result {
        self.set_written(tx, inode, lblk, u64::from(lblk) + u64::from(len), true)
    }

    /// Marks blocks unwritten, so that they read as zeros (`FALLOC_FL_ZERO_RANGE`).
    pub fn convert_unwritten(&self, tx: &mut Tx<S>, inode: &mut Inode, lblk: u32, len: u32) -> Result {
        self.set_written(tx, inode, lblk, u64::from(lblk) + u64::from(len), false)
    }
}

impl<S: Store> Fs<S> {
    /// Room for two records more in the leaf of `lblk`.
    pub(crate) fn extent_room_for(&self, tx: &mut Tx<S>, inode: &mut Inode, lblk: u32) -> Result {
        let (_, found, _) = self.find_extent(inode, lblk)?;
        let extent = found.ok_or(ENODATA)?;
        self.ensure_room(tx, inode, extent.block, 2)
    }

    /// Points blocks of a file, within one extent, to others on the disk.
    pub(crate) fn put_blocks(&self, tx: &mut Tx<S>, inode: &mut Inode, lblk: u32, len: u32, start: u64) -> Result {
        let (_, found, _) = self.find_extent(inode, lblk)?;
        let extent = found.ok_or(ENODATA)?;
        let skip = lblk - extent.block;
        let after = skip.checked_add(len).filter(|&after| after <= extent.len).ok_or(EINVAL)?;
        let left = Extent { len: skip, ..extent };
        let middle = Extent { block: lblk, len, start, ..extent };
        let right =
            Extent { block: lblk + len, len: extent.len - after, start: extent.start + u64::from(after), ..extent };
        let some = |part: Extent| (part.len > 0).then_some(part);
        self.replace_extent(tx, inode, extent, [some(left), Some(middle), some(right)])
    }
}
