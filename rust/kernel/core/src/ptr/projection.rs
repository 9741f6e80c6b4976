// SPDX-License-Identifier: GPL-2.0
//! From a pointer to a value one to a part of it, checked, whether or not the pointer is one into memory: `kernel::ptr::project!`.
//!
//! ```
//! #[repr(C)]
//! struct Entry {
//!     id: u16,
//!     count: u32,
//! }
//!
//! let table: *const [Entry; 4] = core::ptr::without_provenance(0x1000);
//! let count: *const u32 = kernel::ptr::project!(table, [build: 2].count);
//! assert_eq!(count.addr(), 0x1000 + 2 * 8 + 4);
//! ```

use crate::build_assert::build_assert;
use crate::error::{Error, code::ERANGE};
use core::mem::MaybeUninit;
use core::ops::{Deref, Range, RangeFrom, RangeFull, RangeTo};

/// There is no such part. Becomes `ERANGE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBound;

impl From<OutOfBound> for Error {
    #[inline(always)]
    fn from(_: OutOfBound) -> Self {
        ERANGE
    }
}

/// Places in a slice or an array.
///
/// # Safety
/// What the functions give lies inside of what they are given, and has its provenance.
#[doc(hidden)]
#[diagnostic::on_unimplemented(message = "`{Self}` cannot be used to index `{T}`")]
pub unsafe trait ProjectIndex<T: ?Sized>: Sized {
    /// What is there.
    type Output: ?Sized;

    /// The part, if it is there.
    fn get(self, slice: *mut T) -> Option<*mut Self::Output>;

    /// The part. Panics if it is not there.
    #[inline(always)]
    #[track_caller]
    fn index(self, slice: *mut T) -> *mut Self::Output {
        match self.get(slice) {
            Some(part) => part,
            None => panic!("index out of bounds"),
        }
    }

    /// The part, of which the compiler can see that it is there.
    #[inline(always)]
    #[track_caller]
    fn build_index(self, slice: *mut T) -> *mut Self::Output {
        let part = self.get(slice);
        build_assert!(part.is_some(), "index out of bounds");
        match part {
            Some(part) => part,
            None => unreachable!(),
        }
    }
}

// SAFETY: As the implementation for slices.
unsafe impl<T, I: ProjectIndex<[T]>, const N: usize> ProjectIndex<[T; N]> for I {
    type Output = I::Output;

    #[inline(always)]
    fn get(self, slice: *mut [T; N]) -> Option<*mut I::Output> {
        self.get(core::ptr::slice_from_raw_parts_mut(slice.cast::<T>(), N))
    }
}

// SAFETY: Checked against the length.
unsafe impl<T> ProjectIndex<[T]> for usize {
    type Output = T;

    #[inline(always)]
    fn get(self, slice: *mut [T]) -> Option<*mut T> {
        (self < slice.len()).then(|| slice.cast::<T>().wrapping_add(self))
    }
}

// SAFETY: Checked against the length.
unsafe impl<T> ProjectIndex<[T]> for Range<usize> {
    type Output = [T];

    #[inline(always)]
    fn get(self, slice: *mut [T]) -> Option<*mut [T]> {
        let len = self.end.checked_sub(self.start)?;
        let part = || core::ptr::slice_from_raw_parts_mut(slice.cast::<T>().wrapping_add(self.start), len);
        (self.end <= slice.len()).then(part)
    }
}

// SAFETY: As for `Range`.
unsafe impl<T> ProjectIndex<[T]> for RangeTo<usize> {
    type Output = [T];

    #[inline(always)]
    fn get(self, slice: *mut [T]) -> Option<*mut [T]> {
        (0..self.end).get(slice)
    }
}

// SAFETY: As for `Range`.
unsafe impl<T> ProjectIndex<[T]> for RangeFrom<usize> {
    type Output = [T];

    #[inline(always)]
    fn get(self, slice: *mut [T]) -> Option<*mut [T]> {
        (self.start..slice.len()).get(slice)
    }
}

