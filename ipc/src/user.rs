// SPDX-License-Identifier: GPL-2.0
//! User memory and the structures of the ABI as bytes. May sleep.

use errno::Result;
use x86_mm::uaccess::{self, UserPtr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub(crate) fn copy_from_user(to: &mut [u8], address: usize) -> Result {
    uaccess::copy_from_user(to, UserPtr::from(address))
}

pub(crate) fn copy_to_user(address: usize, from: &[u8]) -> Result {
    uaccess::copy_to_user(UserPtr::from(address), from)
}

pub(crate) fn read<T: FromBytes + IntoBytes>(address: usize) -> Result<T> {
    let mut value = T::new_zeroed();
    copy_from_user(value.as_mut_bytes(), address)?;
    Ok(value)
}

pub(crate) fn write<T: IntoBytes + Immutable>(address: usize, value: &T) -> Result {
    copy_to_user(address, value.as_bytes())
}

/// A structure of `N` bytes, filled field by field.
pub(crate) struct Record<const N: usize>([u8; N]);

impl<const N: usize> Record<N> {
    pub(crate) const fn new() -> Self {
        Self([0; N])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    pub(crate) fn u16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    /// Words of 32 bits from the start.
    pub(crate) fn words(&mut self, values: &[u32]) {
        for (n, value) in values.iter().enumerate() {
            self.u32(4 * n, *value);
        }
    }

    pub(crate) fn to_user(&self, address: usize) -> Result {
        copy_to_user(address, &self.0)
    }
}
