// SPDX-License-Identifier: GPL-2.0
//! `Bounded`: an unsigned number that fits into `N` bits of its type; what a field of a register holds.

use core::fmt;

/// An unsigned type of the language.
pub trait Primitive: Copy + Eq + Ord + fmt::Debug + 'static {
    /// Its bits.
    const BITS: u32;
    /// The number as the widest type.
    fn to_u64(self) -> u64;
    /// The low bits of `value`.
    fn from_u64(value: u64) -> Self;
}

macro_rules! primitives {
    ($($ty:ident)*) => { $(
        impl Primitive for $ty {
            const BITS: u32 = $ty::BITS;

            fn to_u64(self) -> u64 {
                u64::from(self)
            }

            fn from_u64(value: u64) -> Self {
                value as Self
            }
        }

        impl<const N: u32> Bounded<$ty, N> {
            /// This constant; it does not compile if it does not fit.
            pub const fn new<const VALUE: $ty>() -> Self {
                const {
                    assert!(N >= $ty::BITS || VALUE >> N == 0, "the value does not fit");
                }
                Self(VALUE)
            }
        }

        impl From<$ty> for Bounded<$ty, { $ty::BITS }> {
            fn from(value: $ty) -> Self {
                Self(value)
            }
        }

        impl<const N: u32> From<Bounded<$ty, N>> for $ty {
            fn from(value: Bounded<$ty, N>) -> Self {
                value.0
            }
        }

        impl From<bool> for Bounded<$ty, 1> {
            fn from(value: bool) -> Self {
                Self(value.into())
            }
        }

        impl From<Bounded<$ty, 1>> for bool {
            fn from(value: Bounded<$ty, 1>) -> Self {
                value.0 != 0
            }
        }
    )* };
}

/// A number of `N` bits in a `T`.
///
/// # Invariants
/// The number is below `2^N`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Bounded<T: Primitive, const N: u32>(T);

primitives! { u8 u16 u32 u64 }

impl<T: Primitive, const N: u32> Bounded<T, N> {
    const MASK: u64 = {
        assert!(N > 0 && N <= T::BITS, "the type does not have so many bits");
        u64::MAX >> (64 - N)
    };

    /// The number, if it fits.
    pub fn try_new(value: T) -> Option<Self> {
        (value.to_u64() & !Self::MASK == 0).then_some(Self(value))
    }

    /// The number; panics if it does not fit, unless the optimizer finds out.
    #[inline(always)]
    #[track_caller]
    pub fn from_expr(value: T) -> Self {
        crate::build_assert::build_assert!(value.to_u64() & !Self::MASK == 0, "the value does not fit");
        Self(value)
    }

    /// The low `N` bits of `value` from bit `shift` on.
    #[doc(hidden)]
    pub fn field(value: T, shift: u32) -> Self {
        Self(T::from_u64(value.to_u64() >> shift & Self::MASK))
    }

    /// `value` with these bits from `shift` on.
    #[doc(hidden)]
    pub fn put(self, value: T, shift: u32) -> T {
        T::from_u64(value.to_u64() & !(Self::MASK << shift) | self.0.to_u64() << shift)
    }

    /// The number.
    pub fn get(self) -> T {
        self.0
    }

    /// The same number with more bits.
    pub fn extend<const M: u32>(self) -> Bounded<T, M> {
        const { assert!(M >= N, "fewer bits than before") };
        Bounded(self.0)
    }
}

macro_rules! shown {
    ($($name:ident)*) => { $(
        impl<T: Primitive + fmt::$name, const N: u32> fmt::$name for Bounded<T, N> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::$name::fmt(&self.0, f)
            }
        }
    )* };
}
shown! { Display LowerHex UpperHex Binary Octal }
