// SPDX-License-Identifier: GPL-2.0
//! Entries of private pages that are in swap space, and the steps that put pages there and take them back.
//!
//! Such an entry is `SPECIAL` and neither present nor `PROT_NONE`: all that walks tables leaves it alone as it does the zero page, so
//! the paths of memory that is not swapped have no test more. It counts as an entry of its table, and as one user of its place.
//!
//! A page with `SWAP_CACHE` has a place in swap space already. One whose bytes there are current (not `DIRTY`) has no entry that
//! allows writes: [`PageTable::map_swapped`] maps it read-only, and a write first takes it out of the cache
//! ([`crate::WriteFault::SwapCache`]).
//!
//! Locks: `mm`'s of the address space, shared, for everything here. The hook is called under a last-level table's lock.

use crate::huge::{Found, is_whole};
use crate::lazy::is_marked;
use crate::range::{clamp, next_boundary};
use crate::table::{Counts, Kind, PageTable, TableLock, entry_at, part};
use crate::tlb;
use core::sync::atomic::Ordering;
use kalloc::KVec;
use mm_alloc::kpt::bits;
use mm_alloc::layout::PAGE_SIZE;
use mm_alloc::page::{get_frame, put_frame};
use mm_alloc::stat::{self, Item};
use mm_alloc::{Frame, Page, PageFlags};
use x86_pte::{Entry, OWN, UserProt};

pub use x86_pte::swap::{SWAP, Swap, SwapEntry};
pub(crate) use x86_pte::swap::{duplicate, free};

/// Gives up an entry's reference to a page of the swap cache.
///
/// # Safety
/// The caller owns a reference to the frame and does not use it afterwards.
#[cold]
#[inline(never)]
pub(crate) unsafe fn put_cached(frame: &'static Frame) {
    // SAFETY: As the caller promises.
    let page = unsafe { Page::from_frame(frame) };
    if let Some(swap) = SWAP.get() {
        swap.unmapped(page);
    }
}

/// A private page that was not used lately, and where it is mapped.
pub struct Victim {
    addr: usize,
    page: Page,
    unmapped: bool,
}

impl Victim {
    /// The page.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Whether the address now has an entry of swap space.
    pub fn is_unmapped(&self) -> bool {
        self.unmapped
    }

    /// The page, for good.
    pub fn into_page(self) -> Page {
        self.page
    }
}

impl PageTable {
    /// Looks at entries of `[start, end)`, `budget` at most: private pages that were used since the last look are marked unused, of the
    /// others (with `force` of all) `out` gets a reference each while it has room. Returns where it stopped.
    pub fn collect_idle(
        &self,
        start: usize,
        end: usize,
        budget: &mut usize,
        force: bool,
        out: &mut KVec<Victim>,
    ) -> usize {
        let (start, end) = clamp(start, end);
        let mut at = start;
        let mut aged = false;
        while at < end && *budget != 0 && out.len() < out.capacity() {
            let stop = next_boundary(at, end);
            at = match self.look(at) {
                Ok(Found::Table(table)) => collect_in(table, at, stop, budget, force, out, &mut aged),
                // One that was used stays what it is, another goes page by page.
                Ok(Found::Huge) if !force && is_whole(at, stop) && self.clear_accessed_huge(at) == Some(true) => {
                    aged = true;
                    *budget -= 1;
                    stop
                }
                Ok(Found::Huge) if self.has_huge_zeros(at) || self.is_huge_lazy(at) => {
                    *budget -= 1;
                    stop
                }
                Ok(Found::Huge) => {
                    self.split_huge(at);
                    stat::add(Item::ThpSwpoutFallback, 1);
                    at
                }
                Err(skip) => {
                    *budget -= 1;
                    skip.min(end)
                }
            };
        }
        if aged {
            // Else a program that uses the same pages all the time would never be seen to.
            tlb::flush_range(self, start, at, false);
        }
        at
    }

