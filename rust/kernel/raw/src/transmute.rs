// SPDX-License-Identifier: GPL-2.0
//! Types as bytes and back: `kernel::transmute`.

use core::mem::MaybeUninit;

/// A type for which every bit pattern is a value.
///
/// # Safety
/// The type has no invalid bit pattern and no interior mutability.
pub unsafe trait FromBytes {
    /// The value that the bytes are; `None` if they are not as many, or not aligned.
    fn from_bytes(bytes: &[u8]) -> Option<&Self>
    where
        Self: Sized,
    {
        let ptr = bytes.as_ptr().cast::<Self>();
        if bytes.len() == size_of::<Self>() && ptr.is_aligned() {
            // SAFETY: Aligned and as large as the type, of which every bit pattern is a value.
            Some(unsafe { &*ptr })
        } else {
            None
        }
    }

    /// The value at the start, and the rest.
    fn from_bytes_prefix(bytes: &[u8]) -> Option<(&Self, &[u8])>
    where
        Self: Sized,
    {
        let (head, rest) = bytes.split_at_checked(size_of::<Self>())?;
        Some((Self::from_bytes(head)?, rest))
    }

    /// As [`Self::from_bytes`], mutably.
    fn from_bytes_mut(bytes: &mut [u8]) -> Option<&mut Self>
    where
        Self: AsBytes + Sized,
    {
        let ptr = bytes.as_mut_ptr().cast::<Self>();
        if bytes.len() == size_of::<Self>() && ptr.is_aligned() {
            // SAFETY: As above, and `AsBytes`: whatever value is written leaves initialized bytes.
            Some(unsafe { &mut *ptr })
        } else {
            None
        }
    }

    /// As [`Self::from_bytes_prefix`], mutably.
    fn from_bytes_mut_prefix(bytes: &mut [u8]) -> Option<(&mut Self, &mut [u8])>
    where
        Self: AsBytes + Sized,
    {
        let (head, rest) = bytes.split_at_mut_checked(size_of::<Self>())?;
        Some((Self::from_bytes_mut(head)?, rest))
    }

    /// A copy of the value that the bytes are; they need no alignment.
    fn from_bytes_copy(bytes: &[u8]) -> Option<Self>
    where
        Self: Sized,
    {
        if bytes.len() != size_of::<Self>() {
            return None;
        }
        // SAFETY: As large as the type, of which every bit pattern is a value.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }

    /// A copy of the value at the start, and the rest.
    fn from_bytes_copy_prefix(bytes: &[u8]) -> Option<(Self, &[u8])>
    where
        Self: Sized,
    {
        let (head, rest) = bytes.split_at_checked(size_of::<Self>())?;
        Some((Self::from_bytes_copy(head)?, rest))
    }
}

/// A type whose bytes are all initialized.
///
/// # Safety
/// The type has no padding, and no interior mutability.
pub unsafe trait AsBytes {
    /// The value's bytes.
    fn as_bytes(&self) -> &[u8] {
        // SAFETY: The value is valid for its size, and all of it is initialized.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of_val(self)) }
    }

    /// The value's bytes, to be changed.
    fn as_bytes_mut(&mut self) -> &mut [u8]
    where
        Self: FromBytes,
    {
        // SAFETY: As above, and every bit pattern is a value.
        unsafe { core::slice::from_raw_parts_mut(core::ptr::from_mut(self).cast(), size_of_val(self)) }
    }
}

/// The value whose bytes `fill` sets; they are zero before.
#[doc(hidden)]
pub fn filled<T: FromBytes, E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<T, E> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: The memory of the value, which is zeroed.
    fill(unsafe { core::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) })?;
    // SAFETY: Initialized, and every bit pattern is a value of the type.
    Ok(unsafe { value.assume_init() })
}

macro_rules! implement {
    ($what:ident: $($({$($generics:tt)*})? $t:ty,)*) => { $(
        // SAFETY: Integers, and arrays and slices of such types, meet the contract; so does what has no bytes.
        unsafe impl$($($generics)*)? $what for $t {}
    )* };
}

implement! { FromBytes:
    (), {<T>} core::marker::PhantomData<T>, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize,
    {<T: FromBytes>} [T], {<T: FromBytes, const N: usize>} [T; N],
}
implement! { AsBytes:
    (), {<T>} core::marker::PhantomData<T>, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, bool, char, str,
    {<T: AsBytes>} [T], {<T: AsBytes, const N: usize>} [T; N],
}
