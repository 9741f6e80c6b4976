// SPDX-License-Identifier: GPL-2.0
//! The boot loader's initial RAM disks: read once, then ordinary memory.

use crate::layout::phys_to_virt;
use crate::memblock::free_reserved;
use boot_info::BootInfo;
use core::sync::atomic::{AtomicBool, Ordering};

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Runs `f` on each RAM disk in the loader's order, then gives their memory to the page allocator. Only the first call does.
/// Task context. Ranges that are not memory are passed over.
pub fn consume(info: &BootInfo, mut f: impl FnMut(&[u8])) {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return;
    }
    for range in info.initrds() {
        let inside = info.memory.ram().any(|r| r.start <= range.start && range.end() <= r.end());
        let Ok(len) = usize::try_from(range.len) else { continue };
        if !inside || len == 0 {
            klog::pr_err!("initrd: [{:#x}-{:#x}] is not in memory:", range.start, range.end());
            for ram in info.memory.ram() {
                klog::pr_err!("  [{:#x}-{:#x}] is", ram.start, ram.end());
            }
            continue;
        }
        // SAFETY: `memblock::init` reserved the range, so nobody else has it; the direct map covers all memory; it is given to
        // the allocator only below, and only once (`TAKEN`).
        f(unsafe { core::slice::from_raw_parts(phys_to_virt(range.start), len) });
        // SAFETY: Reserved by `memblock::init`; the slice above is gone.
        unsafe { free_reserved(range.start, range.end()) };
    }
}
