// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of bounded numbers and of `bitfield!`.

use crate::num::{Bounded, TryIntoBounded};

crate::bitfield! {
    /// A made-up register.
    struct Control(u16) {
        15:12 level;
        9:5 middle => Half;
        4:1 nibble ?=> Odd;
        0:0 on;
    }
}

/// A number of five bits, halved.
#[derive(Debug, PartialEq, Clone, Copy)]
struct Half(u16);

impl From<Bounded<u16, 5>> for Half {
    fn from(value: Bounded<u16, 5>) -> Self {
        Self(value.get() / 2)
    }
}

impl From<Half> for Bounded<u16, 5> {
    fn from(value: Half) -> Self {
        Bounded::of_low_bits(value.0 << 1)
    }
}

/// Odd numbers only.
#[derive(Debug, PartialEq, Clone, Copy)]
struct Odd(u8);

impl TryFrom<Bounded<u16, 4>> for Odd {
    type Error = u16;

    fn try_from(value: Bounded<u16, 4>) -> Result<Self, u16> {
        if *value & 1 == 1 { Ok(Self(value.into())) } else { Err(value.get()) }
    }
}

impl From<Odd> for Bounded<u16, 4> {
    fn from(value: Odd) -> Self {
        Bounded::of_low_bits(u16::from(value.0))
    }
}

#[macros::kunit_tests(rust_kernel_num)]
mod cases {
    use super::*;

    /// What fits, of either signedness.
    #[test]
    fn limits() {
        assert!(Bounded::<u8, 3>::try_new(7).is_some());
        assert!(Bounded::<u8, 3>::try_new(8).is_none());
        assert!(Bounded::<i8, 3>::try_new(-4).is_some());
        assert!(Bounded::<i8, 3>::try_new(4).is_none());
        assert_eq!(Bounded::<i16, 9>::new::<-256>().get(), -256);
        assert_eq!(300u32.try_into_bounded(), None::<Bounded<u8, 8>>);
        assert_eq!(7i64.try_into_bounded(), Some(Bounded::<u8, 3>::new::<7>()));
    }

    /// Casts and shifts keep the value.
    #[test]
    fn conversions() {
        let seven = Bounded::<u32, 6>::new::<41>();
        assert_eq!(u8::from(seven), 41);
        assert_eq!(seven.cast::<u64>().get(), 41);
        assert_eq!(seven.shl::<2, 8>(), 164u32);
        assert_eq!(seven.shr_exact::<1, 5>(), None);
        assert_eq!(seven.shr::<1, 5>(), 20u32);
        assert_eq!(seven + Bounded::<u32, 2>::new::<3>(), 44);
        assert!(bool::from(Bounded::<u8, 1>::from(true)));
    }

    /// Fields change nothing beside them.
    #[test]
    fn fields() {
        let value = Control::from_raw(0x0c00);
        assert_eq!(value.with_const_level::<9>().with_on(true).into_raw(), 0x9c01);
        assert_eq!(value.with_middle(Half(9)).middle(), Half(9));
        assert_eq!(value.with_nibble(Odd(5)).nibble(), Ok(Odd(5)));
        assert_eq!(Control::from_raw(0x8).nibble(), Err(4));
        assert!(value.try_with_level(16u32).is_err());
        assert_eq!(Control::LEVEL_MASK, 0xf000);
        assert_eq!(Control::MIDDLE_SHIFT, 5);
        assert_eq!(Control::zeroed().into_raw(), 0);
    }
}
