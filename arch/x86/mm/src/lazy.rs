// SPDX-License-Identifier: GPL-2.0
//! Private pages that the program does not need any more (`MADV_FREE`): they stay until memory is short, and longer if they are written.
//!
//! Their entries have the mark [`bits::LAZY`], and lose the hardware's marks of use and of writing when they get it. An entry with the mark
//! and without `DIRTY` may be emptied at any time; the hardware sets `DIRTY` with the first write, so that needs no fault. Of a page that
//! several address spaces share each entry is looked at by itself: none of them can write to it without a copy.
//!
//! - Who writes to such a page other than through its entry takes the mark away first: [`PageTable::page`], [`PageTable::keep`].
//! - Who takes `DIRTY` away from an entry that has the mark takes the mark too.
//! - An entry that can be written and is not `DIRTY` is changed by exchanges only: else a write would go unnoticed.
//! - A last-level table that has such entries says so (`Frame::lazy`), so that looking for them costs little.
//!
//! Locks: `mm`'s of the address space, shared, for everything here.

use crate::gather::Gather;
use crate::huge::{Found, Locked, is_whole};
use crate::range::{clamp, next_boundary};
use crate::swap::{self, SwapEntry};
use crate::table::{Counts, Kind, PageTable, TableLock, entry_at, part, scan};
use crate::{quicklist, tlb};
use core::sync::atomic::{AtomicU64, Ordering};
use mm_alloc::huge::{Block, PAGES};
use mm_alloc::kpt::bits;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
use mm_alloc::page::get_frame;
use mm_alloc::stat::{self, Item};
use mm_alloc::{Frame, Page, PageFlags};
use x86_pte::huge::is_zeros;
use x86_pte::{Entry, OWN, PROT_NONE};

/// The hardware's marks.
const USED: u64 = bits::DIRTY | bits::ACCESSED;

/// What an entry becomes whose page is not needed any more.
#[inline(always)]
pub(crate) const fn marked(value: u64) -> u64 {
    let written = if value & bits::DIRTY != 0 { bits::SOFT_DIRTY } else { 0 };
    value & !USED | written | bits::LAZY
}

/// Whether the hardware may note a first write in an entry at any time, so that it is to be changed by an exchange.
#[inline(always)]
pub(crate) const fn is_volatile(value: u64) -> bool {
    value & (bits::WRITE | bits::DIRTY) == bits::WRITE
}

/// Whether an entry has the mark, written since or not.
#[inline(always)]
pub(crate) const fn is_marked(value: u64) -> bool {
    value & (bits::LAZY | bits::SPECIAL) == bits::LAZY
}

/// What came of a look for pages to drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    /// Pages that had the mark.
    pub seen: usize,
    /// Pages that went.
    pub gone: usize,
    /// Pages whose memory is free now: no other program (a child, a parent) has them.
    pub freed: usize,
}

impl PageTable {
    /// Whether any entry has the mark.
    #[inline(always)]
    pub fn has_lazy(&self) -> bool {
        self.rss.has_lazy()
    }

    /// The program does not need the private memory in `[start, end)` any more: what is in swap space goes, pages get the mark. Those that
    /// somebody holds do not, nor huge pages that are shared.
    pub fn free_lazily(&self, start: usize, end: usize) {
        let (start, end) = clamp(start, end);
        let mut flush = (usize::MAX, 0);
        let (mut swapped, mut new) = (0, 0);
        self.for_each_found(start, end, |found, at, stop| {
            let Found::Table(table) = found else {
                let Some(old) = self.free_huge_lazily(at, is_whole(at, stop)) else { return false };
                if old & USED != 0 {
                    flush = (flush.0.min(at), flush.1.max(stop));
                }
                new += if is_marked(old) || old == 0 { 0 } else { PAGES as i64 };
                return true;
            };
            let _lock = TableLock::take(table);
            let (before, mut emptied) = (new, 0);
            scan(part(table, at, stop), |i, entry, value| {
                if value & bits::SPECIAL != 0 {
                    if let Some(place) = SwapEntry::from_bits(value) {
                        // No processor looks at it.
                        entry.store(0, Ordering::Release);
                        swap::free(place);
                        emptied += 1;
                    }
                    return;
                }
                if value & (bits::LAZY | USED) == bits::LAZY {
                    return;
                }
                // SAFETY: An entry that is not special holds a reference to a frame, and the lock keeps it there.
                if !unsafe { may_be_marked(value) } {
                    return;
                }
                let old = exchange(entry, value, marked);
                new += i64::from(old & bits::LAZY == 0);
                if old & USED != 0 {
                    let addr = at + i * PAGE_SIZE;
                    flush = (flush.0.min(addr), flush.1.max(addr + PAGE_SIZE));
                }
            });
            if new != before {
                table.lazy().store(1, Ordering::Relaxed);
            }
            if emptied != 0 {
                table.entries().fetch_sub(emptied, Ordering::Relaxed);
                swapped += i64::from(emptied);
            }
            true
        });
        if flush.0 < flush.1 {
            tlb::flush_range(self, flush.0, flush.1, false);
        }
        let mut counts: Counts = [0; 5];
        counts[Kind::Swap as usize] = -swapped;
        counts[Kind::Lazy as usize] = new;
        self.count_all(&counts);
        stat::add(Item::PgLazyFree, new);
    }

