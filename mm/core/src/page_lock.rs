// SPDX-License-Identifier: GPL-2.0
//! Locking a page of the cache, and waiting for its I/O. A bit of the page is the lock; who must wait does so on one of a table of
//! queues, chosen by the page. The lock is held over reading the page in (by whoever completes it, often an interrupt) and around
//! taking it out of the cache, so it may be given up by another context than took it; the lock-order checker does not see it.
//! Order: after `Mapping`'s `invalidate` lock, in order of the index in one file, before the tree's lock.

use errno::Result;
use mm_alloc::{Page, PageFlags};
use sync::WaitQueue;

const QUEUES: usize = 256;
static TABLE: [WaitQueue; QUEUES] = [const { WaitQueue::new() }; QUEUES];

fn queue(page: &Page) -> &'static WaitQueue {
    let hash = (page.pfn() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    // In bounds: the mask is the (constant) length less one.
    &TABLE[hash as usize & (QUEUES - 1)]
}

/// Takes the page's lock if it is free. Any context.
#[inline]
pub fn try_lock_page(page: &Page) -> bool {
    page.try_set(PageFlags::LOCKED)
}

/// Takes the page's lock. May sleep.
#[inline]
pub fn lock_page(page: &Page) {
    if !try_lock_page(page) {
        wait_for(page, || try_lock_page(page));
    }
}

/// Gives the page's lock up. Any context.
#[inline]
pub fn unlock_page(page: &Page) {
    let old = page.clear_all(PageFlags::LOCKED);
    if old.0 & PageFlags::WAITERS.0 != 0 {
        wake(page);
    }
}

/// Waits until nobody holds the lock: a page that is being read in is read then. May sleep. A fatal signal ends the wait (`EINTR`).
pub fn wait_unlocked_killable(page: &Page) -> Result {
    if !page.has(PageFlags::LOCKED) {
        return Ok(());
    }
    let _io = task::IoWait::new();
    queue(page).wait_killable(|| waiting(page, || !page.has(PageFlags::LOCKED)))
}

/// Waits until nobody holds the lock. May sleep.
pub fn wait_unlocked(page: &Page) {
    if page.has(PageFlags::LOCKED) {
        wait_for(page, || !page.has(PageFlags::LOCKED));
    }
}

/// Waits until the page is not under write-back. May sleep. A new write-back may begin unless the page's lock is held.
pub fn wait_writeback(page: &Page) {
    if page.has(PageFlags::WRITEBACK) {
        wait_for(page, || !page.has(PageFlags::WRITEBACK));
    }
}

#[cold]
fn wait_for(page: &Page, mut done: impl FnMut() -> bool) {
    let _io = task::IoWait::new();
    queue(page).wait_until(|| waiting(page, &mut done));
}

/// Says that somebody waits, then looks: whoever clears the awaited bit after this look sees that.
fn waiting(page: &Page, mut done: impl FnMut() -> bool) -> bool {
    if done() {
        return true;
    }
    page.set(PageFlags::WAITERS);
    done()
}

/// Wakes those who wait for the page (and for others of its queue, who look and sleep on). The mark stays for those who go on
/// waiting; it goes with the page.
#[cold]
pub(crate) fn wake(page: &Page) {
    queue(page).wake_up_all();
}
