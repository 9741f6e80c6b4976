// SPDX-License-Identifier: GPL-2.0
//! Files: cutting, `fallocate` in its modes, holes and data, extents for `FIEMAP`.

use crate::extents::Shift;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::map::{Create, Mapping, State};
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_store::Store;

impl<S: Store> Fs<S> {
    /// The first block wholly beyond `size`.
    pub fn blocks_of(&self, size: u64) -> u64 {
        size.div_ceil(self.geo.block_size as u64)
    }

    /// A step of cutting a file to `raw.size`, which the caller has set (and has made the file an orphan, with
    /// `orphan_add`, so that the cut is finished after a crash). True when it is done, and the file no orphan any more.
    /// The part of the last block beyond the size is the page cache's to zero.
    pub fn truncate(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result<bool> {
        self.discard_preallocations(inode);
        let from = self.blocks_of(inode.raw.size);
        if let Ok(from) = u32::try_from(from)
            && !self.remove_range(tx, inode, from, u64::from(u32::MAX))?
        {
            return Ok(false);
        }
        if inode.raw.links_count > 0 {
            self.orphan_remove(tx, inode)?;
        }
        self.touch(inode, true);
        self.write_inode(tx, inode)?;
        Ok(true)
    }

    /// Allocates unwritten blocks for the holes in `lblk..end`: one run. Gives where to go on; `fallocate` calls it until that
    /// is `end`, an operation each. The caller sets the size.
    pub fn preallocate(&self, tx: &mut Tx<S>, inode: &mut Inode, lblk: u32, end: u32) -> Result<u32> {
        if !inode.uses_extents() {
            return Err(EOPNOTSUPP);
        }
        let how = Create { unwritten: true, exact: true, ..Create::default() };
        let found = self.map_create(tx, inode, lblk, end - lblk, how)?;
        Ok(found.lblk.saturating_add(found.len).min(end))
    }

    /// Begins `FALLOC_FL_COLLAPSE_RANGE` (the blocks `lblk..lblk + len` were freed before) or, with `right`,
    /// `FALLOC_FL_INSERT_RANGE`: gives what [`Self::shift_step`] goes on with. `EOPNOTSUPP` without extents; `EINVAL` for
    /// bounds within a cluster.
    pub fn shift_begin(&self, inode: &Inode, lblk: u32, len: u32, right: bool) -> Result<Shift> {
        if !inode.uses_extents() {
            return Err(EOPNOTSUPP);
        }
        let mask = self.geo.cluster_blocks() - 1;
        if lblk & mask != 0 || len & mask != 0 {
            return Err(EINVAL);
        }
        let from = if right { lblk } else { lblk.checked_add(len).ok_or(EINVAL)? };
        Ok(Shift { from, by: len, right, at: None })
    }

    /// Credits for one step of a shift.
    pub fn credits_for_shift(&self, inode: &Inode) -> u32 {
        self.credits_for_map(inode) + 8
    }

    /// The next data (or with `hole` the next hole) at or after a position, as `SEEK_DATA` and `SEEK_HOLE`; `ENXIO` beyond
    /// the end. Unwritten blocks are holes, unless `dirty` says that the page cache has data for one.
    pub fn seek(
        &self,
        inode: &Inode,
        pos: u64,
        hole: bool,
        mut dirty: impl FnMut(Mapping) -> Option<u64>,
    ) -> Result<u64> {
        let size = inode.raw.size;
        if pos >= size {
            return Err(ENXIO);
        }
        if inode.is_inline() {
            return Ok(if hole { size } else { pos });
        }
        let bits = self.geo.block_bits;
        let end = self.blocks_of(size);
        let mut at = pos >> bits;
        while at < end {
            let Ok(lblk) = u32::try_from(at) else { break };
            let found = self.map(inode, lblk, (end - at).min(u64::from(u32::MAX)) as u32)?;
            let here = at << bits;
            let data = match found.state {
                State::Written(_) => Some(here),
                _ => dirty(found),
            };
            match (data, hole) {
                (Some(data), false) => return Ok(data.max(pos)),
                (None, true) => return Ok(here.max(pos)),
                (Some(data), true) if data > here => return Ok(here.max(pos)),
                _ => {}
            }
            at += u64::from(found.len.max(1));
        }
        if hole { Ok(size) } else { Err(ENXIO) }
    }

    /// Calls `f` with each run of blocks of the file that overlaps `lblk..end`: for `FIEMAP`. `f` gives false to end. The
    /// last run that there is comes with `true`.
    pub fn runs(&self, inode: &Inode, lblk: u32, end: u64, mut f: impl FnMut(Mapping, bool) -> Result<bool>) -> Result {
        let mut at = u64::from(lblk);
        while at < end.min(u64::from(u32::MAX)) {
            let Some(found) = self.next_run(inode, at as u32)? else { return Ok(()) };
            if u64::from(found.lblk) >= end {
                return Ok(());
            }
            let next = u64::from(found.lblk) + u64::from(found.len);
            let last = u32::try_from(next).map_or(Ok(None), |next| self.next_run(inode, next))?.is_none();
            if !f(found, last)? || last {
                return Ok(());
            }
            at = next;
        }
        Ok(())
    }

    /// The run at or after `lblk` that is allocated.
    fn next_run(&self, inode: &Inode, lblk: u32) -> Result<Option<Mapping>> {
        let mut at = lblk;
        // Beyond the size there may be blocks too (`FALLOC_FL_KEEP_SIZE`).
        while at < u32::MAX - 1 {
            let found = self.map(inode, at, u32::MAX - 1 - at)?;
            if found.allocated().is_some() {
                return Ok(Some(found));
            }
            at = at.saturating_add(found.len.max(1));
        }
        Ok(None)
    }

    /// Exchanges blocks of two files (`EXT4_IOC_MOVE_EXT`): up to `len` from `a_at` of one and `b_at` of the other, as far as
    /// both are one run; of the other unwritten blocks do for written ones, and stay unwritten. Gives the number exchanged, 0 where either has a hole (the caller goes on after the
    /// run, whose length is given too). Both inodes are locked by the caller, who also sees to it that no page of either is
    /// dirty in the range, and afterwards writes the first file's pages to their new blocks.
    pub fn exchange_blocks(
        &self,
        tx: &mut Tx<S>,
        a: &mut Inode,
        a_at: u32,
        b: &mut Inode,
        b_at: u32,
        len: u32,
    ) -> Result<(u32, u32)> {
        if !a.uses_extents() || !b.uses_extents() || self.geo.cluster_bits != 0 {
            return Err(EOPNOTSUPP);
        }
        if a.ino == b.ino {
            return Err(EINVAL);
        }
        let (one, two) = (self.map(a, a_at, len)?, self.map(b, b_at, len)?);
        let len = one.len.min(two.len);
        let (one, two) = match (one.state, two.state) {
            (State::Written(one), State::Written(two) | State::Unwritten(two))
            | (State::Unwritten(one), State::Unwritten(two)) => (one, two),
            _ => return Ok((0, len)),
        };
        self.extent_room_for(tx, a, a_at)?;
        self.extent_room_for(tx, b, b_at)?;
        self.put_blocks(tx, a, a_at, len, two)?;
        self.put_blocks(tx, b, b_at, len, one)?;
        a.last_goal = None;
        b.last_goal = None;
        self.write_inode(tx, a)?;
        self.write_inode(tx, b)?;
        Ok((len, len))
    }
}
