// SPDX-License-Identifier: GPL-2.0
//! `RangeMap<V>`: a map from ranges of addresses that do not overlap to values, sorted, with search for holes. The address
//! space's mappings live in it (`mm`). Pure: tested on the host against a model. No locks.
//!
//! A sorted vector: an address space has a few dozen ranges, and a look-up is a binary search over adjacent words. The hole
//! search from the top remembers where the last one ended, so a program that maps and maps does not pay for what it has.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicUsize, Ordering};
use kalloc::flags::GFP_KERNEL;
use kalloc::{AllocError, KVec};

/// A range and its value.
#[derive(Debug)]
pub struct Slot<V> {
    /// First address.
    pub start: usize,
    /// One past the last; above `start`.
    pub end: usize,
    /// The value.
    pub value: V,
}

impl<V> Slot<V> {
    /// Bytes.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether the range is empty (none in a map is).
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether `addr` is inside.
    #[inline(always)]
    pub fn contains(&self, addr: usize) -> bool {
        self.start <= addr && addr < self.end
    }
}

/// The map.
#[derive(Debug)]
pub struct RangeMap<V> {
    /// Sorted, without overlaps.
    slots: KVec<Slot<V>>,
    /// Where the last search from `hint_top` downwards ended: all holes between are at most `hole_above` large. What is below
    /// is unknown.
    hint: usize,
    hint_top: usize,
    hole_above: usize,
    /// Index that the last look-up found: a guess, never trusted.
    near: AtomicUsize,
}

