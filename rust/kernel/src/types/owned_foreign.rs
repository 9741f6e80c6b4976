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
pub(crate) struct OwnedForeign<T: ForeignOwnable> {
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
    pub(crate) fn new(value: T) -> Self {
        Self { pointer: value.into_foreign(), _value: PhantomData }
    }

    pub(crate) fn into_inner(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariant, and `this` is not used again.
        unsafe { T::from_foreign(this.pointer) }
    }

    pub(crate) fn borrow(&self) -> T::Borrowed<'_> {
        // SAFETY: By the type invariant; it is borrowed as long.
        unsafe { T::borrow(self.pointer) }
    }

    pub(crate) fn borrow_mut(&mut self) -> T::BorrowedMut<'_> {
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
