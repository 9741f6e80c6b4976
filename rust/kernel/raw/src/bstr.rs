// SPDX-License-Identifier: GPL-2.0
//! `BStr`: bytes that are mostly text.

use core::fmt::{self, Write};
use core::ops::{Deref, Index};

/// A string of bytes, not necessarily UTF-8.
#[repr(transparent)]
pub struct BStr([u8]);

impl BStr {
    /// Bytes in it.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes as a string.
    pub const fn from_bytes(bytes: &[u8]) -> &Self {
        // SAFETY: `BStr` is its slice.
        unsafe { &*(core::ptr::from_ref(bytes) as *const Self) }
    }

    /// What follows `pattern`, if it begins with that.
    pub fn strip_prefix(&self, pattern: impl AsRef<Self>) -> Option<&BStr> {
        self.0.strip_prefix(&pattern.as_ref().0).map(Self::from_bytes)
    }
}

/// Writes a byte as `Display` shows it: what cannot be printed is escaped.
fn put(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    match byte {
        b'\t' => f.write_str("\\t"),
        b'\n' => f.write_str("\\n"),
        b'\r' => f.write_str("\\r"),
        b' '..=b'~' => f.write_char(char::from(byte)),
        _ => write!(f, "\\x{byte:02x}"),
    }
}

impl fmt::Display for BStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| put(f, byte))
    }
}

impl fmt::Debug for BStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for &byte in &self.0 {
            match byte {
                b'"' => f.write_str("\\\"")?,
                b'\\' => f.write_str("\\\\")?,
                byte => put(f, byte)?,
            }
        }
        f.write_char('"')
    }
}

impl Deref for BStr {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for BStr {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<Idx> Index<Idx> for BStr
where
    [u8]: Index<Idx, Output = [u8]>,
{
    type Output = Self;

    fn index(&self, index: Idx) -> &Self {
        Self::from_bytes(&self.0[index])
    }
}

impl AsRef<BStr> for [u8] {
    fn as_ref(&self) -> &BStr {
        BStr::from_bytes(self)
    }
}

impl<const N: usize> AsRef<BStr> for [u8; N] {
    fn as_ref(&self) -> &BStr {
        BStr::from_bytes(self)
    }
}

impl AsRef<BStr> for BStr {
    fn as_ref(&self) -> &BStr {
        self
    }
}

impl AsRef<BStr> for core::ffi::CStr {
    fn as_ref(&self) -> &BStr {
        BStr::from_bytes(self.to_bytes())
    }
}
