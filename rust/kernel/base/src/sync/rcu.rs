// SPDX-License-Identifier: GPL-2.0
//! RCU's read side: `kernel::sync::rcu`, over `kernel/rcu`.
//!
//! ```
//! use kernel::sync::rcu;
//!
//! let section = rcu::read_lock();
//! // What RCU protects is looked at here.
//! section.unlock();
//! rcu::synchronize_rcu();
//! ```

/// A read-side section: what RCU protects stays while this lives. Does not sleep.
pub struct Guard(::rcu::ReadGuard);

impl Guard {
    /// Begins a section.
    #[inline]
    pub fn new() -> Self {
        Self(::rcu::read_lock())
    }

    /// Ends the section.
    #[inline]
    pub fn unlock(self) {}

    /// The guard of the level below.
    pub fn inner(&self) -> &::rcu::ReadGuard {
        &self.0
    }
}

impl Default for Guard {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

/// Begins a section.
#[inline]
pub fn read_lock() -> Guard {
    Guard::new()
}

/// Waits until what was to be freed, or called, after a grace period is done, as far as that was said before. May sleep.
pub fn rcu_barrier() {
    ::rcu::barrier();
}

/// Waits until every section that began before has ended. May sleep.
pub fn synchronize_rcu() {
    ::rcu::synchronize();
}
