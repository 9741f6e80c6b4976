// SPDX-License-Identifier: GPL-2.0
//! Alignments: `kernel::ptr`.
//!
//! ```
//! use kernel::ptr::{Alignable, Alignment};
//!
//! let page = Alignment::new::<4096>();
//! assert_eq!(5000_usize.align_up(page), Some(8192));
//! assert_eq!(5000_usize.align_down(page), 4096);
//! assert_eq!(usize::MAX.align_up(page), None);
//! ```

use core::num::NonZero;

/// A power of two that addresses are a multiple of.
///
/// # Invariants
/// It is a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Alignment(NonZero<usize>);

impl Alignment {
    /// The alignment `ALIGN`, a power of two.
    pub const fn new<const ALIGN: usize>() -> Self {
        const { assert!(ALIGN.is_power_of_two(), "not a power of two") };
        match NonZero::new(ALIGN) {
            Some(align) => Self(align),
            None => unreachable!(),
        }
    }

    /// The alignment `align`; `None` if that is no power of two.
    pub const fn new_checked(align: usize) -> Option<Self> {
        match NonZero::new(align) {
            Some(value) if align.is_power_of_two() => Some(Self(value)),
            _ => None,
        }
    }

    /// The alignment of a type.
    pub const fn of<T>() -> Self {
        match NonZero::new(align_of::<T>()) {
            Some(align) => Self(align),
            None => unreachable!(),
        }
    }

    /// As a number.
    pub const fn as_usize(self) -> usize {
        self.0.get()
    }

    /// As a number.
    pub const fn as_nonzero(self) -> NonZero<usize> {
        self.0
    }

    /// Its power of two.
    pub const fn log2(self) -> u32 {
        self.0.ilog2()
    }

    /// The bits that an aligned address may have.
    pub const fn mask(self) -> usize {
        !(self.as_usize() - 1)
    }
}

/// Numbers that can be aligned.
pub trait Alignable: Sized {
    /// The multiple at or below.
    fn align_down(self, alignment: Alignment) -> Self;
    /// The multiple at or above; `None` past the end.
    fn align_up(self, alignment: Alignment) -> Option<Self>;
}

macro_rules! alignable {
    ($($ty:ty)*) => { $(
        impl Alignable for $ty {
            fn align_down(self, alignment: Alignment) -> Self {
                <$ty>::try_from(alignment.as_usize()).map_or(0, |align| self & !(align - 1))
            }

            fn align_up(self, alignment: Alignment) -> Option<Self> {
                let less = self.align_down(alignment);
                if less == self {
                    return Some(self);
                }
                less.checked_add(<$ty>::try_from(alignment.as_usize()).ok()?)
            }
        }
    )* };
}
alignable!(u8 u16 u32 u64 usize);

/// [`Alignable::align_up`] for constants: the multiple at or above `value`; `None` past the end.
#[inline(always)]
pub const fn const_align_up(value: usize, align: Alignment) -> Option<usize> {
    value.checked_next_multiple_of(align.as_usize())
}
