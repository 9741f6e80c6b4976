// SPDX-License-Identifier: GPL-2.0
//! Allocating blocks for a hole.

use crate::balloc::Request;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::map::{Create, Mapping, State};
use crate::tx::Tx;
use errno::Result;
use ext4_format::extent::Extent;
use ext4_store::Store;

impl<S: Store> Fs<S> {
    /// `Fs::map_create` for files with extents.
    pub(crate) fn extent_map_create(
        &self,
        tx: &mut Tx<S>,
        inode: &mut Inode,
        lblk: u32,
        len: u32,
        how: Create,
    ) -> Result<Mapping> {
        let (path, at, next) = self.find_extent(inode, lblk)?;
        if let Some(extent) = at {
            let skip = lblk - extent.block;
            let (start, len) = (extent.start + u64::from(skip), len.min(extent.len - skip));
            if !extent.unwritten {
                return Ok(Mapping { lblk, len, state: State::Written(start), new: false });
            }
            if how.unwritten || !how.convert {
                return Ok(Mapping { lblk, len, state: State::Unwritten(start), new: false });
            }
            self.set_written(tx, inode, lblk, u64::from(lblk) + u64::from(len), true)?;
            return Ok(Mapping { lblk, len, state: State::Written(start), new: true });
        }
        let before = match path.leaf()?.pos {
            Some(pos) => self.leaf_extent(inode, &path, pos)?,
            None => None,
        };
        let hole = next.map_or(u32::MAX - lblk, |next| next - lblk);
        let len = len.min(hole).clamp(1, Extent::max_len(how.unwritten));
        drop(path);
        if let Some((start, len)) = self.shared_cluster(inode, lblk, len, before, next)? {
            let extent = Extent { block: lblk, len, start, unwritten: how.unwritten };
            self.insert_extent(tx, inode, extent)?;
            self.write_inode(tx, inode)?;
            return Ok(mapping(extent));
        }
        let bits = self.geo.cluster_bits;
        let mask = self.geo.cluster_blocks() - 1;
        let inside = lblk & mask;
        // The last cluster may be in use already, by the extent after the hole.
        let len = match next {
            Some(next) if (next & !mask) > lblk => len.min((next & !mask) - lblk),
            _ => len,
        };
        let clusters = (u64::from(inside) + u64::from(len)).div_ceil(u64::from(mask) + 1) as u32;
        let goal = self.goal(inode, lblk, before, next);
        let request = Request {
            goal,
            len: clusters,
            lblk: lblk & !mask,
            data: inode.is_regular() && !how.exact,
            reserved: how.reserved,
            promised: false,
        };
        let (block, given) = self.allocate(tx, inode, request)?;
        let len = len.min((given << bits).saturating_sub(inside));
        let extent = Extent { block: lblk, len, start: block + u64::from(inside), unwritten: how.unwritten };
        // Data that waits was promised its place: blocks of the tree come from what is kept for such.
        let before = tx.last_resort;
        tx.last_resort |= how.reserved;
        let inserted = self.insert_extent(tx, inode, extent);
        tx.last_resort = before;
        if let Err(error) = inserted {
            self.free(tx, inode, block, given << bits, false)?;
            if how.reserved {
                self.reserve_again(inode, given.into());
            }
            return Err(error);
        }
        self.write_inode(tx, inode)?;
        Ok(mapping(extent))
    }

    /// With clusters of several blocks: the block's cluster may be there already, for a neighbour in the file.
    fn shared_cluster(
        &self,
        inode: &Inode,
        lblk: u32,
        len: u32,
        before: Option<Extent>,
        next: Option<u32>,
    ) -> Result<Option<(u64, u32)>> {
        let bits = self.geo.cluster_bits;
        if bits == 0 {
            return Ok(None);
        }
        let end_of_cluster = (u64::from(lblk) | u64::from(self.geo.cluster_blocks() - 1)) + 1;
        let most = (end_of_cluster - u64::from(lblk)).min(len.into()) as u32;
        if let Some(extent) = before
            && (extent.end() - 1) >> bits == u64::from(lblk >> bits)
        {
            return Ok(Some((extent.start + u64::from(lblk - extent.block), most)));
        }
        if let Some(next) = next
            && next >> bits == lblk >> bits
        {
            let (_, at, _) = self.find_extent(inode, next)?;
            if let Some(extent) = at {
                return Ok(Some((extent.start.saturating_sub(u64::from(extent.block - lblk)), most.min(next - lblk))));
            }
        }
        Ok(None)
    }

    /// Where blocks for `lblk` should be: after the block before it in the file.
    fn goal(&self, inode: &Inode, lblk: u32, before: Option<Extent>, _next: Option<u32>) -> u64 {
        match (inode.last_goal, before) {
            (Some((next, block)), _) if next == lblk => block,
            (_, Some(extent)) => extent.start + u64::from(lblk - extent.block),
            _ => self.default_goal(inode),
        }
    }
}

fn mapping(extent: Extent) -> Mapping {
    let state = if extent.unwritten { State::Unwritten(extent.start) } else { State::Written(extent.start) };
    Mapping { lblk: extent.block, len: extent.len, state, new: true }
}
