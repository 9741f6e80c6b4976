// SPDX-License-Identifier: GPL-2.0
//! Cells that are set once.

use std::sync::OnceLock;

/// A value that is set at most once.
pub struct SetOnce<T>(OnceLock<T>);

impl<T> SetOnce<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Sets the value; gives it back if there is one.
    pub fn set(&self, value: T) -> Result<(), T> {
        self.0.set(value)
    }

    /// The value, if set.
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self::new()
    }
}
