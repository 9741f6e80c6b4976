// SPDX-License-Identifier: GPL-2.0
//! How much a file system may hold: pages and inodes, counted in atomics that inodes and mappings share.

use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::*};

/// One limited count; a limit of 0 is none.
pub(crate) struct Count {
    used: AtomicU64,
    max: AtomicU64,
}

impl Count {
    pub(crate) const fn new(max: u64) -> Self {
        Self { used: AtomicU64::new(0), max: AtomicU64::new(max) }
    }

    /// Takes `n`; `ENOSPC` over the limit.
    pub(crate) fn charge(&self, n: u64) -> Result {
        let max = self.max();
        let old = self.used.fetch_add(n, Ordering::Relaxed);
        if max != 0 && old.saturating_add(n) > max {
            self.used.fetch_sub(n, Ordering::Relaxed);
            return Err(ENOSPC);
        }
        Ok(())
    }

    pub(crate) fn uncharge(&self, n: u64) {
        self.used.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// A new limit; `EINVAL` below what is used, or from none to some.
    pub(crate) fn check_limit(&self, max: u64) -> Result {
        let now = self.max();
        if max != 0 && (now == 0 || max < self.used()) || max == 0 && now != 0 { Err(EINVAL) } else { Ok(()) }
    }

    pub(crate) fn set_limit(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }
}

/// The limits of one file system.
pub(crate) struct Limits {
    /// Pages of contents.
    pub(crate) pages: Count,
    /// Inodes.
    pub(crate) inodes: Count,
}
