// SPDX-License-Identifier: GPL-2.0
//! The boot allocator (`mm_base`), and how its memory goes to the page allocator.

use crate::layout::{PAGE_SHIFT, PAGE_SIZE, PhysAddr};

pub use mm_base::memblock::{MAX_SECTIONS, SECTION_FRAMES, alloc, alloc_low, end, init, section_present, totals};
pub(crate) use mm_base::memblock::{for_each_memory, is_all_free, is_kernel_memory, lift_limit};

/// Gives every range that is not reserved to the buddy allocator, and closes this one.
pub(crate) fn release_to_buddy() {
    mm_base::memblock::close(release);
}

/// Gives free memory to the buddy allocator, but for sections that have no records yet: those are only counted.
fn release(mut at: PhysAddr, end: PhysAddr) {
    while at < end {
        let section = (at >> PAGE_SHIFT) as usize / SECTION_FRAMES;
        let stop = (((section + 1) * SECTION_FRAMES) as u64) << PAGE_SHIFT;
        let stop = stop.min(end);
        match crate::deferred::is_deferred(section) {
            true => crate::buddy::add_deferred(at, stop),
            false => crate::buddy::add_range(at, stop),
        }
        at = stop;
    }
}

/// Gives memory that was reserved at boot (the initrd, start-up code) to the page allocator.
///
/// # Safety
/// The range was reserved by [`init`] or [`alloc`], and nobody uses it any more.
pub unsafe fn free_reserved(start: PhysAddr, end: PhysAddr) {
    let page = PAGE_SIZE as u64;
    let (start, end) = (start.next_multiple_of(page), end & !(page - 1));
    if start >= end {
        return;
    }
    crate::buddy::add_range(start, end);
}
