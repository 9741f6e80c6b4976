// SPDX-License-Identifier: GPL-2.0
//! Huge mappings of private memory: an entry one level above the last that maps 2 MB at once. Its 512 pages are counted one by
//! one ([`mm_alloc::huge`]), so the same memory can be mapped by a table of 512 entries with the same rights at any time. Whoever
//! walks to a last-level table ([`PageTable::walk`] and all above it) finds one: a huge mapping in the way is split first. Only
//! what is here, and what asks for [`Found::Huge`], knows of them.
//!
//! States of an entry of level 1: 0; a table (`PRESENT` without `HUGE`); a huge mapping (`HUGE`, with `PRESENT` or `PROT_NONE`);
//! [`BUSY`] while a mapping is split or put together. From 0 an entry becomes a table or a huge mapping, from that 0 or a table;
//! a table stays, but for [`PageTable::join_huge`].
//!
//! A huge mapping of zeros (`HUGE` and `SPECIAL`) has no pages of its own and cannot be written: all are of one block, which stays once it
//! was wanted. A write splits it, and finds the page of zeros.
//!
//! For each huge entry the table that has it keeps an empty last-level table (`Frame::kept`), so that a split cannot fail.
//!
//! Locks: huge entries change under the lock of their table (as a last-level table's, taken before those). TLBs are flushed under
//! it while a mapping is split: interrupts are on wherever tables are walked.

use crate::lazy::{exchange, is_marked};
use crate::range::put_frame_of_any;
use crate::table::{Counts, Kind, PageTable, Table, TableLock, check, index, slot, table_at, zero_page};
use crate::{quicklist, tlb};
use core::sync::atomic::{AtomicU64, Ordering};
use errno::Result;
use kalloc::flags::GFP_HIGHUSER_MOVABLE;
use locking::SetOnce;
use mm_alloc::huge::{Block, PAGES};
use mm_alloc::kpt::bits;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
use mm_alloc::page::get_frame;
use mm_alloc::stat::{self, Item};
use mm_alloc::{Frame, Page, PageFlags};
use x86_pte::huge::is_zeros;
use x86_pte::{Entry, OWN, UserProt};

pub(crate) use x86_pte::huge::{BUSY, is_huge, is_table, is_whole};
pub use x86_pte::huge::{ENABLED, Room};

/// The block of all huge mappings of zeros.
static ZEROS: SetOnce<Block> = SetOnce::new();

/// The block of zeros, allocated when it is first wanted; `None` without one. May sleep.
pub fn zeros() -> Option<&'static Block> {
    if let Some(block) = ZEROS.get() {
        return Some(block);
    }
    let Some(block) = Block::alloc_zeroed(GFP_HIGHUSER_MOVABLE) else {
        stat::add(Item::ThpZeroAllocFailed, 1);
        return None;
    };
    stat::add(Item::ThpZeroAlloc, 1);
    // Should another be first, this one goes back.
    let _ = ZEROS.set(block);
    ZEROS.get()
}

/// The entry of a table of single pages for `addr`, as the huge mapping `value` would have it.
#[inline(always)]
fn small(value: u64, addr: usize) -> u64 {
    (value & !bits::HUGE) + (index(addr, 0) * PAGE_SIZE) as u64
}

/// As [`small`], for a table that is put in the place of the mapping: there zeros are the page of zeros.
#[inline(always)]
fn split_off(value: u64, addr: usize) -> u64 {
    if is_zeros(value) { value & !(bits::HUGE | bits::ADDR) | zero_page().phys() } else { small(value, addr) }
}

/// What is at the place of a last-level table.
#[derive(Clone, Copy)]
pub(crate) enum Found {
    /// A table.
    Table(&'static Frame),
    /// A huge mapping.
    Huge,
}

/// A huge mapping with its lock held.
pub(crate) struct Locked {
    /// The table that has the entry.
    pub(crate) table: &'static Frame,
    pub(crate) entry: &'static AtomicU64,
    _lock: TableLock,
}

impl Locked {
    pub(crate) fn value(&self) -> u64 {
        self.entry.load(Ordering::Relaxed)
    }

    fn is_zeros(&self) -> bool {
        is_zeros(self.value())
    }

    /// The frame of `addr`. Of zeros it is nobody's.
    pub(crate) fn frame(&self, addr: usize) -> &'static Frame {
        // SAFETY: A huge entry holds references to its 512 frames, and the lock keeps it.
        unsafe { Frame::of_phys(small(self.value(), addr) & bits::ADDR) }
    }

