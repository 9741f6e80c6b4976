// SPDX-License-Identifier: GPL-2.0
//! What ways to reach a device's bytes have in common.

use crate::ptr::KnownSize;
use core::mem::{ManuallyDrop, MaybeUninit};
use zerocopy::{FromBytes, IntoBytes};

/// A way to reach bytes: which accesses there are, [`IoCapable`] and [`IoCopyable`] say.
pub trait IoBackend {
    /// A view of a `T` that is reached so.
    type View<'a, T: ?Sized + KnownSize>: IoBase<'a, Backend = Self, Target = T>;

    /// The view as a pointer to calculate with; nothing need be there.
    fn as_ptr<'a, T: ?Sized + KnownSize>(view: Self::View<'a, T>) -> *mut T;

    /// The view of a part.
    ///
    /// # Safety
    /// `part` lies inside of what [`Self::as_ptr`] gives for `view`, and is aligned.
    unsafe fn project_view<'a, T: ?Sized + KnownSize, U: ?Sized + KnownSize>(
        view: Self::View<'a, T>,
        part: *mut U,
    ) -> Self::View<'a, U>;
}

/// Accesses of one width.
pub trait IoCapable<T>: IoBackend {
    /// Reads.
    fn io_read(view: Self::View<'_, T>) -> T;

    /// Writes.
    fn io_write(view: Self::View<'_, T>, value: T);
}

/// Copies of many bytes, in accesses of any width and order.
pub trait IoCopyable: IoBackend {
    /// Copies all of `view` to `buffer`.
    ///
    /// # Safety
    /// `buffer` can be written for as many bytes, and is not in the view.
    unsafe fn copy_from_io(view: Self::View<'_, [u8]>, buffer: *mut u8);

    /// Copies to all of `view` from `buffer`.
    ///
    /// # Safety
    /// `buffer` can be read for as many bytes, and is not in the view.
    unsafe fn copy_to_io(view: Self::View<'_, [u8]>, buffer: *const u8);

    /// Copies a value out.
    #[inline]
    fn copy_read<T: FromBytes>(view: Self::View<'_, T>) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: The buffer is of its size; afterwards all bytes are there, and any bytes are a `T`.
        unsafe {
            Self::copy_from_io(bytes_of::<Self, T>(view), value.as_mut_ptr().cast());
            value.assume_init()
        }
    }

    /// Copies a value in. It is not dropped.
    #[inline]
    fn copy_write<T: IntoBytes>(view: Self::View<'_, T>, value: T) {
        let value = ManuallyDrop::new(value);
        // SAFETY: The buffer is of its size, and has no byte that is not initialized.
        unsafe { Self::copy_to_io(bytes_of::<Self, T>(view), (&raw const value).cast()) };
    }
}

/// The bytes of a view.
fn bytes_of<'a, B: IoBackend + ?Sized, T>(view: B::View<'a, T>) -> B::View<'a, [u8]>
where
    B::View<'a, T>: Copy,
{
    let start = B::as_ptr(view).cast::<u8>();
    // SAFETY: These are the bytes of the view.
    unsafe { B::project_view(view, core::ptr::slice_from_raw_parts_mut(start, size_of::<T>())) }
}

/// Handles that are cheap to copy, to something that can be accessed. For those who provide one; `Io` of `kernel` has the accesses.
pub trait IoBase<'a>: Copy {
    /// How it is reached.
    type Backend: IoBackend;
    /// What is there: [`Region`](super::Region) if it is just bytes.
    type Target: ?Sized + KnownSize;

    /// The view of all of it.
    fn as_view(self) -> <Self::Backend as IoBackend>::View<'a, Self::Target>;
}

/// Declares a way to reach bytes, and what its views are: copied, and each the view of all of itself. The first closure is
/// [`IoBackend::as_ptr`], the second [`IoBackend::project_view`], whose contract it may rely on.
macro_rules! io_backend {
    (
        $(#[$attr:meta])*
        pub struct $backend:ident of $view:ident;
        |$whole:ident| $pointer:expr;
        |$of:pat, $part:ident| $made:expr;
    ) => {
        impl<T: ?Sized> Copy for $view<'_, T> {}

        impl<T: ?Sized> Clone for $view<'_, T> {
            #[inline]
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<'a, T: ?Sized + $crate::ptr::KnownSize> $crate::io::IoBase<'a> for $view<'a, T> {
            type Backend = $backend;
            type Target = T;

            #[inline]
            fn as_view(self) -> Self {
                self
            }
        }

        $(#[$attr])*
        pub struct $backend;

        impl $crate::io::IoBackend for $backend {
            type View<'a, T: ?Sized + $crate::ptr::KnownSize> = $view<'a, T>;

            #[inline]
            fn as_ptr<'a, T: ?Sized + $crate::ptr::KnownSize>($whole: $view<'a, T>) -> *mut T {
                $pointer
            }

            #[inline]
            unsafe fn project_view<'a, T: ?Sized + $crate::ptr::KnownSize, U: ?Sized + $crate::ptr::KnownSize>(
                $of: Self::View<'a, T>,
                $part: *mut U,
            ) -> Self::View<'a, U> {
                $made
            }
        }
    };
}
pub(crate) use io_backend;
