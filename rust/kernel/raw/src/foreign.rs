// SPDX-License-Identifier: GPL-2.0
//! `ForeignOwnable`: owners that can be given away as a plain pointer, and taken back.

use core::ffi::c_void;
use core::pin::Pin;
use kalloc::{Allocator, Arc, ArcBorrow, Box};

/// An owner that others can keep as a pointer.
///
/// # Safety
/// What `into_foreign` gives is not null, has the alignment `FOREIGN_ALIGN`, and stays valid until `from_foreign`.
pub unsafe trait ForeignOwnable: Sized {
    /// Alignment of the pointers.
    const FOREIGN_ALIGN: usize;

    /// What can be borrowed of it.
    type Borrowed<'a>
    where
        Self: 'a;

    /// What can be borrowed of it mutably.
    type BorrowedMut<'a>
    where
        Self: 'a;

    /// Gives the owner away as a pointer.
    fn into_foreign(self) -> *mut c_void;

    /// Takes the owner back.
    ///
    /// # Safety
    /// `ptr` came from `into_foreign` and was not taken back since; nothing borrowed of it is left.
    unsafe fn from_foreign(ptr: *mut c_void) -> Self;

    /// As [`Self::from_foreign`], but null is nothing.
    ///
    /// # Safety
    /// `ptr` is null or as for `from_foreign`.
    unsafe fn try_from_foreign(ptr: *mut c_void) -> Option<Self> {
        if ptr.is_null() {
            None
        } else {
            // SAFETY: The caller's contract.
            Some(unsafe { Self::from_foreign(ptr) })
        }
    }

    /// Borrows what is owned.
    ///
    /// # Safety
    /// `ptr` came from `into_foreign` and is not taken back during `'a`, nor borrowed mutably.
    unsafe fn borrow<'a>(ptr: *mut c_void) -> Self::Borrowed<'a>;

    /// Borrows what is owned, mutably.
    ///
    /// # Safety
    /// As for `borrow`, and nothing else is borrowed of it during `'a`.
    unsafe fn borrow_mut<'a>(ptr: *mut c_void) -> Self::BorrowedMut<'a>;
}

// SAFETY: Dangling pointers are not null, and there is nothing behind them.
unsafe impl ForeignOwnable for () {
    const FOREIGN_ALIGN: usize = align_of::<()>();
    type Borrowed<'a> = ();
    type BorrowedMut<'a> = ();

    fn into_foreign(self) -> *mut c_void {
        core::ptr::dangling_mut()
    }

    unsafe fn from_foreign(_: *mut c_void) -> Self {}
    unsafe fn borrow<'a>(_: *mut c_void) -> Self::Borrowed<'a> {}
    unsafe fn borrow_mut<'a>(_: *mut c_void) -> Self::BorrowedMut<'a> {}
}

// SAFETY: The pointer is that of the value, which stays until the box is made again.
unsafe impl<T, A: Allocator> ForeignOwnable for Box<T, A> {
    const FOREIGN_ALIGN: usize = align_of::<T>();
    type Borrowed<'a>
        = &'a T
    where
        Self: 'a;
    type BorrowedMut<'a>
        = &'a mut T
    where
        Self: 'a;

    fn into_foreign(self) -> *mut c_void {
        Box::into_raw(self).cast()
    }

    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // SAFETY: It came from `into_raw`.
        unsafe { Box::from_raw(ptr.cast()) }
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> &'a T {
        // SAFETY: The value is there, and not borrowed mutably, for `'a`.
        unsafe { &*ptr.cast() }
    }

    unsafe fn borrow_mut<'a>(ptr: *mut c_void) -> &'a mut T {
        // SAFETY: The value is there, and not borrowed otherwise, for `'a`.
        unsafe { &mut *ptr.cast() }
    }
}

// SAFETY: As for the box; the value does not move.
unsafe impl<T, A: Allocator> ForeignOwnable for Pin<Box<T, A>> {
    const FOREIGN_ALIGN: usize = align_of::<T>();
    type Borrowed<'a>
        = Pin<&'a T>
    where
        Self: 'a;
    type BorrowedMut<'a>
        = Pin<&'a mut T>
    where
        Self: 'a;

    fn into_foreign(self) -> *mut c_void {
        // SAFETY: The value stays where it is until it is pinned again by `from_foreign`.
        Box::into_raw(unsafe { Pin::into_inner_unchecked(self) }).cast()
    }

    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // SAFETY: It came from `into_raw`.
        Box::into_pin(unsafe { Box::from_raw(ptr.cast()) })
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> Pin<&'a T> {
        // SAFETY: The value is there, pinned, and not borrowed mutably, for `'a`.
        unsafe { Pin::new_unchecked(&*ptr.cast()) }
    }

    unsafe fn borrow_mut<'a>(ptr: *mut c_void) -> Pin<&'a mut T> {
        // SAFETY: The value is there, pinned, and not borrowed otherwise, for `'a`.
        unsafe { Pin::new_unchecked(&mut *ptr.cast()) }
    }
}

// SAFETY: The pointer is that of the value, which the count kept for it keeps.
unsafe impl<T: 'static> ForeignOwnable for Arc<T> {
    const FOREIGN_ALIGN: usize = align_of::<T>();
    type Borrowed<'a> = ArcBorrow<'a, T>;
    type BorrowedMut<'a> = ArcBorrow<'a, T>;

    fn into_foreign(self) -> *mut c_void {
        Arc::into_raw(self).cast_mut().cast()
    }

    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // SAFETY: It came from `into_raw`.
        unsafe { Arc::from_raw(ptr.cast()) }
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> ArcBorrow<'a, T> {
        // SAFETY: It came from `into_raw`, and the count is kept for `'a`.
        unsafe { Arc::borrow_raw(ptr.cast()) }
    }

    unsafe fn borrow_mut<'a>(ptr: *mut c_void) -> ArcBorrow<'a, T> {
        // SAFETY: As in `borrow`.
        unsafe { Arc::borrow_raw(ptr.cast()) }
    }
}
