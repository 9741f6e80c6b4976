// SPDX-License-Identifier: GPL-2.0
//! `KString`: an owned string of bytes, as names and paths are (not necessarily UTF-8, no NUL at its end). No locks.

use crate::{AllocError, Flags, KVec};
use core::fmt;
use core::ops::Deref;

/// An owned byte string.
#[derive(Default)]
pub struct KString(KVec<u8>);

impl KString {
    /// An empty string without memory.
    pub const fn new() -> Self {
        Self(KVec::new())
    }

    /// A copy of `bytes`.
    pub fn from_bytes(bytes: &[u8], flags: Flags) -> Result<Self, AllocError> {
        Ok(Self(KVec::from_slice(bytes, flags)?))
    }

    /// A copy of `text`.
    pub fn from_str(text: &str, flags: Flags) -> Result<Self, AllocError> {
        Self::from_bytes(text.as_bytes(), flags)
    }

    /// Formatted text: `KString::from_fmt(format_args!("cpu{n}"), GFP_KERNEL)`.
    pub fn from_fmt(args: fmt::Arguments<'_>, flags: Flags) -> Result<Self, AllocError> {
        struct Writer(KVec<u8>, Flags);
        impl fmt::Write for Writer {
            fn write_str(&mut self, s: &str) -> fmt::Result {
                self.0.extend_from_slice(s.as_bytes(), self.1).map_err(|_| fmt::Error)
            }
        }
        let mut w = Writer(KVec::new(), flags);
        fmt::write(&mut w, args).map_err(|_| AllocError)?;
        Ok(Self(w.0))
    }

    /// The bytes.
    #[inline(always)]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        core::str::from_utf8(&self.0).ok()
    }

    /// A copy of this string.
    pub fn try_clone(&self, flags: Flags) -> Result<Self, AllocError> {
        Ok(Self(self.0.try_clone(flags)?))
    }

    /// Appends bytes.
    pub fn push_bytes(&mut self, bytes: &[u8], flags: Flags) -> Result<(), AllocError> {
        self.0.extend_from_slice(bytes, flags)
    }

    /// Appends a byte.
    pub fn push(&mut self, byte: u8, flags: Flags) -> Result<(), AllocError> {
        self.0.push(byte, flags)
    }

    /// Drops the bytes from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// The bytes as a vector.
    pub fn into_vec(self) -> KVec<u8> {
        self.0
    }
}

impl From<KVec<u8>> for KString {
    fn from(bytes: KVec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for KString {
    type Target = [u8];
    #[inline(always)]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for KString {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl core::borrow::Borrow<[u8]> for KString {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for KString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for KString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Appends formatted text (grows with `GFP_KERNEL`).
impl fmt::Write for KString {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.write_str(s)
    }
}

impl PartialEq for KString {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for KString {}
impl PartialEq<[u8]> for KString {
    fn eq(&self, other: &[u8]) -> bool {
        self.as_bytes() == other
    }
}
impl PartialEq<&[u8]> for KString {
    fn eq(&self, other: &&[u8]) -> bool {
        self.as_bytes() == *other
    }
}
impl PartialEq<&str> for KString {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl PartialOrd for KString {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for KString {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl core::hash::Hash for KString {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}
