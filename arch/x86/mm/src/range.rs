// SPDX-License-Identifier: GPL-2.0
//! Operations on ranges of user addresses: unmap, move, look at; and the end of an address space. Changes of entries that stay where
//! they are: `marks`.
//!
//! Pages and tables that are unmapped are gathered and freed after every CPU forgot them.

use crate::entry::{Entry, PROT_NONE};
use crate::huge::{self, Found, is_huge, is_table, is_whole};
use crate::swap::{self, SwapEntry};
use crate::table::{Counts, Kind, PageTable, Table, TableLock, entry_at, index, part, scan, table_at};
use crate::{quicklist, tlb};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use errno::Result;
use mm_alloc::huge::PAGES;
use mm_alloc::kpt::bits;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE, TASK_SIZE};
use mm_alloc::page::put_frame;
use mm_alloc::{Frame, PageFlags};

/// Pages gathered for one flush.
const BATCH: usize = 64;
/// Tables gathered for one flush.
const TABLES: usize = 16;

/// Unmapped pages and tables on their way to being freed.
struct Gather<'a> {
    table: &'a PageTable,
    start: usize,
    end: usize,
    /// The first `count` are set. (Not `Option`s: clearing them would cost more than a small unmap.)
    pages: [MaybeUninit<&'static Frame>; BATCH],
    count: usize,
    /// Which of `pages` are the first of 512 each, one bit for each.
    huge: u64,
    /// Unlinked table pages, cleared, freed after the flush; the first `table_count` are set.
    tables: [MaybeUninit<&'static Frame>; TABLES],
    table_count: usize,
    counts: Counts,
    /// Flags that any of the pages had.
    flags: u64,
}

impl<'a> Gather<'a> {
    fn new(table: &'a PageTable) -> Self {
        Self {
            table,
            start: usize::MAX,
            end: 0,
            pages: [const { MaybeUninit::uninit() }; BATCH],
            count: 0,
            huge: 0,
            tables: [const { MaybeUninit::uninit() }; TABLES],
            table_count: 0,
            counts: [0; 4],
            flags: 0,
        }
    }

    #[inline(always)]
    fn touched(&mut self, addr: usize) {
        self.start = self.start.min(addr);
        self.end = self.end.max(addr + PAGE_SIZE);
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.count == BATCH
    }

    /// Flushes, then frees what was gathered.
    fn finish(&mut self) {
        if self.end > self.start || self.table_count > 0 {
            // Without a page to forget, tables are still to be forgotten: everything.
            let (start, end) = if self.end > self.start { (self.start, self.end) } else { (0, TASK_SIZE) };
            tlb::flush_range(self.table, start, end, self.table_count > 0);
        }
        if self.huge != 0 {
            self.put_huge();
        }
        let cached = self.flags & PageFlags::SWAP_CACHE.0 != 0;
        for frame in self.pages.iter().take(self.count) {
            // SAFETY: The first `count` are set. The reference was the entry's, which is gone, and no CPU uses the translation
            // any more.
            unsafe { if cached { put_frame_of_any(frame.assume_init()) } else { put_frame(frame.assume_init()) } };
        }
        for frame in self.tables.iter().take(self.table_count) {
            // SAFETY: The first `table_count` are set. The table was unlinked, it is clear, and no CPU walks through it any more.
            unsafe { quicklist::put(frame.assume_init()) };
        }
        (self.start, self.end, self.count, self.table_count) = (usize::MAX, 0, 0, 0);
        self.flags = 0;
    }

    /// Gives the pages of huge mappings up, which are every CPU's past, and leaves the others.
    #[cold]
    fn put_huge(&mut self) {
        let mut kept = 0;
        for i in 0..self.count {
            // SAFETY: The first `count` are set.
            let frame = unsafe { self.pages[i].assume_init() };
            if self.huge & 1 << i != 0 {
                // SAFETY: It began a huge mapping, which is gone, and no CPU uses the translation any more.
                unsafe { huge::put_block(frame) };
            } else {
                self.pages[kept].write(frame);
                kept += 1;
            }
        }
        (self.count, self.huge) = (kept, 0);
    }

    /// Takes out the huge mapping at `addr`, if there is one; whether there is.
    fn take_huge(&mut self, addr: usize) -> bool {
        let Some(first) = self.table.take_huge(addr) else { return false };
        self.touched(addr);
        self.touched(addr + PMD_SIZE - PAGE_SIZE);
        self.counts[Kind::Anon as usize] -= PAGES as i64;
        self.huge |= 1 << self.count;
        self.pages[self.count].write(first);
        self.count += 1;
        if self.is_full() {
            self.finish();
        }
        true
    }
}

impl Drop for Gather<'_> {
    fn drop(&mut self) {
        self.finish();
        self.table.count_all(&self.counts);
    }
}

