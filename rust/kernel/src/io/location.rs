// SPDX-License-Identifier: GPL-2.0
//! Places in what can be accessed.

use super::Region;

/// A place in a `Base` where a `T` is: a number, or what [`register!`](crate::register) declares.
pub trait IoLoc<Base: ?Sized, T> {
    /// What is read and written there.
    type IoType: Into<T> + From<T>;

    /// Bytes from the start.
    fn offset(self) -> usize;
}

macro_rules! numbers {
    ($($ty:ident)*) => { $(
        impl<const SIZE: usize> IoLoc<Region<SIZE>, $ty> for usize {
            type IoType = $ty;

            #[inline(always)]
            fn offset(self) -> usize {
                self
            }
        }
    )* };
}
numbers! { u8 u16 u32 u64 }
