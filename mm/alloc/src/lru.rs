// SPDX-License-Identifier: GPL-2.0
//! The lists of pages that can be reclaimed, oldest last: `Inactive` (used once) and `Active`. A page on a list has the flag `LRU` and
//! one reference that is the list's.
//!
//! Locks: `LISTS` (spin, interrupts off), innermost. A frame's links belong to the list while the flag is set; the flag changes under
//! the lock.

use crate::frame::Frame;
use crate::page::{Page, PageFlags};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use kalloc::KVec;
use locking::SpinLock;

/// Which list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Used once, or not lately.
    Inactive,
    /// Used more than once.
    Active,
}

/// # Invariants
/// `head` and `tail` are 0 or addresses of frames whose links form the list and to each of which the list owns a reference.
#[derive(Clone, Copy)]
struct List {
    head: usize,
    tail: usize,
}

static LISTS: SpinLock<[List; 2]> = SpinLock::new([List { head: 0, tail: 0 }; 2]);
/// Pages on the lists; changed under `LISTS`.
static LEN: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

impl List {
    /// Puts a frame at the young end.
    fn push(&mut self, frame: &'static Frame) {
        let at = frame.addr();
        frame.prev.store(0, Relaxed);
        frame.next.store(self.head, Relaxed);
        // SAFETY: By the invariant it is 0 or the address of a frame.
        match unsafe { Frame::from_addr(self.head) } {
            Some(next) => next.prev.store(at, Relaxed),
            None => self.tail = at,
        }
        self.head = at;
    }

    /// Takes a frame out, which is in this list.
    fn unlink(&mut self, frame: &'static Frame) {
        let (prev, next) = (frame.prev.load(Relaxed), frame.next.load(Relaxed));
        // SAFETY: By the invariant the links are 0 or addresses of frames.
        match unsafe { Frame::from_addr(prev) } {
            Some(before) => before.next.store(next, Relaxed),
            None => self.head = next,
        }
        // SAFETY: As above.
        match unsafe { Frame::from_addr(next) } {
            Some(after) => after.prev.store(prev, Relaxed),
            None => self.tail = prev,
        }
    }
}

fn index(active: bool) -> usize {
    usize::from(active)
}

/// Puts pages on the inactive list, those that are on none. The list has a reference of its own to each. Any context.
pub fn add(pages: &[Page]) {
    let mut lists = LISTS.lock_irqsave();
    for page in pages {
        if !page.set(PageFlags::LRU) {
            page.clear(PageFlags::ACTIVE);
            lists[index(false)].push(page.clone().into_frame());
            LEN[index(false)].fetch_add(1, Relaxed);
        }
    }
}

/// Takes a page off its list, if it is on one. Any context.
pub fn remove(page: &Page) {
    drop(take(page));
}

/// Takes a page off its list, if it is on one: which, and the list's reference. [`put_back`] undoes it. Any context.
pub fn take(page: &Page) -> Option<(Page, Which)> {
    let mut lists = LISTS.lock_irqsave();
    if !page.has(PageFlags::LRU) {
        return None;
    }
    let active = page.has(PageFlags::ON_ACTIVE);
    lists[index(active)].unlink(page.frame());
    LEN[index(active)].fetch_sub(1, Relaxed);
    page.clear(PageFlags(PageFlags::LRU.0 | PageFlags::ON_ACTIVE.0));
    drop(lists);
    // SAFETY: The list's reference, which nobody else gives up: the flag was set under the lock.
    let own = unsafe { Page::from_frame(page.frame()) };
    Some((own, if active { Which::Active } else { Which::Inactive }))
}

/// Takes up to `max` of the oldest pages off a list, each with the list's reference. `out` has the room. Any context.
pub fn isolate(which: Which, max: usize, out: &mut KVec<Page>) {
    let active = which == Which::Active;
    let mut lists = LISTS.lock_irqsave();
    let list = &mut lists[index(active)];
    for _ in 0..max {
        // SAFETY: By the invariant it is 0 or the address of a frame.
        let Some(frame) = (unsafe { Frame::from_addr(list.tail) }) else { return };
        if out.len() == out.capacity() {
            return;
        }
        list.unlink(frame);
        LEN[index(active)].fetch_sub(1, Relaxed);
        // SAFETY: The list's reference goes to the result.
        let page = unsafe { Page::from_frame(frame) };
        page.clear(PageFlags(PageFlags::LRU.0 | PageFlags::ON_ACTIVE.0));
        // There is room.
        let _ = out.push_within_capacity(page);
    }
}

/// Puts a page that was isolated back, at the young end, unless it left its file meanwhile. Any context.
pub fn put_back(page: Page, which: Which) {
    let active = which == Which::Active;
    let mut lists = LISTS.lock_irqsave();
    if page.has(PageFlags::TRUNCATED) || page.set(PageFlags::LRU) {
        drop(lists);
        drop(page);
        return;
    }
    if active {
        page.set(PageFlags::ON_ACTIVE);
    }
    lists[index(active)].push(page.into_frame());
    LEN[index(active)].fetch_add(1, Relaxed);
}

/// Pages on a list.
pub fn len(which: Which) -> usize {
    LEN[index(which == Which::Active)].load(Relaxed)
}
