// SPDX-License-Identifier: GPL-2.0
//! Bytes with a fixed capacity, and little-endian reads that cannot fail by panic. Used by the parsers here. No locks.

/// Up to `N` bytes.
#[derive(Clone)]
pub struct ByteBuf<const N: usize> {
    data: [u8; N],
    len: usize,
}

impl<const N: usize> ByteBuf<N> {
    /// Empty.
    pub const fn new() -> Self {
        Self { data: [0; N], len: 0 }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.data.get(..self.len).unwrap_or(&[])
    }

    /// Number of bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends one byte; `false` when full.
    pub fn push(&mut self, byte: u8) -> bool {
        match self.data.get_mut(self.len) {
            Some(slot) => {
                *slot = byte;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// Appends what fits of `bytes`; returns whether all did.
    pub fn extend(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|b| self.push(*b))
    }

    /// Appends what fits of `bytes` into the first `limit` bytes; returns whether all did.
    pub fn extend_below(&mut self, bytes: &[u8], limit: usize) -> bool {
        bytes.iter().all(|b| self.len < limit && self.push(*b))
    }

    /// Empties and wipes.
    pub fn clear(&mut self) {
        self.data.fill(0);
        self.len = 0;
    }
}

impl<const N: usize> Default for ByteBuf<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> core::fmt::Debug for ByteBuf<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\"", self.as_slice().escape_ascii())
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The byte at `at`.
pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// The little-endian `u16` at `at`.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// The little-endian `u32` at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// The little-endian `u64` at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}
