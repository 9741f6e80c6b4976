// SPDX-License-Identifier: GPL-2.0
//! The multi-block allocator: runs of clusters, near a goal, with room kept ahead for files that grow.
//!
//! A group is chosen by numbers that are read without its lock (`free_clusters`, `longest`), then searched under it. What is
//! kept ahead (`Prealloc`) belongs to the group's list, so that anyone who runs out of space may take it back there.

use crate::bitmap;
use crate::fs::Fs;
use crate::group::{BLOCKS_CORRUPT, Group, GroupState, Pending, Prealloc};
use crate::inode::{Inode, NOWHERE};
use crate::tx::Tx;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use ext4_store::{MutexLike, OnceLike, Store};
use kalloc::flags::GFP_NOFS;

/// Files of up to so many clusters share what a processor keeps (`mb_stream_req`).
const SMALL_FILE: u64 = 16;
/// Clusters that a processor keeps for small files (`mb_group_prealloc`).
const LOCALITY: u32 = 512;
/// The most clusters kept ahead of a file's end.
const AHEAD: u64 = 2048;

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// The block it should be at or after.
    pub(crate) goal: u64,
    /// Clusters; fewer may be given.
    pub(crate) len: u32,
    /// The block of the file that the first cluster is for.
    pub(crate) lblk: u32,
    /// Data of a regular file: room may be kept ahead.
    pub(crate) data: bool,
    /// Reserved before, by delayed allocation.
    pub(crate) reserved: bool,
    /// A block of pointers that was promised (`promise_nodes`): there is room.
    pub(crate) promised: bool,
}

impl Request {
    /// One block for metadata of the file system.
    pub(crate) fn meta(goal: u64) -> Self {
        Self { goal, len: 1, lblk: 0, data: false, reserved: false, promised: false }
    }
}

/// A run that was found: group, first cluster, clusters.
type Found = (u32, u32, u32);

impl<S: Store> Fs<S> {
    /// Takes clusters in memory.
    fn map_take(&self, group: &Group<S>, state: &mut GroupState<S>, start: u32, len: u32) {
        if let Some(map) = &mut state.map {
            bitmap::fill(map, start, len, true);
        }
        let free = group.free_clusters.load(Ordering::Relaxed);
        group.free_clusters.store(free.saturating_sub(len), Ordering::Relaxed);
    }

    /// Gives clusters back in memory.
    fn map_give(&self, group: &Group<S>, state: &mut GroupState<S>, start: u32, len: u32) {
        if let Some(map) = &mut state.map {
            bitmap::fill(map, start, len, false);
        }
        let free = group.free_clusters.load(Ordering::Relaxed);
        group.free_clusters.store(free.saturating_add(len), Ordering::Relaxed);
        group.longest.store(u32::MAX, Ordering::Relaxed);
    }

    /// Whether `clusters` more may be taken, with what must stay free for others.
    fn may_take(&self, tx: &Tx<S>, clusters: u64) -> bool {
        let reserved =
            if tx.privileged || tx.last_resort { 0 } else { self.reserved_blocks() >> self.geo.cluster_bits };
        let last = if tx.last_resort { 0 } else { self.last_clusters() };
        self.is_free(clusters, reserved.saturating_add(last))
    }

    /// Whether `clusters` are free and not promised, and `beside` more.
    pub(crate) fn is_free(&self, clusters: u64, beside: u64) -> bool {
        let needed = clusters.saturating_add(beside).min(i64::MAX as u64) as i64;
        let rough = self.free_clusters.rough().wrapping_sub(self.dirty_clusters.rough());
        let slack = self.free_clusters.slack() + self.dirty_clusters.slack();
        if rough.saturating_sub(slack) >= needed {
            return true;
        }
        self.free_clusters.sum().wrapping_sub(self.dirty_clusters.sum()) >= needed
    }

    /// Reserves clusters for data that gets its place later. `ENOSPC`.
    pub fn reserve(&self, inode: &mut Inode, clusters: u64, privileged: bool) -> Result {
        let reserved = if privileged { 0 } else { self.reserved_blocks() >> self.geo.cluster_bits };
        self.quota_reserve(inode, clusters, privileged)?;
        // Promised first, so that two who ask at once cannot both be told yes for the same clusters.
        self.dirty_clusters.add(self.store.cpu(), clusters as i64);
        if !self.is_free(0, reserved.saturating_add(self.last_clusters())) {
            self.dirty_clusters.add(self.store.cpu(), -(clusters as i64));
            self.quota_unreserve(inode, clusters);
            return Err(ENOSPC);
        }
        inode.reserved += clusters;
        Ok(())
    }

