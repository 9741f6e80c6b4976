// SPDX-License-Identifier: GPL-2.0
//! The lists of pages that can be reclaimed, oldest last: `Inactive` (used once) and `Active`. A page on a list has the flag `LRU` and
//! one reference that is the list's.
//!
//! There are several of each, so that CPUs that fill the cache do not wait for each other: a page's frame number says which are its. Frames
//! that lie side by side, as an allocator's batch does, have the same ones. Reclaim takes from all in turn, so age is approximate.
//!
//! Locks: a pair of lists' (spin, interrupts off), innermost, one at a time. A frame's links belong to the list while the flag is set; the
//! flag changes under the lock.

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

/// Pairs of lists; a power of two.
const SHARDS: usize = 16;
/// Frames in a row that have the same lists, as a shift.
const RUN_SHIFT: usize = 5;

/// An inactive and an active list.
#[repr(align(64))]
struct Shard {
    lists: SpinLock<[List; 2]>,
    /// Pages on them; changed under `lists`.
    len: [AtomicUsize; 2],
}

impl Shard {
    const fn new() -> Self {
        Self { lists: SpinLock::new([List { head: 0, tail: 0 }; 2]), len: [const { AtomicUsize::new(0) }; 2] }
    }
}

static SHARD: [Shard; SHARDS] = [const { Shard::new() }; SHARDS];
/// Which lists reclaim takes from next.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// The lists of a page.
fn shard_of(page: &Page) -> &'static Shard {
    // In bounds: the rest of a division by the length.
    &SHARD[(page.pfn() >> RUN_SHIFT) % SHARDS]
}

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
    for page in pages {
        let shard = shard_of(page);
        let mut lists = shard.lists.lock_irqsave();
        if !page.set(PageFlags::LRU) {
            page.clear(PageFlags::ACTIVE);
            lists[index(false)].push(page.clone().into_frame());
            shard.len[index(false)].fetch_add(1, Relaxed);
        }
    }
}

/// Takes a page off its list, if it is on one. Any context.
pub fn remove(page: &Page) {
    drop(take(page));
}

/// Takes a page off its list, if it is on one: which, and the list's reference. [`put_back`] undoes it. Any context.
pub fn take(page: &Page) -> Option<(Page, Which)> {
    let shard = shard_of(page);
    let mut lists = shard.lists.lock_irqsave();
    if !page.has(PageFlags::LRU) {
        return None;
    }
    let active = page.has(PageFlags::ON_ACTIVE);
    lists[index(active)].unlink(page.frame());
    shard.len[index(active)].fetch_sub(1, Relaxed);
    page.clear(PageFlags(PageFlags::LRU.0 | PageFlags::ON_ACTIVE.0));
    drop(lists);
    // SAFETY: The list's reference, which nobody else gives up: the flag was set under the lock.
    let own = unsafe { Page::from_frame(page.frame()) };
    Some((own, if active { Which::Active } else { Which::Inactive }))
}

/// Takes up to `max` of the oldest pages off the lists of a kind, as long as `out` has room, each with the list's reference. They come from
/// one pair of lists, and only if that has too few from the next ones; the next call begins with another pair. Any context.
pub fn isolate(which: Which, max: usize, out: &mut KVec<Page>) {
    let active = which == Which::Active;
    let first = TURN.fetch_add(1, Relaxed);
    let mut left = max.min(out.capacity() - out.len());
    for step in 0..SHARDS {
        // In bounds: the rest of a division by the length.
        let shard = &SHARD[first.wrapping_add(step) % SHARDS];
        if left == 0 {
            return;
        }
        if shard.len[index(active)].load(Relaxed) == 0 {
            continue;
        }
        let mut lists = shard.lists.lock_irqsave();
        let list = &mut lists[index(active)];
        while left != 0 {
            // SAFETY: By the invariant it is 0 or the address of a frame.
            let Some(frame) = (unsafe { Frame::from_addr(list.tail) }) else { break };
            list.unlink(frame);
            shard.len[index(active)].fetch_sub(1, Relaxed);
            // SAFETY: The list's reference goes to the result.
            let page = unsafe { Page::from_frame(frame) };
            page.clear(PageFlags(PageFlags::LRU.0 | PageFlags::ON_ACTIVE.0));
            // There is room.
            let _ = out.push_within_capacity(page);
            left -= 1;
        }
    }
}

/// Puts a page that was isolated back, at the young end, unless it left its file meanwhile. Any context.
pub fn put_back(page: Page, which: Which) {
    let active = which == Which::Active;
    let shard = shard_of(&page);
    let mut lists = shard.lists.lock_irqsave();
    if page.has(PageFlags::TRUNCATED) || page.set(PageFlags::LRU) {
        drop(lists);
        drop(page);
        return;
    }
    if active {
        page.set(PageFlags::ON_ACTIVE);
    }
    lists[index(active)].push(page.into_frame());
    shard.len[index(active)].fetch_add(1, Relaxed);
}

/// Pages on the lists of a kind.
pub fn len(which: Which) -> usize {
    let kind = index(which == Which::Active);
    SHARD.iter().map(|shard| shard.len[kind].load(Relaxed)).sum()
}
