// SPDX-License-Identifier: GPL-2.0
//! Writing pages of the swap cache. When a page is written and still nobody has it, it goes at once.

use super::Area;
use super::cache::{area_of, place_of};
use crate::page_lock::{try_lock_page, unlock_page, wake};
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use errno::Error;
use errno::code::ENOMEM;
use kalloc::flags::{__GFP_NOWARN, GFP_ATOMIC};
use kalloc::{Arc, KVec};
use klog::pr_err;
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags};

/// Pages under way to swap space.
pub(super) static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// Consecutive pages of an area that are being written. When it is dropped they are written, if [`SwapWrite::begin`] was called and
/// [`SwapWrite::fail`] was not; else they stay in memory. Any context.
pub struct SwapWrite {
    area: Arc<Area>,
    first: u64,
    pages: KVec<Page>,
    error: AtomicI32,
}

impl SwapWrite {
    /// Place of the first page.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The pages, in order.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// The transfer begins.
    pub fn begin(&self) {
        self.error.store(0, Ordering::Release);
    }

    /// A piece of it failed: all pages stay in memory.
    pub fn fail(&self, error: Error) {
        let _ = self.error.compare_exchange(0, error.to_errno(), Ordering::AcqRel, Ordering::Relaxed);
    }
}

impl Drop for SwapWrite {
    fn drop(&mut self) {
        let failed = self.error.load(Ordering::Acquire) != 0;
        if failed {
            pr_err!("Write-error on swap-device ({}:{})", self.area.number(), self.first);
        }
        let count = self.pages.len();
        for page in &self.pages {
            written(&self.area, page, failed);
        }
        stat::add(Item::Writeback, -(count as i64));
        IN_FLIGHT.fetch_sub(count, Ordering::AcqRel);
        crate::throttle::written(count as i64);
    }
}

fn written(area: &Area, page: &Page, failed: bool) {
    if failed {
        page.set(PageFlags::DIRTY);
        page.clear(PageFlags::RECLAIM);
    }
    let old = page.clear_all(PageFlags::WRITEBACK);
    if old.0 & PageFlags::WAITERS.0 != 0 {
        wake(page);
    }
    if page.clear(PageFlags::RECLAIM) && try_lock_page(page) {
        if place_of(page).is_some() {
            area.try_remove(page, 1, true);
        }
        unlock_page(page);
    }
}

/// Starts writing pages, which are locked, dirty, and nobody's but the cache's; neighbours go together. How many were begun.
pub(super) fn start(pages: KVec<Page>) -> usize {
    let _plug = task_io::Plug::start();
    let mut begun = 0;
    let mut run: KVec<Page> = KVec::new();
    for page in pages {
        let follows = run.last().is_some_and(|last: &Page| {
            last.owner() == page.owner() && last.index().checked_add(1) == Some(page.index())
        });
        if !follows {
            begun += submit(core::mem::take(&mut run));
        }
        if run.reserve(1, GFP_ATOMIC | __GFP_NOWARN).is_err() {
            // It stays dirty, on its list.
            unlock_page(&page);
            continue;
        }
        // There is room.
        let _ = run.push_within_capacity(page);
    }
    begun + submit(run)
}

fn submit(pages: KVec<Page>) -> usize {
    let Some((area, first)) = pages.first().and_then(|page| Some((area_of(page)?, page.index()))) else {
        // No pages: those of the cache keep their area.
        return 0;
    };
    let count = pages.len();
    for page in &pages {
        // In this order: who finds it clean finds that it is being written.
        page.set(PageFlags(PageFlags::WRITEBACK.0 | PageFlags::RECLAIM.0));
        page.clear(PageFlags::DIRTY);
        unlock_page(page);
    }
    stat::add(Item::Writeback, count as i64);
    stat::add(Item::PswpOut, count as i64);
    IN_FLIGHT.fetch_add(count, Ordering::AcqRel);
    let run = SwapWrite { area: area.clone(), first, pages, error: AtomicI32::new(ENOMEM.to_errno()) };
    area.io.write(run);
    count
}
