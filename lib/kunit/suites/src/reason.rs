// SPDX-License-Identifier: GPL-2.0
//! A reference to a text in an atomic: why a test was skipped.

use core::sync::atomic::{AtomicPtr, Ordering};

/// A text, or none.
///
/// # Invariants
/// The pointer is null or was made from a `&'static &'static str`.
#[derive(Default)]
pub struct Reason(AtomicPtr<&'static str>);

impl Reason {
    /// None.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Sets it.
    pub fn set(&self, reason: &'static &'static str) {
        self.0.store(core::ptr::from_ref(reason).cast_mut(), Ordering::Release);
    }

    /// Forgets it.
    pub fn clear(&self) {
        self.0.store(core::ptr::null_mut(), Ordering::Release);
    }

    /// The text, if one is set.
    pub fn get(&self) -> Option<&'static str> {
        let reason = self.0.load(Ordering::Acquire);
        if reason.is_null() {
            return None;
        }
        // SAFETY: By the type invariant a pointer that is not null was made from a `&'static &'static str`.
        Some(unsafe { *reason })
    }
}