    /// Puts entries of swap space in the place of victims that were not used meanwhile. `place` is asked under the entry's lock with
    /// the victim's number, its page, and whether it is the entry's own: who holds it may write to it. Afterwards no CPU can reach the pages through these
    /// entries; the entries' references are given up. How many were replaced.
    pub fn unmap_to_swap(
        &self,
        victims: &mut [Victim],
        force: bool,
        mut place: impl FnMut(usize, &Page, bool) -> Option<SwapEntry>,
    ) -> usize {
        // Counted before: who finds an entry of swap space finds the count.
        let wanted = victims.len() as i64;
        self.count(Kind::Swap, wanted);
        let (mut low, mut high, mut done) = (usize::MAX, 0, 0i64);
        let mut lazy = 0;
        for (i, victim) in victims.iter_mut().enumerate() {
            let Some(table) = self.walk(victim.addr) else { continue };
            let _lock = TableLock::take(table);
            let entry = entry_at(table, victim.addr);
            let value = entry.load(Ordering::Relaxed);
            let other = value & bits::SPECIAL != 0 || value & bits::ADDR != victim.page.phys();
            if value == 0 || other || value & bits::ACCESSED != 0 && !force || Entry::new(value).is_lazy() {
                continue;
            }
            let Some(swap) = place(i, &victim.page, value & OWN != 0) else { continue };
            // Who clears the bits for written pages takes write access away too: what can be written counts as written.
            let written =
                if value & (bits::WRITE | bits::DIRTY | bits::SOFT_DIRTY) != 0 { bits::SOFT_DIRTY } else { 0 };
            // The hardware may set bits until the entry is gone; they say nothing that matters: the page is dirty.
            entry.swap(swap.to_bits() | written, Ordering::AcqRel);
            victim.unmapped = true;
            done += 1;
            lazy += i64::from(is_marked(value));
            (low, high) = (low.min(victim.addr), high.max(victim.addr + PAGE_SIZE));
        }
        if done != 0 {
            tlb::flush_range(self, low, high, false);
            for victim in victims.iter().filter(|victim| victim.unmapped) {
                // SAFETY: The reference was the entry's, which is gone, and no CPU uses the translation any more. The victim has
                // another.
                unsafe { put_frame(victim.page.frame()) };
            }
        }
        let mut counts: Counts = [0; 5];
        counts[Kind::Anon as usize] = -done;
        counts[Kind::Swap as usize] = done - wanted;
        counts[Kind::Lazy as usize] = -lazy;
        self.count_all(&counts);
        done.unsigned_abs() as usize
    }

    /// Maps a page, which came back from swap space, where `from` is. False if that is not there any more. On success the place has a
    /// user less: the caller says so.
    pub fn map_swapped(&self, addr: usize, from: SwapEntry, page: Page, prot: UserProt) -> bool {
        let Some(table) = self.walk(addr) else { return false };
        let lock = TableLock::take(table);
        let entry = entry_at(table, addr);
        let old = entry.load(Ordering::Relaxed);
        if SwapEntry::from_bits(old) != Some(from) {
            return false;
        }
        // Under the lock nobody changes an entry that is not empty.
        entry.store(page.phys() | prot.bits() | old & bits::SOFT_DIRTY, Ordering::Release);
        drop(lock);
        core::mem::forget(page);
        let mut counts: Counts = [0; 5];
        counts[Kind::Anon as usize] = 1;
        counts[Kind::Swap as usize] = -1;
        self.count_all(&counts);
        true
    }

    /// Calls `f` with address and place of each page of `[start, end)` that is in swap space.
    pub fn for_each_swapped(&self, start: usize, end: usize, mut f: impl FnMut(usize, SwapEntry)) {
        self.for_each_entry(start, end, |addr, entry, _| {
            if let Some(swap) = entry.swap() {
                f(addr, swap);
            }
        });
    }
}

/// [`PageTable::collect_idle`] within one last-level table.
fn collect_in(
    table: &'static Frame,
    start: usize,
    stop: usize,
    budget: &mut usize,
    force: bool,
    out: &mut KVec<Victim>,
    aged: &mut bool,
) -> usize {
    let _lock = TableLock::take(table);
    for (i, entry) in part(table, start, stop).iter().enumerate() {
        let addr = start + i * PAGE_SIZE;
        if *budget == 0 || out.len() == out.capacity() {
            return addr;
        }
        *budget -= 1;
        let value = entry.load(Ordering::Relaxed);
        // What the program does not need is not worth a place (`lazy`).
        if value == 0 || value & bits::SPECIAL != 0 || Entry::new(value).is_lazy() {
            continue;
        }
        // SAFETY: An entry that is not special holds a reference to a frame, and the lock keeps it there.
        let frame = unsafe { Frame::of_phys(value & bits::ADDR) };
        if frame.flag_bits() & PageFlags::ANON.0 == 0 {
            continue;
        }
        if value & bits::ACCESSED != 0 && !force {
            entry.fetch_and(!bits::ACCESSED, Ordering::AcqRel);
            *aged = true;
            continue;
        }
        // SAFETY: As above: the entry has a reference.
        let page = unsafe {
            get_frame(frame);
            Page::from_frame(frame)
        };
        // There is room.
        let _ = out.push_within_capacity(Victim { addr, page, unmapped: false });
    }
    stop
}
