// SPDX-License-Identifier: GPL-2.0
//! Unpacking the initramfs into the root file system. The boot code calls `unpack` with what the loader left in memory.
//!
//! Locks: those of the VFS. Source: "initramfs buffer format" of Linux's documentation.

#![no_std]
#![forbid(unsafe_code)]

mod make;

use klog::{pr_emerg, pr_info};
use make::Maker;

/// Unpacks `archive` (cpio archives, each perhaps compressed) below the current task's root. What cannot be unpacked is said in
/// the log with Linux's words; what came before it stays. Returns whether all of it was unpacked. May sleep.
pub fn unpack(archive: &[u8]) -> bool {
    pr_info!("Unpacking initramfs...");
    // A compressed archive may not expand beyond memory.
    let limit = mm_alloc::stat::meminfo().total.saturating_mul(mm_alloc::layout::PAGE_SIZE as u64);
    let mut maker = Maker::new();
    let result = cpio::unpack(archive, limit, &mut maker);
    maker.finish();
    match result {
        Ok(()) => true,
        Err(error) => {
            pr_emerg!("Initramfs unpacking failed: {}", error.message());
            false
        }
    }
}
