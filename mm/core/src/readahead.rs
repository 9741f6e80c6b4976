// SPDX-License-Identifier: GPL-2.0
//! On-demand readahead. It is asked in two situations only: a page is missing (the reader waits anyway), or a page with the mark
//! `READAHEAD` is reached (the window before it is nearly used up). The state of an open file describes the last window; what was
//! read before shows in the cache itself. Cached files never come here.
//!
//! The state is kept in atomics without a lock: two threads that read one open file may spoil each other's guess, no more.

use crate::mapping::Mapping;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};
use kalloc::flags::{__GFP_NORETRY, __GFP_NOWARN, GFP_KERNEL};
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use mm_alloc::{Page, PageFlags};

/// Largest piece of a read that was forced: 2 MB.
const FORCED_CHUNK: u64 = 512;
/// Misses of a mapping that was never read in order before reading around it stops (`MMAP_LOTSAMISS`).
const LOTS_OF_MISSES: u32 = 100;

/// How an open file was read so far (Linux's `file_ra_state`).
pub struct Readahead {
    start: AtomicU64,
    size: AtomicU32,
    ahead: AtomicU32,
    /// Last byte read, -1 at first.
    prev: AtomicU64,
    /// Pages of the largest window; negative: the device's.
    pages: AtomicI32,
    misses: AtomicU32,
    /// Pages are read once.
    once: AtomicBool,
}

/// How memory that is mapped is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Nothing is known: what lies around is read too.
    Around,
    /// In order.
    Sequential,
    /// Nothing but what is touched.
    Random,
}

/// A window: `size` pages from `start`, of which the last `ahead` come before they are needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Window {
    /// First page.
    pub start: u64,
    /// Pages.
    pub size: u64,
    /// Pages from the mark on.
    pub ahead: u64,
}

/// What is known when a window is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// The page wanted.
    pub index: u64,
    /// Pages wanted from there.
    pub wanted: u64,
    /// Pages of the largest window.
    pub max: u64,
    /// The page that was read last, `u64::MAX` for none.
    pub prev: u64,
    /// The page is there and marked.
    pub hit: bool,
}

/// What to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Nothing.
    Nothing,
    /// What is wanted, and the state stays.
    Exactly,
    /// This window, which becomes the state.
    Window(Window),
}

/// The first window of a stream.
fn first_size(wanted: u64, max: u64) -> u64 {
    let size = wanted.max(1).checked_next_power_of_two().unwrap_or(max);
    if size <= max / 32 {
        size * 4
    } else if size <= max / 4 {
        size * 2
    } else {
        max
    }
}

/// The window after one of `size`.
fn next_size(size: u64, max: u64) -> u64 {
    if size < max / 16 {
        size * 4
    } else if size <= max / 2 {
        size * 2
    } else {
        max
    }
}

/// Chooses what to read. `hole_after` gives the first page after the given one that is not cached (within `max`), `cached_before`
/// how many cached pages lie right before the given one (at most `max`).
pub fn plan(
    state: Window,
    query: Query,
    hole_after: impl FnOnce(u64) -> Option<u64>,
    cached_before: impl FnOnce(u64) -> u64,
) -> Plan {
    let Query { index, wanted, max, prev, hit } = query;
    let fresh = || {
        let size = first_size(wanted, max);
        Window { start: index, size, ahead: if size > wanted { size - wanted } else { size } }
    };
    let window = if index == 0 {
        fresh()
    } else if state.size != 0 && (index == state.start + state.size - state.ahead || index == state.start + state.size)
    {
        // As foreseen: the next window.
        let size = next_size(state.size, max);
        Window { start: state.start + state.size, size, ahead: size }
    } else if hit {
        // A mark that another stream left: it goes on from the next hole.
        let Some(start) = hole_after(index) else { return Plan::Nothing };
        let size = next_size(start.saturating_sub(index) + wanted, max);
        Window { start, size, ahead: size }
    } else if wanted > max || prev == index || prev.wrapping_add(1) == index {
        fresh()
    } else {
        match cached_before(index) {
            // Alone: nothing is known of what follows.
            before if before <= wanted => return Plan::Exactly,
            before => {
                // A stream that went by without a state. From the file's start: surely in order.
                let before = if before >= index { before * 2 } else { before };
                Window { start: index, size: (before + wanted).min(max), ahead: 1 }
            }
        }
    };
    Plan::Window(merge(window, index, max))
}

