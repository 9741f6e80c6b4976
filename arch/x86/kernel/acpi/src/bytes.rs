// SPDX-License-Identifier: GPL-2.0
//! Little-endian numbers in a slice of bytes; whatever is out of range is `None`.

/// A view of bytes.
#[derive(Clone, Copy)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// A view of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_slice(&self) -> &'a [u8] {
        self.0
    }

    /// How many.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `N` bytes at `at`.
    pub fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    /// A byte.
    pub fn u8(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    /// A 16-bit number.
    pub fn u16(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    /// A 32-bit number.
    pub fn u32(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// A 64-bit number.
    pub fn u64(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// What follows from `at` on.
    pub fn from(&self, at: usize) -> Option<Self> {
        self.0.get(at..).map(Self)
    }

    /// The first `len` bytes.
    pub fn first(&self, len: usize) -> Option<Self> {
        self.0.get(..len).map(Self)
    }

    /// Whether all bytes add up to zero, as in every table.
    pub fn checksum_ok(&self) -> bool {
        self.0.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)) == 0
    }
}