    /// Drops pages of `[start, end)` that have the mark and were neither written nor used since, looking at `budget` entries at most; with
    /// `force` used ones, too. What was used gets another chance, what was written loses the mark. Returns where it stopped.
    pub fn drop_lazy(&self, start: usize, end: usize, budget: &mut usize, force: bool, dropped: &mut Dropped) -> usize {
        let (start, end) = clamp(start, end);
        let mut gather = Gather::new(self);
        let mut at = start;
        while at < end && *budget != 0 {
            let stop = next_boundary(at, end);
            *budget -= 1;
            at = match self.look(at) {
                Ok(Found::Table(table)) if table.lazy().load(Ordering::Relaxed) == 0 => stop,
                Ok(Found::Table(table)) => drop_in(table, at, stop, budget, force, &mut gather, dropped),
                Ok(Found::Huge) if is_whole(at, stop) => {
                    gather.drop_huge(at, force, dropped);
                    stop
                }
                Ok(Found::Huge) if force && self.is_huge_lazy(at) => {
                    self.split_huge(at);
                    at
                }
                Ok(Found::Huge) => stop,
                Err(skip) => skip.min(end),
            };
            if gather.room() == 0 {
                gather.finish();
            }
        }
        at
    }

    /// The page at `addr` is about to be written other than through its entry: it is needed. False if there is none, or another than
    /// `page`.
    pub fn keep(&self, addr: usize, page: Option<&Page>) -> bool {
        if let Some(locked) = self.lock_huge(addr) {
            let value = locked.value();
            if is_zeros(value) || page.is_some_and(|page| page.phys() != locked.frame(addr).phys()) {
                return false;
            }
            self.keep_huge(&locked);
            return true;
        }
        let Some(table) = self.walk(addr) else { return false };
        let _lock = TableLock::take(table);
        let entry = entry_at(table, addr);
        let value = entry.load(Ordering::Relaxed);
        let there = value & bits::SPECIAL == 0 && value & (bits::PRESENT | PROT_NONE) != 0;
        if !there || page.is_some_and(|page| !Entry::new(value).maps(page)) {
            return false;
        }
        self.keep_entry(entry, value);
        true
    }

    /// Takes the mark away from an entry, whose table's lock is held, and that is about to be written. `value`: what it has.
    #[inline(always)]
    pub(crate) fn keep_entry(&self, entry: &AtomicU64, value: u64) {
        if is_marked(value) {
            self.keep_marked(entry, 1);
        }
    }

    /// As [`Self::keep_entry`], of a huge mapping.
    #[inline(always)]
    pub(crate) fn keep_huge(&self, locked: &Locked) {
        if is_marked(locked.value()) {
            self.keep_marked(locked.entry, PAGES as i64);
        }
    }

    #[cold]
    #[inline(never)]
    fn keep_marked(&self, entry: &AtomicU64, pages: i64) {
        entry.fetch_and(!bits::LAZY, Ordering::AcqRel);
        entry.fetch_or(bits::SOFT_DIRTY, Ordering::AcqRel);
        self.count(Kind::Lazy, -pages);
    }
}

/// What became of a huge mapping that was to be dropped.
pub(crate) enum LazyHuge {
    /// There is none that has the mark.
    None,
    /// It was written, or is used just now.
    Kept,
    /// It was used, and will count as not used.
    Aged,
    /// It is gone; its pages' references are the caller's, who flushes and counts.
    Taken(&'static Frame),
}

impl PageTable {
    /// Whether there is a huge mapping at `addr` that may be dropped.
    pub(crate) fn is_huge_lazy(&self, addr: usize) -> bool {
        self.query_huge(addr).is_some_and(Entry::is_lazy)
    }

    /// [`Self::free_lazily`] of a huge mapping, or, if not `whole`, of a part of one. What its entry was, or 0 if nothing is to be done;
    /// `None`: single pages are to be looked at.
    fn free_huge_lazily(&self, addr: usize, whole: bool) -> Option<u64> {
        let locked = self.lock_huge(addr)?;
        let value = locked.value();
        if is_zeros(value) || !Block::is_ours_alone(locked.frame(addr & !(PMD_SIZE - 1))) {
            return Some(0);
        }
        whole.then(|| exchange(locked.entry, value, marked))
    }