/// A window whose mark would be hit at once is joined with the one after it.
fn merge(window: Window, index: u64, max: u64) -> Window {
    if window.start != index || window.size != window.ahead {
        return window;
    }
    let add = next_size(window.size, max);
    if window.size + add <= max {
        Window { size: window.size + add, ahead: add, ..window }
    } else {
        Window { size: max, ahead: max / 2, ..window }
    }
}

impl Default for Readahead {
    fn default() -> Self {
        Self::new()
    }
}

impl Readahead {
    /// Of a file that was just opened.
    pub const fn new() -> Self {
        Self {
            start: AtomicU64::new(0),
            size: AtomicU32::new(0),
            ahead: AtomicU32::new(0),
            prev: AtomicU64::new(u64::MAX),
            pages: AtomicI32::new(-1),
            misses: AtomicU32::new(0),
            once: AtomicBool::new(false),
        }
    }

    /// The last byte that was read.
    #[inline(always)]
    pub fn set_prev(&self, pos: u64) {
        self.prev.store(pos, Relaxed);
    }

    /// Whether page `index` was the last that was read.
    #[inline(always)]
    pub fn was_last(&self, index: u64) -> bool {
        let prev = self.prev.load(Relaxed);
        prev != u64::MAX && prev >> PAGE_SHIFT == index
    }

    /// Sets the largest window in pages (`posix_fadvise`); negative: the device's; 0: none.
    pub fn set_pages(&self, pages: i32) {
        self.pages.store(pages, Relaxed);
    }

    /// Whether it was told that the order is random.
    fn is_random(&self) -> bool {
        self.pages.load(Relaxed) == RANDOM
    }

    /// Says whether what is read is used once alone (`POSIX_FADV_NOREUSE`).
    pub fn set_once(&self, once: bool) {
        self.once.store(once, Relaxed);
    }

    /// Whether reading a page is no reason to keep it.
    #[inline(always)]
    pub fn is_once(&self) -> bool {
        self.once.load(Relaxed)
    }

    fn max_of(&self, mapping: &Mapping) -> u64 {
        let device = mapping.bdi().map_or(0, |bdi| bdi.ra_pages());
        match self.pages.load(Relaxed) {
            RANDOM => 0,
            SEQUENTIAL => u64::from(device) * 2,
            pages if pages < 0 => u64::from(device),
            pages => u64::from(pages.unsigned_abs()),
        }
    }

    fn window(&self) -> Window {
        Window {
            start: self.start.load(Relaxed),
            size: self.size.load(Relaxed).into(),
            ahead: self.ahead.load(Relaxed).into(),
        }
    }

    fn set_window(&self, window: Window) {
        self.start.store(window.start, Relaxed);
        self.size.store(window.size as u32, Relaxed);
        self.ahead.store(window.ahead as u32, Relaxed);
    }
}

/// [`Readahead::set_pages`]: no readahead, only what is asked for (`POSIX_FADV_RANDOM`).
pub const RANDOM: i32 = -3;
/// [`Readahead::set_pages`]: twice the device's window (`POSIX_FADV_SEQUENTIAL`).
pub const SEQUENTIAL: i32 = -2;

impl Mapping {
    /// The page `index`, of which `wanted` are wanted from there on, is missing: starts reading it and what may follow. The caller
    /// then takes the page with [`Mapping::get_or_read`]. May sleep.
    pub fn readahead_missing(&self, state: &Readahead, index: u64, wanted: u64) {
        let max = state.max_of(self);
        if max == 0 {
            // Told that the order is random: what is wanted, in pieces. Without a window: page by page.
            self.read_forced(index, if state.is_random() { wanted } else { 1 });
            return;
        }
        self.readahead(state, index, wanted, max, false);
    }

    /// The page `index` is there and has the mark: starts reading the next window. May sleep.
    pub fn readahead_marked(&self, state: &Readahead, page: &Page, index: u64, wanted: u64) {
        page.clear(PageFlags::READAHEAD);
        let max = state.max_of(self);
        if max != 0 {
            self.readahead(state, index, wanted, max, true);
        }
    }

