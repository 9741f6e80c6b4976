// SPDX-License-Identifier: GPL-2.0
//! Virtually contiguous memory from single pages, and the allocator of kernel addresses behind it, `ioremap` and kernel stacks.
//! Each area is followed by an unmapped guard page. Lock: `AREAS`, interrupts off; held for the search only.
//!
//! Freeing is lazy: areas are unmapped at once, but their addresses and frames wait until enough have gathered for one flush of
//! every CPU (`purge`). So memory may be freed with interrupts off, and most frees cost no interrupt to other CPUs.

use crate::frame::Frame;
use crate::kpt::{self, Prot};
use crate::layout::{PAGE_SIZE, PhysAddr, VMALLOC_END, VMALLOC_START, pages_for};
use crate::{mem, page, pcp, stat};
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::flags::{__GFP_ZERO, GFP_ATOMIC};
use kalloc::{Flags, KVec};
use locking::SpinLock;

#[derive(Clone, Copy)]
struct Area {
    start: usize,
    end: usize,
    /// Unmapped, waits for the flush.
    dead: bool,
}

struct Areas {
    /// Areas in use or dead, sorted.
    list: KVec<Area>,
    /// Where the next search begins.
    hint: usize,
    /// Frames of dead areas, linked through `next`.
    frames: usize,
    /// Pages of dead areas.
    dead_pages: usize,
}

static AREAS: SpinLock<Areas> =
    SpinLock::new(Areas { list: KVec::new(), hint: VMALLOC_START, frames: 0, dead_pages: 0 });
/// Dead pages that are worth a flush.
const PURGE_AT: usize = 1024;

/// Reserves addresses for `pages` pages and a guard page behind them.
pub(crate) fn reserve(pages: usize) -> Result<usize> {
    let len = pages.checked_add(1).and_then(|p| p.checked_mul(PAGE_SIZE)).ok_or(ENOMEM)?;
    purge(PURGE_AT);
    let mut areas = AREAS.lock_irqsave();
    areas.list.reserve(1, GFP_ATOMIC)?;
    let (at, start) =
        find(&areas.list, len, areas.hint).or_else(|| find(&areas.list, len, VMALLOC_START)).ok_or(ENOMEM)?;
    areas.list.insert(at, Area { start, end: start + len, dead: false }, GFP_ATOMIC)?;
    areas.hint = start + len;
    Ok(start)
}

/// The first hole of `len` bytes at or above `from`: its place in the list and its address.
fn find(areas: &[Area], len: usize, from: usize) -> Option<(usize, usize)> {
    let mut at = areas.partition_point(|a| a.end <= from);
    let mut start = from;
    loop {
        let stop = areas.get(at).map_or(VMALLOC_END, |a| a.start);
        if stop >= start && stop - start >= len {
            return Some((at, start));
        }
        start = areas.get(at)?.end;
        at += 1;
    }
}

/// Marks an area as dead, with its frames (a chain from `first` to `last`), and purges if it may and must.
fn retire(start: usize, first: usize, last: Option<&'static Frame>) {
    {
        let mut areas = AREAS.lock_irqsave();
        let at = areas.list.partition_point(|a| a.start < start);
        let pages = match areas.list.get_mut(at) {
            Some(area) if area.start == start && !area.dead => {
                area.dead = true;
                (area.end - area.start) / PAGE_SIZE
            }
            _ => return,
        };
        areas.dead_pages += pages;
        if let Some(last) = last {
            last.next.store(areas.frames, Ordering::Relaxed);
            areas.frames = first;
        }
    }
    purge(PURGE_AT);
}

/// Frees what dead areas hold if that is at least `least` pages: one flush of every CPU. Does nothing with interrupts off.
pub fn purge(least: usize) {
    if x86_cpu::irqflags::irqs_disabled() {
        return;
    }
    let (mut frames, range) = {
        let mut areas = AREAS.lock_irqsave();
        if areas.dead_pages < least.max(1) {
            return;
        }
        let dead = || areas.list.iter().filter(|a| a.dead);
        let range = (dead().map(|a| a.start).min(), dead().map(|a| a.end).max());
        let frames = core::mem::take(&mut areas.frames);
        areas.dead_pages = 0;
        // The addresses must not be used again before the flush: they stay in the list until after it.
        (frames, range)
    };
    let (Some(start), Some(end)) = range else { return };
    kpt::flush_kernel_range(start, end);
    let mut areas = AREAS.lock_irqsave();
    // Areas that died during the flush are still to be flushed: they were counted after the count was cleared.
    if areas.dead_pages == 0 {
        areas.list.retain(|a| !a.dead);
        // What is free lowest is used first: page tables are there already.
        areas.hint = areas.hint.min(start);
    }
    drop(areas);
    // SAFETY: The chain holds addresses of frames, whose only reference was the mapping's; no CPU has it any more.
    while let Some(frame) = unsafe { Frame::from_addr(frames) } {
        frames = frame.next.load(Ordering::Relaxed);
        // SAFETY: As above.
        unsafe { page::put_frame(frame) };
    }
}

