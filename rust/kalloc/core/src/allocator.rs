// SPDX-License-Identifier: GPL-2.0
//! Where memory comes from. `Box` and `Vec` call `Allocator::alloc`/`free`; those call, directly and without a table,
//! two functions that the kernel's allocator defines:
//!
//! ```text
//! #[unsafe(no_mangle)] unsafe fn __kalloc_alloc(size: usize, align: usize, flags: u32) -> *mut u8;
//! #[unsafe(no_mangle)] unsafe fn __kalloc_free(ptr: *mut u8, size: usize, align: usize, kind: u32);
//! ```
//!
//! `size` is never 0, `align` a power of two; null means failure. `kind` is `__KIND_VMALLOC`, `__KIND_KVMALLOC` or 0, as
//! it was in the flags of the allocation, so that a free finds the size class from the size alone. Where nobody defines
//! them (weak symbols) and on the host, the global allocator serves.

use crate::AllocError;
use crate::flags::{__KIND_KVMALLOC, __KIND_VMALLOC, Flags};
use core::alloc::Layout;
use core::ptr::NonNull;

#[cfg(target_os = "none")]
mod backend {
    use core::alloc::Layout;

    /// The default for an image without the kernel's allocator.
    ///
    /// # Safety
    /// `size` is not 0 and `align` is a power of two.
    #[linkage = "weak"]
    #[unsafe(no_mangle)]
    pub(super) unsafe fn __kalloc_alloc(size: usize, align: usize, flags: u32) -> *mut u8 {
        // SAFETY: The caller passes the size and alignment of a valid layout, of a size that is not 0.
        unsafe {
            let layout = Layout::from_size_align_unchecked(size, align);
            if flags & crate::flags::__GFP_ZERO.as_raw() != 0 {
                alloc::alloc::alloc_zeroed(layout)
            } else {
                alloc::alloc::alloc(layout)
            }
        }
    }

    /// The default for an image without the kernel's allocator.
    ///
    /// # Safety
    /// `ptr` came from `__kalloc_alloc` with this size, alignment and kind, and is not used afterwards.
    #[linkage = "weak"]
    #[unsafe(no_mangle)]
    pub(super) unsafe fn __kalloc_free(ptr: *mut u8, size: usize, align: usize, _kind: u32) {
        // SAFETY: The caller passes the layout of the allocation.
        unsafe { alloc::alloc::dealloc(ptr, Layout::from_size_align_unchecked(size, align)) }
    }
}

#[cfg(not(target_os = "none"))]
mod backend {
    use core::alloc::Layout;

    #[cfg(test)]
    std::thread_local! {
        /// Allocations that still succeed on this thread: tests of failure count it down.
        pub(crate) static BUDGET: core::cell::Cell<usize> = const { core::cell::Cell::new(usize::MAX) };
    }

    /// # Safety
    /// `size` is not 0 and `align` is a power of two.
    pub(super) unsafe fn __kalloc_alloc(size: usize, align: usize, flags: u32) -> *mut u8 {
        #[cfg(test)]
        if BUDGET.with(|b| {
            let left = b.get();
            b.set(left.saturating_sub(1));
            left == 0
        }) {
            return core::ptr::null_mut();
        }
        // SAFETY: The caller passes the size and alignment of a valid layout, of a size that is not 0.
        unsafe {
            let layout = Layout::from_size_align_unchecked(size, align);
            if flags & crate::flags::__GFP_ZERO.as_raw() != 0 {
                alloc::alloc::alloc_zeroed(layout)
            } else {
                alloc::alloc::alloc(layout)
            }
        }
    }

    /// # Safety
    /// `ptr` came from `__kalloc_alloc` with this size and alignment, and is not used afterwards.
    pub(super) unsafe fn __kalloc_free(ptr: *mut u8, size: usize, align: usize, _kind: u32) {
        // SAFETY: The caller passes the layout of the allocation.
        unsafe { alloc::alloc::dealloc(ptr, Layout::from_size_align_unchecked(size, align)) }
    }
}

#[cfg(all(test, not(target_os = "none")))]
pub(crate) use backend::BUDGET;

/// A source of memory, chosen by type.
///
/// # Safety
/// `alloc` returns memory that is valid for the layout until `free`.
pub unsafe trait Allocator {
    /// The kind bits that select this source.
    const KIND: Flags;

    /// Allocates; for a layout of size 0 a dangling aligned pointer.
    #[inline(always)]
    fn alloc(layout: Layout, flags: Flags) -> Result<NonNull<u8>, AllocError> {
        if layout.size() == 0 {
            return Ok(layout.dangling_ptr());
        }
        // SAFETY: The size is not 0 and the alignment is that of a `Layout`.
        let ptr = unsafe { backend::__kalloc_alloc(layout.size(), layout.align(), (flags | Self::KIND).as_raw()) };
        NonNull::new(ptr).ok_or(AllocError)
    }

    /// Frees.
    ///
    /// # Safety
    /// `ptr` came from `Self::alloc` with this layout and is not used afterwards.
    #[inline(always)]
    unsafe fn free(ptr: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: By this function's own contract.
            unsafe { backend::__kalloc_free(ptr.as_ptr(), layout.size(), layout.align(), Self::KIND.as_raw()) }
        }
    }
}

/// Physically contiguous memory (`kmalloc`).
#[derive(Debug)]
pub struct Kmalloc;
/// Memory mapped from separate pages (`vmalloc`): for large things.
#[derive(Debug)]
pub struct Vmalloc;
/// `kmalloc` if that is easy, else `vmalloc` (`kvmalloc`).
#[derive(Debug)]
pub struct KVmalloc;

// SAFETY: The backend keeps memory until it is freed.
unsafe impl Allocator for Kmalloc {
    const KIND: Flags = Flags::from_raw(0);
}
// SAFETY: The backend keeps memory until it is freed.
unsafe impl Allocator for Vmalloc {
    const KIND: Flags = __KIND_VMALLOC;
}
// SAFETY: The backend keeps memory until it is freed.
unsafe impl Allocator for KVmalloc {
    const KIND: Flags = __KIND_KVMALLOC;
}
