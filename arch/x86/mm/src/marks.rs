// SPDX-License-Identifier: GPL-2.0
//! Changes of the entries of a range that stay where they are: what the program may do, and the hardware's marks of use and of writing.

use crate::huge::{Found, is_whole};
use crate::lazy::{exchange, is_marked, is_volatile};
use crate::range::{clamp, note_dirty};
use crate::table::{Kind, PageTable, TableLock, entry_at, index, part, scan, table_at};
use crate::tlb;
use core::sync::atomic::Ordering;
use mm_alloc::Frame;
use mm_alloc::kpt::bits;
use mm_alloc::layout::PAGE_SIZE;
use x86_pte::{PROT_NONE, UserProt};

impl PageTable {
    /// Changes what the program may do with the pages in `[start, end)`. Private pages that may be shared stay read-only, so that
    /// a write copies them; so do, with `track_dirty`, clean pages of files.
    pub fn protect(&self, start: usize, end: usize, prot: UserProt, keep_read_only: bool) {
        let (start, end) = clamp(start, end);
        let mut flush = (usize::MAX, 0usize);
        self.for_each_found(start, end, |found, at, stop| {
            let Found::Table(table) = found else {
                let mut forget = false;
                let change = |old| protected(old, prot, keep_read_only);
                let done = is_whole(at, stop) && self.change_huge(at, change, &mut forget);
                if forget {
                    flush = (flush.0.min(at), flush.1.max(stop));
                }
                return done;
            };
            // SAFETY: A last-level table of ours.
            let entries = unsafe { table_at(table.phys()) };
            let _lock = TableLock::take(table);
            let part = entries.iter().skip(index(at, 0)).take((stop - at) / PAGE_SIZE);
            for (i, entry) in part.enumerate() {
                let old = entry.load(Ordering::Relaxed);
                if old & (bits::PRESENT | PROT_NONE) == 0 {
                    // Nothing, or in swap space: what comes back gets its rights from its mapping.
                    continue;
                }
                let change = |old| protected(old, prot, keep_read_only);
                let exchanged = is_volatile(old);
                let old = if exchanged { exchange(entry, old, change) } else { old };
                let new = change(old);
                if is_marked(old) && !is_marked(new) {
                    self.count(Kind::Lazy, -1);
                }
                if old & bits::DIRTY != 0 && old & bits::SPECIAL == 0 && new & bits::DIRTY == 0 {
                    // SAFETY: An entry that is not special holds a reference to a frame.
                    let frame = unsafe { Frame::of_phys(old & bits::ADDR) };
                    note_dirty(frame, Kind::of(frame), old);
                }
                if new != old {
                    if !exchanged {
                        entry.store(new, Ordering::Release);
                    }
                    let addr = at + i * PAGE_SIZE;
                    if old & bits::PRESENT != 0 {
                        flush = (flush.0.min(addr), flush.1.max(addr + PAGE_SIZE));
                    }
                }
            }
            true
        });
        if flush.0 < flush.1 {
            tlb::flush_range(self, flush.0, flush.1, false);
        }
    }

    /// Clears the accessed bits in `[start, end)`, and makes every CPU notice. The caller holds `mm`'s lock, shared is enough.
    pub fn clear_accessed(&self, start: usize, end: usize) {
        let (start, end) = clamp(start, end);
        let mut cleared = false;
        self.for_each_found(start, end, |found, at, stop| {
            let Found::Table(table) = found else {
                let used = if is_whole(at, stop) { self.clear_accessed_huge(at) } else { None };
                cleared |= used == Some(true);
                return used.is_some();
            };
            let _lock = TableLock::take(table);
            scan(part(table, at, stop), |_, entry, value| {
                if value & bits::SPECIAL == 0 && value & bits::ACCESSED != 0 {
                    entry.fetch_and(!bits::ACCESSED, Ordering::AcqRel);
                    cleared = true;
                }
            });
            true
        });
        if cleared {
            tlb::flush_range(self, start, end, false);
        }
    }

    /// Forgets that the page at `addr` was used; whether it was. For callers without `mm`'s lock.
    pub fn clear_accessed_shared(&self, addr: usize) -> bool {
        let structure = self.structure.lock();
        let used = self.walk_shared(addr).is_some_and(|table| {
            let _lock = TableLock::take(table);
            let entry = entry_at(table, addr);
            let value = entry.load(Ordering::Relaxed);
            let used = value & bits::SPECIAL == 0 && value & bits::ACCESSED != 0;
            if used {
                entry.fetch_and(!bits::ACCESSED, Ordering::AcqRel);
            }
            used
        });
        drop(structure);
        if used {
            tlb::flush_range(self, addr, addr + PAGE_SIZE, false);
        }
        used
    }

