// SPDX-License-Identifier: GPL-2.0
//! `Refcount`: a count that sticks at its end in place of wrapping. `kernel::sync::Refcount`.
//!
//! ```
//! use kernel::sync::Refcount;
//!
//! let count = Refcount::new(1);
//! count.inc();
//! assert!(!count.dec_and_test());
//! assert!(count.dec_and_test());
//! ```

use super::atomic::Atomic;
use core::sync::atomic::{AtomicI32, Ordering};

/// Where a count is put that went wrong: far from both ends.
const SATURATED: i32 = i32::MIN / 2;

/// A count of references.
#[repr(transparent)]
pub struct Refcount(Atomic<i32>);

impl Refcount {
    /// A count of `value`.
    #[inline]
    pub fn new(value: i32) -> Self {
        Self(Atomic::new(value))
    }

    fn raw(&self) -> &AtomicI32 {
        // SAFETY: The pointer is that of our own value, which is accessed by atomics alone.
        unsafe { AtomicI32::from_ptr(self.0.as_ptr()) }
    }

    /// The count as an atomic: without protection.
    pub fn as_atomic(&self) -> &Atomic<i32> {
        &self.0
    }

    /// Sets the count.
    pub fn set(&self, value: i32) {
        self.raw().store(value, Ordering::Relaxed);
    }

    /// One more. The caller has a reference already.
    pub fn inc(&self) {
        let old = self.raw().fetch_add(1, Ordering::Relaxed);
        if old <= 0 || old == i32::MAX {
            self.raw().store(SATURATED, Ordering::Relaxed);
        }
    }

    /// One less, which is not the last.
    pub fn dec(&self) {
        let old = self.raw().fetch_sub(1, Ordering::Release);
        if old <= 1 {
            self.raw().store(SATURATED, Ordering::Relaxed);
        }
    }

    /// One less; true: it was the last.
    #[must_use = "whoever gives the last reference up cleans up"]
    pub fn dec_and_test(&self) -> bool {
        let old = self.raw().fetch_sub(1, Ordering::Release);
        if old == 1 {
            core::sync::atomic::fence(Ordering::Acquire);
            return true;
        }
        if old <= 0 {
            self.raw().store(SATURATED, Ordering::Relaxed);
        }
        false
    }
}
