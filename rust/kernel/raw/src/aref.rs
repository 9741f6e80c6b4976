// SPDX-License-Identifier: GPL-2.0
//! References to objects that count their users themselves: `kernel::sync::aref`.

use crate::foreign::ForeignOwnable;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;

/// A type whose values always have a count of references, so that a `&T` can become an owned one.
///
/// # Safety
/// After `inc_ref` the value stays valid until the matching `dec_ref`.
pub unsafe trait AlwaysRefCounted {
    /// Counts one more reference.
    fn inc_ref(&self);

    /// Gives one up; with the last the value may be gone.
    ///
    /// # Safety
    /// The caller has a reference that was counted, and does not use it afterwards.
    unsafe fn dec_ref(obj: NonNull<Self>);
}

/// An owned reference to a value that counts its references.
///
/// # Invariants
/// The pointer is valid: this owns one counted reference.
pub struct ARef<T: AlwaysRefCounted> {
    ptr: NonNull<T>,
    _p: PhantomData<T>,
}

// SAFETY: It shares the value, and may be its last reference, which drops it.
unsafe impl<T: AlwaysRefCounted + Sync + Send> Send for ARef<T> {}
// SAFETY: A shared reference can be cloned into an owned one, as above.
unsafe impl<T: AlwaysRefCounted + Sync + Send> Sync for ARef<T> {}

impl<T: AlwaysRefCounted> Unpin for ARef<T> {}

impl<T: AlwaysRefCounted> ARef<T> {
    /// Takes over a counted reference.
    ///
    /// # Safety
    /// The reference was counted, and is not given up elsewhere.
    pub unsafe fn from_raw(ptr: NonNull<T>) -> Self {
        Self { ptr, _p: PhantomData }
    }

    /// Gives the counted reference to the caller.
    pub fn into_raw(me: Self) -> NonNull<T> {
        ManuallyDrop::new(me).ptr
    }
}

impl<T: AlwaysRefCounted> Clone for ARef<T> {
    fn clone(&self) -> Self {
        self.inc_ref();
        // SAFETY: Counted just now.
        unsafe { Self::from_raw(self.ptr) }
    }
}

impl<T: AlwaysRefCounted> Deref for ARef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant.
        unsafe { self.ptr.as_ref() }
    }
}

impl<T: AlwaysRefCounted> From<&T> for ARef<T> {
    fn from(value: &T) -> Self {
        value.inc_ref();
        // SAFETY: Counted just now.
        unsafe { Self::from_raw(NonNull::from(value)) }
    }
}

impl<T: AlwaysRefCounted> Drop for ARef<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant one reference is ours; it is not used any more.
        unsafe { T::dec_ref(self.ptr) };
    }
}

impl<T: AlwaysRefCounted + PartialEq<U>, U: AlwaysRefCounted> PartialEq<ARef<U>> for ARef<T> {
    fn eq(&self, other: &ARef<U>) -> bool {
        T::eq(&**self, &**other)
    }
}

impl<T: AlwaysRefCounted + Eq> Eq for ARef<T> {}

impl<T: AlwaysRefCounted + PartialEq<U>, U> PartialEq<&'_ U> for ARef<T> {
    fn eq(&self, other: &&U) -> bool {
        T::eq(&**self, other)
    }
}

impl<T: AlwaysRefCounted + core::fmt::Debug> core::fmt::Debug for ARef<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(f)
    }
}

// SAFETY: `into_foreign` gives the pointer of a counted reference, which stays valid until `from_foreign` takes it back.
unsafe impl<T: AlwaysRefCounted> ForeignOwnable for ARef<T> {
    const FOREIGN_ALIGN: usize = align_of::<T>();
    type Borrowed<'a>
        = &'a T
    where
        Self: 'a;
    type BorrowedMut<'a>
        = &'a T
    where
        Self: 'a;

    fn into_foreign(self) -> *mut c_void {
        ARef::into_raw(self).as_ptr().cast()
    }

    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // SAFETY: It came from `into_foreign`, where it was not null and its reference was kept.
        unsafe { Self::from_raw(NonNull::new_unchecked(ptr.cast())) }
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> &'a T {
        // SAFETY: As above, and the caller says that it is not taken back during `'a`.
        unsafe { &*ptr.cast::<T>() }
    }

    unsafe fn borrow_mut<'a>(ptr: *mut c_void) -> &'a T {
        // SAFETY: As in `borrow`.
        unsafe { &*ptr.cast::<T>() }
    }
}
