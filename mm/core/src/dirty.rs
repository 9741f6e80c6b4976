// SPDX-License-Identifier: GPL-2.0
//! Dirty pages and writing them back. The truth about a page is in three places that change together under the tree's lock: its
//! flags, its marks in the tree, the counters. A page becomes dirty after its bytes changed; write-back takes write access from
//! programs first, then the page's dirty state, then reads the bytes: so no change is missed.

use crate::io::WriteRun;
use crate::mapping::Mapping;
use crate::page_lock::{lock_page, try_lock_page, unlock_page, wait_writeback, wake};
use crate::page_tree::Mark;
use core::sync::atomic::Ordering;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags};

/// What is to be written and how (Linux's `writeback_control`).
#[derive(Clone, Debug)]
pub struct WriteControl {
    /// Somebody waits: every page that is dirty now, those under write-back once they are done too. Else what can be had easily.
    pub sync: bool,
    /// First page.
    pub first: u64,
    /// Last page.
    pub last: u64,
    /// Pages left to write; pages beyond stay dirty. Not with `sync`.
    pub budget: i64,
    /// Where to look next.
    next: u64,
    tagged: bool,
    done: bool,
}

impl WriteControl {
    /// All of `[first, last]`, for somebody who waits.
    pub fn sync(first: u64, last: u64) -> Self {
        Self { sync: true, first, last, budget: i64::MAX, next: first, tagged: false, done: false }
    }

    /// All of `[first, last]` that can be had without waiting.
    pub fn start(first: u64, last: u64) -> Self {
        Self { sync: false, ..Self::sync(first, last) }
    }

    /// About `budget` pages in the background.
    pub fn background(budget: i64) -> Self {
        Self { sync: false, first: 0, last: u64::MAX, budget, next: 0, tagged: false, done: false }
    }
}

/// Most pages of a run, if the caller says nothing less: 4 MB.
pub const MAX_RUN: usize = 1024;

/// The bits for the sectors `[from, to)` (bytes) of a page.
fn sectors(from: usize, to: usize) -> u64 {
    let (first, end) = (from >> 9, to.div_ceil(512));
    (1 << end) - (1 << first)
}

/// The dirty sectors of a page, as one bit for 512 bytes, kept for files whose blocks are smaller than a page.
pub mod sector {
    /// Every sector of a page.
    pub const ALL: u64 = 0xff;
    /// Where the sectors under write-back are.
    pub const WRITEBACK_SHIFT: u32 = 16;
}

impl Mapping {
    /// The bytes `[from, to)` of `page`, which is the file's page `index`, were changed. The caller keeps truncation away (the inode's
    /// lock, the page's lock, or the `invalidate` lock). Nothing for files that live in memory.
    #[inline]
    pub fn set_dirty_range(&self, index: u64, page: &Page, from: usize, to: usize) {
        if self.is_memory() {
            return;
        }
        if self.has_small_blocks() {
            page.private().fetch_or(sectors(from.min(PAGE_SIZE), to.min(PAGE_SIZE)), Ordering::AcqRel);
        }
        // An atomic exchange, though the page may be dirty already: the changed bytes are visible before it.
        if page.try_set(PageFlags::DIRTY) {
            self.now_dirty(index, page);
        }
    }

    /// All of `page` was changed.
    #[inline]
    pub fn set_dirty(&self, index: u64, page: &Page) {
        self.set_dirty_range(index, page, 0, PAGE_SIZE);
    }

    #[inline(never)]
    fn now_dirty(&self, index: u64, page: &Page) {
        let mut tree = self.pages.lock();
        if !tree.holds(index, page) {
            drop(tree);
            page.clear(PageFlags::DIRTY);
            return;
        }
        let first = !tree.marked(Mark::Dirty);
        tree.change_mark(index, Mark::Dirty, true);
        drop(tree);
        stat::add(Item::Dirty, 1);
        stat::add(Item::Dirtied, 1);
        task_io::count_in_task(|io| io.write_bytes.add(PAGE_SIZE as u64));
        if let Some(bdi) = self.bdi() {
            bdi.count_dirty(1);
        }
        if first && let Some(host) = self.host() {
            host.dirtied();
        }
    }

