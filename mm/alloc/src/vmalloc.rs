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
use kalloc::Flags;
use kalloc::flags::__GFP_ZERO;
use locking::SpinLock;
use mm_base::areas::Areas;

struct State {
    areas: Areas,
    /// Frames of dead areas, linked through `next`.
    frames: usize,
}

static AREAS: SpinLock<State> = SpinLock::new(State { areas: Areas::new(VMALLOC_START, VMALLOC_END), frames: 0 });
/// Dead pages that are worth a flush.
const PURGE_AT: usize = 1024;

/// Reserves addresses for `pages` pages and a guard page behind them.
pub(crate) fn reserve(pages: usize) -> Result<usize> {
    let len = pages.checked_add(1).and_then(|p| p.checked_mul(PAGE_SIZE)).ok_or(ENOMEM)?;
    purge(PURGE_AT);
    AREAS.lock_irqsave().areas.reserve(len)
}

/// Marks an area as dead, with its frames (a chain from `first` to `last`), and purges if it may and must.
fn retire(start: usize, first: usize, last: Option<&'static Frame>) {
    {
        let mut state = AREAS.lock_irqsave();
        if !state.areas.retire(start) {
            return;
        }
        if let Some(last) = last {
            last.next.store(state.frames, Ordering::Relaxed);
            state.frames = first;
        }
    }
    purge(PURGE_AT);
}

/// Frees what dead areas hold if that is at least `least` pages: one flush of every CPU. Does nothing with interrupts off.
pub fn purge(least: usize) {
    if x86_cpu::irqflags::irqs_disabled() {
        return;
    }
    let (mut frames, dead) = {
        let mut state = AREAS.lock_irqsave();
        if state.areas.dead_pages() < least.max(1) {
            return;
        }
        // The addresses must not be used again before the flush: they stay in the list until after it.
        let dead = state.areas.begin_flush();
        (core::mem::take(&mut state.frames), dead)
    };
    let Some(dead) = dead else { return };
    kpt::flush_kernel_range(dead.start, dead.end);
    AREAS.lock_irqsave().areas.end_flush(dead);
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

/// Undoes [`map_phys`], for who does not know how many pages there are. What is no area is left alone.
///
/// # Safety
/// If `start` is an area's, that is one of [`map_phys`] and the caller's, and nobody uses the mapping any more.
pub(crate) unsafe fn unmap_area(start: usize) {
    let len = AREAS.lock_irqsave().areas.len_at(start);
    // Behind it is the guard page.
    if let Some(pages) = len.and_then(|len| (len / PAGE_SIZE).checked_sub(1)) {
        // SAFETY: The caller's contract, and all pages of the area.
        unsafe { unmap_phys(start, pages) };
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
