// SPDX-License-Identifier: GPL-2.0
//! The heap: what `kalloc` (KBox, KVec, Arc) and the `alloc` crate call. Small sizes go to `slab`, larger ones to contiguous
//! pages, `KVmalloc` and `Vmalloc` kinds to `vmalloc` where that fits better. Frees are told the size, so nothing is looked up.

use crate::frame::Frame;
use crate::layout::{PAGE_SIZE, VMALLOC_END, VMALLOC_START};
use crate::{buddy, page, pcp, reclaim, slab, stat, vmalloc};
use core::alloc::{GlobalAlloc, Layout};
use kalloc::Flags;
use kalloc::flags::{__GFP_MOVABLE, __GFP_ZERO, __KIND_KVMALLOC, __KIND_VMALLOC, GFP_ATOMIC};

#[inline]
fn order_for(size: usize) -> usize {
    size.div_ceil(PAGE_SIZE).next_power_of_two().ilog2() as usize
}

/// Pages for the heap; what can be reclaimed is, if the caller may sleep.
pub(crate) fn pages_or_reclaim(order: usize, flags: Flags) -> Option<&'static Frame> {
    // The heap's pages stay where they are, whatever the caller's other pages do.
    let flags = flags & !__GFP_MOVABLE;
    if order == 0 {
        return pcp::alloc_page(flags);
    }
    match buddy::alloc_pages(order, flags) {
        Some(frame) => Some(frame),
        None => reclaim::allocate(order, flags, |flags| buddy::alloc_pages(order, flags)),
    }
}

fn alloc_large(size: usize, align: usize, flags: Flags) -> *mut u8 {
    let order = order_for(size.max(align));
    let Some(frame) = pages_or_reclaim(order, flags) else { return core::ptr::null_mut() };
    stat::add(stat::Item::Large, 1 << order);
    frame.virt()
}

/// # Safety
/// `ptr` came from `alloc_large` with this size and alignment and is not used any more.
unsafe fn free_large(ptr: *mut u8, size: usize, align: usize) {
    let order = order_for(size.max(align));
    stat::add(stat::Item::Large, -(1 << order));
    // SAFETY: The block was allocated with this order; a single page goes back through its reference.
    unsafe {
        let frame = Frame::of_virt(ptr);
        if order == 0 {
            page::put_frame(frame);
        } else {
            buddy::free_pages(frame, order);
        }
    }
}

/// `kalloc`'s source of memory: `size` bytes aligned to `align`, null if there are none.
///
/// # Safety
/// `size` is not 0 and `align` is a power of two.
#[unsafe(no_mangle)]
pub unsafe fn __kalloc_alloc(size: usize, align: usize, flags: u32) -> *mut u8 {
    // The short way: what nearly every caller wants.
    if size <= slab::SMALL_MAX && align <= 8 && flags & (__GFP_ZERO.as_raw()) == 0 {
        let class = slab::small_class(size);
        return match slab::pop(class) {
            Some(object) => object,
            None => slab::alloc_slow(class, Flags::from_raw(flags)),
        };
    }
    alloc_any(size, align, Flags::from_raw(flags))
}

#[inline(never)]
fn alloc_any(size: usize, align: usize, flags: Flags) -> *mut u8 {
    // Small objects of the vmalloc kind come from the slabs too.
    if flags.contains(__KIND_VMALLOC) && size > slab::SMALL_MAX
        || flags.contains(__KIND_KVMALLOC) && size > PAGE_SIZE * 8
    {
        return vmalloc::alloc_bytes(size, align, flags);
    }
    let ptr = match slab::class_of(size, align) {
        Some(class) => slab::alloc(class, flags),
        None => alloc_large(size, align, flags),
    };
    if flags.contains(__GFP_ZERO) && !ptr.is_null() {
        // SAFETY: Just allocated with this size.
        unsafe { crate::mem::fill_shared(ptr, 0, size) };
    }
    if ptr.is_null() && flags.contains(__KIND_KVMALLOC) && size > PAGE_SIZE {
        return vmalloc::alloc_bytes(size, align, flags);
    }
    ptr
}

/// Takes back what [`__kalloc_alloc`] gave.
///
/// # Safety
/// `ptr` came from `__kalloc_alloc` with this size, alignment and kind, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe fn __kalloc_free(ptr: *mut u8, size: usize, align: usize, kind: u32) {
    // SAFETY: As the caller promises; size and alignment lead to the same place as in the allocation. Small objects are never
    // mapped ones, whatever their kind: see `alloc_any`.
    unsafe {
        if size <= slab::SMALL_MAX && align <= 8 {
            slab::free(ptr, slab::small_class(size));
        } else {
            free_any(ptr, size, align, kind);
        }
    }
}

