// SPDX-License-Identifier: GPL-2.0
//! `Hook`: how a lower crate calls an upper one. The lower crate declares a static `Hook<dyn Trait>`; the upper crate
//! sets it once at boot with a `&'static` object. Reading is one load and a test. No locks: set-once, then immutable.
//!
//! This is one of the named containers that may hold unsafe code at level 0; its tests run under Miri where it is there.

#![no_std]

mod atomic_ref;

pub use atomic_ref::AtomicRef;

use core::sync::atomic::{AtomicPtr, Ordering};

/// A set-once pointer to a `&'static T`.
///
/// # Invariants
/// The pointer is null or was made from a `&'static &'static T`, and never changes once it is not null.
pub struct Hook<T: ?Sized + Sync + 'static> {
    target: AtomicPtr<&'static T>,
}

impl<T: ?Sized + Sync + 'static> Hook<T> {
    /// An empty hook.
    pub const fn new() -> Self {
        Self { target: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// Sets the hook; returns whether this call was the one that set it. The double reference keeps it one word:
    /// `HOOK.set(&(&OBJECT as &dyn Trait))` with a static promoted reference.
    pub fn set(&self, target: &'static &'static T) -> bool {
        let new = core::ptr::from_ref(target).cast_mut();
        self.target.compare_exchange(core::ptr::null_mut(), new, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// The registered object, or `None` before `set`.
    #[inline(always)]
    pub fn get(&self) -> Option<&'static T> {
        let target = self.target.load(Ordering::Acquire);
        if target.is_null() {
            return None;
        }
        // SAFETY: By the type invariant a pointer that is not null came from a `&'static &'static T`.
        Some(unsafe { *target })
    }
}

impl<T: ?Sized + Sync + 'static> Default for Hook<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
