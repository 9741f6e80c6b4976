// SPDX-License-Identifier: GPL-2.0
//! Reads numbers from a byte slice without ever leaving it.

/// A position in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads from `offset` of `bytes`.
    pub fn at(bytes: &'a [u8], offset: u32) -> Option<Self> {
        Some(Self { rest: bytes.get(usize::try_from(offset).ok()?..)? })
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(head)
    }

    /// A little-endian number of 32 bits.
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// An unsigned LEB128 number.
    pub fn uleb(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = *self.take(1)?.first()?;
            value |= u32::from(byte & 0x7f).wrapping_shl(shift);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A signed number in zigzag form.
    pub fn zigzag(&mut self) -> Option<i32> {
        let raw = self.uleb()?;
        Some((raw >> 1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg())
    }

    /// A string after its length.
    pub fn string(&mut self) -> Option<&'a str> {
        let size = usize::try_from(self.uleb()?).ok()?;
        core::str::from_utf8(self.take(size)?).ok()
    }
}
