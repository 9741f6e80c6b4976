// SPDX-License-Identifier: GPL-2.0
//! Counting (`mm_base::stat` has what is counted), and the figures of all memory. No locks.

use crate::layout::PAGE_SIZE;
use crate::stat::get;
use crate::{buddy, pcp};
use core::arch::asm;
use core::sync::atomic::AtomicI64;
pub use mm_base::stat::MemInfo;
use mm_base::stat::{COUNTERS, Item};

/// Adds `delta` (pages, or what the item counts) on this CPU. Any context.
#[inline(always)]
pub fn add(item: Item, delta: i64) {
    let slot = core::ptr::from_ref(&COUNTERS).cast::<AtomicI64>().wrapping_add(item as usize);
    // SAFETY: `slot` is inside the per-CPU array's own static; with GS's base added it is this CPU's copy, one add to which is
    // whole with regard to interrupts and migration.
    unsafe { asm!("add qword ptr gs:[{}], {}", in(reg) slot, in(reg) delta, options(nostack)) };
}

/// Takes the figures.
pub fn meminfo() -> MemInfo {
    let free = (buddy::free_pages_total() + pcp::cached_pages()) as u64;
    let (cached, shmem) = (get(Item::FilePages), get(Item::Shmem));
    MemInfo {
        total: buddy::managed_pages() as u64,
        free,
        available: free.saturating_sub(buddy::reserve_pages() as u64)
            + (cached.saturating_sub(shmem) + get(Item::LazyFree)) / 2,
        cached,
        shmem,
        slab: get(Item::Slab),
        page_tables: get(Item::PageTables),
        kernel_stack_kb: get(Item::KernelStackKb),
        anon: get(Item::Anon),
        mapped: get(Item::FileMapped),
        dirty: get(Item::Dirty),
        writeback: get(Item::Writeback),
        vmalloc: get(Item::Vmalloc),
    }
}

pub(crate) fn print_summary() {
    let (total, _) = crate::memblock::totals();
    let kb = PAGE_SIZE as u64 / 1024;
    klog::pr_info!("Memory: {}K/{}K available", buddy::free_pages_total() as u64 * kb, total / 1024);
}
