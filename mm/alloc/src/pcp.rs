// SPDX-License-Identifier: GPL-2.0
//! Per-CPU lists of single free pages, one for each mobility: the fast path of the page allocator. Each list is touched by its own CPU
//! with interrupts off, without locks. Pages freed last are given out first, while they are in the cache; a page goes back to the list
//! of what it was allocated as, which its flags say.

use crate::buddy;
use crate::frame::Frame;
use crate::page::PageFlags;
use crate::{reclaim, stat};
use core::sync::atomic::{AtomicUsize, Ordering};
use kalloc::Flags;
use kalloc::flags::{__GFP_DMA, __GFP_DMA32};
use mm_base::mobility::Mobility;
use x86_cpu::irqflags::IrqGuard;

/// Pages moved between a list and the buddy allocator at once.
pub const BATCH: usize = 32;
/// Pages a list may have.
pub const HIGH: usize = 160;

struct PageList {
    head: AtomicUsize,
    count: AtomicUsize,
}

type Lists = [PageList; Mobility::USED];

x86_cpu::percpu! {
    static PAGES: Lists = [const { PageList { head: AtomicUsize::new(0), count: AtomicUsize::new(0) } }; Mobility::USED];
}

/// The list of a kind.
#[inline(always)]
fn list_of(lists: &Lists, kind: Mobility) -> &PageList {
    let [movable, unmovable, reclaimable] = lists;
    match kind {
        Mobility::Movable => movable,
        Mobility::Reclaimable => reclaimable,
        // Nothing is allocated as the last.
        Mobility::Unmovable | Mobility::Isolate => unmovable,
    }
}

/// One page with one reference, contents undefined.
#[inline]
pub(crate) fn alloc_page(flags: Flags) -> Option<&'static Frame> {
    if !(flags & (__GFP_DMA32 | __GFP_DMA)).is_empty() {
        return buddy::alloc_pages(0, flags);
    }
    let popped = match Mobility::of(flags) {
        Mobility::Movable => pop(Mobility::Movable),
        Mobility::Reclaimable => pop_reclaimable(),
        Mobility::Unmovable | Mobility::Isolate => pop(Mobility::Unmovable),
    };
    match popped {
        Some(frame) => Some(frame),
        None => alloc_slow(flags),
    }
}

#[inline(never)]
fn pop_reclaimable() -> Option<&'static Frame> {
    pop(Mobility::Reclaimable)
}

/// Takes a page of this CPU's list of a kind.
#[inline(always)]
fn pop(kind: Mobility) -> Option<&'static Frame> {
    let irq = IrqGuard::new();
    let list = list_of(PAGES.this_racy(), kind);
    let head = list.head.load(Ordering::Relaxed);
    // SAFETY: List links hold addresses of frames.
    let frame = unsafe { Frame::from_addr(head) }?;
    list.head.store(frame.next.load(Ordering::Relaxed), Ordering::Relaxed);
    list.count.store(list.count.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
    stat::add(buddy::ZoneId::of(frame.pfn()).pgalloc(), 1);
    drop(irq);
    #[cfg(CONFIG_DEBUG_PAGEALLOC)]
    crate::heap::debug::check_page(frame);
    frame.flags.store(buddy::flags_of(kind), Ordering::Relaxed);
    frame.refs.store(1, Ordering::Relaxed);
    Some(frame)
}

#[cold]
#[inline(never)]
fn alloc_slow(flags: Flags) -> Option<&'static Frame> {
    match refill(flags) {
        Some(frame) => {
            reclaim::refilled(flags);
            Some(frame)
        }
        None => reclaim::allocate(0, flags, refill),
    }
}

/// Fills this CPU's list from the buddy allocator and takes a page.
fn refill(flags: Flags) -> Option<&'static Frame> {
    let kind = Mobility::of(flags);
    loop {
        let (head, got) = buddy::take_batch(BATCH, flags);
        if got == 0 {
            return None;
        }
        let _irq = IrqGuard::new();
        // SAFETY: The batch is a chain of `got` frames that only we have.
        unsafe { splice(list_of(PAGES.this_racy(), kind), head, got) };
        if let Some(frame) = pop(kind) {
            return Some(frame);
        }
        // An interrupt took them all: the buddy allocator is asked again.
    }
}