// SAFETY: It is all of it.
unsafe impl<T> ProjectIndex<[T]> for RangeFull {
    type Output = [T];

    #[inline(always)]
    fn get(self, slice: *mut [T]) -> Option<*mut [T]> {
        Some(slice)
    }
}

/// Types whose fields can be named. A type that implements [`Deref`] implements it twice, so that naming a field of it is ambiguous:
/// it might be one of what it dereferences to.
///
/// # Safety
/// `project` calls `field` with a pointer into an allocation that is large enough for a value.
#[doc(hidden)]
pub unsafe trait ProjectField<const DEREF: bool> {
    /// The pointer to the field that `field` takes of a value.
    ///
    /// # Safety
    /// `field` gives a pointer into what it is given.
    unsafe fn project<F>(base: *mut Self, field: impl FnOnce(*mut Self) -> *mut F) -> *mut F;
}

// SAFETY: The place is one.
unsafe impl<T> ProjectField<false> for T {
    #[inline(always)]
    unsafe fn project<F>(base: *mut Self, field: impl FnOnce(*mut Self) -> *mut F) -> *mut F {
        // `base` may point to nothing, and taking a field's address wants a real place.
        let mut place = MaybeUninit::<T>::uninit();
        let start = place.as_mut_ptr();
        let offset = field(start).addr().wrapping_sub(start.addr());
        base.cast::<u8>().wrapping_add(offset).cast()
    }
}

// SAFETY: It never calls it.
unsafe impl<T: Deref> ProjectField<true> for T {
    #[inline(always)]
    unsafe fn project<F>(_: *mut Self, _: impl FnOnce(*mut Self) -> *mut F) -> *mut F {
        // Nobody can have chosen this implementation.
        unreachable!()
    }
}

/// A pointer to a part: `project!(pointer, .field[try: 3].0)`, `project!(mut pointer, ...)` for one to write through.
///
/// An index says what becomes of one that is too large: `[try: i]` returns `Err` with [`OutOfBound`] from the function, `[panic: i]`
/// panics, `[build: i]` must be visible to the compiler as in bounds.
#[macro_export]
macro_rules! project_pointer {
    (@ $pointer:ident) => { $pointer };
    (@ $pointer:ident .$field:tt $($rest:tt)*) => {{
        // SAFETY: What the closure gives is a field of what it is given.
        #[allow(unused_unsafe)]
        let $pointer = unsafe {
            $crate::ptr::projection::ProjectField::project($pointer, #[inline(always)] |value| {
                // A reference to the field must be possible: no field of a packed structure.
                if false {
                    let _ = &(*value).$field;
                }
                &raw mut (*value).$field
            })
        };
        $crate::project_pointer!(@ $pointer $($rest)*)
    }};
    (@ $pointer:ident [try: $index:expr] $($rest:tt)*) => {{
        let $pointer = $crate::ptr::projection::ProjectIndex::get($index, $pointer)
            .ok_or($crate::ptr::projection::OutOfBound)?;
        $crate::project_pointer!(@ $pointer $($rest)*)
    }};
    (@ $pointer:ident [panic: $index:expr] $($rest:tt)*) => {{
        let $pointer = $crate::ptr::projection::ProjectIndex::index($index, $pointer);
        $crate::project_pointer!(@ $pointer $($rest)*)
    }};
    (@ $pointer:ident [build: $index:expr] $($rest:tt)*) => {{
        let $pointer = $crate::ptr::projection::ProjectIndex::build_index($index, $pointer);
        $crate::project_pointer!(@ $pointer $($rest)*)
    }};
    (mut $pointer:expr, $($part:tt)*) => {{
        let pointer: *mut _ = $pointer;
        $crate::project_pointer!(@ pointer $($part)*)
    }};
    ($pointer:expr, $($part:tt)*) => {{
        let pointer = <*const _>::cast_mut($pointer);
        $crate::project_pointer!(@ pointer $($part)*).cast_const()
    }};
}