/// Maps `pages` fresh pages; returns their address.
pub(crate) fn alloc_pages(pages: usize, flags: Flags) -> Result<usize> {
    let start = reserve(pages)?;
    for i in 0..pages {
        let mapped = pcp::alloc_page(flags).ok_or(ENOMEM).and_then(|frame| {
            if flags.contains(__GFP_ZERO) {
                // SAFETY: The page was just allocated.
                unsafe { mem::clear_page(frame.virt()) };
            }
            // SAFETY: The range is reserved for us; the frame stays ours until it is unmapped.
            let result = unsafe { kpt::map_page(start + i * PAGE_SIZE, frame, Prot::RW) };
            if result.is_err() {
                // SAFETY: Our only reference, not mapped.
                unsafe { page::put_frame(frame) };
            }
            result
        });
        if let Err(error) = mapped {
            // SAFETY: The first `i` pages were mapped above and are used by nobody.
            unsafe { free_pages(start, i) };
            return Err(error);
        }
    }
    stat::add(stat::Item::Vmalloc, pages as i64);
    Ok(start)
}

/// Unmaps and frees pages, then gives the addresses back.
///
/// # Safety
/// `start` came from [`reserve`], its first `pages` pages were mapped from single frames, and nobody uses them.
pub(crate) unsafe fn free_pages(start: usize, pages: usize) {
    let (mut first, mut last) = (0, None);
    // SAFETY: As the caller promises. The frames are freed after every CPU forgot them.
    unsafe {
        kpt::unmap(start, pages * PAGE_SIZE, |phys| {
            let frame = Frame::of_phys(phys);
            frame.next.store(first, Ordering::Relaxed);
            first = frame.addr();
            last = last.or(Some(frame));
        });
    }
    retire(start, first, last);
}

/// `Vmalloc`'s allocation: null if there is no memory, or the alignment is above a page.
pub(crate) fn alloc_bytes(size: usize, align: usize, flags: Flags) -> *mut u8 {
    if align > PAGE_SIZE {
        return core::ptr::null_mut();
    }
    match alloc_pages(pages_for(size), flags) {
        Ok(start) => core::ptr::with_exposed_provenance_mut(start),
        Err(_) => core::ptr::null_mut(),
    }
}

/// Frees what [`alloc_bytes`] gave.
///
/// # Safety
/// `ptr` came from `alloc_bytes` with this size and is not used any more.
pub(crate) unsafe fn free_bytes(ptr: *mut u8, size: usize) {
    let pages = pages_for(size);
    stat::add(stat::Item::Vmalloc, -(pages as i64));
    // SAFETY: As the caller promises.
    unsafe { free_pages(ptr.addr(), pages) };
}

/// Maps `pages` pages of physical memory from `phys`; returns their address.
///
/// # Safety
/// The memory stays what it is while it is mapped.
pub(crate) unsafe fn map_phys(phys: PhysAddr, pages: usize, prot: Prot) -> Result<usize> {
    let start = reserve(pages)?;
    // SAFETY: The range is reserved for us; the rest as the caller promises.
    match unsafe { kpt::map(start, phys, pages * PAGE_SIZE, prot) } {
        Ok(()) => Ok(start),
        Err(error) => {
            // SAFETY: Whatever was mapped is used by nobody.
            unsafe { unmap_phys(start, pages) };
            Err(error)
        }
    }
}

/// Undoes [`map_phys`].
///
/// # Safety
/// `start` and `pages` are those of a `map_phys`, and nobody uses the mapping any more.
pub(crate) unsafe fn unmap_phys(start: usize, pages: usize) {
    // SAFETY: As the caller promises; the frames are not ours to free.
    unsafe { kpt::unmap(start, pages * PAGE_SIZE, |_| {}) };
    retire(start, 0, None);
}