    /// Reserves clusters that a waiting neighbour needs again, because the blocks that shared a cluster with it are freed in
    /// this operation: there is room, and limits were asked when it began to wait.
    pub fn reserve_again(&self, inode: &mut Inode, clusters: u64) {
        // An entry that cannot be read counts nothing.
        let _ = self.quota_reserve(inode, clusters, true);
        self.dirty_clusters.add(self.store.cpu(), clusters as i64);
        inode.reserved += clusters;
    }

    /// Promises blocks of pointers to blocks of a file without extents that wait for their place. They stay promised until
    /// [`Self::return_nodes`], also those that got there meanwhile. `ENOSPC`.
    pub fn promise_nodes(&self, inode: &mut Inode, nodes: u64, privileged: bool) -> Result {
        let reserved = if privileged { 0 } else { self.reserved_blocks() >> self.geo.cluster_bits };
        self.dirty_clusters.add(self.store.cpu(), nodes as i64);
        if !self.is_free(0, reserved.saturating_add(self.last_clusters())) {
            self.dirty_clusters.add(self.store.cpu(), -(nodes as i64));
            return Err(ENOSPC);
        }
        inode.nodes += nodes;
        Ok(())
    }

    /// Nothing waits any more for so many blocks of pointers that were promised.
    pub fn return_nodes(&self, inode: &mut Inode, nodes: u64) {
        let nodes = nodes.min(inode.nodes);
        inode.nodes -= nodes;
        self.dirty_clusters.add(self.store.cpu(), -(nodes as i64));
    }

    /// Gives a reservation back.
    pub fn unreserve(&self, inode: &mut Inode, clusters: u64) {
        let clusters = clusters.min(inode.reserved);
        inode.reserved -= clusters;
        self.dirty_clusters.add(self.store.cpu(), -(clusters as i64));
        self.quota_unreserve(inode, clusters);
    }

    /// Clusters reserved by delayed allocation (`delayed_allocation_blocks`).
    pub fn delayed_clusters(&self) -> u64 {
        self.dirty_clusters.sum().max(0) as u64
    }

    /// Allocates: gives the first block and the number of clusters. The caller has the inode written. `ENOSPC`, `EDQUOT`.
    pub(crate) fn allocate(&self, tx: &mut Tx<S>, inode: &mut Inode, request: Request) -> Result<(u64, u32)> {
        let mut want = request.len.clamp(1, self.geo.clusters_per_group);
        if request.reserved {
            want = want.min(inode.reserved.min(u64::from(u32::MAX)) as u32);
            if want == 0 {
                return Err(EINVAL);
            }
        } else {
            while !request.promised && !self.may_take(tx, want.into()) {
                want /= 2;
                if want == 0 {
                    return Err(ENOSPC);
                }
            }
            self.quota_charge(tx, inode, i64::from(want))?;
        }
        let result = match self.place(tx, inode, request, want) {
            Err(error) if error == ENOSPC && self.discard_all() > 0 => self.place(tx, inode, request, want),
            other => other,
        };
        let given = result.as_ref().map_or(0, |&(_, len)| len);
        if request.reserved {
            inode.reserved -= u64::from(given);
            self.dirty_clusters.add(self.store.cpu(), -i64::from(given));
            self.quota_claim(tx, inode, given.into())?;
        } else if given < want {
            self.quota_charge(tx, inode, i64::from(given) - i64::from(want))?;
        }
        let (block, len) = result?;
        self.free_clusters.add(self.store.cpu(), -i64::from(len));
        self.add_blocks(inode, i64::from(len) << self.geo.cluster_bits)?;
        if request.data {
            let next = u64::from(request.lblk) + (u64::from(len) << self.geo.cluster_bits);
            inode.last_goal =
                Some((next.min(u64::from(u32::MAX)) as u32, block + (u64::from(len) << self.geo.cluster_bits)));
        }
        Ok((block, len))
    }

