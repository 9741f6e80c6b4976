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
        if max == 0 {
            self.used.fetch_add(n, Ordering::Relaxed);
            return Ok(());
        }
        // In one step: what one takes for a moment and gives back must not be missing to another.
        let more = |used: u64| used.checked_add(n).filter(|used| *used <= max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map(drop).map_err(|_| ENOSPC)
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

/// The limits of one file system, and what else its files share.
pub(crate) struct Limits {
    /// Contents stay in memory: `noswap`, and ramfs.
    pub(crate) noswap: bool,
    /// Pages of contents.
    pub(crate) pages: Count,
    /// Inodes, and names of inodes after the first.
    pub(crate) inodes: Count,
    /// Inodes without a name.
    pub(crate) nameless: Nameless,
}

/// Inodes that have no name. A regular one counts no more when the last file is closed; others when nobody has them any more, which is
/// known after a grace period.
#[derive(Default)]
pub(crate) struct Nameless {
    /// All of them.
    all: AtomicU64,
    /// Those that are no regular files.
    others: AtomicU64,
    /// How many others ever lost their names, and how many of those had when somebody waited last.
    lost: AtomicU64,
    waited: AtomicU64,
}

impl Nameless {
    /// One more or one less.
    pub(crate) fn count(&self, more: bool, is_reg: bool) {
        for count in [Some(&self.all), (!is_reg).then_some(&self.others)].into_iter().flatten() {
            if more {
                count.fetch_add(1, Ordering::Relaxed);
            } else {
                count.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if more && !is_reg {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what nobody uses any more is not counted. May sleep.
    fn settle(&self) {
        let lost = self.lost.load(Ordering::Relaxed);
        if self.others.load(Ordering::Relaxed) != 0 {
            rcu::barrier();
        }
        self.waited.fetch_max(lost, Ordering::Relaxed);
    }
}

impl Limits {
    /// Charges one inode, or a name after the first. May sleep where there is none left. `ENOSPC`.
    pub(crate) fn charge_inode(&self) -> Result {
        self.inodes.charge(1).or_else(|_| {
            self.nameless.settle();
            self.inodes.charge(1)
        })
    }

    /// Whether there are inodes that have no name and are in use. May sleep.
    pub(crate) fn has_nameless(&self) -> bool {
        self.nameless.settle();
        self.nameless.all.load(Ordering::Relaxed) != 0
    }

    /// Inodes and names that there are. Waits only if directories or the like have lost their names since the last wait: what was there
    /// still after that was in use. May sleep.
    pub(crate) fn used_inodes(&self) -> u64 {
        let Nameless { lost, waited, .. } = &self.nameless;
        if lost.load(Ordering::Relaxed) > waited.load(Ordering::Relaxed) {
            self.nameless.settle();
        }
        self.inodes.used()
    }
}
