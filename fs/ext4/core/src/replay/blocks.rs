// SPDX-License-Identifier: GPL-2.0
//! Blocks in the replay: ranges of files, what inodes own, bitmaps.

use super::Replayer;
use crate::bitmap;
use crate::fs::Fs;
use crate::group::BLOCKS_CORRUPT;
use crate::inode::Inode;
use crate::map::State;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use ext4_format::extent::{Extent, MAX_DEPTH};
use ext4_format::group::BLOCK_UNINIT;
use ext4_store::{Buffer, MutexLike, OnceLike, Store};

impl<S: Store> Fs<S> {
    /// Calls `f` with each group that a run of blocks lies in: number, first cluster, clusters.
    fn in_groups(&self, block: u64, count: u32, mut f: impl FnMut(u32, u32, u32) -> Result) -> Result {
        let (mut at, end) = (block, block.saturating_add(count.into()).min(self.blocks_count()));
        while at < end {
            let (number, start) = self.geo.locate(at);
            let stop = end.min(self.geo.group_start(number).saturating_add(self.geo.blocks_per_group.into()));
            let last = self.geo.locate(stop.saturating_sub(1)).1;
            f(number, start, last.saturating_sub(start) + 1)?;
            at = stop.max(at + 1);
        }
        Ok(())
    }

    /// Takes blocks in memory, free or not, so that they are not given out.
    pub(crate) fn exclude(&self, block: u64, count: u32) -> Result {
        self.in_groups(block, count, |number, start, len| {
            let group = self.group(number)?;
            let mut state = group.state.lock();
            match self.load_map(number, group, &mut state) {
                Err(error) if matches!(error, ENOMEM | EIO) => return Err(error),
                // Nothing is given out of a group whose bitmap is damaged.
                Err(_) => return Ok(()),
                Ok(()) => {}
            }
            let end = start.saturating_add(len).min(self.clusters_in(number));
            let map = state.map.as_deref_mut().ok_or(EUCLEAN)?;
            let taken: u32 = bitmap::free_runs(map, start, end).map(|(_, run)| run).sum();
            bitmap::fill(map, start, end.saturating_sub(start), true);
            let free = group.free_clusters.load(Ordering::Relaxed);
            group.free_clusters.store(free.saturating_sub(taken), Ordering::Relaxed);
            Ok(())
        })
    }

    /// Calls `f` with all runs of blocks that an inode has: data, nodes of its tree, attributes.
    pub(crate) fn owned(&self, inode: &Inode, mut f: impl FnMut(u64, u32) -> Result) -> Result {
        if inode.raw.file_acl != 0 {
            f(inode.raw.file_acl, 1)?;
        }
        self.each_run(inode, |block, len, _| f(block, len))
    }

    /// The runs of an inode's data, in their order, and the nodes of its tree (`true`) before what they lead to.
    fn each_run(&self, inode: &Inode, mut f: impl FnMut(u64, u32, bool) -> Result) -> Result {
        // Records do not change files of pointers, and what a directory of them gets here is marked as it is taken.
        let itself = super::holds_itself(inode.kind(), inode.raw.size, inode.raw.flags);
        if inode.is_inline() || itself || !inode.uses_extents() {
            return Ok(());
        }
        let mut nodes = [0u64; MAX_DEPTH as usize + 1];
        let mut at = 0u32;
        loop {
            let (path, found, next) = self.find_extent(inode, at)?;
            for (level, seen) in nodes.iter_mut().enumerate().take(path.depth + 1).skip(1) {
                let block = path.level(level)?.buf.as_ref().map_or(0, |buf| buf.block());
                if *seen != block {
                    *seen = block;
                    f(block, 1, true)?;
                }
            }
            if let Some(extent) = found {
                if !self.valid_blocks(extent.start, extent.len) {
                    return Err(self.corrupt("map_blocks", inode.ino, extent.start));
                }
                // A walk begins at 0 and goes on at the first block of the next: it meets extents at their start.
                f(extent.start, extent.len, false)?;
            }
            match next {
                Some(next) if next > at => at = next,
                _ => return Ok(()),
            }
        }
    }

    /// How many clusters an inode with extents has.
    pub(crate) fn count_clusters(&self, inode: &Inode) -> Result<u64> {
        let bits = self.geo.cluster_bits;
        let mut count = u64::from(inode.raw.file_acl != 0);
        let mut last = None;
        self.each_run(inode, |block, len, node| {
            if node {
                count += 1;
                return Ok(());
            }
            let (from, to) = (block >> bits, (block + u64::from(len) - 1) >> bits);
            count += to - from + 1 - u64::from(last == Some(from));
            last = Some(to);
            Ok(())
        })?;
        Ok(count)
    }
}