impl<V> RangeMap<V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self { slots: KVec::new(), hint: usize::MAX, hint_top: 0, hole_above: 0, near: AtomicUsize::new(0) }
    }

    /// Number of ranges.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Makes room, so that this many insertions cannot fail.
    pub fn reserve(&mut self, n: usize) -> Result<(), AllocError> {
        self.slots.reserve(n, GFP_KERNEL)
    }

    /// Index of the first range that ends above `addr` (it contains `addr` or comes after it); `len()` if there is none.
    #[inline(always)]
    pub fn index(&self, addr: usize) -> usize {
        // Most look-ups are near the last one.
        let near = self.near.load(Ordering::Relaxed);
        if let Some(slot) = self.slots.get(near)
            && addr < slot.end
            && (slot.start <= addr || near.checked_sub(1).and_then(|i| self.slots.get(i)).is_none_or(|s| s.end <= addr))
        {
            return near;
        }
        self.search(addr)
    }

    #[inline(never)]
    fn search(&self, addr: usize) -> usize {
        let index = self.slots.partition_point(|slot| slot.end <= addr);
        self.near.store(index, Ordering::Relaxed);
        index
    }

    /// The first range that ends above `addr`.
    #[inline(always)]
    pub fn find(&self, addr: usize) -> Option<&Slot<V>> {
        self.slots.get(self.index(addr))
    }

    /// The range that contains `addr`.
    #[inline(always)]
    pub fn containing(&self, addr: usize) -> Option<&Slot<V>> {
        self.find(addr).filter(|slot| slot.start <= addr)
    }

    /// The range with this index.
    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<&Slot<V>> {
        self.slots.get(index)
    }

    /// The value with this index.
    #[inline(always)]
    pub fn value_mut(&mut self, index: usize) -> Option<&mut V> {
        self.slots.get_mut(index).map(|slot| &mut slot.value)
    }

    /// The range before this index.
    #[inline(always)]
    pub fn before(&self, index: usize) -> Option<&Slot<V>> {
        self.slots.get(index.checked_sub(1)?)
    }

    /// All ranges in order.
    pub fn iter(&self) -> core::slice::Iter<'_, Slot<V>> {
        self.slots.iter()
    }

    /// The ranges that overlap `[start, end)`, in order.
    pub fn overlapping(&self, start: usize, end: usize) -> impl Iterator<Item = &Slot<V>> {
        self.slots.iter().skip(self.index(start)).take_while(move |slot| slot.start < end)
    }

    /// Whether nothing is in `[start, end)`.
    #[inline]
    pub fn is_free(&self, start: usize, end: usize) -> bool {
        self.find(start).is_none_or(|slot| slot.start >= end)
    }

    /// Whether `[start, end)` is covered without a hole.
    pub fn is_covered(&self, start: usize, end: usize) -> bool {
        let mut at = start;
        for slot in self.overlapping(start, end) {
            if slot.start > at {
                return false;
            }
            at = slot.end;
        }
        at >= end
    }

    /// Adds a range; gives the value back if it is empty or overlaps another, or there is no memory. Returns its index.
    pub fn insert(&mut self, start: usize, end: usize, value: V) -> Result<usize, V> {
        let at = self.index(start);
        let free = self.slots.get(at).is_none_or(|slot| slot.start >= end);
        if start >= end || !free || self.slots.reserve(1, GFP_KERNEL).is_err() {
            return Err(value);
        }
        // There is room now, so this cannot fail; if it did the value would be lost, not corrupted.
        let _ = self.slots.insert(at, Slot { start, end, value }, GFP_KERNEL);
        Ok(at)
    }

    /// Adds a range above all others, for which `reserve` made room. Gives the value back if it is not above, or there is no room.
    #[inline]
    pub fn push(&mut self, start: usize, end: usize, value: V) -> Result<(), V> {
        if start >= end || self.slots.last().is_some_and(|last| last.end > start) {
            return Err(value);
        }
        self.slots.push_within_capacity(Slot { start, end, value }).map_err(|refused| refused.0.value)
    }

    /// Removes a range.
    pub fn remove(&mut self, index: usize) -> Option<Slot<V>> {
        let slot = self.slots.remove(index).ok()?;
        self.opened(slot.end);
        Some(slot)
    }

    /// Removes `count` ranges from `index` on, handing each to `f`.
    pub fn remove_many(&mut self, index: usize, count: usize, mut f: impl FnMut(Slot<V>)) {
        let mut opened = 0;
        for slot in self.slots.drain(index..index.saturating_add(count)) {
            opened = slot.end;
            f(slot);
        }
        self.opened(opened);
    }

    /// Changes a range's bounds; refused (`false`) if it would be empty or meet a neighbour.
    pub fn set_bounds(&mut self, index: usize, start: usize, end: usize) -> bool {
        let low = self.before(index).map_or(0, |slot| slot.end);
        let high = self.slots.get(index.saturating_add(1)).map_or(usize::MAX, |slot| slot.start);
        let Some(slot) = self.slots.get_mut(index) else { return false };
        if start >= end || start < low || end > high {
            return false;
        }
        let (old_start, old_end) = (slot.start, slot.end);
        (slot.start, slot.end) = (start, end);
        if start > old_start {
            self.opened(start);
        }
        if end < old_end {
            self.opened(old_end);
        }
        true
    }

    /// Splits a range at `at`, strictly inside: it keeps the lower part, `upper` is the value of the rest, whose index is one more.
    /// Gives the value back if that is not possible.
    pub fn split(&mut self, index: usize, at: usize, upper: V) -> Result<(), V> {
        let Some(slot) = self.slots.get(index) else { return Err(upper) };
        let (start, end) = (slot.start, slot.end);
        if at <= start || at >= end || self.slots.reserve(1, GFP_KERNEL).is_err() {
            return Err(upper);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.end = at;
        }
        // As in `insert`.
        let _ = self.slots.insert(index.saturating_add(1), Slot { start: at, end, value: upper }, GFP_KERNEL);
        Ok(())
    }

    /// Notes a new hole that ends at `end` or above.
    fn opened(&mut self, end: usize) {
        if end > self.hint {
            // It is among the known ones: forget them.
            self.hint = usize::MAX;
        }
    }

    /// The highest hole of `len` bytes within `[low, high)`: its address.
    pub fn hole_below(&mut self, len: usize, low: usize, high: usize) -> Option<usize> {
        if len == 0 {
            return None;
        }
        // Everything at or above the hint was searched before and has no larger hole than this.
        let cached = self.hint_top == high && self.hint < high && len > self.hole_above;
        let mut largest = if cached { self.hole_above } else { 0 };
        let mut top = if cached { self.hint } else { high };
        let mut index = self.index_starting_below(top);
        loop {
            let below = index.checked_sub(1).and_then(|i| self.slots.get(i));
            let bottom = below.map_or(low, |slot| slot.end.max(low));
            if let Some(room) = top.checked_sub(bottom)
                && room >= len
            {
                let found = top.checked_sub(len)?;
                self.hint = top;
                self.hint_top = high;
                self.hole_above = largest;
                return Some(found);
            }
            largest = largest.max(top.saturating_sub(bottom));
            let slot = below?;
            if slot.start <= low {
                return None;
            }
            top = top.min(slot.start);
            index = index.checked_sub(1)?;
        }
    }

    /// The lowest hole of `len` bytes within `[low, high)`: its address.
    pub fn hole_above(&self, len: usize, low: usize, high: usize) -> Option<usize> {
        let mut at = low;
        for slot in self.slots.iter().skip(self.index(low)) {
            if slot.start.min(high).checked_sub(at).is_some_and(|room| room >= len) {
                break;
            }
            at = at.max(slot.end);
        }
        (high.checked_sub(at)? >= len && len > 0).then_some(at)
    }

    /// Index of the first range that starts at or above `addr`.
    fn index_starting_below(&self, addr: usize) -> usize {
        self.slots.partition_point(|slot| slot.start < addr)
    }
}

impl<V> Default for RangeMap<V> {
    fn default() -> Self {
        Self::new()
    }
}
