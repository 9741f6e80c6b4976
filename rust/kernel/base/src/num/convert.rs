// SPDX-License-Identifier: GPL-2.0
//! From plain numbers to [`Bounded`] ones and back, where the types alone say that the value fits.

use super::{Bounded, Integer, Sealed, Unsigned};

/// Has at least `BITS` bits.
pub trait Holds<const BITS: usize> {}

/// Has no more than `BITS` bits.
pub trait FitsInto<const BITS: usize> {}

macro_rules! sized {
    ($name:ident<$bits:literal>: $($n:literal)*) => { $( impl<T: Integer> $name<$bits> for Bounded<T, $n> {} )* };
}

sized!(Holds<64>: 64);
sized!(Holds<32>: 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
sized!(Holds<16>: 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
sized!(Holds<8>: 8 9 10 11 12 13 14 15);
impl<T: Holds<64>> Holds<32> for T {}
impl<T: Holds<32>> Holds<16> for T {}
impl<T: Holds<16>> Holds<8> for T {}

sized!(FitsInto<8>: 1 2 3 4 5 6 7 8);
sized!(FitsInto<16>: 9 10 11 12 13 14 15 16);
sized!(FitsInto<32>: 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
sized!(FitsInto<64>: 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64);
impl<T: FitsInto<8>> FitsInto<16> for T {}
impl<T: FitsInto<16>> FitsInto<32> for T {}
impl<T: FitsInto<32>> FitsInto<64> for T {}

macro_rules! primitives {
    ($($ty:ident)*) => { $(
        impl<T, const N: u32> From<$ty> for Bounded<T, N>
        where
            T: Integer<Signedness = <$ty as Integer>::Signedness> + From<$ty>,
            Self: Holds<{ <$ty as Integer>::BITS as usize }>,
        {
            #[inline(always)]
            fn from(value: $ty) -> Self {
                Self::make(T::from(value))
            }
        }

        impl<T, const N: u32> From<Bounded<T, N>> for $ty
        where
            T: Integer<Signedness = <$ty as Integer>::Signedness>,
            Bounded<T, N>: FitsInto<{ <$ty as Integer>::BITS as usize }>,
        {
            #[inline(always)]
            fn from(value: Bounded<T, N>) -> Self {
                Self::narrow(value.get().widen())
            }
        }
    )* };
}
primitives! { u8 u16 u32 u64 usize i8 i16 i32 i64 isize }

impl<T: Integer<Signedness = Unsigned>> From<Bounded<T, 1>> for bool {
    #[inline(always)]
    fn from(value: Bounded<T, 1>) -> Self {
        value.into_bool()
    }
}

impl<T: Integer<Signedness = Unsigned> + From<bool>, const N: u32> From<bool> for Bounded<T, N> {
    #[inline(always)]
    fn from(value: bool) -> Self {
        Self::make(T::from(value))
    }
}

impl<T: Integer<Signedness = Unsigned>> Bounded<T, 1> {
    /// Whether the bit is set.
    #[inline(always)]
    pub fn into_bool(self) -> bool {
        self.get().widen() != 0
    }
}

/// Numbers that may fit into a [`Bounded`].
pub trait TryIntoBounded<T: Integer, const N: u32> {
    /// The number, if it fits.
    fn try_into_bounded(self) -> Option<Bounded<T, N>>;
}

impl<T: Integer, U: TryInto<T>, const N: u32> TryIntoBounded<T, N> for U {
    #[inline(always)]
    fn try_into_bounded(self) -> Option<Bounded<T, N>> {
        self.try_into().ok().and_then(Bounded::try_new)
    }
}
