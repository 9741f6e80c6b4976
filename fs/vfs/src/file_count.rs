// SPDX-License-Identifier: GPL-2.0
//! The limit of open files in all (`/proc/sys/fs/file-max`); `census` counts them, and only near the limit exactly. Source: `proc(5)`.
//! Atomics, no locks.

use crate::census::{self, Files, One};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use errno::{Result, code::ENFILE};
use mm_alloc::layout::PAGE_SHIFT;

/// The least limit at boot.
const LEAST: u64 = 8192;

static LIMIT: AtomicU64 = AtomicU64::new(LEAST);

/// One open file.
pub(crate) struct Counted {
    _one: One<Files>,
}

impl Counted {
    /// `ENFILE` at the limit, unless the caller administers.
    #[inline]
    pub(crate) fn new() -> Result<Self> {
        if census::about::<Files>().saturating_add(census::slack()) >= max() {
            near_limit()?;
        }
        Ok(Self { _one: One::new() })
    }
}

#[cold]
fn near_limit() -> Result {
    static SAID: AtomicBool = AtomicBool::new(false);
    if open_files() < max() || cred::capable(cred::CAP_SYS_ADMIN) {
        return Ok(());
    }
    if !SAID.swap(true, Ordering::Relaxed) {
        klog::pr_info!("VFS: file-max limit {} reached", max());
    }
    Err(ENFILE)
}

/// Open files now.
pub fn open_files() -> u64 {
    census::count::<Files>()
}

/// Most open files.
pub fn max() -> u64 {
    LIMIT.load(Ordering::Relaxed)
}

/// Sets [`max`].
pub fn set_max(limit: u64) {
    LIMIT.store(limit, Ordering::Relaxed);
}

/// The limit by the memory there is: a tenth of it in files of a KiB. Once, at boot.
pub(crate) fn init() {
    let kib = (mm_alloc::buddy::free_pages_total() as u64) << (PAGE_SHIFT - 10);
    set_max((kib / 10).max(LEAST));
}
