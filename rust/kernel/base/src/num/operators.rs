// SPDX-License-Identifier: GPL-2.0
//! Comparing [`Bounded`] numbers, calculating with them (which gives a plain number), and printing them.

use super::{Bounded, Integer};
use core::cmp::Ordering;
use core::{fmt, ops};

impl<T: Integer + PartialEq<U>, U: Integer, const N: u32, const M: u32> PartialEq<Bounded<U, M>> for Bounded<T, N> {
    #[inline(always)]
    fn eq(&self, other: &Bounded<U, M>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Integer, const N: u32> Eq for Bounded<T, N> {}

impl<T: Integer + PartialOrd<U>, U: Integer, const N: u32, const M: u32> PartialOrd<Bounded<U, M>> for Bounded<T, N> {
    #[inline(always)]
    fn partial_cmp(&self, other: &Bounded<U, M>) -> Option<Ordering> {
        self.get().partial_cmp(&other.get())
    }
}

impl<T: Integer, const N: u32> Ord for Bounded<T, N> {
    #[inline(always)]
    fn cmp(&self, other: &Self) -> Ordering {
        self.get().cmp(&other.get())
    }
}

impl<T: Integer, const N: u32> PartialEq<T> for Bounded<T, N> {
    #[inline(always)]
    fn eq(&self, other: &T) -> bool {
        self.get() == *other
    }
}

impl<T: Integer, const N: u32> PartialOrd<T> for Bounded<T, N> {
    #[inline(always)]
    fn partial_cmp(&self, other: &T) -> Option<Ordering> {
        self.get().partial_cmp(other)
    }
}

macro_rules! binary {
    ($($name:ident $method:ident)*) => { $(
        impl<T: Integer, const N: u32, const M: u32> ops::$name<Bounded<T, M>> for Bounded<T, N> {
            type Output = T;

            #[inline(always)]
            fn $method(self, other: Bounded<T, M>) -> T {
                ops::$name::$method(self.get(), other.get())
            }
        }

        impl<T: Integer, const N: u32> ops::$name<T> for Bounded<T, N> {
            type Output = T;

            #[inline(always)]
            fn $method(self, other: T) -> T {
                ops::$name::$method(self.get(), other)
            }
        }
    )* };
}
binary! { Add add Sub sub Mul mul Div div Rem rem BitAnd bitand BitOr bitor BitXor bitxor }

impl<T: Integer + ops::Neg<Output = T>, const N: u32> ops::Neg for Bounded<T, N> {
    type Output = T;

    #[inline(always)]
    fn neg(self) -> T {
        -self.get()
    }
}

impl<T: Integer, const N: u32> ops::Not for Bounded<T, N> {
    type Output = T;

    #[inline(always)]
    fn not(self) -> T {
        !self.get()
    }
}

macro_rules! shown {
    ($($name:ident)*) => { $(
        impl<T: Integer + fmt::$name, const N: u32> fmt::$name for Bounded<T, N> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::$name::fmt(&self.get(), f)
            }
        }
    )* };
}
shown! { Display Binary LowerExp LowerHex Octal UpperExp UpperHex }
