// SPDX-License-Identifier: GPL-2.0
//! Putting pages together into a huge mapping: the one way from a table to a huge entry. Nobody else walks to last-level tables
//! meanwhile: the caller has `mm`'s lock exclusively, and walkers without it hold `structure`.

use crate::huge::{BUSY, Found, huge_slot, keep};
use crate::lazy::is_marked;
use crate::swap::SwapEntry;
use crate::table::{Kind, PageTable, TableLock, table_at, zero_page};
use crate::tlb;
use core::sync::atomic::Ordering;
use mm_alloc::huge::{Block, PAGES};
use mm_alloc::kpt::bits;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
use mm_alloc::{Frame, Page, PageFlags};
use x86_pte::{OWN, UserProt};

pub use x86_pte::{Census, Joined};

/// Counts an entry; its frame is kept there by the table's lock.
fn count(census: &mut Census, value: u64) {
    if value == 0 || value & bits::SPECIAL != 0 && value & bits::ADDR == zero_page().phys() {
        census.none += 1;
        return;
    }
    if SwapEntry::from_bits(value).is_some() {
        census.swapped += 1;
        return;
    }
    if value & bits::PRESENT == 0 || value & bits::SPECIAL != 0 {
        census.unfit += 1;
        return;
    }
    // SAFETY: An entry that is not special holds a reference to a frame, and the lock keeps it there.
    let frame = unsafe { Frame::of_phys(value & bits::ADDR) };
    let flags = frame.flag_bits();
    // The swap cache and its list have references that are nobody's use.
    let others = u32::from(flags & PageFlags::SWAP_CACHE.0 != 0) + u32::from(flags & PageFlags::LRU.0 != 0);
    let alone = frame.ref_count().saturating_sub(others) <= 1;
    let writable = value & OWN != 0;
    census.unfit += usize::from(Kind::from_flags(flags) != Kind::Anon);
    census.busy += usize::from(!alone && writable);
    census.shared += usize::from(!alone && !writable);
    census.writable += usize::from(writable);
    census.used += usize::from(value & bits::ACCESSED != 0);
}

impl PageTable {
    /// Counts what the last-level table for `at` has; `None` if there is none. The caller holds `mm`'s lock, shared is enough.
    pub fn census(&self, at: usize) -> Option<Census> {
        let Ok(Found::Table(table)) = self.look(at) else { return None };
        let mut census = Census::default();
        let _lock = TableLock::take(table);
        // SAFETY: A last-level table of ours.
        for entry in unsafe { table_at(table.phys()) } {
            count(&mut census, entry.load(Ordering::Relaxed));
        }
        Some(census)
    }

    /// Copies the pages of the 2 MB at `at`, an aligned address, to `block` and maps that with the rights `prot` in their place.
    /// The caller holds `mm`'s lock exclusively, and all of it is in one mapping of private memory. May sleep.
    pub fn join_huge(&self, at: usize, block: Block, prot: UserProt) -> Joined {
        let table = match self.look(at) {
            Ok(Found::Table(table)) => table,
            Ok(Found::Huge) => return Joined::Done,
            Err(_) => return Joined::Unfit,
        };
        let Some(above) = self.table_above(at) else { return Joined::Unfit };
        let found = joinable(table);
        if found != Joined::Done {
            return found;
        }
        let structure = self.structure.lock();
        huge_slot(above, at).store(BUSY, Ordering::Release);
        drop(structure);
        // From here on a program that comes faults, and waits for `mm`'s lock.
        tlb::flush_range(self, at, at + PMD_SIZE, true);
        let (mut pages, mut lazy) = (0, 0);
        // SAFETY: A last-level table of ours.
        for (i, entry) in unsafe { table_at(table.phys()) }.iter().enumerate() {
            let old = entry.swap(0, Ordering::Relaxed);
            if old == 0 || old & bits::SPECIAL != 0 {
                continue;
            }
            // SAFETY: The entry's reference is ours now, and no CPU uses the translation any more.
            let page = unsafe { Page::from_frame(Frame::of_phys(old & bits::ADDR)) };
            block.copy_in(i, &page);
            pages += 1;
            lazy += i64::from(is_marked(old));
        }
        table.entries().store(0, Ordering::Relaxed);
        self.count(Kind::Anon, (PAGES - pages) as i64);
        if lazy != 0 {
            // Together they are needed again.
            self.count(Kind::Lazy, -lazy);
        }
        let lock = TableLock::take(above);
        // The empty table is kept for a split.
        keep(above, table);
        self.count_joined();
        huge_slot(above, at).store(block.into_first().phys() | prot.bits() | bits::HUGE, Ordering::Release);
        drop(lock);
        Joined::Done
    }
}

/// Whether the pages of a table can be put together ([`Joined::Done`]).
fn joinable(table: &'static Frame) -> Joined {
    let _lock = TableLock::take(table);
    let (mut writable, mut busy) = (false, false);
    // SAFETY: A last-level table of ours.
    for entry in unsafe { table_at(table.phys()) } {
        let value = entry.load(Ordering::Relaxed);
        if value == 0 || value & bits::SPECIAL != 0 && value & bits::ADDR == zero_page().phys() {
            continue;
        }
        if value & bits::PRESENT == 0 || value & bits::SPECIAL != 0 {
            return Joined::Unfit;
        }
        // SAFETY: An entry that is not special holds a reference to a frame, and the lock keeps it there.
        let frame = unsafe { Frame::of_phys(value & bits::ADDR) };
        if Kind::of(frame) != Kind::Anon {
            return Joined::Unfit;
        }
        // Shared with another process, in the swap cache, held for a transfer.
        busy |= frame.ref_count() != 1;
        writable |= value & bits::WRITE != 0;
    }
    match (writable, busy) {
        (_, true) => Joined::Busy,
        (true, false) => Joined::Done,
        (false, false) => Joined::Unfit,
    }
}

const _: () = assert!(PAGES * PAGE_SIZE == PMD_SIZE);