    /// Finds a place and marks it on the disk.
    fn place(&self, tx: &mut Tx<S>, inode: &mut Inode, request: Request, want: u32) -> Result<(u64, u32)> {
        if !request.data || inode.wished {
            let right_there = if inode.wished { self.find_at(request.goal, want)? } else { None };
            let (number, start, len) = match right_there {
                Some(found) => found,
                None => self.find(request.goal, want, want)?,
            };
            // What is missing may go on in the next group.
            inode.wished &= !request.data || len < want;
            return self.commit(tx, number, start, len, len);
        }
        if let Some(found) = self.take_kept(tx, inode, request.lblk, want)? {
            return Ok(found);
        }
        let size = inode.raw.size.div_ceil(self.geo.block_size as u64);
        let end =
            (u64::from(request.lblk) + (u64::from(want) << self.geo.cluster_bits)).max(size) >> self.geo.cluster_bits;
        if end <= SMALL_FILE && want < LOCALITY {
            return self.take_local(tx, request.goal, want);
        }
        let ahead = (end.next_power_of_two() - end).clamp(u64::from(want).min(AHEAD), AHEAD) as u32;
        let all = want.saturating_add(ahead).min(self.geo.clusters_per_group);
        let (number, start, len) = self.find(request.goal, all, want)?;
        let given = len.min(want);
        let placed = self.commit(tx, number, start, len, given)?;
        if len > given {
            self.keep(inode, request.lblk, number, (start + given, len - given), given);
        }
        Ok(placed)
    }

    /// Marks the first `given` of the `len` clusters taken in memory as used on the disk. In case of error all are given back.
    fn commit(&self, tx: &mut Tx<S>, number: u32, start: u32, len: u32, given: u32) -> Result<(u64, u32)> {
        let group = self.group(number)?;
        let mut state = group.state.lock();
        if let Err(error) = self.change_bitmap(tx, number, group, &mut state, (start, given), true) {
            self.map_give(group, &mut state, start, len);
            return Err(error);
        }
        Ok((self.geo.cluster_start(number, start), given))
    }

    /// Keeps clusters (taken in memory) for the blocks of the file after the `given` ones.
    fn keep(&self, inode: &mut Inode, lblk: u32, number: u32, (start, len): (u32, u32), given: u32) {
        let Ok(group) = self.group(number) else { return };
        let mut state = group.state.lock();
        let next = u64::from(lblk) + (u64::from(given) << self.geo.cluster_bits);
        let entry = Prealloc { ino: inode.ino, cpu: 0, lblk: next.min(u64::from(u32::MAX)) as u32, start, len };
        if next >= u64::from(u32::MAX) || state.prealloc.push(entry, GFP_NOFS).is_err() {
            self.map_give(group, &mut state, start, len);
            return;
        }
        drop(state);
        if !inode.kept_in.contains(&number) {
            let [a, b, c, dropped] = inode.kept_in;
            inode.kept_in = [number, a, b, c];
            if dropped != NOWHERE {
                self.discard_group(dropped, Some(inode.ino));
            }
        }
    }

    /// Takes from what is kept for the inode, if it covers the block.
    fn take_kept(&self, tx: &mut Tx<S>, inode: &Inode, lblk: u32, want: u32) -> Result<Option<(u64, u32)>> {
        let bits = self.geo.cluster_bits;
        for &number in inode.kept_in.iter().filter(|&&number| number != NOWHERE) {
            let group = self.group(number)?;
            let mut state = group.state.lock();
            let covers = |entry: &Prealloc| {
                entry.ino == inode.ino
                    && entry.lblk <= lblk
                    && u64::from(lblk) < u64::from(entry.lblk) + (u64::from(entry.len) << bits)
            };
            let Some(index) = state.prealloc.iter().position(covers) else { continue };
            let Some(entry) = state.prealloc.swap_remove(index) else { continue };
            let skip = (lblk - entry.lblk) >> bits;
            let take = want.min(entry.len - skip);
            let at = entry.start + skip;
            if let Err(error) = self.change_bitmap(tx, number, group, &mut state, (at, take), true) {
                self.map_give(group, &mut state, entry.start, entry.len);
                return Err(error);
            }
            let before = Prealloc { len: skip, ..entry };
            let used = skip + take;
            let after = Prealloc {
                lblk: entry.lblk.saturating_add(used << bits),
                start: entry.start + used,
                len: entry.len - used,
                ..entry
            };
            for rest in [before, after] {
                if rest.len > 0 && state.prealloc.push(rest, GFP_NOFS).is_err() {
                    self.map_give(group, &mut state, rest.start, rest.len);
                }
            }
            return Ok(Some((self.geo.cluster_start(number, at), take)));
        }
        Ok(None)
    }

