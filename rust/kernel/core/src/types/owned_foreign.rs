// SPDX-License-Identifier: GPL-2.0
//! What a [`ForeignOwnable`] gave away, still owned: what containers of such values hold.

use super::ForeignOwnable;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;

/// A value as the pointer that it became.
///
/// # Invariants
/// The pointer came from `into_foreign`, and was not taken back.
pub struct OwnedForeign<T: ForeignOwnable> {
    pointer: *mut c_void,
    _value: PhantomData<T>,
}

// SAFETY: It owns a `T`.
unsafe impl<T: ForeignOwnable + Send> Send for OwnedForeign<T> {}
// SAFETY: A shared reference gives what one to a `T` would.
unsafe impl<T: ForeignOwnable + Sync> Sync for OwnedForeign<T> {}

// The value is elsewhere.
impl<T: ForeignOwnable> Unpin for OwnedForeign<T> {}

impl<T: ForeignOwnable> OwnedForeign<T> {
    /// Takes a value.
    pub fn new(value: T) -> Self {
        Self { pointer: value.into_foreign(), _value: PhantomData }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariant, and `this` is not used again.
        unsafe { T::from_foreign(this.pointer) }
    }

    /// The value, shared.
    pub fn borrow(&self) -> T::Borrowed<'_> {
        // SAFETY: By the type invariant; it is borrowed as long.
        unsafe { T::borrow(self.pointer) }
    }

    /// The value, mutable as far as its kind of pointer lets it.
    pub fn borrow_mut(&mut self) -> T::BorrowedMut<'_> {
        // SAFETY: By the type invariant; it is borrowed mutably as long.
        unsafe { T::borrow_mut(self.pointer) }
    }
}

impl<T: ForeignOwnable> Drop for OwnedForeign<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, and it is not used again.
        drop(unsafe { T::from_foreign(self.pointer) });
    }
}
