// SPDX-License-Identifier: GPL-2.0
//! `SetOnce`: a value that is set once. `kernel::sync::SetOnce`.
//!
//! ```
//! use kernel::sync::SetOnce;
//!
//! let limit = SetOnce::new();
//! assert_eq!(limit.copy(), None);
//! assert!(limit.populate(64));
//! assert!(!limit.populate(65));
//! assert_eq!(limit.as_ref(), Some(&64));
//! ```

use core::fmt;

/// A cell that is empty until it is filled, once.
pub struct SetOnce<T>(locking::SetOnce<T>);

impl<T> SetOnce<T> {
    /// An empty one.
    pub const fn new() -> Self {
        Self(locking::SetOnce::new())
    }

    /// The value, if it was set.
    pub fn as_ref(&self) -> Option<&T> {
        self.0.get()
    }

    /// Sets the value; false: there is one already.
    pub fn populate(&self, value: T) -> bool {
        self.0.set(value).is_ok()
    }

    /// A copy of the value, if it was set.
    pub fn copy(&self) -> Option<T>
    where
        T: Copy,
    {
        self.0.get().copied()
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for SetOnce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}