    /// Takes from what this processor keeps for small files.
    fn take_local(&self, tx: &mut Tx<S>, goal: u64, want: u32) -> Result<(u64, u32)> {
        let cpu = self.store.cpu().min(self.locality.len().saturating_sub(1));
        let slot = self.locality.get(cpu).ok_or(EINVAL)?;
        let mut number = slot.lock();
        for attempt in 0..2 {
            if *number < self.groups_count() {
                let group = self.group(*number)?;
                let mut state = group.state.lock();
                if let Some(index) = state.prealloc.iter().position(|entry| entry.ino == 0 && entry.cpu == cpu as u32) {
                    let Some(entry) = state.prealloc.swap_remove(index) else { continue };
                    if entry.len < want && attempt == 0 {
                        self.map_give(group, &mut state, entry.start, entry.len);
                    } else {
                        let take = want.min(entry.len);
                        if let Err(error) =
                            self.change_bitmap(tx, *number, group, &mut state, (entry.start, take), true)
                        {
                            self.map_give(group, &mut state, entry.start, entry.len);
                            return Err(error);
                        }
                        let rest = Prealloc { start: entry.start + take, len: entry.len - take, ..entry };
                        if rest.len > 0 && state.prealloc.push(rest, GFP_NOFS).is_err() {
                            self.map_give(group, &mut state, rest.start, rest.len);
                        }
                        return Ok((self.geo.cluster_start(*number, entry.start), take));
                    }
                }
            }
            let (found, start, len) = self.find(goal, LOCALITY, want)?;
            *number = found;
            let group = self.group(found)?;
            let mut state = group.state.lock();
            let entry = Prealloc { ino: 0, cpu: cpu as u32, lblk: 0, start, len };
            if state.prealloc.push(entry, GFP_NOFS).is_err() {
                self.map_give(group, &mut state, start, len);
                return Err(ENOMEM);
            }
        }
        Err(ENOSPC)
    }

    /// Finds a run of free clusters and takes it in memory: `best` long if there is one, else at least `want`, else the
    /// longest that a group near the goal has.
    fn find(&self, goal: u64, best: u32, want: u32) -> Result<Found> {
        let goal = if goal < self.blocks_count() { goal } else { self.geo.first_data_block };
        let (first, goal_cluster) = self.geo.locate(goal);
        let count = self.groups_count();
        for (pass, needed) in [(0, best), (1, want), (2, 1)] {
            if pass == 1 && best == want {
                continue;
            }
            for step in 0..count {
                let number = (u64::from(first) + u64::from(step)).rem_euclid(count.max(1).into()) as u32;
                let group = self.group(number)?;
                let longest = group.longest.load(Ordering::Relaxed);
                if group.free_clusters.load(Ordering::Relaxed) < needed || longest < needed || group.is(BLOCKS_CORRUPT)
                {
                    continue;
                }
                let mut state = group.state.lock();
                if self.load_map(number, group, &mut state).is_err() {
                    continue;
                }
                let from = if step == 0 { goal_cluster } else { 0 };
                if let Some((start, len)) = self.find_in(number, group, &mut state, from, needed, best, pass == 2) {
                    self.map_take(group, &mut state, start, len);
                    return Ok((number, start, len));
                }
            }
        }
        Err(ENOSPC)
    }

