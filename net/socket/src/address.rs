// SPDX-License-Identifier: GPL-2.0
//! Socket addresses: up to 128 bytes that begin with the family's number. No locks.

use errno::{Result, code::*};
use vfs::user;

/// Longest address (`struct sockaddr_storage`).
pub const MAX: usize = 128;

/// An address.
#[derive(Clone, Copy)]
pub struct SockAddr {
    bytes: [u8; MAX],
    len: usize,
}

impl SockAddr {
    /// No address at all.
    pub const NONE: Self = Self { bytes: [0; MAX], len: 0 };

    /// An address from its bytes; what is too long is cut.
    pub fn new(bytes: &[u8]) -> Self {
        let mut address = Self::NONE;
        for (to, from) in address.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        address.len = bytes.len().min(MAX);
        address
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The family's number, if it is long enough to have one.
    pub fn family(&self) -> Option<u16> {
        self.as_bytes().first_chunk::<2>().map(|bytes| u16::from_ne_bytes(*bytes))
    }

    /// Reads an address of `len` bytes that a program gave. `EINVAL`, `EFAULT`.
    pub fn from_user(at: usize, len: usize) -> Result<Self> {
        let len = usize::try_from(len as i32)?;
        let mut address = Self::NONE;
        user::copy_in(at, address.bytes.get_mut(..len).ok_or(EINVAL)?)?;
        address.len = len;
        Ok(address)
    }

    /// Writes it to a program's buffer whose length is at `len_at`; what does not fit is cut, the length says how long it was.
    pub fn to_user(&self, at: usize, len_at: usize) -> Result {
        let room: i32 = user::get(len_at)?;
        let room = usize::try_from(room)?;
        user::copy_out(at, self.as_bytes().get(..self.len.min(room)).unwrap_or(&[]))?;
        user::put(len_at, &(self.len as i32))
    }
}
