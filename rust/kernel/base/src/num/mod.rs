// SPDX-License-Identifier: GPL-2.0
//! Numbers: `kernel::num`. [`Integer`] is what the integer types of the language have in common; [`Bounded`] holds one that fits into
//! so many bits.

use core::ops;

pub mod bounded;
pub mod casts;
mod convert;
mod operators;

pub use bounded::{Bounded, TryIntoBounded};

/// [`Integer::Signedness`] of unsigned types.
pub enum Unsigned {}

/// [`Integer::Signedness`] of signed types.
pub enum Signed {}

mod private {
    pub trait Sealed: Sized {
        /// The number in a type that holds every other (a `u128` as its bits).
        fn widen(self) -> i128;
        /// The low bits of a number.
        fn narrow(wide: i128) -> Self;
    }
}

pub(crate) use private::Sealed;

/// An integer type of the language.
pub trait Integer:
    private::Sealed
    + Copy
    + Ord
    + ops::Add<Output = Self>
    + ops::AddAssign
    + ops::Sub<Output = Self>
    + ops::SubAssign
    + ops::Mul<Output = Self>
    + ops::MulAssign
    + ops::Div<Output = Self>
    + ops::DivAssign
    + ops::Rem<Output = Self>
    + ops::RemAssign
    + ops::BitAnd<Output = Self>
    + ops::BitAndAssign
    + ops::BitOr<Output = Self>
    + ops::BitOrAssign
    + ops::BitXor<Output = Self>
    + ops::BitXorAssign
    + ops::Shl<u32, Output = Self>
    + ops::ShlAssign<u32>
    + ops::Shr<u32, Output = Self>
    + ops::ShrAssign<u32>
    + ops::Not<Output = Self>
{
    /// [`Signed`] or [`Unsigned`].
    type Signedness;

    /// How many bits it has.
    const BITS: u32;
}

macro_rules! integers {
    ($($kind:ident: $($ty:ident)*;)*) => { $( $(
        impl private::Sealed for $ty {
            #[inline(always)]
            fn widen(self) -> i128 {
                self as i128
            }

            #[inline(always)]
            fn narrow(wide: i128) -> Self {
                wide as $ty
            }
        }

        impl Integer for $ty {
            type Signedness = $kind;
            const BITS: u32 = $ty::BITS;
        }
    )* )* };
}
integers! {
    Unsigned: u8 u16 u32 u64 u128 usize;
    Signed: i8 i16 i32 i64 i128 isize;
}