    /// The clusters right at `goal`, if `want` of them are free there, or all to the group's end: the run may go on in the next.
    fn find_at(&self, goal: u64, want: u32) -> Result<Option<Found>> {
        let (number, from) = self.geo.locate(goal);
        let group = self.group(number)?;
        let mut state = group.state.lock();
        if group.is(BLOCKS_CORRUPT) || self.load_map(number, group, &mut state).is_err() {
            return Ok(None);
        }
        let end = self.clusters_in(number);
        let Some(map) = state.map.as_deref().filter(|map| from < end && !bitmap::test(map, from)) else {
            return Ok(None);
        };
        let run = bitmap::next_set(map, from, end) - from;
        if run < want && from + run < end {
            return Ok(None);
        }
        let len = run.min(want);
        self.map_take(group, &mut state, from, len);
        Ok(Some((number, from, len)))
    }

    /// A run in a group: right at `from` if that is free, else the first after it that is long enough (then from the start).
    #[allow(clippy::too_many_arguments)]
    fn find_in(
        &self,
        number: u32,
        group: &Group<S>,
        state: &mut GroupState<S>,
        from: u32,
        needed: u32,
        best: u32,
        any: bool,
    ) -> Option<(u32, u32)> {
        let map = state.map.as_deref()?;
        let end = self.clusters_in(number);
        if from > 0 && !bitmap::test(map, from) {
            let run = bitmap::next_set(map, from, end) - from;
            if run >= needed {
                return Some((from, run.min(best)));
            }
        }
        let stripe = self.stripe.load(Ordering::Relaxed);
        let align = if stripe > 1 && needed >= stripe { stripe } else { 1 };
        let mut longest = (0, 0);
        for (at, run) in bitmap::free_runs(map, from, end) {
            let skip = (align - at % align) % align;
            if run > skip && run - skip >= needed && !any {
                return Some((at + skip, (run - skip).min(best)));
            }
            if run > longest.1 {
                longest = (at, run);
            }
        }
        for (at, run) in bitmap::free_runs(map, 0, from) {
            if run >= needed && !any {
                return Some((at, run.min(best)));
            }
            if run > longest.1 {
                longest = (at, run);
            }
        }
        group.longest.store(if from == 0 { longest.1 } else { u32::MAX }, Ordering::Relaxed);
        (longest.1 >= needed).then_some((longest.0, longest.1.min(best)))
    }

    /// Gives back what a group keeps: for one inode, or for all. Gives the number of clusters.
    fn discard_group(&self, number: u32, ino: Option<u32>) -> u64 {
        let Ok(group) = self.group(number) else { return 0 };
        let mut state = group.state.lock();
        let mut given = 0;
        let mut index = 0;
        while let Some(&entry) = state.prealloc.get(index) {
            if ino.is_none_or(|ino| ino == entry.ino) {
                state.prealloc.swap_remove(index);
                self.map_give(group, &mut state, entry.start, entry.len);
                given += u64::from(entry.len);
            } else {
                index += 1;
            }
        }
        given
    }

    /// Gives back what is kept in any group. Gives the number of clusters.
    pub fn discard_all(&self) -> u64 {
        (0..self.groups_count()).map(|number| self.discard_group(number, None)).sum()
    }

    /// Gives back what is kept for an inode: when its last writer closes it, when it is truncated or forgotten.
    pub fn discard_preallocations(&self, inode: &mut Inode) {
        for number in core::mem::replace(&mut inode.kept_in, [NOWHERE; 4]) {
            if number != NOWHERE {
                self.discard_group(number, Some(inode.ino));
            }
        }
    }

    /// Frees a run of blocks, whole clusters. `metadata`: they held metadata, the journal must forget them. The inode's count
    /// of blocks is reduced; it is the caller's to write.
    pub(crate) fn free(&self, tx: &mut Tx<S>, inode: &mut Inode, block: u64, count: u32, metadata: bool) -> Result {
        if metadata {
            for at in block..block.saturating_add(count.into()) {
                self.store.forget(&mut tx.handle, at)?;
            }
        }
        self.free_blocks(tx, inode.ino, block, count)?;
        let clusters = count.div_ceil(self.geo.cluster_blocks());
        self.quota_charge(tx, inode, -i64::from(clusters))?;
        self.add_blocks(inode, -(i64::from(clusters) << self.geo.cluster_bits))
    }

