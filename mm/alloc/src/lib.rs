// SPDX-License-Identifier: GPL-2.0
//! Physical and kernel virtual memory: everything that hands out bytes, frames or kernel addresses.
//!
//! Boot order: [`memblock::init`] (from the loader's map), [`kpt::init`] (final kernel page tables, W^X), [`init`] (frames,
//! buddy, slab). From then on: [`page::Page`] for frames, the heap through `kalloc` and `alloc`, [`vmalloc`] for large
//! virtually contiguous memory, [`stack::KernelStack`], [`mmio::MmioRegion`], [`dma::DmaBuffer`].
//!
//! Locks, outermost first: `deferred::POPULATE` -> `vmalloc::AREAS` -> `kpt::LOCK` -> slab class lock -> zone lock. All but the first are taken with interrupts off.
//! Per-CPU page lists and object lists are touched by their own CPU only, with interrupts off, and need no lock.
//! Any function here may be called in any context unless its text says otherwise; nothing here sleeps.

#![no_std]

extern crate alloc;

pub mod buddy;
pub mod deferred;
pub mod dma;
pub mod frame;
pub mod heap;
pub mod huge;
pub mod initrd;
pub mod kpt;
pub mod lru;
pub mod mem;
pub mod memblock;
mod meminfo;
pub mod mmio;
pub mod page;
pub mod pcp;
pub mod reclaim;
pub mod slab;
pub mod slot;
pub mod stack;
pub mod vmalloc;

pub use frame::Frame;
pub use layout::{PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, PhysAddr, phys_to_virt, virt_to_phys};
pub use mm_base::layout;
pub use mmio::MmioRegion;
pub use page::{Page, PageFlags};
pub use slot::PageSlot;
pub use stack::KernelStack;

pub mod stat {
    //! Counters for `/proc/meminfo`, `/proc/vmstat` and `/proc/PID/status`, and the figures of all memory.
    pub use crate::meminfo::{MemInfo, add, meminfo};
    pub use mm_base::stat::{ITEMS, Item, get};
}

/// Hands all free memory to the page allocator. After [`memblock::init`] and [`kpt::init`]; from here on the heap works and
/// `memblock` allocates no more. Boot CPU only, once.
pub fn init() -> errno::Result {
    deferred::map_memmap()?;
    memblock::release_to_buddy();
    buddy::init_watermarks();
    meminfo::print_summary();
    Ok(())
}
