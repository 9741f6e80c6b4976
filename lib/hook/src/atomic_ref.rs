// SPDX-License-Identifier: GPL-2.0
//! A static reference, or none, in an atomic.

use core::ptr::{from_ref, null, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

/// A `&'static T`, or none, that changes while others read it.
///
/// # Invariants
/// The pointer is null or was made from a `&'static T`.
pub struct AtomicRef<T: 'static>(AtomicPtr<T>);

fn pointer<T>(value: Option<&'static T>) -> *mut T {
    value.map_or(null(), from_ref).cast_mut()
}

impl<T: Sync + 'static> AtomicRef<T> {
    /// None.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// What it is (acquire).
    #[inline]
    pub fn load(&self) -> Option<&'static T> {
        // SAFETY: By the type invariant the pointer is null or came from a reference for ever.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Sets it (release).
    pub fn store(&self, value: Option<&'static T>) {
        self.0.store(pointer(value), Ordering::Release);
    }

    /// Sets it to `new` if it is `old` (the same object); else what it is.
    pub fn compare_exchange(&self, old: Option<&'static T>, new: Option<&'static T>) -> Result<(), Option<&'static T>> {
        match self.0.compare_exchange(pointer(old), pointer(new), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            // SAFETY: As in `load`.
            Err(now) => Err(unsafe { now.as_ref() }),
        }
    }
}

impl<T: Sync + 'static> Default for AtomicRef<T> {
    fn default() -> Self {
        Self::new()
    }
}