/// # Safety
/// As [`__kalloc_free`].
#[inline(never)]
unsafe fn free_any(ptr: *mut u8, size: usize, align: usize, kind: u32) {
    if kind != 0 && (VMALLOC_START..VMALLOC_END).contains(&ptr.addr()) {
        // SAFETY: An address in this area came from vmalloc.
        unsafe { vmalloc::free_bytes(ptr, size) };
        return;
    }
    // SAFETY: As the caller promises; size and alignment lead to the same class or order as before.
    unsafe {
        match slab::class_of(size, align) {
            Some(class) => slab::free(ptr, class),
            None => free_large(ptr, size, align),
        }
    }
}

#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "the host has an allocator"))]
struct Heap;

// SAFETY: `__kalloc_alloc` gives memory of the layout's size and alignment that is valid until `__kalloc_free`.
unsafe impl GlobalAlloc for Heap {
    /// # Safety
    /// As `GlobalAlloc` says.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // The callers do not say whether they may sleep.
        // SAFETY: `GlobalAlloc`'s contract: the size is not 0; a `Layout`'s alignment is a power of two.
        unsafe { __kalloc_alloc(layout.size(), layout.align(), (GFP_ATOMIC | __KIND_KVMALLOC).as_raw()) }
    }

    /// # Safety
    /// As `GlobalAlloc` says.
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `GlobalAlloc`'s contract.
        unsafe { __kalloc_free(ptr, layout.size(), layout.align(), __KIND_KVMALLOC.as_raw()) }
    }

    /// # Safety
    /// As `GlobalAlloc` says.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: As in `alloc`.
        unsafe { __kalloc_alloc(layout.size(), layout.align(), (GFP_ATOMIC | __KIND_KVMALLOC | __GFP_ZERO).as_raw()) }
    }
}

#[cfg(target_os = "none")]
#[global_allocator]
static HEAP: Heap = Heap;

/// Poison of the debug configuration (values as in Linux's `poison.h`).
#[cfg(any(CONFIG_DEBUG_HEAP, CONFIG_DEBUG_PAGEALLOC))]
pub(crate) mod debug {
    use crate::frame::Frame;
    use crate::layout::PAGE_SIZE;
    use core::sync::atomic::Ordering;

    const FREE: u8 = 0x6b;
    const PAGE_FREE: u8 = 0xaa;
    /// In `Frame::private` of a free page that was filled. Nobody else stores such a number there.
    const POISONED: u64 = 0x706f_6973_6f6e_6564;

    /// Fills a freed object but for its link.
    ///
    /// # Safety
    /// The object has `size` bytes and is the caller's.
    #[allow(dead_code, reason = "one of two options may be on alone")]
    pub(crate) unsafe fn poison_object(object: *mut u8, size: usize) {
        // SAFETY: As the caller promises.
        unsafe { core::ptr::write_bytes(object.add(8), FREE, size - 8) };
    }

    /// Reports an object that was written after it was freed.
    ///
    /// # Safety
    /// The object has `size` bytes and is the caller's.
    #[allow(dead_code, reason = "one of two options may be on alone")]
    pub(crate) unsafe fn check_object(object: *mut u8, size: usize) {
        // SAFETY: As the caller promises.
        let bytes = unsafe { core::slice::from_raw_parts(object.add(8), size - 8) };
        if let Some(at) = bytes.iter().position(|b| *b != FREE) {
            klog::pr_err!("BUG kmalloc-{size}: object {object:p} written after free, at offset {}", at + 8);
        }
    }

    #[allow(dead_code, reason = "one of two options may be on alone")]
    pub(crate) fn poison_page(frame: &Frame) {
        // SAFETY: The page is free and ours.
        unsafe { crate::mem::fill_shared(frame.virt(), PAGE_FREE, PAGE_SIZE) };
        frame.private.store(POISONED, Ordering::Relaxed);
    }

    #[allow(dead_code, reason = "one of two options may be on alone")]
    pub(crate) fn check_page(frame: &Frame) {
        // Memory that was never freed, or as part of a block, holds anything.
        if frame.private.swap(0, Ordering::Relaxed) != POISONED {
            return;
        }
        // SAFETY: The page is free and ours.
        let bytes = unsafe { core::slice::from_raw_parts(frame.virt(), PAGE_SIZE) };
        if let Some(at) = bytes.iter().position(|b| *b != PAGE_FREE) {
            klog::pr_err!("BUG page {:#x} written after free, at offset {at}", frame.phys());
        }
    }
}
