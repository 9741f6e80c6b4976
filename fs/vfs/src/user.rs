// SPDX-License-Identifier: GPL-2.0
//! Access to a program's memory, as system calls use it: by address, all or nothing (`EFAULT`). May sleep.

use errno::{Result, code::*};
use hook::Hook;
use uapi::{AsBytes, FromBytes};

/// What moves bytes between kernel and program.
pub trait UserAccess: Sync {
    /// Reads a program's memory.
    fn copy_in(&self, address: usize, to: &mut [u8]) -> Result;
    /// Writes a program's memory.
    fn copy_out(&self, address: usize, from: &[u8]) -> Result;
    /// Writes zeroes.
    fn clear(&self, address: usize, len: usize) -> Result;
    /// Reads up to a NUL: bytes before it, or `to.len()` if there is none.
    fn string_in(&self, address: usize, to: &mut [u8]) -> Result<usize>;
}

/// Set by the boot code.
pub static ACCESS: Hook<dyn UserAccess> = Hook::new();

/// Reads a program's memory.
#[inline]
pub fn copy_in(address: usize, to: &mut [u8]) -> Result {
    ACCESS.get().ok_or(EFAULT)?.copy_in(address, to)
}

/// Writes a program's memory.
#[inline]
pub fn copy_out(address: usize, from: &[u8]) -> Result {
    ACCESS.get().ok_or(EFAULT)?.copy_out(address, from)
}

/// Writes zeroes to a program's memory.
pub fn clear(address: usize, len: usize) -> Result {
    ACCESS.get().ok_or(EFAULT)?.clear(address, len)
}

/// Reads a string: see [`UserAccess::string_in`].
#[inline]
pub fn string_in(address: usize, to: &mut [u8]) -> Result<usize> {
    ACCESS.get().ok_or(EFAULT)?.string_in(address, to)
}

/// Reads a value.
#[inline]
pub fn get<T: FromBytes + AsBytes>(address: usize) -> Result<T> {
    let mut value = T::zeroed();
    copy_in(address, value.as_bytes_mut())?;
    Ok(value)
}

/// Writes a value.
#[inline]
pub fn put<T: AsBytes>(address: usize, value: &T) -> Result {
    copy_out(address, value.as_bytes())
}