    /// The page leaves the cache, or is not to be written after all. Its lock is held.
    pub(crate) fn cancel_dirty(&self, page: &Page) {
        if !self.is_memory() && page.clear(PageFlags::DIRTY) {
            stat::add(Item::Dirty, -1);
            task_io::count_in_task(|io| io.cancelled_write_bytes.add(PAGE_SIZE as u64));
            if let Some(bdi) = self.bdi() {
                bdi.count_dirty(-1);
            }
        }
    }

    /// Whether any page is dirty.
    pub fn is_dirty(&self) -> bool {
        self.pages.marked(Mark::Dirty)
    }

    /// Whether any page is under write-back.
    pub fn is_writeback(&self) -> bool {
        self.pages.marked(Mark::Writeback)
    }

    /// See [`WriteRun::start`]: the pages' locks are held, and given up here. What it returns goes to [`Self::end_writeback`].
    pub(crate) fn begin_writeback(&self, first: u64, pages: &[Page]) -> u32 {
        let Some(last) = first.checked_add((pages.len() as u64).saturating_sub(1)) else { return 0 };
        if self.is_mapped() {
            self.write_protect(first, last);
        }
        let mut cleaned = 0;
        {
            let mut tree = self.pages.lock();
            for (i, page) in pages.iter().enumerate() {
                let index = first + i as u64;
                cleaned += i64::from(page.clear(PageFlags::DIRTY));
                if self.has_small_blocks() {
                    move_sectors(page);
                }
                page.set(PageFlags::WRITEBACK);
                tree.change_mark(index, Mark::Dirty, false);
                tree.change_mark(index, Mark::ToWrite, false);
                tree.change_mark(index, Mark::Writeback, true);
            }
        }
        let count = pages.len() as i64;
        stat::add(Item::Dirty, -cleaned);
        stat::add(Item::Writeback, count);
        stat::add(Item::Written, count);
        let epoch = self.bdi().map_or(0, |bdi| {
            bdi.count_dirty(-cleaned);
            bdi.begin(count)
        });
        for page in pages {
            unlock_page(page);
        }
        epoch
    }

    /// The pages are written, or could not be. Any context.
    pub(crate) fn end_writeback(&self, first: u64, pages: &[Page], result: Result, epoch: u32) {
        if let Err(error) = result {
            self.write_error(error);
        }
        {
            let mut tree = self.pages.lock();
            for (i, page) in pages.iter().enumerate() {
                tree.change_mark(first + i as u64, Mark::Writeback, false);
                let old = page.clear_all(PageFlags::WRITEBACK);
                if old.0 & PageFlags::WAITERS.0 != 0 {
                    wake(page);
                }
            }
        }
        let count = pages.len() as i64;
        stat::add(Item::Writeback, -count);
        if let Some(bdi) = self.bdi() {
            bdi.end(count, epoch);
        }
        crate::throttle::written(count);
    }

    /// The next run of dirty pages that `wbc` asks for, locked: at most `max` consecutive ones. `None`: that was all. With
    /// `wbc.sync` it waits for locks and for write-back that is going on. ENOMEM. May sleep.
    pub fn next_dirty_run(self: &Arc<Self>, wbc: &mut WriteControl, max: usize) -> Result<Option<WriteRun>> {
        if !wbc.tagged && wbc.sync {
            self.tag_for_sync(wbc.first, wbc.last);
            wbc.tagged = true;
        }
        let mark = if wbc.sync { Mark::ToWrite } else { Mark::Dirty };
        let max = max.clamp(1, MAX_RUN).min(usize::try_from(wbc.budget.max(0)).unwrap_or(0));
        while !wbc.done && max != 0 {
            let Some((index, page)) = self.pages.next(wbc.next, wbc.last, Some(mark)) else { break };
            wbc.next = index.saturating_add(1);
            wbc.done = index == u64::MAX || index == wbc.last;
            if !self.lock_dirty(index, &page, wbc.sync, true) {
                continue;
            }
            let mut pages = KVec::new();
            if let Err(error) = pages.push(page.clone(), GFP_KERNEL) {
                unlock_page(&page);
                return Err(error.into());
            }
            while pages.len() < max && !wbc.done {
                // Without memory the run ends here.
                if pages.reserve(1, GFP_KERNEL).is_err() {
                    break;
                }
                let Some(page) = self.pages.get(wbc.next).filter(|page| page.has(PageFlags::DIRTY)) else { break };
                if !self.lock_dirty(wbc.next, &page, wbc.sync, false) {
                    break;
                }
                wbc.done = wbc.next == wbc.last;
                wbc.next = wbc.next.saturating_add(1);
                // The room is there.
                let _ = pages.push_within_capacity(page);
            }
            wbc.budget = wbc.budget.saturating_sub(pages.len() as i64);
            return Ok(Some(WriteRun::new(self, index, pages)));
        }
        Ok(None)
    }

