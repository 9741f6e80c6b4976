// SPDX-License-Identifier: GPL-2.0
//! `AtomicFlag`: a `bool` of whatever size is fastest to exchange; one byte here.

use super::{Atomic, ordering};

/// An atomic `bool`.
pub struct AtomicFlag(Atomic<bool>);

impl AtomicFlag {
    /// A flag with this value.
    pub const fn new(value: bool) -> Self {
        Self(Atomic::new(value))
    }

    /// The value, which the caller has alone.
    pub fn get_mut(&mut self) -> &mut bool {
        self.0.get_mut()
    }

    /// Reads the flag.
    pub fn load<O: ordering::AcquireOrRelaxed>(&self, order: O) -> bool {
        self.0.load(order)
    }

    /// Writes the flag.
    pub fn store<O: ordering::ReleaseOrRelaxed>(&self, value: bool, order: O) {
        self.0.store(value, order);
    }

    /// Writes the flag and returns what was there.
    pub fn xchg<O: ordering::Ordering>(&self, value: bool, order: O) -> bool {
        self.0.xchg(value, order)
    }

    /// Writes `new` if the flag is `old`.
    pub fn cmpxchg<O: ordering::Ordering>(&self, old: bool, new: bool, order: O) -> Result<bool, bool> {
        self.0.cmpxchg(old, new, order)
    }
}