    fn readahead(&self, state: &Readahead, index: u64, wanted: u64, max: u64, hit: bool) {
        // A large request may be read in one piece as large as the device takes.
        let io = self.bdi().map_or(0, |bdi| u64::from(bdi.io_pages()));
        let max = if wanted > max && io > max { wanted.min(io) } else { max };
        let prev = match state.prev.load(Relaxed) {
            u64::MAX => u64::MAX,
            pos => pos >> PAGE_SHIFT,
        };
        let query = Query { index, wanted, max, prev, hit };
        let plan = plan(state.window(), query, |at| self.hole_after(at, max), |at| self.cached_before(at, max));
        match plan {
            Plan::Nothing => {}
            Plan::Exactly => {
                self.read_ahead_range(index, wanted, None, hit);
            }
            Plan::Window(window) => {
                state.set_window(window);
                let mark = (window.start + window.size).saturating_sub(window.ahead);
                self.read_ahead_range(window.start, window.size, Some(mark), hit);
            }
        }
    }

    /// Starts reading what is missing of `[first, first + count)`, but nothing beyond the file's end.
    fn read_ahead_range(&self, first: u64, count: u64, mark: Option<u64>, ahead: bool) -> u64 {
        let _plug = task_io::Plug::start();
        let end = self.size().div_ceil(PAGE_SIZE as u64);
        let count = count.min(end.saturating_sub(first));
        if count == 0 {
            return 0;
        }
        self.read_new(first, count, mark, ahead, GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN)
    }

    /// Starts reading `[first, first + count)` whatever the way of reading (`POSIX_FADV_WILLNEED`, `readahead(2)`); returns without
    /// waiting for it. As in Linux no more than one request of the device's largest size, or one window if that is larger: a program
    /// must not fill memory with what it may never look at. May sleep.
    pub fn read_forced(&self, first: u64, count: u64) {
        if self.is_memory() {
            return;
        }
        let device = self.bdi().map_or(0, |bdi| u64::from(bdi.io_pages().max(bdi.ra_pages())));
        let mut left = count.min(device.max(1));
        let mut at = first;
        while left != 0 {
            let part = left.min(FORCED_CHUNK);
            self.read_ahead_range(at, part, None, true);
            at = at.saturating_add(part);
            left -= part;
            if at >= self.size().div_ceil(PAGE_SIZE as u64) || task::current().signal_pending() {
                return;
            }
        }
    }

    /// The first page after `index` that is not cached, at most `max` further.
    fn hole_after(&self, index: u64, max: u64) -> Option<u64> {
        let last = index.saturating_add(max);
        let mut at = index + 1;
        self.pages.each(at, last, None, |found, _| {
            let next = found == at;
            at += u64::from(next);
            next
        });
        (at <= last).then_some(at)
    }

    /// Cached pages right before `index`, at most `max`.
    fn cached_before(&self, index: u64, max: u64) -> u64 {
        let mut count = 0;
        while count < max && count < index && self.find(index - 1 - count).is_some() {
            count += 1;
        }
        count
    }

    /// A program touched page `index`, which is not cached, in mapped memory. May sleep.
    pub(crate) fn readahead_for_fault(&self, state: &Readahead, index: u64, way: Way) {
        let max = state.max_of(self);
        if way == Way::Random || max == 0 {
            return;
        }
        if way == Way::Sequential {
            return self.readahead_missing(state, index, max);
        }
        let misses = state.misses.load(Relaxed);
        if misses < LOTS_OF_MISSES * 10 {
            state.misses.store(misses + 1, Relaxed);
        }
        if misses > LOTS_OF_MISSES {
            return;
        }
        let window = Window { start: index.saturating_sub(max / 2), size: max, ahead: max / 4 };
        state.set_window(window);
        self.read_ahead_range(window.start, window.size, Some(window.start + window.size - window.ahead), false);
    }

    /// A program touched page `index` in mapped memory, and it was there.
    pub(crate) fn fault_hit(&self, state: &Readahead, page: &Page, index: u64, random: bool) {
        if random {
            return;
        }
        let misses = state.misses.load(Relaxed);
        if misses != 0 {
            state.misses.store(misses - 1, Relaxed);
        }
        if page.has(PageFlags::READAHEAD) {
            self.readahead_marked(state, page, index, state.max_of(self));
        }
    }
}
