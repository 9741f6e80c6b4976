// SPDX-License-Identifier: GPL-2.0
//! How much memory has been promised (`Committed_AS`), and when a promise is refused. Source:
//! Linux's `Documentation/mm/overcommit-accounting.rst`. No locks.

use core::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, Ordering};
use errno::{Result, code::*};
use mm_alloc::buddy;
use mm_alloc::layout::PAGE_SIZE;

static COMMITTED: AtomicI64 = AtomicI64::new(0);
/// `vm.overcommit_memory`: 0 refuses obvious excess, 1 never refuses, 2 keeps to the limit.
pub static OVERCOMMIT: AtomicU8 = AtomicU8::new(0);
/// `vm.overcommit_ratio`, percent.
pub static OVERCOMMIT_RATIO: AtomicU32 = AtomicU32::new(50);

/// Pages promised now.
pub fn committed() -> u64 {
    COMMITTED.load(Ordering::Relaxed).max(0).cast_unsigned()
}

/// Pages that mode 2 may promise.
pub fn commit_limit() -> u64 {
    buddy::managed_pages() as u64 * u64::from(OVERCOMMIT_RATIO.load(Ordering::Relaxed)) / 100
}

/// Promises `bytes` more. ENOMEM.
pub(crate) fn charge(bytes: usize) -> Result {
    let pages = (bytes / PAGE_SIZE) as i64;
    let now = COMMITTED.fetch_add(pages, Ordering::Relaxed).saturating_add(pages);
    let refused = match OVERCOMMIT.load(Ordering::Relaxed) {
        1 => false,
        2 => now > commit_limit() as i64,
        _ => pages > buddy::managed_pages() as i64,
    };
    if refused {
        uncharge(bytes);
        return Err(ENOMEM);
    }
    Ok(())
}

/// Takes a promise back.
pub(crate) fn uncharge(bytes: usize) {
    COMMITTED.fetch_sub((bytes / PAGE_SIZE) as i64, Ordering::Relaxed);
}
