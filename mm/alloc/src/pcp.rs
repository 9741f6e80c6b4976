// SPDX-License-Identifier: GPL-2.0
//! Per-CPU lists of single free pages: the fast path of the page allocator. Each list is touched by its own CPU with
//! interrupts off, without locks. Pages freed last are given out first, while they are in the cache.

use crate::buddy;
use crate::frame::Frame;
use crate::{reclaim, stat};
use core::sync::atomic::{AtomicUsize, Ordering};
use kalloc::Flags;
use kalloc::flags::{__GFP_DMA, __GFP_DMA32};
use x86_cpu::irqflags::IrqGuard;

/// Pages moved between a list and the buddy allocator at once.
pub const BATCH: usize = 32;
/// Pages a list may have.
pub const HIGH: usize = 160;

struct PageList {
    head: AtomicUsize,
    count: AtomicUsize,
}

x86_cpu::percpu! {
    static PAGES: PageList = PageList { head: AtomicUsize::new(0), count: AtomicUsize::new(0) };
}

/// One page with one reference, contents undefined.
#[inline]
pub(crate) fn alloc_page(flags: Flags) -> Option<&'static Frame> {
    if !(flags & (__GFP_DMA32 | __GFP_DMA)).is_empty() {
        return buddy::alloc_pages(0, flags);
    }
    match pop() {
        Some(frame) => Some(frame),
        None => alloc_slow(flags),
    }
}

/// Takes a page of this CPU's list.
#[inline(always)]
fn pop() -> Option<&'static Frame> {
    let irq = IrqGuard::new();
    let list = PAGES.this_racy();
    let head = list.head.load(Ordering::Relaxed);
    // SAFETY: List links hold addresses of frames.
    let frame = unsafe { Frame::from_addr(head) }?;
    list.head.store(frame.next.load(Ordering::Relaxed), Ordering::Relaxed);
    list.count.store(list.count.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
    stat::add(buddy::ZoneId::of(frame.pfn()).pgalloc(), 1);
    drop(irq);
    #[cfg(CONFIG_DEBUG_PAGEALLOC)]
    crate::heap::debug::check_page(frame);
    frame.flags.store(0, Ordering::Relaxed);
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
    loop {
        let (head, got) = buddy::take_batch(BATCH, flags);
        if got == 0 {
            return None;
        }
        let _irq = IrqGuard::new();
        // SAFETY: The batch is a chain of `got` frames that only we have.
        unsafe { splice(head, got) };
        if let Some(frame) = pop() {
            return Some(frame);
        }
        // An interrupt took them all: the buddy allocator is asked again.
    }
}

/// Puts a chain at the head of this CPU's list. Interrupts are off.
///
/// # Safety
/// `head` starts a chain of exactly `count` > 0 free frames that nobody else has, the last with `next` 0.
unsafe fn splice(head: usize, count: usize) {
    let list = PAGES.this_racy();
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
    #[cfg(CONFIG_DEBUG_PAGEALLOC)]
    crate::heap::debug::poison_page(frame);
    let irq = IrqGuard::new();
    let list = PAGES.this_racy();
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

/// Gives this CPU's list back to the buddy allocator.
pub fn drain_local() {
    let _irq = IrqGuard::new();
    trim(PAGES.this_racy(), 0);
}

/// Pages in the list of one CPU.
pub fn cached_on(cpu: x86_cpu::CpuId) -> usize {
    PAGES.on(cpu).map_or(0, |list| list.count.load(Ordering::Relaxed))
}

/// Pages in the lists of all CPUs.
pub fn cached_pages() -> usize {
    (0..x86_cpu::MAX_CPUS as u32).filter_map(|cpu| PAGES.on(cpu)).map(|l| l.count.load(Ordering::Relaxed)).sum()
}