/// Puts a chain at the head of a list of this CPU. Interrupts are off.
///
/// # Safety
/// `head` starts a chain of exactly `count` > 0 free frames that nobody else has, the last with `next` 0.
unsafe fn splice(list: &PageList, head: usize, count: usize) {
    let old = list.head.load(Ordering::Relaxed);
    if old != 0 {
        let mut last = head;
        // SAFETY: The chain holds addresses of frames.
        while let Some(frame) = unsafe { Frame::from_addr(last) } {
            let next = frame.next.load(Ordering::Relaxed);
            if next == 0 {
                frame.next.store(old, Ordering::Relaxed);
                break;
            }
            last = next;
        }
    }
    list.head.store(head, Ordering::Relaxed);
    list.count.store(list.count.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

/// Frees a page whose last reference is gone.
#[inline]
pub(crate) fn free_page(frame: &'static Frame) {
    match frame.flags.load(Ordering::Relaxed) {
        flags if flags & PageFlags::MOVABLE.0 != 0 => free_to(frame, Mobility::Movable),
        flags => free_other(frame, flags),
    }
}

#[inline(never)]
fn free_other(frame: &'static Frame, flags: u64) {
    let reclaimable = flags & PageFlags::RECLAIMABLE.0 != 0;
    free_to(frame, if reclaimable { Mobility::Reclaimable } else { Mobility::Unmovable });
}

#[inline(always)]
fn free_to(frame: &'static Frame, kind: Mobility) {
    #[cfg(CONFIG_DEBUG_PAGEALLOC)]
    crate::heap::debug::poison_page(frame);
    let irq = IrqGuard::new();
    let list = list_of(PAGES.this_racy(), kind);
    frame.next.store(list.head.load(Ordering::Relaxed), Ordering::Relaxed);
    list.head.store(frame.addr(), Ordering::Relaxed);
    let count = list.count.load(Ordering::Relaxed) + 1;
    list.count.store(count, Ordering::Relaxed);
    stat::add(stat::Item::PgFree, 1);
    if count > HIGH {
        trim(list, HIGH / 2);
    }
    drop(irq);
}

/// Frees a page whose last reference is gone past the CPU's list, so that it joins what is free beside it.
pub(crate) fn free_page_far(frame: &'static Frame) {
    #[cfg(CONFIG_DEBUG_PAGEALLOC)]
    crate::heap::debug::poison_page(frame);
    stat::add(stat::Item::PgFree, 1);
    buddy::give_back(frame, 0);
}

/// Cuts the list to `keep` pages. Interrupts are off and `list` is this CPU's.
#[cold]
#[inline(never)]
fn trim(list: &PageList, keep: usize) {
    let count = list.count.load(Ordering::Relaxed);
    let surplus = count.saturating_sub(keep);
    if surplus == 0 {
        return;
    }
    // The hot end stays: walk over what is kept, give the rest away.
    let mut link = &list.head;
    for _ in 0..keep {
        // SAFETY: List links hold addresses of frames.
        match unsafe { Frame::from_addr(link.load(Ordering::Relaxed)) } {
            Some(frame) => link = &frame.next,
            None => return,
        }
    }
    let head = link.swap(0, Ordering::Relaxed);
    list.count.store(keep, Ordering::Relaxed);
    // SAFETY: The chain behind the first `keep` frames has `surplus` frames, and was just cut off.
    unsafe { buddy::give_batch(head, surplus) };
}

/// Gives this CPU's lists back to the buddy allocator.
pub fn drain_local() {
    let _irq = IrqGuard::new();
    for list in PAGES.this_racy() {
        trim(list, 0);
    }
}

/// Pages in the lists of one CPU.
pub fn cached_on(cpu: x86_cpu::CpuId) -> usize {
    PAGES.on(cpu).map_or(0, |lists| lists.iter().map(|list| list.count.load(Ordering::Relaxed)).sum())
}

/// Pages in the lists of all CPUs.
pub fn cached_pages() -> usize {
    (0..x86_cpu::MAX_CPUS as u32).map(cached_on).sum()
}
