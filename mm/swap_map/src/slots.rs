// SPDX-License-Identifier: GPL-2.0
//! `SlotMap`: a word for each page of an area. It holds the number of entries of page tables (and of shared memory) that name the page,
//! and whether the swap cache has it. A page with neither is free. All changes are single atomic steps, so that faults, `fork` and
//! exit take no lock; only where two look for free pages at once they may find the same cluster.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{AllocError, KVVec};

/// The swap cache has the page, or is about to.
const CACHE: u32 = 1 << 31;
/// Not to be used: the header, or a bad page.
const BAD: u32 = 1 << 30;
const COUNT: u32 = BAD - 1;
/// Pages of a cluster: full ones are passed over in one step.
const CLUSTER: usize = 512;

/// What [`SlotMap::put`] left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// Others still name it.
    Used,
    /// Only the swap cache has it now.
    Cached,
    /// It is free.
    Free,
    /// Nobody named it: the entry was not one of this area's.
    Invalid,
}

/// What [`SlotMap::enter_cache`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cache {
    /// The cache has it from now on; the caller puts the page in.
    Entered,
    /// The cache has it already, or somebody is just putting it in or taking it out.
    Busy,
    /// Nobody names it.
    Unused,
}

/// The pages of an area.
pub struct SlotMap {
    slots: KVVec<AtomicU32>,
    /// Used pages of each cluster, bad ones among them.
    clusters: KVVec<AtomicU32>,
    /// Where the search goes on.
    cursor: AtomicU64,
    used: AtomicU64,
    good: u64,
}

impl SlotMap {
    /// An area of `pages` pages, all free but for the first and those of `bad`. ENOMEM.
    pub fn new(pages: usize, bad: impl Iterator<Item = u64>) -> Result<Self, AllocError> {
        let mut slots = KVVec::with_capacity(pages, GFP_KERNEL)?;
        for _ in 0..pages {
            slots.push(AtomicU32::new(0), GFP_KERNEL)?;
        }
        let count = pages.div_ceil(CLUSTER);
        let mut clusters = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            clusters.push(AtomicU32::new(0), GFP_KERNEL)?;
        }
        let mut map = Self { slots, clusters, cursor: AtomicU64::new(1), used: AtomicU64::new(0), good: pages as u64 };
        for page in core::iter::once(0).chain(bad) {
            if let Some(slot) = map.slot(page)
                && slot.swap(BAD, Relaxed) == 0
            {
                map.cluster_of(page, 1);
                map.good = map.good.saturating_sub(1);
            }
        }
        Ok(map)
    }

    fn slot(&self, page: u64) -> Option<&AtomicU32> {
        self.slots.get(usize::try_from(page).ok()?)
    }

    /// Counts pages of a cluster as used, or with -1 as free.
    fn cluster_of(&self, page: u64, delta: i32) {
        if let Some(cluster) = self.clusters.get(page as usize / CLUSTER) {
            cluster.fetch_add(delta.cast_unsigned(), Relaxed);
        }
    }

    /// Pages that can be used.
    pub fn good(&self) -> u64 {
        self.good
    }

    /// Pages in use.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Number of the last page, and one.
    pub fn len(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Whether there is no page at all.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes up to `max` free pages for the swap cache, neighbours as far as there are, and gives each to `f`. How many.
    pub fn alloc(&self, max: usize, mut f: impl FnMut(u64)) -> usize {
        if self.used() >= self.good || self.slots.is_empty() {
            return 0;
        }
        let mut at = usize::try_from(self.cursor.load(Relaxed)).unwrap_or(0) % self.slots.len();
        let mut got = 0;
        // The first cluster comes twice: its front is looked at last.
        for _ in 0..=self.clusters.len() {
            let cluster = at / CLUSTER;
            let end = ((cluster + 1) * CLUSTER).min(self.slots.len());
            let full =
                self.clusters.get(cluster).is_none_or(|used| used.load(Relaxed) as usize >= end - cluster * CLUSTER);
            if !full {
                got += self.alloc_in(at, end, max - got, &mut at, &mut f);
            }
            if got == max {
                break;
            }
            at = if end == self.slots.len() { 0 } else { end };
        }
        self.cursor.store(at as u64, Relaxed);
        self.used.fetch_add(got as u64, Relaxed);
        got
    }

    fn alloc_in(&self, from: usize, end: usize, max: usize, at: &mut usize, f: &mut impl FnMut(u64)) -> usize {
        let mut got = 0;
        for (i, slot) in self.slots.get(from..end).unwrap_or(&[]).iter().enumerate() {
            if got == max {
                break;
            }
            *at = from + i + 1;
            if slot.load(Relaxed) == 0 && slot.compare_exchange(0, CACHE, AcqRel, Relaxed).is_ok() {
                self.cluster_of((from + i) as u64, 1);
                f((from + i) as u64);
                got += 1;
            }
        }
        got
    }

    fn freed(&self, page: u64) {
        self.cluster_of(page, -1);
        self.used.fetch_sub(1, Relaxed);
    }

    /// An entry more names the page: it is the first of a page of the cache, or was copied. False if the page is not in use.
    pub fn get(&self, page: u64) -> bool {
        let Some(slot) = self.slot(page) else { return false };
        // More entries than that need 8 GB of page tables for this one page; `fork` fails then.
        slot.fetch_update(AcqRel, Relaxed, |now| (now & BAD == 0 && now != 0 && now & COUNT < COUNT).then(|| now + 1))
            .is_ok()
    }

    /// An entry less names the page.
    pub fn put(&self, page: u64) -> Put {
        let Some(slot) = self.slot(page) else { return Put::Invalid };
        let changed = slot.fetch_update(AcqRel, Relaxed, |now| (now & BAD == 0 && now & COUNT != 0).then(|| now - 1));
        match changed {
            Err(_) => Put::Invalid,
            Ok(1) => {
                self.freed(page);
                Put::Free
            }
            Ok(old) if old == CACHE | 1 => Put::Cached,
            Ok(_) => Put::Used,
        }
    }

    /// The cache is to get the page, which an entry names.
    pub fn enter_cache(&self, page: u64) -> Cache {
        let Some(slot) = self.slot(page) else { return Cache::Unused };
        let mut now = slot.load(Relaxed);
        loop {
            if now & BAD != 0 || now == 0 {
                return Cache::Unused;
            }
            if now & CACHE != 0 {
                return Cache::Busy;
            }
            match slot.compare_exchange_weak(now, now | CACHE, AcqRel, Relaxed) {
                Ok(_) => return Cache::Entered,
                Err(other) => now = other,
            }
        }
    }

    /// The cache has the page no more. True if it is free now.
    pub fn leave_cache(&self, page: u64) -> bool {
        let Some(slot) = self.slot(page) else { return false };
        let free = slot.fetch_and(!CACHE, AcqRel) == CACHE;
        if free {
            self.freed(page);
        }
        free
    }

    /// Entries that name the page.
    pub fn count(&self, page: u64) -> u32 {
        self.slot(page).map_or(0, |slot| slot.load(Acquire) & COUNT)
    }

    #[cfg(test)]
    pub(crate) fn set_count(&self, page: u64, count: u32) {
        self.slot(page).unwrap().fetch_or(count, Relaxed);
    }

    /// The first page from `from` on that is in use.
    pub fn next_used(&self, from: u64) -> Option<u64> {
        let first = usize::try_from(from).ok()?;
        let rest = self.slots.get(first..)?;
        rest.iter().position(|slot| !matches!(slot.load(Acquire), 0 | BAD)).map(|i| from + i as u64)
    }
}
