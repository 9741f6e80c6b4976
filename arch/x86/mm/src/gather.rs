// SPDX-License-Identifier: GPL-2.0
//! Pages and tables that were unmapped, on their way to being freed: not before every CPU forgot them.

use crate::huge;
use crate::lazy::{Dropped, LazyHuge};
use crate::range::put_frame_of_any;
use crate::table::{Counts, Kind, PageTable};
use crate::{quicklist, tlb};
use core::mem::MaybeUninit;
use mm_alloc::huge::PAGES;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE, TASK_SIZE};
use mm_alloc::page::put_frame;
use mm_alloc::stat::{self, Item};
use mm_alloc::{Frame, PageFlags};

/// Pages gathered for one flush.
const BATCH: usize = 64;
/// Tables gathered for one flush.
const TABLES: usize = 16;

/// Unmapped pages and tables on their way to being freed.
pub(crate) struct Gather<'a> {
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
    pub(crate) fn new(table: &'a PageTable) -> Self {
        Self {
            table,
            start: usize::MAX,
            end: 0,
            pages: [const { MaybeUninit::uninit() }; BATCH],
            count: 0,
            huge: 0,
            tables: [const { MaybeUninit::uninit() }; TABLES],
            table_count: 0,
            counts: [0; 5],
            flags: 0,
        }
    }

    /// The page at `addr` is to be forgotten.
    #[inline(always)]
    pub(crate) fn touched(&mut self, addr: usize) {
        self.start = self.start.min(addr);
        self.end = self.end.max(addr + PAGE_SIZE);
    }

    /// How many pages more there is room for.
    #[inline(always)]
    pub(crate) fn room(&self) -> usize {
        BATCH - self.count
    }

    /// Takes a page out of the counts, and gives it up later; `flags` are its own. There is room.
    ///
    /// # Safety
    /// A reference to the frame is the caller's, who gives it up. It was an entry's, which is gone, and whose address is `touched`.
    #[inline(always)]
    pub(crate) unsafe fn push(&mut self, frame: &'static Frame, kind: Kind, flags: u64) {
        self.flags |= flags;
        self.counts[kind as usize] -= 1;
        self.pages[self.count].write(frame);
        self.count += 1;
    }

    /// Counts an entry of swap space that is gone.
    #[inline(always)]
    pub(crate) fn count_swapped(&mut self) {
        self.counts[Kind::Swap as usize] -= 1;
    }

    /// Counts pages whose entries had the mark of `MADV_FREE`.
    #[inline(always)]
    pub(crate) fn count_lazy(&mut self, gone: i64) {
        self.counts[Kind::Lazy as usize] -= gone;
    }

    /// Frees a table later.
    ///
    /// # Safety
    /// The table was unlinked and is clear; it is the caller's, who gives it up.
    pub(crate) unsafe fn push_table(&mut self, frame: &'static Frame) {
        if self.table_count == TABLES {
            self.finish();
        }
        self.tables[self.table_count].write(frame);
        self.table_count += 1;
    }

    /// Flushes, then frees what was gathered.
    pub(crate) fn finish(&mut self) {
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
    pub(crate) fn take_huge(&mut self, addr: usize) -> bool {
        let Some(taken) = self.table.take_huge(addr) else { return false };
        self.touched_huge(addr);
        // Zeros are nobody's.
        let Some(first) = taken else { return true };
        self.push_huge(first);
        true
    }

    /// Takes out the huge mapping at `addr`, if there is one that has the mark of `MADV_FREE`: see [`PageTable::drop_lazy`].
    pub(crate) fn drop_huge(&mut self, addr: usize, force: bool, dropped: &mut Dropped) {
        match self.table.take_huge_lazy(addr, force) {
            LazyHuge::None => return,
            LazyHuge::Kept => {}
            LazyHuge::Aged => self.touched_huge(addr),
            LazyHuge::Taken(first) => {
                self.touched_huge(addr);
                self.push_huge(first);
                (dropped.gone, dropped.freed) = (dropped.gone + PAGES, dropped.freed + PAGES);
                stat::add(Item::PgLazyFreed, PAGES as i64);
            }
        }
        dropped.seen += PAGES;
    }

    /// The huge mapping at `addr` is to be forgotten.
    fn touched_huge(&mut self, addr: usize) {
        self.touched(addr);
        self.touched(addr + PMD_SIZE - PAGE_SIZE);
    }

    /// Takes the pages of a huge mapping out of the counts, and gives them up later. There is room for one page.
    fn push_huge(&mut self, first: &'static Frame) {
        self.counts[Kind::Anon as usize] -= PAGES as i64;
        self.huge |= 1 << self.count;
        self.pages[self.count].write(first);
        self.count += 1;
        if self.room() == 0 {
            self.finish();
        }
    }
}

impl Drop for Gather<'_> {
    fn drop(&mut self) {
        self.finish();
        self.table.count_all(&self.counts);
    }
}
