// SPDX-License-Identifier: GPL-2.0
//! Types that a lifetime is still to be put into: what a device's data is before it is known how long the device is bound.

use core::marker::PhantomData;

/// A type for every lifetime.
pub trait ForLt {
    /// The type for this one.
    type Of<'a>: 'a;
}

/// One that may be used with a shorter lifetime.
///
/// # Safety
/// `Of<'a>` is covariant in `'a`.
pub unsafe trait CovariantForLt: ForLt {
    /// The value with a shorter lifetime.
    #[inline(always)]
    fn cast_ref<'r, 'short: 'r, 'long: 'short>(long: &'r Self::Of<'long>) -> &'r Self::Of<'short> {
        // SAFETY: The type is covariant by the trait's contract, so a longer lifetime may become a shorter one.
        unsafe { &*core::ptr::from_ref(long).cast() }
    }
}

pub use module_macro::{CovariantForLt, ForLt};

/// Says that `Name<'static, SIZE>` is [`CovariantForLt`], with `Name<'a, SIZE>` for `'a`; the compiler checks that it is.
macro_rules! covariant_by_lifetime {
    ($name:ident<'_, const $size:ident: usize>) => {
        impl<const $size: usize> $crate::types::ForLt for $name<'static, $size> {
            type Of<'a> = $name<'a, $size>;
        }

        // SAFETY: `shorten` does not compile for a type that is not covariant.
        unsafe impl<const $size: usize> $crate::types::CovariantForLt for $name<'static, $size> {}

        const _: () = {
            #[allow(dead_code, reason = "it need only compile")]
            fn shorten<'short, 'long: 'short, const $size: usize>(
                long: &'short $name<'long, $size>,
            ) -> &'short $name<'short, $size> {
                long
            }
        };
    };
}
pub(crate) use covariant_by_lifetime;

/// What the macros expand to; `N` is 1 for one that is proved to be covariant.
#[doc(hidden)]
pub struct UnsafeForLtImpl<T: ?Sized, WF, const N: usize>(PhantomData<fn(&T, WF)>);

/// How the macros say what the type for a lifetime is.
#[doc(hidden)]
pub trait WithLt<'a> {
    /// The type.
    type Of: 'a;
}

impl<T: ?Sized + for<'a> WithLt<'a>, WF, const N: usize> ForLt for UnsafeForLtImpl<T, WF, N> {
    type Of<'a> = <T as WithLt<'a>>::Of;
}

// SAFETY: `CovariantForLt!` alone makes `N` 1, with a function that does not compile for other types.
unsafe impl<T: ?Sized + for<'a> WithLt<'a>, WF> CovariantForLt for UnsafeForLtImpl<T, WF, 1> {}
