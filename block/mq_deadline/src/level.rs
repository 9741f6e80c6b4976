// SPDX-License-Identifier: GPL-2.0
//! The requests of one class: of each direction, sorted by sector and in the order of coming.
//!
//! The sorted list is an array with room for all: requests are a few hundred at most, so moving the rest of it costs less than the
//! nodes of a tree, and nothing is allocated under the caller's lock.

use crate::{NONE, Slot};
use errno::Result;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;

/// One direction.
pub(crate) struct Side {
    /// First sector and place, sorted.
    sorted: KVec<(u64, u32)>,
    /// The one that came first, and last.
    head: u32,
    tail: u32,
    /// Where the last one that was sent ended.
    position: u64,
}

impl Side {
    fn new(depth: u32) -> Result<Self> {
        let sorted = KVec::with_capacity(depth as usize, GFP_KERNEL)?;
        Ok(Self { sorted, head: NONE, tail: NONE, position: 0 })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// The one that waits longest.
    pub(crate) fn first(&self) -> u32 {
        self.head
    }

    /// The next one on the way up.
    pub(crate) fn next(&self) -> Option<u32> {
        let at = self.sorted.partition_point(|&(key, _)| key < self.position);
        self.sorted.get(at).map(|&(_, index)| index)
    }

    pub(crate) fn reached(&mut self, sector: u64) {
        self.position = sector;
    }

    /// The last one that begins before `sector`.
    pub(crate) fn before(&self, sector: u64) -> Option<u32> {
        let at = self.sorted.partition_point(|&(key, _)| key < sector);
        self.sorted.get(at.checked_sub(1)?).map(|&(_, index)| index)
    }

    /// The one that begins at `sector`.
    pub(crate) fn at(&self, sector: u64) -> Option<u32> {
        let at = self.sorted.partition_point(|&(key, _)| key < sector);
        self.sorted.get(at).filter(|&&(key, _)| key == sector).map(|&(_, index)| index)
    }

    fn sort_in(&mut self, index: u32, key: u64) {
        let at = self.sorted.partition_point(|&(other, _)| other <= key);
        // There is room for all.
        let _ = self.sorted.insert_within_capacity(at, (key, index));
    }

    fn sort_out(&mut self, index: u32, key: u64) {
        let from = self.sorted.partition_point(|&(other, _)| other < key);
        let same = self.sorted.get(from..).unwrap_or_default();
        if let Some(at) = same.iter().take_while(|entry| entry.0 == key).position(|entry| entry.1 == index) {
            let _ = self.sorted.remove(from + at);
        }
    }

    pub(crate) fn resort(&mut self, index: u32, old: u64, new: u64) {
        self.sort_out(index, old);
        self.sort_in(index, new);
    }

    pub(crate) fn add<T>(&mut self, slots: &mut [Slot<T>], index: u32, key: u64) {
        self.sort_in(index, key);
        let last = core::mem::replace(&mut self.tail, index);
        match slots.get_mut(last as usize) {
            Some(slot) => slot.next = index,
            None => self.head = index,
        }
        if let Some(slot) = slots.get_mut(index as usize) {
            slot.prev = last;
        }
    }

    pub(crate) fn del<T>(&mut self, slots: &mut [Slot<T>], index: u32, key: u64) {
        self.sort_out(index, key);
        let Some((prev, next)) = slots.get(index as usize).map(|slot| (slot.prev, slot.next)) else { return };
        match slots.get_mut(prev as usize) {
            Some(slot) => slot.next = next,
            None => self.head = next,
        }
        match slots.get_mut(next as usize) {
            Some(slot) => slot.prev = prev,
            None => self.tail = prev,
        }
    }
}

/// One class.
pub(crate) struct Level {
    reads: Side,
    writes: Side,
}

impl Level {
    pub(crate) fn new(depth: u32) -> Result<Self> {
        Ok(Self { reads: Side::new(depth)?, writes: Side::new(depth)? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.writes.is_empty()
    }

    pub(crate) fn side(&mut self, write: bool) -> &mut Side {
        if write { &mut self.writes } else { &mut self.reads }
    }

    pub(crate) fn side_ref(&self, write: bool) -> &Side {
        if write { &self.writes } else { &self.reads }
    }
}
