// SPDX-License-Identifier: GPL-2.0
//! User memory as this crate's system calls use it: whole values and byte ranges at plain addresses. May sleep (page faults).

use errno::Result;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use x86_mm::uaccess::{self, UserPtr};

/// Copies from user memory at `address`.
#[inline]
pub(crate) fn copy_from_user(to: &mut [u8], address: usize) -> Result {
    uaccess::copy_from_user(to, UserPtr::from(address))
}

/// Copies to user memory at `address`.
#[inline]
pub(crate) fn copy_to_user(address: usize, from: &[u8]) -> Result {
    uaccess::copy_to_user(UserPtr::from(address), from)
}

/// Reads a value.
#[inline]
pub(crate) fn read_user<T: FromBytes + IntoBytes>(address: usize) -> Result<T> {
    let mut value = T::new_zeroed();
    copy_from_user(value.as_mut_bytes(), address)?;
    Ok(value)
}

/// Writes a value.
#[inline]
pub(crate) fn write_user<T: IntoBytes + Immutable>(address: usize, value: &T) -> Result {
    copy_to_user(address, value.as_bytes())
}

/// Writes a value unless the address is null.
#[inline]
pub(crate) fn write_user_opt<T: IntoBytes + Immutable>(address: usize, value: &T) -> Result {
    if address == 0 { Ok(()) } else { write_user(address, value) }
}
