// SPDX-License-Identifier: GPL-2.0
//! What the blocks of the device are: free, metadata at a fixed place, or something else (`FS_IOC_GETFSMAP`). And where a file's next
//! blocks should be, if somebody wants to say.

use crate::bitmap;
use crate::fs::Fs;
use crate::group::BLOCKS_CORRUPT;
use crate::inode::Inode;
use containers::sort;
use errno::{Result, code::*};
use ext4_store::{MutexLike, Store};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;

/// What a run of blocks is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Use {
    /// Free, and not kept for anybody.
    Free,
    /// Nobody knows from here: data, directories, trees.
    Unknown,
    /// A superblock.
    Super,
    /// Descriptors of groups.
    Descriptors,
    /// Room for more of them.
    Reserved,
    /// A bitmap of blocks.
    BlockBitmap,
    /// A bitmap of inodes.
    InodeBitmap,
    /// A table of inodes.
    InodeTable,
}

/// A run of blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Run {
    /// First block.
    pub start: u64,
    /// Blocks.
    pub len: u64,
    /// What it is.
    pub what: Use,
}

impl<S: Store> Fs<S> {
    /// Metadata at fixed places, in the order of blocks. ENOMEM.
    pub fn fixed_metadata(&self) -> Result<KVec<Run>> {
        let (geo, groups) = (&self.geo, self.groups_count());
        let mut runs = KVec::new();
        let mut add = |start: u64, len: u32, what: Use| match len {
            0 => Ok(()),
            len => runs.push(Run { start, len: len.into(), what }, GFP_KERNEL),
        };
        let plain = geo.plain_gdt_blocks(groups);
        for number in 0..groups {
            let (start, all) = (geo.group_start(number), geo.base_meta_blocks(number));
            let copy = u32::from(geo.has_super(number)).min(all);
            let descriptors = if geo.is_meta(number) { all - copy } else { plain.min(all - copy) };
            add(start, copy, Use::Super)?;
            add(start + u64::from(copy), descriptors, Use::Descriptors)?;
            add(start + u64::from(copy + descriptors), all - copy - descriptors, Use::Reserved)?;
            let group = self.group(number)?;
            add(group.block_bitmap, 1, Use::BlockBitmap)?;
            add(group.inode_bitmap, 1, Use::InodeBitmap)?;
            add(group.inode_table, geo.itable_blocks, Use::InodeTable)?;
        }
        sort::sort(&mut runs);
        // Neighbours of a kind are one run.
        let mut kept = 0;
        for at in 1..runs.len() {
            let Some(run) = runs.get(at).copied() else { break };
            let Some(last) = runs.get_mut(kept) else { break };
            if last.what == run.what && last.start + last.len == run.start {
                last.len += run.len;
            } else {
                kept += 1;
                runs.swap(kept, at);
            }
        }
        runs.truncate(kept + 1);
        Ok(runs)
    }

    /// Runs of free blocks of a group, in order; none of one whose bitmap is damaged. ENOMEM.
    pub fn free_space(&self, number: u32) -> Result<KVec<Run>> {
        let (mut runs, group) = (KVec::new(), self.group(number)?);
        let mut state = group.state.lock();
        if group.is(BLOCKS_CORRUPT) || self.load_map(number, group, &mut state).is_err() {
            return Ok(runs);
        }
        let map = state.map.as_deref().ok_or(EUCLEAN)?;
        for (start, len) in bitmap::free_runs(map, 0, self.clusters_in(number)) {
            let (start, len) = (self.geo.cluster_start(number, start), u64::from(len) << self.geo.cluster_bits);
            // The last cluster may be cut by the device's end.
            let len = len.min(self.blocks_count().saturating_sub(start));
            runs.push(Run { start, len, what: Use::Free }, GFP_KERNEL)?;
        }
        Ok(runs)
    }

    /// The next block that the file gets at `lblk` should be `goal`: right there if all that is asked for then
    /// is free there, else the first run from there on that is long enough. `EINVAL`: no block of data can be there.
    pub fn set_goal(&self, inode: &mut Inode, lblk: u32, goal: u64) -> Result {
        if !self.valid_blocks(goal, 1) {
            return Err(EINVAL);
        }
        inode.last_goal = Some((lblk, goal));
        inode.wished = true;
        Ok(())
    }
}
