// SPDX-License-Identifier: GPL-2.0
//! `Bounded`: an integer that fits into `N` bits of its type; what a field of a register holds.
//!
//! ```
//! use kernel::num::Bounded;
//!
//! let nibble = Bounded::<u8, 4>::try_new(9).ok_or(EINVAL)?;
//! let byte: u8 = nibble.into();
//! assert_eq!(byte, 9);
//! // Four bits more need four bits more.
//! assert_eq!(nibble.shl::<4, 8>(), 0x90u8);
//! assert!(Bounded::<i8, 4>::try_new(8).is_none());
//! # Ok::<(), Error>(())
//! ```

pub use super::convert::TryIntoBounded;

use super::Integer;
use crate::build_assert::build_assert;
use core::ops::Deref;

/// An integer whose value needs no more than `N` bits of `T`: as many low bits if `T` is unsigned, those and a sign if not.
///
/// # Invariants
/// Shifting `T::BITS - N` to the left and back changes nothing; `0 < N <= T::BITS`.
#[derive(Clone, Copy, Debug, Default, Hash)]
#[repr(transparent)]
pub struct Bounded<T: Integer, const N: u32>(T);

/// Whether `value` needs no more than `bits` bits.
#[inline(always)]
fn fits<T: Integer>(value: T, bits: u32) -> bool {
    let spare = T::BITS - bits;
    (value << spare) >> spare == value
}

macro_rules! constants {
    ($($ty:ident)*) => { $(
        impl<const N: u32> Bounded<$ty, N> {
            /// A constant; does not compile if it needs more bits.
            pub const fn new<const VALUE: $ty>() -> Self {
                const {
                    assert!(N > 0 && N <= $ty::BITS, "the type does not have so many bits");
                    assert!((VALUE << ($ty::BITS - N)) >> ($ty::BITS - N) == VALUE, "the value does not fit");
                }
                Self(VALUE)
            }
        }
    )* };
}
constants! { u8 u16 u32 u64 usize i8 i16 i32 i64 isize }

impl<T: Integer, const N: u32> Bounded<T, N> {
    /// Checked whenever a value is made.
    const VALID: () = assert!(N > 0 && N <= T::BITS, "the type does not have so many bits");

    /// `value`, which fits.
    #[inline(always)]
    pub(crate) const fn make(value: T) -> Self {
        let () = Self::VALID;
        Self(value)
    }

    /// The number, if it fits.
    #[inline(always)]
    pub fn try_new(value: T) -> Option<Self> {
        let () = Self::VALID;
        fits(value, N).then_some(Self(value))
    }

    /// The number of an expression of which the compiler can see that it fits.
    #[inline(always)]
    #[track_caller]
    pub fn from_expr(value: T) -> Self {
        let () = Self::VALID;
        build_assert!(fits(value, N), "the value does not fit");
        Self(value)
    }

    /// What the low `N` bits say.
    #[doc(hidden)]
    #[inline(always)]
    pub fn of_low_bits(value: T) -> Self {
        let () = Self::VALID;
        let spare = T::BITS - N;
        Self((value << spare) >> spare)
    }

    /// The number.
    #[inline(always)]
    pub const fn get(self) -> T {
        self.0
    }

    /// The same number with more bits.
    #[inline(always)]
    pub const fn extend<const M: u32>(self) -> Bounded<T, M> {
        const { assert!(M >= N, "fewer bits than before") };
        Bounded::make(self.0)
    }

    /// The same number with fewer bits, if it fits.
    #[inline(always)]
    pub fn try_shrink<const M: u32>(self) -> Option<Bounded<T, M>> {
        Bounded::try_new(self.0)
    }

    /// The same number in another type of the same signedness; does not compile if that has fewer than `N` bits.
    #[inline(always)]
    pub fn cast<U>(self) -> Bounded<U, N>
    where
        U: TryFrom<T> + Integer<Signedness = T::Signedness>,
    {
        Bounded::make(U::narrow(self.0.widen()))
    }

    /// The number shifted to the right; `RES + SHIFT >= N`, or it does not compile.
    #[inline(always)]
    pub fn shr<const SHIFT: u32, const RES: u32>(self) -> Bounded<T, RES> {
        const { assert!(SHIFT < T::BITS && RES + SHIFT >= N, "too few bits for the result") };
        Bounded::make(self.0 >> SHIFT)
    }

    /// As [`Self::shr`], if no bit is lost by it.
    #[inline]
    pub fn shr_exact<const SHIFT: u32, const RES: u32>(self) -> Option<Bounded<T, RES>> {
        let shifted = self.shr::<SHIFT, RES>();
        (shifted.0 << SHIFT == self.0).then_some(shifted)
    }

    /// The number shifted to the left; `RES >= N + SHIFT`, or it does not compile.
    #[inline(always)]
    pub fn shl<const SHIFT: u32, const RES: u32>(self) -> Bounded<T, RES> {
        const { assert!(RES >= N + SHIFT, "too few bits for the result") };
        Bounded::make(self.0 << SHIFT)
    }
}

impl<T: Integer, const N: u32> Deref for Bounded<T, N> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}