    /// Locks a page if it is still to be written. Only the first page of a run may be waited for: the others' locks could be held
    /// by somebody who waits for ours.
    fn lock_dirty(&self, index: u64, page: &Page, sync: bool, wait: bool) -> bool {
        if wait {
            lock_page(page);
        } else if !try_lock_page(page) {
            return false;
        }
        let ours = |page: &Page| page.has(PageFlags::DIRTY) && !page.has(PageFlags::TRUNCATED) && page.index() == index;
        if ours(page) && page.has(PageFlags::WRITEBACK) && sync && wait {
            wait_writeback(page);
        }
        if ours(page) && !page.has(PageFlags::WRITEBACK) {
            return true;
        }
        unlock_page(page);
        false
    }

    /// Marks what is dirty now, so that a synchronisation ends though others go on writing.
    fn tag_for_sync(&self, first: u64, last: u64) {
        let mut from = first;
        loop {
            let mut batch = [0u64; 64];
            let mut count = 0;
            self.pages.each(from, last, Some(Mark::Dirty), |index, _| {
                if let Some(slot) = batch.get_mut(count) {
                    *slot = index;
                    count += 1;
                }
                count < 64
            });
            let mut tree = self.pages.lock();
            for index in batch.iter().take(count) {
                tree.change_mark(*index, Mark::ToWrite, true);
            }
            drop(tree);
            match batch.get(63).filter(|_| count == 64).and_then(|index| index.checked_add(1)) {
                Some(next) if next <= last => from = next,
                _ => return,
            }
        }
    }

    /// Begins writing what `wbc` asks for. May sleep.
    pub fn write_pages(self: &Arc<Self>, wbc: &mut WriteControl) -> Result {
        if self.is_memory() || !self.is_dirty() {
            return Ok(());
        }
        self.ops().write_pages(self, wbc)
    }

    /// Waits until no page of `[first, last]` (pages) is under write-back. May sleep.
    pub fn wait_writeback_range(&self, first: u64, last: u64) {
        let mut from = first;
        while let Some((index, page)) = self.pages.next(from, last, Some(Mark::Writeback)) {
            wait_writeback(&page);
            match index.checked_add(1) {
                Some(next) => from = next,
                None => return,
            }
        }
    }

    /// Writes the bytes `[start, end]` that are dirty and waits for them. Errors that happen are found by
    /// [`Mapping::check_errors`] too; here those of starting. May sleep.
    pub fn write_and_wait(self: &Arc<Self>, start: u64, end: u64) -> Result {
        if self.is_memory() || self.page_count() == 0 {
            return Ok(());
        }
        let (first, last) = (start >> PAGE_SHIFT, end >> PAGE_SHIFT);
        let written = self.write_pages(&mut WriteControl::sync(first, last));
        self.wait_writeback_range(first, last);
        written
    }
}

/// Dirty sectors become those under write-back.
fn move_sectors(page: &Page) {
    let _ = page.private().fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
        let rest = word & !(sector::ALL | sector::ALL << sector::WRITEBACK_SHIFT);
        Some(rest | (word & sector::ALL) << sector::WRITEBACK_SHIFT)
    });
}

/// The sectors of a page under write-back that are to be written, one bit for 512 bytes.
pub fn writeback_sectors(page: &Page) -> u64 {
    page.private().load(Ordering::Acquire) >> sector::WRITEBACK_SHIFT & sector::ALL
}

/// The dirty sectors of a page.
pub fn dirty_sectors(page: &Page) -> u64 {
    page.private().load(Ordering::Acquire) & sector::ALL
}
