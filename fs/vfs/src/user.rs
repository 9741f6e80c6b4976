// SPDX-License-Identifier: GPL-2.0
//! Access to a program's memory as system calls use it: by address, all or nothing (`EFAULT`). May sleep.

use errno::{Result, code::*};
use uapi::{AsBytes, FromBytes};
use x86_mm::uaccess::{UserPtr, clear_user, copy_from_user, copy_to_user, strncpy_from_user};

pub use x86_mm::uaccess::{get_user, put_user};

/// The address a program gave.
#[inline(always)]
pub fn ptr(address: usize) -> UserPtr {
    UserPtr::from_addr(address)
}

/// Reads a program's memory.
#[inline]
pub fn copy_in(address: usize, to: &mut [u8]) -> Result {
    copy_from_user(to, ptr(address))
}

/// Writes a program's memory.
#[inline]
pub fn copy_out(address: usize, from: &[u8]) -> Result {
    copy_to_user(ptr(address), from)
}

/// Writes zeroes to a program's memory.
pub fn clear(address: usize, len: usize) -> Result {
    if clear_user(ptr(address), len) == 0 { Ok(()) } else { Err(EFAULT) }
}

/// Reads a string: the bytes before its NUL, or `to.len()` if there is none that far.
#[inline]
pub fn string_in(address: usize, to: &mut [u8]) -> Result<usize> {
    strncpy_from_user(to, ptr(address))
}

/// Reads a structure of the ABI.
#[inline]
pub fn get<T: FromBytes + AsBytes>(address: usize) -> Result<T> {
    let mut value = T::zeroed();
    copy_in(address, value.as_bytes_mut())?;
    Ok(value)
}

/// Writes a structure of the ABI.
#[inline]
pub fn put<T: AsBytes>(address: usize, value: &T) -> Result {
    copy_out(address, value.as_bytes())
}

/// Reads a structure that later kernels may make longer: `size` bytes at `address` are what the program knows of. Bytes we do
/// not know must be zero (`E2BIG` else); bytes it does not know are zero to us. `EINVAL` if it knows less than `min`.
pub fn get_extensible<T: FromBytes + AsBytes>(address: usize, size: usize, min: usize) -> Result<T> {
    if size < min {
        return Err(EINVAL);
    }
    if size > mm_alloc::layout::PAGE_SIZE {
        return Err(E2BIG);
    }
    let mut value = T::zeroed();
    let known = size.min(size_of::<T>());
    copy_in(address, value.as_bytes_mut().get_mut(..known).ok_or(EINVAL)?)?;
    for offset in known..size {
        if get_user::<u8>(ptr(address.wrapping_add(offset)))? != 0 {
            return Err(E2BIG);
        }
    }
    Ok(value)
}
