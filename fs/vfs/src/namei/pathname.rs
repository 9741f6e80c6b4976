// SPDX-License-Identifier: GPL-2.0
//! The text of a path, copied from the program once. Short ones stay on the stack.

use crate::user;
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;

/// Longest path, NUL included.
pub const PATH_MAX: usize = 4096;
/// Bytes behind the end, all zero, so that the walk may read words.
const PADDING: usize = 8;
const SHORT: usize = 120;

/// A path's text.
pub struct PathName {
    short: [u8; SHORT + PADDING],
    long: KVec<u8>,
    len: usize,
}

impl PathName {
    /// No name yet.
    #[inline(always)]
    pub(crate) const fn blank() -> Self {
        Self { short: [0; SHORT + PADDING], long: KVec::new(), len: 0 }
    }

    /// Copies the string at `address` of the program. `ENOENT` if it is empty and must not be, `ENAMETOOLONG`, `EFAULT`. May
    /// sleep.
    #[inline(always)]
    pub fn from_user(address: usize, may_be_empty: bool) -> Result<Self> {
        let mut name = Self::blank();
        name.read(address, may_be_empty)?;
        Ok(name)
    }

    /// Copies the string at `address` of the program into a name that is blank: see [`Self::from_user`].
    #[inline]
    pub(crate) fn read(&mut self, address: usize, may_be_empty: bool) -> Result {
        let Some(room) = self.short.get_mut(..SHORT) else { return Err(EFAULT) };
        let len = user::string_in(address, room)?;
        self.len = len;
        if len == SHORT {
            return self.read_long(address);
        }
        // A copy by words leaves up to seven bytes behind the NUL.
        if let Some(rest) = self.short.get_mut(len..).and_then(<[u8]>::first_chunk_mut::<8>) {
            *rest = [0; 8];
        }
        if len == 0 && !may_be_empty { Err(ENOENT) } else { Ok(()) }
    }

    #[cold]
    fn read_long(&mut self, address: usize) -> Result {
        let mut buffer = KVec::from_elem(0u8, PATH_MAX + PADDING, GFP_KERNEL)?;
        let Some(room) = buffer.get_mut(..PATH_MAX) else { return Err(EFAULT) };
        let len = user::string_in(address, room)?;
        if len >= PATH_MAX {
            return Err(ENAMETOOLONG);
        }
        if let Some(rest) = buffer.get_mut(len..) {
            rest.fill(0);
        }
        self.long = buffer;
        self.len = len;
        Ok(())
    }

    /// A path of the kernel's own. `ENAMETOOLONG`, `ENOMEM`; `EINVAL` if it has a NUL inside.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() >= PATH_MAX {
            return Err(ENAMETOOLONG);
        }
        if bytes.contains(&0) {
            return Err(EINVAL);
        }
        let mut name = Self::blank();
        name.len = bytes.len();
        match name.short.get_mut(..bytes.len()) {
            Some(room) if bytes.len() <= SHORT => room.copy_from_slice(bytes),
            _ => name.long = padded(&[bytes])?,
        }
        Ok(name)
    }

    /// The text without its padding.
    pub fn as_bytes(&self) -> &[u8] {
        self.padded().get(..self.len).unwrap_or(b"")
    }

    /// As [`Self::as_bytes`].
    pub fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    /// The text with zeroes behind it.
    #[inline(always)]
    pub(crate) fn padded(&self) -> &[u8] {
        if self.long.is_empty() { &self.short } else { &self.long }
    }

    /// Whether it has no characters.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// `parts` one behind the other, with padding.
pub(crate) fn padded(parts: &[&[u8]]) -> Result<KVec<u8>> {
    let len = parts.iter().fold(PADDING, |sum, part| sum.saturating_add(part.len()));
    let mut out = KVec::with_capacity(len, GFP_KERNEL)?;
    for part in parts {
        out.extend_from_slice(part, GFP_KERNEL)?;
    }
    out.extend_from_slice(&[0; PADDING], GFP_KERNEL)?;
    Ok(out)
}