/// Page-aligned and inside the user half.
pub(crate) fn clamp(start: usize, end: usize) -> (usize, usize) {
    let end = end.min(TASK_SIZE) & !(PAGE_SIZE - 1);
    ((start & !(PAGE_SIZE - 1)).min(end), end)
}

#[inline(always)]
pub(crate) fn next_boundary(addr: usize, end: usize) -> usize {
    (addr & !(PMD_SIZE - 1)).saturating_add(PMD_SIZE).min(end)
}

impl PageTable {
    /// Calls `f` for each last-level table in `[start, end)` with the part of the range that it covers. Skips holes quickly. Huge
    /// mappings become tables.
    #[inline]
    pub(crate) fn for_each_table(&self, start: usize, end: usize, mut f: impl FnMut(&'static Frame, usize, usize)) {
        self.for_each_found(start, end, |found, at, stop| match found {
            Found::Table(frame) => {
                f(frame, at, stop);
                true
            }
            Found::Huge => false,
        });
    }

    /// As [`PageTable::for_each_table`], for who knows of huge mappings: `f` says false of one that is to become a table, for which it is
    /// called then. Of a table it says true.
    #[inline]
    pub(crate) fn for_each_found(&self, start: usize, end: usize, mut f: impl FnMut(Found, usize, usize) -> bool) {
        let mut at = start;
        while at < end {
            let stop = next_boundary(at, end);
            match self.look(at) {
                Ok(found) if f(found, at, stop) => at = stop,
                Ok(_) => self.split_huge(at),
                Err(skip) => at = skip.min(end),
            }
        }
    }

    /// What is at the place of the last-level table for `addr`, or where the hole that it is in ends.
    #[inline]
    pub(crate) fn look(&self, addr: usize) -> core::result::Result<Found, usize> {
        let mut table: &'static Table = self.root();
        for level in [3u32, 2, 1] {
            let entry = table[index(addr, level)].load(Ordering::Acquire);
            if level == 1 && is_table(entry) {
                // SAFETY: A present upper entry of ours leads to a table of ours, which is a frame of memory.
                return Ok(Found::Table(unsafe { Frame::of_phys(entry & bits::ADDR) }));
            }
            if level == 1 && is_huge(entry) {
                return Ok(Found::Huge);
            }
            if entry & bits::PRESENT == 0 {
                let size = 1usize << (12 + 9 * level);
                return Err((addr & !(size - 1)).saturating_add(size));
            }
            // SAFETY: As above.
            table = unsafe { table_at(entry & bits::ADDR) };
        }
        Err(usize::MAX)
    }

    /// Unmaps `[start, end)`. Tables that cover nothing but unmapped addresses of `[floor, ceiling)` (where the neighbours'
    /// mappings end and begin) are freed. The caller holds `mm`'s lock exclusively.
    pub fn unmap(&self, start: usize, end: usize, floor: usize, ceiling: usize) {
        let (start, end) = clamp(start, end);
        let mut gather = Gather::new(self);
        if self.zap(start, end, &mut gather, false) {
            self.free_tables(start, end, floor, ceiling, &mut gather);
        }
    }

    /// Unmaps pages but keeps the tables: `MADV_DONTNEED`. The caller holds `mm`'s lock, shared is enough.
    pub fn zap_range(&self, start: usize, end: usize) {
        let (start, end) = clamp(start, end);
        let mut gather = Gather::new(self);
        self.zap(start, end, &mut gather, false);
    }

    /// As [`PageTable::zap_range`] for callers without `mm`'s lock (truncation of a file). With `keep_private`, private copies
    /// stay. The pages that go were marked `TRUNCATED` before, so that no fault brings them back.
    pub fn zap_shared(&self, start: usize, end: usize, keep_private: bool) {
        let (start, end) = clamp(start, end);
        // The marks must be visible before we look whether tables are there: see `map`.
        fence(Ordering::SeqCst);
        let mut gather = Gather::new(self);
        let mut at = start;
        while at < end {
            // In parts, so that the lock is not held for long; flushing is done outside of it.
            let stop = (at & !(PMD_SIZE - 1)).saturating_add(PMD_SIZE).min(end);
            let mut from = at;
            while from < stop {
                let structure = self.structure.lock();
                from = match self.look(from) {
                    Ok(Found::Table(frame)) => self.zap_table(frame, from, stop, &mut gather, keep_private),
                    // No pages of files.
                    Ok(Found::Huge) => stop,
                    Err(skip) => skip.max(stop),
                };
                drop(structure);
                if gather.is_full() {
                    gather.finish();
                }
            }
            at = from.max(stop);
        }
    }

    /// Unmaps; returns whether there were any tables.
    fn zap(&self, start: usize, end: usize, gather: &mut Gather<'_>, keep_private: bool) -> bool {
        let mut any = false;
        self.for_each_found(start, end, |found, mut at, stop| {
            any = true;
            let Found::Table(frame) = found else { return is_whole(at, stop) && gather.take_huge(at) };
            while at < stop {
                at = self.zap_table(frame, at, stop, gather, keep_private);
                if gather.is_full() {
                    gather.finish();
                }
            }
            true
        });
        any
    }

    /// Unmaps within one table until `stop` or a full batch; returns where it stopped.
    #[inline]
    fn zap_table(
        &self,
        table: &'static Frame,
        start: usize,
        stop: usize,
        gather: &mut Gather<'_>,
        keep: bool,
    ) -> usize {
        // No more entries than the batch has room for.
        let stop = stop.min(start + (BATCH - gather.count) * PAGE_SIZE);
        let lock = TableLock::take(table);
        let mut cleared = 0;
        scan(part(table, start, stop), |i, entry, _| {
            if keep && is_private_copy(entry) {
                return;
            }
            // The hardware may set bits until the entry is gone.
            let old = entry.swap(0, Ordering::AcqRel);
            gather.touched(start + i * PAGE_SIZE);
            cleared += 1;
            if old & bits::SPECIAL != 0 {
                if let Some(entry) = SwapEntry::from_bits(old) {
                    swap::free(entry);
                    gather.counts[Kind::Swap as usize] -= 1;
                }
                return;
            }
            // SAFETY: An entry that is not special holds a reference to a frame, which is ours now.
            let frame = unsafe { Frame::of_phys(old & bits::ADDR) };
            let flags = frame.flag_bits();
            gather.flags |= flags;
            let kind = Kind::from_flags(flags);
            note_dirty(frame, kind, old);
            gather.counts[kind as usize] -= 1;
            gather.pages[gather.count].write(frame);
            gather.count += 1;
        });
        if cleared != 0 {
            table.entries().fetch_sub(cleared, Ordering::Relaxed);
        }
        drop(lock);
        stop
    }

    /// Frees tables whose whole span lies in `[floor, ceiling)` and that `[start, end)` touches.
    fn free_tables(&self, start: usize, end: usize, floor: usize, ceiling: usize, gather: &mut Gather<'_>) {
        for level in [1u32, 2, 3] {
            let span = 1usize << (12 + 9 * level);
            let mut at = start & !(span - 1);
            while at < end {
                let next = at.saturating_add(span);
                if at >= floor && next <= ceiling {
                    self.free_table(at, level, gather);
                }
                if next >= end {
                    break;
                }
                at = self.skip_hole(at, level, next);
            }
        }
    }

    /// Where the next entry of `level` can be: past the hole above, if there is one.
    fn skip_hole(&self, at: usize, level: u32, next: usize) -> usize {
        let mut table: &'static Table = self.root();
        for upper in (level + 1..=3).rev() {
            let entry = table[index(at, upper)].load(Ordering::Acquire);
            if entry & bits::PRESENT == 0 {
                let size = 1usize << (12 + 9 * upper);
                return (at & !(size - 1)).saturating_add(size);
            }
            // SAFETY: A present upper entry of ours leads to a table of ours.
            table = unsafe { table_at(entry & bits::ADDR) };
        }
        next
    }

    /// Unlinks the table under the entry of `level` for `at`, if it is empty.
    fn free_table(&self, at: usize, level: u32, gather: &mut Gather<'_>) {
        let structure = self.structure.lock();
        let unlinked = self.unlink(at, level);
        drop(structure);
        let Some(frame) = unlinked else { return };
        if gather.table_count == TABLES {
            gather.finish();
        }
        gather.tables[gather.table_count].write(frame);
        gather.table_count += 1;
    }

    /// Takes the table under the entry of `level` for `at` out of its parent, if it is there and empty.
    fn unlink(&self, at: usize, level: u32) -> Option<&'static Frame> {
        let mut parent = self.pgd;
        for upper in (level + 1..=3).rev() {
            // SAFETY: A table of ours.
            let value = unsafe { table_at(parent.phys()) }[index(at, upper)].load(Ordering::Acquire);
            if value & bits::PRESENT == 0 {
                return None;
            }
            // SAFETY: A present upper entry of ours leads to a table of ours, which is a frame of memory.
            parent = unsafe { Frame::of_phys(value & bits::ADDR) };
        }
        // SAFETY: A table of ours.
        let entry = &unsafe { table_at(parent.phys()) }[index(at, level)];
        let value = entry.load(Ordering::Acquire);
        if value & bits::PRESENT == 0 || level == 1 && is_huge(value) {
            return None;
        }
        // SAFETY: As above.
        let frame = unsafe { Frame::of_phys(value & bits::ADDR) };
        if frame.entries().load(Ordering::Acquire) != 0 {
            return None;
        }
        entry.store(0, Ordering::Release);
        parent.entries().fetch_sub(1, Ordering::Relaxed);
        self.tables.fetch_sub(1, Ordering::Relaxed);
        Some(frame)
    }