    /// Takes out the huge mapping at `addr`, its first address, if it has the mark and may go.
    pub(crate) fn take_huge_lazy(&self, addr: usize, force: bool) -> LazyHuge {
        let Some(locked) = self.lock_huge(addr) else { return LazyHuge::None };
        let value = locked.value();
        if !is_marked(value) {
            return LazyHuge::None;
        }
        let first = locked.frame(addr);
        if value & bits::DIRTY != 0 || value & OWN != 0 && !Block::is_ours_alone(first) {
            locked.entry.fetch_and(!bits::LAZY, Ordering::AcqRel);
            self.count(Kind::Lazy, -(PAGES as i64));
            return LazyHuge::Kept;
        }
        if value & bits::ACCESSED != 0 && !force {
            locked.entry.fetch_and(!bits::ACCESSED, Ordering::AcqRel);
            return LazyHuge::Aged;
        }
        if locked.entry.compare_exchange(value, 0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return LazyHuge::Kept;
        }
        let kept = locked.take_kept();
        locked.table.entries().fetch_sub(1, Ordering::Relaxed);
        drop(locked);
        self.count_huge(-1, value);
        self.count(Kind::Lazy, -(PAGES as i64));
        // SAFETY: The table is empty; it was never in use.
        unsafe { quicklist::put(kept) };
        LazyHuge::Taken(first)
    }
}

/// Replaces `value`, which an entry had, by what `change` makes of it; what it was.
#[inline(always)]
pub(crate) fn exchange(entry: &AtomicU64, value: u64, change: impl Fn(u64) -> u64) -> u64 {
    let mut old = value;
    // The hardware may set marks meanwhile.
    while let Err(now) = entry.compare_exchange_weak(old, change(old), Ordering::AcqRel, Ordering::Relaxed) {
        old = now;
    }
    old
}

/// Whether the page of an entry may get the mark: not if somebody holds it who may write to it, nor if others may find it in swap space.
///
/// # Safety
/// The entry has a reference to a page, and stays.
#[inline(always)]
unsafe fn may_be_marked(value: u64) -> bool {
    // SAFETY: As the caller promises.
    let frame = unsafe { Frame::of_phys(value & bits::ADDR) };
    let flags = frame.flag_bits();
    if flags & PageFlags::ANON.0 == 0 {
        return false;
    }
    if flags & PageFlags::SWAP_CACHE.0 != 0 {
        // SAFETY: As the caller promises.
        return unsafe { leaves_cache(frame) };
    }
    // Who has another reference to what is the program's own is about to read or write it for the program.
    value & OWN == 0 || frame.ref_count() == 1
}

/// Takes a page out of the swap cache; whether it is nobody else's then.
///
/// # Safety
/// The frame has a reference, which stays.
#[cold]
#[inline(never)]
unsafe fn leaves_cache(frame: &'static Frame) -> bool {
    // SAFETY: As the caller promises; what is given up is what was taken here.
    unsafe {
        get_frame(frame);
        swap::put_cached(frame);
    }
    frame.flag_bits() & PageFlags::SWAP_CACHE.0 == 0 && frame.ref_count() == 1
}

/// [`PageTable::drop_lazy`] within one last-level table.
fn drop_in(
    table: &'static Frame,
    start: usize,
    stop: usize,
    budget: &mut usize,
    force: bool,
    gather: &mut Gather<'_>,
    dropped: &mut Dropped,
) -> usize {
    let _lock = TableLock::take(table);
    let entries = part(table, start, stop);
    let (mut left, mut cleared) = (false, 0);
    let mut at = start;
    for entry in entries {
        if *budget == 0 || gather.room() == 0 {
            break;
        }
        *budget -= 1;
        let (addr, value) = (at, entry.load(Ordering::Relaxed));
        at += PAGE_SIZE;
        if !is_marked(value) {
            continue;
        }
        dropped.seen += 1;
        // SAFETY: An entry that is not special holds a reference to a frame, and the lock keeps it there.
        let frame = unsafe { Frame::of_phys(value & bits::ADDR) };
        if value & bits::DIRTY != 0 || value & OWN != 0 && frame.ref_count() > 1 {
            // It was written, or somebody holds it.
            entry.fetch_and(!bits::LAZY, Ordering::AcqRel);
            gather.count_lazy(1);
        } else if value & bits::ACCESSED != 0 && !force {
            entry.fetch_and(!bits::ACCESSED, Ordering::AcqRel);
            gather.touched(addr);
            left = true;
        } else if entry.compare_exchange(value, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            cleared += 1;
            dropped.freed += usize::from(frame.ref_count() == 1);
            gather.touched(addr);
            gather.count_lazy(1);
            // SAFETY: The reference was the entry's, which is gone; the address was noted above.
            unsafe { gather.push(frame, Kind::Anon, frame.flag_bits()) };
        } else {
            // It is used just now.
            left = true;
        }
    }
    if cleared != 0 {
        table.entries().fetch_sub(cleared, Ordering::Relaxed);
        dropped.gone += cleared.unsigned_abs() as usize;
        stat::add(Item::PgLazyFreed, i64::from(cleared));
    }
    if !left && at == stop && entries.len() == PAGES {
        table.lazy().store(0, Ordering::Relaxed);
    }
    at
}