impl<S: Store> Replayer<S> {
    /// A file that records of ranges are about: not a directory, whose blocks are made here, and none without a tree of extents.
    fn load_file(&self, ino: u32) -> Result<Option<Inode>> {
        let found = self.load(ino)?;
        Ok(found
            .filter(|inode| !inode.is_dir() && inode.uses_extents() && !inode.is_inline() && !inode.is_fast_symlink()))
    }

    /// Blocks of a file are where the record says.
    #[inline(never)]
    pub fn add_range(&mut self, ino: u32, range: Extent) -> Result {
        let Some(mut inode) = self.load_file(ino)? else { return Ok(()) };
        let end = range.end();
        if range.len == 0 || end > u64::from(u32::MAX) || !self.fs.valid_blocks(range.start, range.len) {
            return Err(self.fs.corrupt("fast_commit_range", ino, range.start));
        }
        let mut at = range.block;
        while u64::from(at) < end {
            let left = (end - u64::from(at)) as u32;
            let found = self.fs.map(&inode, at, left)?;
            let len = found.len.clamp(1, left);
            let start = range.start + u64::from(at - range.block);
            let credits = 4 * self.fs.credits_for_map(&inode) + 8;
            self.run(credits, |fs, tx| {
                match found.state {
                    State::Hole => {
                        let part = Extent { block: at, len, start, unwritten: range.unwritten };
                        fs.insert_extent(tx, &mut inode, part)?;
                    }
                    State::Written(old) | State::Unwritten(old) => {
                        if old != start {
                            fs.extent_room_for(tx, &mut inode, at)?;
                            fs.put_blocks(tx, &mut inode, at, len, start)?;
                            // In use again at the end if another file, or another place in this one, has them.
                            fs.free_blocks(tx, ino, old, len)?;
                        }
                        if matches!(found.state, State::Unwritten(_)) != range.unwritten {
                            fs.set_written(tx, &mut inode, at, u64::from(at) + u64::from(len), !range.unwritten)?;
                        }
                    }
                }
                fs.write_inode(tx, &inode)
            })?;
            at = at.saturating_add(len);
        }
        Ok(())
    }

    /// Blocks of a file are a hole.
    #[inline(never)]
    pub fn del_range(&mut self, ino: u32, block: u32, len: u32) -> Result {
        let Some(mut inode) = self.load_file(ino)? else { return Ok(()) };
        let end = u64::from(block) + u64::from(len);
        for _ in 0..self.fs.blocks_count().saturating_add(64) {
            let credits = self.fs.credits_for_truncate(&inode) + self.fs.credits_for_map(&inode);
            if self.run(credits, |fs, tx| fs.remove_range(tx, &mut inode, block, end))? {
                return Ok(());
            }
        }
        Err(EUCLEAN)
    }

    /// Sets or clears the bits of blocks, whatever they are now.
    pub(super) fn set_used(&self, block: u64, count: u32, used: bool) -> Result {
        self.fs.in_groups(block, count, |number, start, len| {
            self.run(4, |fs, tx| {
                let group = fs.group(number)?;
                let mut state = group.state.lock();
                fs.load_map(number, group, &mut state)?;
                if state.desc.flags & BLOCK_UNINIT != 0 {
                    if !used {
                        return Ok(());
                    }
                    fs.change_bitmap(tx, number, group, &mut state, (0, 0), true)?;
                }
                let buf = state.bitmap.clone().ok_or(EUCLEAN)?;
                let end = start.saturating_add(len).min(fs.clusters_in(number));
                let mut at = start;
                while at < end {
                    let (first, stop) = {
                        let data = buf.read();
                        let first =
                            if used { bitmap::next_zero(&data, at, end) } else { bitmap::next_set(&data, at, end) };
                        let stop = if used {
                            bitmap::next_set(&data, first, end)
                        } else {
                            bitmap::next_zero(&data, first, end)
                        };
                        (first, stop)
                    };
                    if first >= end {
                        break;
                    }
                    fs.change_bitmap(tx, number, group, &mut state, (first, stop - first), used)?;
                    at = stop;
                }
                if group.is(BLOCKS_CORRUPT) { Err(EUCLEAN) } else { Ok(()) }
            })
        })
    }

    /// What was freed is free, until those who have it say otherwise.
    pub(super) fn release_freed(&self) -> Result {
        let Some(freed) = self.fs.freed.get() else { return Ok(()) };
        let runs = core::mem::take(&mut *freed.lock());
        for &(block, count) in &runs {
            self.set_used(block, count, false)?;
        }
        Ok(())
    }
}
