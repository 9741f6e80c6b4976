// SPDX-License-Identifier: GPL-2.0
//! Single bits and ranges of bits: `kernel::bits`.
//!
//! ```
//! use kernel::bits::{bit_u32, checked_bit_u32, genmask_u32};
//!
//! assert_eq!(bit_u32(3), 8);
//! assert_eq!(checked_bit_u32(32), None);
//! assert_eq!(genmask_u32(4..=7), 0xf0);
//! ```

use core::ops::RangeInclusive;

macro_rules! bits {
    ($($ty:ident $checked_bit:ident $bit:ident $checked_mask:ident $mask:ident;)*) => { $(
        /// Bit `n`; `None` if the type has none.
        pub fn $checked_bit(n: u32) -> Option<$ty> {
            (1 as $ty).checked_shl(n)
        }

        /// Bit `n`, which the type has.
        #[inline(always)]
        pub const fn $bit(n: u32) -> $ty {
            crate::build_assert_macro!(n < <$ty>::BITS);
            (1 as $ty) << n
        }

        /// The bits of a range; `None` if it is empty or the type does not have them.
        pub fn $checked_mask(range: RangeInclusive<u32>) -> Option<$ty> {
            let (start, end) = (*range.start(), *range.end());
            if start > end {
                return None;
            }
            let (high, low) = ($checked_bit(end)?, $checked_bit(start)?);
            Some((high | (high - 1)) & !(low - 1))
        }

        /// The bits of a range, which the type has.
        #[inline(always)]
        pub const fn $mask(range: RangeInclusive<u32>) -> $ty {
            let (start, end) = (*range.start(), *range.end());
            crate::build_assert_macro!(start <= end);
            let (high, low) = ($bit(end), $bit(start));
            (high | (high - 1)) & !(low - 1)
        }
    )* };
}
bits! {
    u64 checked_bit_u64 bit_u64 genmask_checked_u64 genmask_u64;
    u32 checked_bit_u32 bit_u32 genmask_checked_u32 genmask_u32;
    u16 checked_bit_u16 bit_u16 genmask_checked_u16 genmask_u16;
    u8 checked_bit_u8 bit_u8 genmask_checked_u8 genmask_u8;
}
