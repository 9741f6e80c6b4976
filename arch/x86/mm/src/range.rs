// SPDX-License-Identifier: GPL-2.0
//! Operations on ranges of user addresses: walk, unmap, move, look at. Changes of entries that stay where they are: `marks`.
//!
//! Pages and tables that are unmapped are gathered (`gather`) and freed after every CPU forgot them; which tables go: `free`.

use crate::gather::Gather;
use crate::huge::{Found, is_huge, is_table, is_whole};
use crate::lazy::is_marked;
use crate::swap::{self, SwapEntry};
use crate::table::{Kind, PageTable, Table, TableLock, entry_at, index, part, scan, table_at};
use crate::tlb;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use errno::Result;
use mm_alloc::kpt::bits;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE, TASK_SIZE};
use mm_alloc::page::put_frame;
use mm_alloc::{Frame, PageFlags};
use x86_pte::Entry;

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
    /// Calls `f` for each last-level table and each huge mapping in `[start, end)` with the part of the range that it covers. Skips holes
    /// quickly. `f` says false of a huge mapping that is to become a table, for which it is called then. Of a table it says true.
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
    /// mappings end and begin) are freed: none that a fault in another mapping can walk to. The caller holds `mm`'s lock exclusively.
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
                if gather.room() == 0 {
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
                if gather.room() == 0 {
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
        let stop = stop.min(start + gather.room() * PAGE_SIZE);
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
            if old & (bits::SPECIAL | bits::LAZY) != 0 {
                if is_marked(old) {
                    gather.count_lazy(1);
                } else {
                    if let Some(entry) = SwapEntry::from_bits(old) {
                        swap::free(entry);
                        gather.count_swapped();
                    }
                    return;
                }
            }
            // SAFETY: An entry that is not special holds a reference to a frame, which is ours now.
            let frame = unsafe { Frame::of_phys(old & bits::ADDR) };
            let flags = frame.flag_bits();
            let kind = Kind::from_flags(flags);
            note_dirty(frame, kind, old);
            // SAFETY: The reference was the entry's, which is gone; the address was noted above.
            unsafe { gather.push(frame, kind, flags) };
        });
        if cleared != 0 {
            table.entries().fetch_sub(cleared, Ordering::Relaxed);
        }
        drop(lock);
        stop
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
                    f(at + i * PAGE_SIZE, Entry::new(value), frame);
                }
            }
            true
        });
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
            if is_marked(value) {
                target.lazy().store(1, Ordering::Relaxed);
            }
        }
    }
}
