// SPDX-License-Identifier: GPL-2.0
//! Freeing page tables: those that have nothing left, after an unmap, and all of them, with what they map, at the end of an address space.

use crate::gather::Gather;
use crate::huge::{self, Found, is_huge, is_whole};
use crate::range::{clamp, note_dirty, put_frame_of_any};
use crate::swap::{self, SwapEntry};
use crate::table::{Counts, Kind, PageTable, Table, index, part, scan, table_at};
use crate::{quicklist, tlb};
use core::sync::atomic::{AtomicU64, Ordering};
use mm_alloc::kpt::bits;
use mm_alloc::page::put_frame;
use mm_alloc::{Frame, PageFlags};

impl PageTable {
    /// Frees tables whose whole span lies in `[floor, ceiling)` and that `[start, end)` touches.
    pub(crate) fn free_tables(&self, start: usize, end: usize, floor: usize, ceiling: usize, gather: &mut Gather<'_>) {
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
        // SAFETY: Unlinked just now, and empty.
        unsafe { gather.push_table(frame) };
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

    /// Frees what is mapped in `ranges` (ascending; all that is mapped as a rule) with its tables. Nobody else has this table, and
    /// no task runs in it; CPUs that have it loaded lazily let go first. Cheaper than leaving all to the drop.
    pub fn teardown(&mut self, ranges: impl Iterator<Item = (usize, usize)> + Clone) {
        tlb::leave_everywhere(self);
        let mut counts: Counts = [0; 5];
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
        let mut counts: Counts = [0; 5];
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
        if value & (bits::SPECIAL | bits::LAZY) != 0 {
            if value & bits::SPECIAL != 0 {
                return freed_special(value, counts);
            }
            counts[Kind::Lazy as usize] -= 1;
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
