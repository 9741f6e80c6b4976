// SPDX-License-Identifier: GPL-2.0
//! From blocks of a file to blocks of the disk: one interface over extents and block pointers.

use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use errno::{Result, code::*};
use ext4_store::Store;

/// What a run of blocks of a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Not allocated.
    Hole,
    /// Data, from this block.
    Written(u64),
    /// Allocated from this block, reads as zeros.
    Unwritten(u64),
}

/// A run of blocks of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// First block of the file.
    pub lblk: u32,
    /// Blocks, at least one.
    pub len: u32,
    /// Where they are.
    pub state: State,
    /// They were allocated by this call: what the disk holds there is old and must not be seen.
    pub new: bool,
}

impl Mapping {
    /// The first block on the disk, if there is data.
    pub fn block(&self) -> Option<u64> {
        match self.state {
            State::Written(block) => Some(block),
            _ => None,
        }
    }
    /// The first block on the disk, if it is allocated.
    pub fn allocated(&self) -> Option<u64> {
        match self.state {
            State::Written(block) | State::Unwritten(block) => Some(block),
            State::Hole => None,
        }
    }
}

/// How `map_create` allocates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Create {
    /// New blocks are unwritten (`fallocate`, or data that is written first and converted then).
    pub unwritten: bool,
    /// Blocks that are unwritten already become written (the caller writes, or has written, the data).
    pub convert: bool,
    /// The clusters were reserved by delayed allocation (`reserve`).
    pub reserved: bool,
    /// Nothing is kept for the inode beyond what is asked (`fallocate`, directories).
    pub exact: bool,
}

impl<S: Store> Fs<S> {
    /// What `len` blocks from `lblk` are: the first run, which may be shorter. Of a hole it is the length up to the next
    /// block that is allocated, or `len`.
    pub fn map(&self, inode: &Inode, lblk: u32, len: u32) -> Result<Mapping> {
        if inode.is_inline() {
            return Ok(Mapping { lblk, len, state: State::Hole, new: false });
        }
        let found = if inode.uses_extents() {
            self.extent_map(inode, lblk, len)?
        } else {
            self.indirect_map(inode, lblk, len)?
        };
        if let Some(block) = found.allocated() {
            // The journal's own inode and quota files may lie in protected blocks.
            if !self.valid_blocks(block, found.len) && !self.is_hidden(inode.ino) {
                return Err(self.corrupt("map_blocks", inode.ino, block));
            }
        }
        Ok(found)
    }

    /// As [`Self::map`], and blocks of a hole are allocated: at least one, as many as can be had in one run. The inode is
    /// changed in memory and written. `ENOSPC`, `EDQUOT`, `EFBIG`.
    pub fn map_create(&self, tx: &mut Tx<S>, inode: &mut Inode, lblk: u32, len: u32, how: Create) -> Result<Mapping> {
        if inode.is_inline() {
            return Err(EINVAL);
        }
        let len = len.clamp(1, u32::MAX - lblk.min(u32::MAX - 1));
        if inode.uses_extents() {
            self.extent_map_create(tx, inode, lblk, len, how)
        } else {
            self.indirect_map_create(tx, inode, lblk, len, how)
        }
    }

    /// Credits that one `map_create` may need for this inode.
    pub fn credits_for_map(&self, inode: &Inode) -> u32 {
        // A cluster run and its bitmap, the inode, and for each level a new node with bitmap and descriptor.
        let levels = if inode.uses_extents() { self.depth(inode) + 2 } else { 4 };
        let quota = 6;
        8 + 6 * levels + quota
    }
}
