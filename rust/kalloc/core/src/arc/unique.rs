// SPDX-License-Identifier: GPL-2.0
//! `UniqueArc`: a value in the memory of an `Arc` before anybody shares it. No locks.

use super::{ArcInner, WeakArc, alloc_inner, get, put_weak};
use crate::{AllocError, Flags};
use core::fmt;
use core::marker::{CoercePointee, PhantomData};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::NonNull;
use pinned_init::{InPlaceWrite, Init, PinInit};

/// A value in the memory of an `Arc` that nobody else has yet: it can be written.
///
/// # Invariants
/// As `Arc`, with strong 0 and the weak count of the strong references held.
#[derive(CoercePointee)]
#[repr(transparent)]
pub struct UniqueArc<#[pointee] T: ?Sized> {
    pub(super) ptr: NonNull<ArcInner<T>>,
    pub(super) _p: PhantomData<ArcInner<T>>,
}

// SAFETY: A `UniqueArc` is the only owner, as a box.
unsafe impl<T: ?Sized + Send> Send for UniqueArc<T> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Sync> Sync for UniqueArc<T> {}

impl<T: ?Sized> Unpin for UniqueArc<T> {}

impl<T> UniqueArc<T> {
    /// A value of our own that can become an `Arc`.
    pub fn new(value: T, flags: Flags) -> Result<Self, AllocError> {
        Ok(UniqueArc::write(Self::new_uninit(flags)?, value))
    }

    /// Memory for a value that is written later.
    pub fn new_uninit(flags: Flags) -> Result<UniqueArc<MaybeUninit<T>>, AllocError> {
        Ok(UniqueArc { ptr: alloc_inner::<MaybeUninit<T>>(0, flags)?, _p: PhantomData })
    }
}

impl<T> UniqueArc<MaybeUninit<T>> {
    /// Writes the value.
    pub fn write(mut self, value: T) -> UniqueArc<T> {
        (*self).write(value);
        // SAFETY: Just written.
        unsafe { self.assume_init() }
    }

    /// Builds the value in place.
    pub fn init_with<E>(self, init: impl Init<T, E>) -> Result<UniqueArc<T>, E> {
        self.write_init(init)
    }

    /// Builds the value in place and pins it.
    pub fn pin_init_with<E>(self, init: impl PinInit<T, E>) -> Result<Pin<UniqueArc<T>>, E> {
        self.write_pin_init(init)
    }

    /// The value is there now.
    ///
    /// # Safety
    /// The value was initialized.
    pub unsafe fn assume_init(self) -> UniqueArc<T> {
        UniqueArc { ptr: ManuallyDrop::new(self).ptr.cast(), _p: PhantomData }
    }
}

impl<T> InPlaceWrite<T> for UniqueArc<MaybeUninit<T>> {
    type Initialized = UniqueArc<T>;

    fn write_init<E>(mut self, init: impl Init<T, E>) -> Result<Self::Initialized, E> {
        // SAFETY: The slot is memory for a `T`; on an error only the memory is freed.
        unsafe {
            init.__init(self.as_mut_ptr())?;
            Ok(self.assume_init())
        }
    }

    fn write_pin_init<E>(mut self, init: impl PinInit<T, E>) -> Result<Pin<Self::Initialized>, E> {
        // SAFETY: As in `write_init`, and the value is pinned at once.
        unsafe {
            init.__pinned_init(self.as_mut_ptr())?;
            Ok(Pin::new_unchecked(self.assume_init()))
        }
    }
}

impl<T: ?Sized> From<UniqueArc<T>> for Pin<UniqueArc<T>> {
    fn from(unique: UniqueArc<T>) -> Self {
        // SAFETY: The value of a `UniqueArc` does not move and is dropped in place.
        unsafe { Pin::new_unchecked(unique) }
    }
}

impl<T: ?Sized> core::borrow::Borrow<T> for UniqueArc<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized> core::borrow::BorrowMut<T> for UniqueArc<T> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for UniqueArc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for UniqueArc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> UniqueArc<T> {
    /// The address of the value.
    pub fn as_ptr(this: &Self) -> *const T {
        &raw const **this
    }

    /// A weak reference, which can be upgraded once this has become an `Arc`.
    pub fn downgrade(this: &Self) -> WeakArc<T> {
        // SAFETY: Valid by the type invariant; with strong 0 nobody can have locked the weak count.
        get(unsafe { &this.ptr.as_ref().weak });
        WeakArc { ptr: this.ptr, _p: PhantomData }
    }
}

impl<T: ?Sized> Deref for UniqueArc<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: Valid by the type invariant.
        unsafe { &(*self.ptr.as_ptr()).data }
    }
}

impl<T: ?Sized> DerefMut for UniqueArc<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: Valid and alone by the type invariant.
        unsafe { &mut (*self.ptr.as_ptr()).data }
    }
}

impl<T: ?Sized> Drop for UniqueArc<T> {
    fn drop(&mut self) {
        // SAFETY: We are alone with the value; then the weak count of the strong references is given up.
        unsafe {
            (&raw mut (*self.ptr.as_ptr()).data).drop_in_place();
            put_weak(self.ptr);
        }
    }
}