    /// Frees a run of blocks in the bitmaps.
    pub(crate) fn free_blocks(&self, tx: &mut Tx<S>, ino: u32, block: u64, count: u32) -> Result {
        if !self.valid_blocks(block, count) && !self.is_hidden(ino) {
            return Err(self.corrupt("free_blocks", ino, block));
        }
        if let Some(freed) = self.freed.get() {
            return Ok(freed.lock().push((block, count), GFP_NOFS)?);
        }
        let (mut at, end) = (block, block.saturating_add(count.into()).min(self.blocks_count()));
        while at < end {
            let (number, start) = self.geo.locate(at);
            let stop = end.min(self.geo.group_start(number) + u64::from(self.geo.blocks_per_group));
            let len = self.geo.locate(stop.saturating_sub(1)).1.saturating_sub(start) + 1;
            let group = self.group(number)?;
            let mut state = group.state.lock();
            self.load_map(number, group, &mut state)?;
            self.change_bitmap(tx, number, group, &mut state, (start, len), false)?;
            let tid = self.store.tid(&tx.handle);
            if tid == 0 {
                // Without a journal at once.
                self.map_give(group, &mut state, start, len);
            } else if state.pending.push(Pending { tid, start, len }, GFP_NOFS).is_ok() {
                group.waits.store(true, Ordering::Relaxed);
            }
            // Without memory for the note the clusters are lost to this mount only.
            drop(state);
            self.free_clusters.add(self.store.cpu(), len.into());
            at = stop;
        }
        Ok(())
    }

    /// A transaction has committed: what it (or an older one) freed may be given out. `discard` is told each run: first block
    /// and number of blocks. Called by the journal's thread, without any lock of ours.
    pub fn committed(&self, tid: u32, mut discard: impl FnMut(u64, u32)) {
        for number in 0..self.groups_count() {
            let Ok(group) = self.group(number) else { return };
            // Who freed something for this transaction ended his handle before its commit: the mark is seen.
            if !group.waits.load(Ordering::Relaxed) {
                continue;
            }
            let mut state = group.state.lock();
            let mut index = 0;
            while let Some(&entry) = state.pending.get(index) {
                if (tid.wrapping_sub(entry.tid) as i32) < 0 {
                    index += 1;
                    continue;
                }
                state.pending.swap_remove(index);
                discard(self.geo.cluster_start(number, entry.start), entry.len << self.geo.cluster_bits);
                self.map_give(group, &mut state, entry.start, entry.len);
            }
            group.waits.store(!state.pending.is_empty(), Ordering::Relaxed);
        }
    }

    /// Whether blocks are kept back until a commit: who got `ENOSPC` may wait for it and try again.
    pub fn has_pending(&self) -> bool {
        (0..self.groups_count()).any(|number| {
            self.group(number)
                .is_ok_and(|group| group.waits.load(Ordering::Relaxed) && !group.state.lock().pending.is_empty())
        })
    }

    /// Calls `trim` for the free runs of a group of at least `least` clusters, within `from..to`: they are taken meanwhile,
    /// and no lock is held. Gives the blocks trimmed. (`FITRIM`.)
    pub fn trim_group(
        &self,
        number: u32,
        (from, to): (u32, u32),
        least: u32,
        mut trim: impl FnMut(u64, u32) -> Result,
    ) -> Result<u64> {
        let group = self.group(number)?;
        let end = to.min(self.clusters_in(number));
        let (mut at, mut done) = (from, 0);
        while at < end {
            let mut state = group.state.lock();
            self.load_map(number, group, &mut state)?;
            let map = state.map.as_deref().ok_or(EUCLEAN)?;
            let start = bitmap::next_zero(map, at, end);
            let stop = bitmap::next_set(map, start, end);
            at = stop;
            if start >= end || stop - start < least.max(1) {
                continue;
            }
            self.map_take(group, &mut state, start, stop - start);
            drop(state);
            let blocks = (stop - start) << self.geo.cluster_bits;
            let result = trim(self.geo.cluster_start(number, start), blocks);
            self.map_give(group, &mut group.state.lock(), start, stop - start);
            result?;
            done += u64::from(blocks);
        }
        Ok(done)
    }

    /// The block that a file's next blocks should be near, where no neighbour of `lblk` tells.
    pub(crate) fn default_goal(&self, inode: &Inode) -> u64 {
        let (group, _) = self.geo.locate_inode(inode.ino);
        self.geo.group_start(group.min(self.groups_count().saturating_sub(1)))
    }
}