    /// The table that was kept for the mapping.
    pub(crate) fn take_kept(&self) -> &'static Frame {
        match take_kept(self.table) {
            Some(frame) => frame,
            None => none_kept(),
        }
    }
}

/// Keeps an empty table for a huge entry of `table`, whose lock is held.
pub(crate) fn keep(table: &'static Frame, frame: &'static Frame) {
    frame.kept().store(table.kept().load(Ordering::Relaxed), Ordering::Relaxed);
    table.kept().store(frame.phys() as usize, Ordering::Relaxed);
}

/// Takes a table back that was kept for a huge entry of `table`, whose lock is held, or which nobody uses any more.
pub(crate) fn take_kept(table: &'static Frame) -> Option<&'static Frame> {
    let first = table.kept().load(Ordering::Relaxed);
    if first == 0 {
        return None;
    }
    // SAFETY: The list has tables of ours, which are frames of memory.
    let frame = unsafe { Frame::of_phys(first as u64) };
    table.kept().store(frame.kept().load(Ordering::Relaxed), Ordering::Relaxed);
    Some(frame)
}

#[cold]
fn none_kept() -> ! {
    panic!("a huge mapping without a table for its split")
}

/// Gives the pages of a huge mapping up.
///
/// # Safety
/// The mapping was taken out of the table, `first` begins its pages, and no CPU uses the translation any more.
pub(crate) unsafe fn put_block(first: &'static Frame) {
    // SAFETY: The mapping's references are the caller's, who gives them to the block.
    let block = unsafe { Block::from_first(first) };
    // A child that `fork` gave the pages too may have sent some to swap space.
    if block.frames().any(|frame| frame.flag_bits() & PageFlags::SWAP_CACHE.0 != 0) {
        return put_cached(block);
    }
    drop(block);
}

#[cold]
fn put_cached(block: Block) {
    for frame in block.frames() {
        // SAFETY: The block's references are given up one by one.
        unsafe { put_frame_of_any(frame) };
    }
    let _ = block.into_first();
}

impl PageTable {
    /// Whether there may be huge mappings.
    #[inline(always)]
    pub(crate) fn has_huge(&self) -> bool {
        ENABLED && self.huge.load(Ordering::Relaxed) != 0
    }

    /// The table of level 1 for `addr` (its entries lead to last-level tables), if there is one.
    pub(crate) fn table_above(&self, addr: usize) -> Option<&'static Frame> {
        let mut table: &'static Table = self.root();
        for level in [3, 2] {
            let entry = slot(table, addr, level).load(Ordering::Acquire);
            if entry & bits::PRESENT == 0 {
                return None;
            }
            // SAFETY: A present upper entry of ours leads to a table of ours, which is a frame of memory.
            unsafe {
                if level == 2 {
                    return Some(Frame::of_phys(entry & bits::ADDR));
                }
                table = table_at(entry & bits::ADDR);
            }
        }
        None
    }

    /// The huge mapping of `addr`, if there is one; a split that is going on is waited for.
    pub(crate) fn lock_huge(&self, addr: usize) -> Option<Locked> {
        let table = self.table_above(addr)?;
        let entry = huge_slot(table, addr);
        if !is_huge(entry.load(Ordering::Acquire)) {
            return None;
        }
        let lock = TableLock::take(table);
        is_huge(entry.load(Ordering::Acquire)).then_some(Locked { table, entry, _lock: lock })
    }

    /// What a fault at `addr` has to do with.
    pub fn room(&self, addr: usize) -> Room {
        let entry = self.table_above(addr).map_or(0, |table| huge_slot(table, addr).load(Ordering::Acquire));
        if is_huge(entry) {
            return Room::Huge;
        }
        if entry == 0 { Room::Free } else { Room::Table }
    }

    /// Maps `block` at the 2 MB around `addr` if nothing is mapped there, not even a table is. False if not: the block is
    /// dropped. ENOMEM. The caller holds `mm`'s lock, shared is enough.
    pub fn map_huge(&self, addr: usize, block: Block, prot: UserProt) -> Result<bool> {
        if !self.put_huge(addr, block.phys() | prot.bits() | bits::HUGE)? {
            return Ok(false);
        }
        self.count(Kind::Anon, PAGES as i64);
        // The entry has the references now.
        let _ = block.into_first();
        Ok(true)
    }

    /// As [`Self::map_huge`], of the block of [`zeros`], which can be read only.
    pub fn map_huge_zeros(&self, addr: usize, block: &'static Block, prot: UserProt) -> Result<bool> {
        self.put_huge(addr, block.phys() | prot.read_only().bits() | bits::HUGE | bits::SPECIAL)
    }

    /// Puts a huge entry in if there is none, nor a table; whether it did. ENOMEM.
    fn put_huge(&self, addr: usize, value: u64) -> Result<bool> {
        check(addr)?;
        let table = self.make_level(addr, 1)?;
        let kept = quicklist::get()?;
        // Counted before: who finds the mapping finds the counts.
        self.count_huge(1, value);
        let lock = TableLock::take(table);
        // Tables are put in without the lock, hence the exchange.
        if huge_slot(table, addr).compare_exchange(0, value, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            drop(lock);
            self.count_huge(-1, value);
            // SAFETY: The table is fresh, and nobody has seen it.
            unsafe { quicklist::put(kept) };
            return Ok(false);
        }
        keep(table, kept);
        table.entries().fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// Counts the mapping `value`, and the table that is kept for it.
    pub(crate) fn count_huge(&self, delta: i64, value: u64) {
        if delta > 0 {
            self.huge.fetch_add(1, Ordering::Relaxed);
            self.tables.fetch_add(1, Ordering::Relaxed);
        } else {
            self.huge.fetch_sub(1, Ordering::Relaxed);
            self.tables.fetch_sub(1, Ordering::Relaxed);
        }
        if !is_zeros(value) {
            stat::add(Item::AnonHuge, delta);
        }
    }

    /// Counts a mapping for which a table was there.
    pub(crate) fn count_joined(&self) {
        self.huge.fetch_add(1, Ordering::Relaxed);
        stat::add(Item::AnonHuge, 1);
    }

    /// Makes a huge mapping around `addr` one of single pages, if there is one: rights and marks of use and writing stay. The
    /// caller holds `mm`'s lock, shared is enough.
    #[cold]
    #[inline(never)]
    pub(crate) fn split_huge(&self, addr: usize) {
        let Some(locked) = self.lock_huge(addr) else { return };
        let start = addr & !(PMD_SIZE - 1);
        // No CPU may have translations of both sizes for an address (Intel SDM volume 3, 4.10.2.3, and the errata about it): the
        // huge one goes first. Nor can the hardware set bits then that would be lost.
        let value = locked.entry.swap(BUSY, Ordering::AcqRel);
        tlb::flush_range(self, start, start + PMD_SIZE, false);
        let frame = locked.take_kept();
        // SAFETY: An empty table of ours.
        for (i, entry) in unsafe { table_at(frame.phys()) }.iter().enumerate() {
            entry.store(split_off(value, i * PAGE_SIZE), Ordering::Relaxed);
        }
        frame.entries().store(PAGES as i32, Ordering::Relaxed);
        frame.lazy().store(u64::from(is_marked(value)), Ordering::Relaxed);
        locked.entry.store(frame.phys() | bits::TABLE, Ordering::Release);
        drop(locked);
        self.huge.fetch_sub(1, Ordering::Relaxed);
        if !is_zeros(value) {
            stat::add(Item::AnonHuge, -1);
        }
        stat::add(Item::ThpSplitPmd, 1);
    }

    /// [`PageTable::walk`] where a huge mapping is in the way.
    #[cold]
    #[inline(never)]
    pub(crate) fn walk_split(&self, addr: usize) -> Option<&'static Frame> {
        self.split_huge(addr);
        self.walk(addr)
    }

    /// Sees to it that no huge mapping reaches across `addr`, where a mapping of the program's is about to begin or end. The
    /// caller holds `mm`'s lock exclusively.
    #[inline]
    pub fn split_huge_at(&self, addr: usize) {
        if self.has_huge() && !addr.is_multiple_of(PMD_SIZE) {
            self.split_huge(addr);
        }
    }

    /// The last-level table for `addr`, if there is one, for walkers without `mm`'s lock: they look for pages of files, which no
    /// huge mapping has.
    #[inline]
    pub(crate) fn walk_shared(&self, addr: usize) -> Option<&'static Frame> {
        match self.look(addr) {
            Ok(Found::Table(frame)) => Some(frame),
            _ => None,
        }
    }

    /// Takes the huge mapping at `addr`, all of it, out of the table, if there is one: its first frame, or `None` for zeros. The
    /// references are the caller's, who flushes and counts.
    pub(crate) fn take_huge(&self, addr: usize) -> Option<Option<&'static Frame>> {
        let locked = self.lock_huge(addr)?;
        // The hardware may set bits until the entry is gone; pages of private memory do not need to know.
        let old = locked.entry.swap(0, Ordering::AcqRel);
        let kept = locked.take_kept();
        locked.table.entries().fetch_sub(1, Ordering::Relaxed);
        drop(locked);
        self.count_huge(-1, old);
        if is_marked(old) {
            self.count(Kind::Lazy, -(PAGES as i64));
        }
        // SAFETY: The table is empty; it was never in use.
        unsafe { quicklist::put(kept) };
        // SAFETY: A huge entry that is not of zeros holds references to frames of memory.
        Some((!is_zeros(old)).then(|| unsafe { Frame::of_phys(old & bits::ADDR) }))
    }

    /// Frees the huge mapping at `addr`, if there is one, in an address space that no CPU has loaded; whether there was.
    pub(crate) fn free_huge(&self, addr: usize, counts: &mut Counts) -> bool {
        let Some(taken) = self.take_huge(addr) else { return false };
        if let Some(first) = taken {
            counts[Kind::Anon as usize] -= PAGES as i64;
            // SAFETY: Taken out above; no CPU has the translation for this context, which is never used again.
            unsafe { put_block(first) };
        }
        true
    }

    /// Maps the huge mapping at `at`, all of it, in `child` too, which nobody uses yet and where nothing is there; with `cow` a
    /// write copies from now on, in both. False if there is none, or if it has to be split: somebody else has one of the pages of
    /// private memory that can be written, and those pages are to stay the parent's (see `fork`). ENOMEM.
    pub(crate) fn fork_huge(&self, child: &PageTable, at: usize, cow: bool, counts: &mut Counts) -> Result<bool> {
        let table = child.make_level(at, 1)?;
        let kept = quicklist::get()?;
        // References are taken under the lock: who has none now finds the entry as it is afterwards.
        let pinned = |locked: &Locked| cow && locked.value() & OWN != 0 && !Block::is_ours_alone(locked.frame(at));
        let Some(locked) = self.lock_huge(at).filter(|locked| !pinned(locked)) else {
            // SAFETY: The table is fresh, and nobody has seen it.
            unsafe { quicklist::put(kept) };
            return Ok(false);
        };
        let taken = if cow { OWN } else { 0 };
        let value = locked.entry.fetch_and(!taken, Ordering::Relaxed) & !taken;
        if !is_zeros(value) {
            for page in 0..PAGES {
                // SAFETY: The entry holds a reference to each of its frames, and the lock keeps it.
                unsafe { get_frame(locked.frame(page * PAGE_SIZE)) };
            }
            counts[Kind::Anon as usize] += PAGES as i64;
            counts[Kind::Lazy as usize] += if is_marked(value) { PAGES as i64 } else { 0 };
        }
        drop(locked);
        huge_slot(table, at).store(value, Ordering::Relaxed);
        keep(table, kept);
        table.entries().fetch_add(1, Ordering::Relaxed);
        child.count_huge(1, value);
        Ok(true)
    }

    /// Moves the huge mapping of `[from, from + len)`, if that is all of one, to `to`, if nothing, not even a table, is there.
    /// The caller holds `mm`'s lock exclusively and flushes.
    pub(crate) fn move_huge(&self, from: usize, to: usize, len: usize) -> Result<bool> {
        if !self.has_huge() || len != PMD_SIZE || self.room(from) != Room::Huge || self.room(to) != Room::Free {
            return Ok(false);
        }
        let target = self.make_level(to, 1)?;
        let Some(locked) = self.lock_huge(from) else { return Ok(false) };
        let value = locked.entry.swap(0, Ordering::AcqRel);
        let kept = locked.take_kept();
        locked.table.entries().fetch_sub(1, Ordering::Relaxed);
        // It may be the same table.
        drop(locked);
        let _lock = TableLock::take(target);
        // Nobody else makes entries while the lock of the address space is held.
        huge_slot(target, to).store(value, Ordering::Release);
        keep(target, kept);
        target.entries().fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// The entry of `addr`, if it is in a huge mapping.
    #[inline]
    pub(crate) fn query_huge(&self, addr: usize) -> Option<Entry> {
        if !self.has_huge() {
            return None;
        }
        let entry = huge_slot(self.table_above(addr)?, addr);
        let mut value = entry.load(Ordering::Acquire);
        if value == BUSY {
            // Else it is no need to wait for anybody: pages are not looked at.
            value = self.lock_huge(addr)?.value();
        }
        is_huge(value).then(|| Entry::new(small(value, addr) | bits::HUGE))
    }

    /// [`PageTable::page`] in a huge mapping; `Ok` with what it answers.
    pub(crate) fn page_huge(&self, addr: usize, write: bool) -> core::result::Result<Option<Page>, ()> {
        let locked = self.lock_huge(addr).ok_or(())?;
        if write && locked.value() & bits::WRITE == 0 {
            return Ok(None);
        }
        if locked.is_zeros() {
            return Ok(Some(zero_page().clone()));
        }
        if write {
            self.keep_huge(&locked);
        }
        let frame = locked.frame(addr);
        // SAFETY: The entry holds a reference to the frame, and the lock keeps it there.
        unsafe {
            get_frame(frame);
            Ok(Some(Page::from_frame(frame)))
        }
    }

    /// Makes the huge mapping of `addr` writable as `prot` says, if nobody else has any of its pages, or it is already; whether a
    /// program can write there now.
    pub(crate) fn write_huge(&self, addr: usize, prot: UserProt) -> bool {
        let Some(locked) = self.lock_huge(addr) else { return false };
        let value = locked.value();
        if value & bits::PRESENT == 0 || is_zeros(value) {
            return false;
        }
        if value & bits::WRITE == 0 {
            if value & bits::OWN == 0 && !Block::is_ours_alone(locked.frame(0)) {
                return false;
            }
            let own = if prot.writable() { 0 } else { bits::OWN };
            self.keep_huge(&locked);
            locked.entry.store(value & bits::ADDR | prot.bits() | bits::HUGE | own, Ordering::Release);
        }
        drop(locked);
        // Other CPUs may have the read-only entry cached; they fault and find it writable.
        tlb::flush_local_page(self, addr);
        true
    }

    /// Gives a whole huge mapping the rights that `changed` makes of the old value; whether there is one. `flush` is set if
    /// translations may have to be forgotten.
    pub(crate) fn change_huge(&self, addr: usize, changed: impl Fn(u64) -> u64, flush: &mut bool) -> bool {
        let Some(locked) = self.lock_huge(addr) else { return false };
        let change = |old| changed(old & !bits::HUGE) | bits::HUGE;
        let old = exchange(locked.entry, locked.value(), change);
        let new = change(old);
        if is_marked(old) && !is_marked(new) {
            self.count(Kind::Lazy, -(PAGES as i64));
        }
        if new != old {
            *flush |= old & bits::PRESENT != 0;
        }
        true
    }

    /// Forgets that the huge mapping at `addr` was used; `None` if there is none, else whether it was.
    pub(crate) fn clear_accessed_huge(&self, addr: usize) -> Option<bool> {
        let locked = self.lock_huge(addr)?;
        let used = locked.value() & bits::ACCESSED != 0;
        if used {
            locked.entry.fetch_and(!bits::ACCESSED, Ordering::AcqRel);
        }
        Some(used)
    }

    /// [`PageTable::for_each_entry`] for `[start, stop)` within a huge mapping; whether there is one.
    pub(crate) fn each_in_huge(
        &self,
        start: usize,
        stop: usize,
        f: &mut impl FnMut(usize, Entry, Option<&'static Frame>),
    ) -> bool {
        let Some(locked) = self.lock_huge(start) else { return false };
        let value = locked.value();
        for addr in (start..stop).step_by(PAGE_SIZE) {
            f(addr, Entry::new(small(value, addr) | bits::HUGE), (!is_zeros(value)).then(|| locked.frame(addr)));
        }
        true
    }
}

impl PageTable {
    /// Whether there is a huge mapping of zeros at `addr`.
    pub fn has_huge_zeros(&self, addr: usize) -> bool {
        self.query_huge(addr).is_some_and(|entry| is_zeros(entry.value()))
    }
}

/// The entry of `addr` in a table of level 1.
#[inline(always)]
pub(crate) fn huge_slot(table: &'static Frame, addr: usize) -> &'static AtomicU64 {
    // SAFETY: Callers got `table` as one of ours that stays.
    slot(unsafe { table_at(table.phys()) }, addr, 1)
}

/// Frees what the huge entry `value` has. The table that was kept for it is not looked at.
///
/// # Safety
/// The entry was of a table of an address space that is being freed, and is cleared.
#[cold]
pub(crate) unsafe fn free_entry(value: u64, counts: &mut Counts) {
    if is_zeros(value) {
        return;
    }
    counts[Kind::Anon as usize] -= PAGES as i64;
    counts[Kind::Lazy as usize] -= if is_marked(value) { PAGES as i64 } else { 0 };
    stat::add(Item::AnonHuge, -1);
    // SAFETY: The entry's references are ours, and no CPU has the translation for this context, which is never used again.
    unsafe { put_block(Frame::of_phys(value & bits::ADDR)) };
}
