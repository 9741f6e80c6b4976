// SPDX-License-Identifier: GPL-2.0
//! The kernel half of the address space (as Linux's `Documentation/arch/x86/x86_64/mm.rst`, 4-level paging) and the
//! translation between physical and kernel virtual addresses. Constants and arithmetic; no locks.

use core::sync::atomic::{AtomicU64, Ordering};

/// log2 of the page size.
pub const PAGE_SHIFT: usize = 12;
/// Bytes in a page.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
/// Clears the offset in a page.
pub const PAGE_MASK: usize = !(PAGE_SIZE - 1);
/// Bytes that a PMD entry maps.
pub const PMD_SIZE: usize = 1 << 21;
/// Bytes that a PUD entry maps.
pub const PUD_SIZE: usize = 1 << 30;
/// Bytes that a PGD entry maps.
pub const PGDIR_SIZE: usize = 1 << 39;

/// One past the last user address (47 bits less the guard page, as Linux's `TASK_SIZE_MAX`).
pub const TASK_SIZE: usize = (1 << 47) - PAGE_SIZE;
/// Start of the direct map of all physical memory.
pub const PAGE_OFFSET: usize = 0xffff_8880_0000_0000;
/// Bytes of the direct map's window: 64 TB.
pub const DIRECT_MAP_SIZE: usize = 1 << 46;
/// Start of the area for vmalloc, ioremap and kernel stacks.
pub const VMALLOC_START: usize = 0xffff_c900_0000_0000;
/// One past the end of that area (2 TB are used of the 32 TB that are reserved: page directories are made at boot).
pub const VMALLOC_END: usize = VMALLOC_START + (2 << 40);
/// Start of the array of `Frame`, indexed by frame number.
pub const VMEMMAP_START: usize = 0xffff_ea00_0000_0000;
/// Bytes of the window of frames: 64 TB of memory.
pub const VMEMMAP_SIZE: usize = 1 << 40;
/// Start of the gigabyte in which the kernel image lies.
pub const KERNEL_MAP: usize = 0xffff_ffff_8000_0000;
/// Where loadable modules go.
pub const MODULES_START: usize = 0xffff_ffff_c000_0000;
/// One past the end of the modules.
pub const MODULES_END: usize = 0xffff_ffff_ff00_0000;

/// A physical address.
pub type PhysAddr = u64;

/// Virtual minus physical address of the kernel image; set by `memblock::init`.
static IMAGE_DELTA: AtomicU64 = AtomicU64::new(KERNEL_MAP as u64);

pub(crate) fn set_image_delta(delta: u64) {
    IMAGE_DELTA.store(delta, Ordering::Relaxed);
}

/// The direct map's address of `phys`. It is mapped for memory only; devices go through `MmioRegion`.
#[inline(always)]
pub const fn phys_to_virt(phys: PhysAddr) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut((phys as usize).wrapping_add(PAGE_OFFSET))
}

/// The physical address behind `ptr`, which lies in the direct map or in the kernel image.
#[inline(always)]
pub fn virt_to_phys<T: ?Sized>(ptr: *const T) -> PhysAddr {
    let addr = ptr.cast::<u8>().expose_provenance();
    if addr >= KERNEL_MAP {
        (addr as u64).wrapping_sub(IMAGE_DELTA.load(Ordering::Relaxed))
    } else {
        addr.wrapping_sub(PAGE_OFFSET) as u64
    }
}

/// Rounds up to a page; saturates at the highest page boundary.
#[inline(always)]
pub const fn page_align(n: usize) -> usize {
    match n.checked_add(PAGE_SIZE - 1) {
        Some(n) => n & PAGE_MASK,
        None => PAGE_MASK,
    }
}

/// Pages that `n` bytes take.
#[inline(always)]
pub const fn pages_for(n: usize) -> usize {
    n.div_ceil(PAGE_SIZE)
}