    /// Moves what is mapped in `[old, old + len)` to `new`, where nothing is mapped and which does not overlap. On ENOMEM the
    /// pages before the failure are at their new place; the caller moves them back.
    pub fn move_range(&self, old: usize, new: usize, len: usize) -> Result {
        let mut done = 0;
        let mut result = Ok(());
        while done < len {
            let (from, to) = (old + done, new + done);
            let step = (next_boundary(from, old + len) - from).min(next_boundary(to, new + len) - to);
            match self.move_huge(from, to, step) {
                Ok(false) => {}
                Ok(true) => {
                    done += step;
                    continue;
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            if let Some(source) = self.walk(from) {
                match self.make(to) {
                    Ok(target) => move_entries(source, from, target, to, step / PAGE_SIZE),
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
            done += step;
        }
        if done > 0 {
            tlb::flush_range(self, old, old + done, false);
        }
        result
    }

    /// Calls `f` with address and entry for each page mapped in `[start, end)`.
    pub fn for_each_entry(&self, start: usize, end: usize, mut f: impl FnMut(usize, Entry, Option<&'static Frame>)) {
        let (start, end) = clamp(start, end);
        self.for_each_found(start, end, |found, at, stop| {
            let Found::Table(table) = found else { return self.each_in_huge(at, stop, &mut f) };
            // SAFETY: A last-level table of ours.
            let entries = unsafe { table_at(table.phys()) };
            let _lock = TableLock::take(table);
            let part = entries.iter().skip(index(at, 0)).take((stop - at) / PAGE_SIZE);
            for (i, entry) in part.enumerate() {
                let value = entry.load(Ordering::Relaxed);
                if value != 0 {
                    // SAFETY: An entry that is not special holds a reference to a frame.
                    let frame = (value & bits::SPECIAL == 0).then(|| unsafe { Frame::of_phys(value & bits::ADDR) });
                    f(at + i * PAGE_SIZE, Entry(value), frame);
                }
            }
            true
        });
    }

    /// Frees what is mapped in `ranges` (ascending; all that is mapped as a rule) with its tables. Nobody else has this table, and
    /// no task runs in it; CPUs that have it loaded lazily let go first. Cheaper than leaving all to the drop.
    pub fn teardown(&mut self, ranges: impl Iterator<Item = (usize, usize)> + Clone) {
        tlb::leave_everywhere(self);
        let mut counts: Counts = [0; 4];
        if *self.tables.get_mut() == 0 {
            return;
        }
        for (start, end) in ranges.clone() {
            let (start, end) = clamp(start, end);
            self.for_each_found(start, end, |found, at, stop| {
                let Found::Table(table) = found else {
                    return is_whole(at, stop) && self.free_huge(at, &mut counts);
                };
                table.entries().fetch_sub(free_entries(part(table, at, stop), &mut counts), Ordering::Relaxed);
                true
            });
        }
        self.count_all(&counts);
        for level in [1u32, 2, 3] {
            let span = 1usize << (12 + 9 * level);
            let mut done = 0;
            if *self.tables.get_mut() == 0 {
                break;
            }
            for (start, end) in ranges.clone() {
                let (start, end) = clamp(start, end);
                let mut at = (start & !(span - 1)).max(done);
                while at < end {
                    if let Some(frame) = self.unlink(at, level) {
                        // SAFETY: Unlinked and empty, and no CPU has the address space loaded.
                        unsafe { quicklist::put(frame) };
                    }
                    at = self.skip_hole(at, level, at.saturating_add(span));
                }
                done = done.max(at);
            }
        }
    }

    /// Frees whatever is left.
    fn free_all(&mut self) {
        let mut counts: Counts = [0; 4];
        let root = self.root();
        for entry in root.iter().take(256) {
            free_level(entry, 2, &mut counts);
        }
        self.count_all(&counts);
    }
}

/// Empties the table under `entry` and below, and frees it. `level` is the table's own (0 = last).
fn free_level(entry: &AtomicU64, level: u32, counts: &mut Counts) {
    let value = entry.load(Ordering::Relaxed);
    if level == 0 && is_huge(value) {
        entry.store(0, Ordering::Relaxed);
        // SAFETY: The address space is being freed, and the entry is clear.
        return unsafe { huge::free_entry(value, counts) };
    }
    if value & bits::PRESENT == 0 {
        return;
    }
    entry.store(0, Ordering::Relaxed);
    // SAFETY: A present upper entry leads to a table of this address space, which nobody uses any more.
    let (table, frame) = unsafe { (table_at(value & bits::ADDR), Frame::of_phys(value & bits::ADDR)) };
    if level > 0 {
        for entry in table {
            free_level(entry, level - 1, counts);
        }
        while let Some(kept) = (level == 1).then(|| huge::take_kept(frame)).flatten() {
            // SAFETY: The table is empty; it was never in use.
            unsafe { quicklist::put(kept) };
        }
    } else {
        let _ = free_entries(table, counts);
    }
    // SAFETY: The table is empty now and was unlinked above.
    unsafe { quicklist::put(frame) };
}

/// Clears entries that no CPU uses any more and frees their pages; returns how many there were.
#[inline(always)]
fn free_entries(entries: &'static [AtomicU64], counts: &mut Counts) -> i32 {
    let mut cleared = 0;
    scan(entries, |_, entry, value| {
        entry.store(0, Ordering::Relaxed);
        cleared += 1;
        if value & bits::SPECIAL != 0 {
            return freed_special(value, counts);
        }
        // SAFETY: An entry that is not special holds a reference to a frame, which is given up with it; no CPU has it cached
        // for this context, which is never used again.
        unsafe {
            let frame = Frame::of_phys(value & bits::ADDR);
            let flags = frame.flag_bits();
            if flags & (PageFlags::ANON.0 | PageFlags::SWAP_CACHE.0) == PageFlags::ANON.0 {
                counts[Kind::Anon as usize] -= 1;
                put_frame(frame);
            } else {
                let kind = Kind::from_flags(flags);
                note_dirty(frame, kind, value);
                counts[kind as usize] -= 1;
                put_frame_of_any(frame);
            }
        }
    });
    cleared
}

/// Counts a cleared entry that had no page.
#[cold]
#[inline(never)]
fn freed_special(value: u64, counts: &mut Counts) {
    if let Some(entry) = SwapEntry::from_bits(value) {
        swap::free(entry);
        counts[Kind::Swap as usize] -= 1;
    }
}

fn is_private_copy(entry: &AtomicU64) -> bool {
    let value = entry.load(Ordering::Relaxed);
    if value & bits::SPECIAL != 0 {
        return SwapEntry::from_bits(value).is_some();
    }
    // SAFETY: Called under the table's lock for an entry that is not 0: unless special it holds a reference to a frame.
    Kind::of(unsafe { Frame::of_phys(value & bits::ADDR) }) == Kind::Anon
}

/// Gives up an entry's reference to a page that may be in the swap cache.
///
/// # Safety
/// The caller owns a reference to the frame and does not use it afterwards.
#[inline(always)]
pub(crate) unsafe fn put_frame_of_any(frame: &'static Frame) {
    if frame.flag_bits() & PageFlags::SWAP_CACHE.0 != 0 {
        // SAFETY: As the caller promises.
        unsafe { swap::put_cached(frame) };
    } else {
        // SAFETY: As the caller promises.
        unsafe { put_frame(frame) };
    }
}

/// The hardware's dirty bit becomes the page's when an entry goes away.
#[inline(always)]
pub(crate) fn note_dirty(frame: &'static Frame, kind: Kind, value: u64) {
    if kind == Kind::File && value & bits::DIRTY != 0 {
        frame.set_flag(PageFlags::DIRTY);
    }
}

fn move_entries(source: &'static Frame, from: usize, target: &'static Frame, to: usize, count: usize) {
    for i in 0..count {
        let (from, to) = (from + i * PAGE_SIZE, to + i * PAGE_SIZE);
        let value = {
            let _lock = TableLock::take(source);
            entry_at(source, from).swap(0, Ordering::AcqRel)
        };
        if value != 0 {
            source.entries().fetch_sub(1, Ordering::Relaxed);
            target.entries().fetch_add(1, Ordering::Relaxed);
            let _lock = TableLock::take(target);
            entry_at(target, to).store(value, Ordering::Release);
        }
    }
}

const _: () = assert!(PROT_NONE != bits::PRESENT);

impl Drop for PageTable {
    fn drop(&mut self) {
        tlb::leave_everywhere(self);
        // Nothing, if `teardown` was told of all that was mapped.
        if *self.tables.get_mut() != 0 {
            self.free_all();
        }
        // SAFETY: The user half is empty, and no CPU has the table loaded.
        unsafe { quicklist::put_root(self.pgd) };
    }
}