    /// Takes write access from shared pages of a file, so that the next write is noticed; returns nothing, but dirty pages are
    /// marked in their flags (`msync`, write-back).
    pub fn clean(&self, start: usize, end: usize) {
        let (start, end) = clamp(start, end);
        let mut cleaned = false;
        let structure = self.structure.lock();
        self.for_each_found(start, end, |found, at, stop| {
            // Huge mappings have no pages of files.
            let Found::Table(table) = found else { return true };
            // SAFETY: A last-level table of ours.
            let entries = unsafe { table_at(table.phys()) };
            let _lock = TableLock::take(table);
            for entry in entries.iter().skip(index(at, 0)).take((stop - at) / PAGE_SIZE) {
                let old = entry.load(Ordering::Relaxed);
                if old & bits::SPECIAL != 0 || old & (bits::WRITE | bits::DIRTY) == 0 {
                    continue;
                }
                // SAFETY: An entry that is not special holds a reference to a frame.
                let frame = unsafe { Frame::of_phys(old & bits::ADDR) };
                if Kind::of(frame) != Kind::Anon {
                    let old = entry.fetch_and(!(bits::WRITE | bits::DIRTY), Ordering::AcqRel);
                    if old & bits::DIRTY != 0 {
                        entry.fetch_or(bits::SOFT_DIRTY, Ordering::AcqRel);
                    }
                    note_dirty(frame, Kind::of(frame), old);
                    cleaned = true;
                }
            }
            true
        });
        drop(structure);
        if cleaned {
            tlb::flush_range(self, start, end, false);
        }
    }

    /// Forgets that pages in `[start, end)` were written, and takes write access away so that the next write is noticed. The caller
    /// holds `mm`'s lock exclusively.
    pub fn clear_soft_dirty(&self, start: usize, end: usize) {
        const WRITTEN: u64 = bits::WRITE | bits::DIRTY | bits::SOFT_DIRTY;
        let (start, end) = clamp(start, end);
        let mut cleared = false;
        self.for_each_found(start, end, |found, at, stop| {
            // Nobody can have written to zeros; what else is huge becomes pages.
            let Found::Table(table) = found else { return self.has_huge_zeros(at) };
            let _lock = TableLock::take(table);
            scan(part(table, at, stop), |_, entry, value| {
                if value & bits::SPECIAL != 0 {
                    if value & bits::SOFT_DIRTY != 0 {
                        // In swap space; no processor looks at it.
                        entry.fetch_and(!bits::SOFT_DIRTY, Ordering::AcqRel);
                    }
                    return;
                }
                if value & WRITTEN == 0 {
                    return;
                }
                let old = entry.fetch_and(!WRITTEN, Ordering::AcqRel);
                if is_marked(old) && old & bits::DIRTY != 0 {
                    // Else that it was written would not be known any more.
                    entry.fetch_and(!bits::LAZY, Ordering::AcqRel);
                    self.count(Kind::Lazy, -1);
                }
                if old & bits::WRITE != 0 {
                    entry.fetch_or(bits::OWN, Ordering::AcqRel);
                }
                // SAFETY: An entry that is not special holds a reference to a frame.
                let frame = unsafe { Frame::of_phys(old & bits::ADDR) };
                note_dirty(frame, Kind::of(frame), old);
                cleared = true;
            });
            true
        });
        if cleared {
            tlb::flush_range(self, start, end, false);
        }
    }
}

/// What an entry that maps something, `old`, becomes with the rights `prot`: see [`PageTable::protect`]. What could be written is nobody
/// else's, and stays so: were it copied later, who holds the page for a transfer would have another than the program.
#[inline(always)]
fn protected(old: u64, prot: UserProt, keep_read_only: bool) -> u64 {
    let mut new = old & (bits::ADDR | bits::SPECIAL | bits::PCD | bits::PWT) | prot.bits();
    let was_writable = old & (bits::PRESENT | bits::WRITE) == bits::PRESENT | bits::WRITE;
    if !was_writable && (keep_read_only || old & bits::SPECIAL != 0) {
        new &= !(bits::WRITE | bits::DIRTY);
    }
    if (was_writable || old & bits::OWN != 0) && old & bits::SPECIAL == 0 && new & bits::WRITE == 0 {
        new |= bits::OWN;
    }
    new |= old & bits::DIRTY & if new & bits::PRESENT != 0 { u64::MAX } else { 0 };
    if old & (bits::DIRTY | bits::SOFT_DIRTY) != 0 && new & bits::DIRTY == 0 {
        new |= bits::SOFT_DIRTY;
    }
    if old & (bits::LAZY | bits::DIRTY | bits::SPECIAL) == bits::LAZY {
        // It is not needed whatever may be done with it.
        new = new & !(bits::DIRTY | bits::ACCESSED) | old & (bits::ACCESSED | bits::SOFT_DIRTY) | bits::LAZY;
    }
    new
}
