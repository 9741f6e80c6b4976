// SPDX-License-Identifier: GPL-2.0
//! Readers of bits: forwards for descriptions of tables, backwards for what is coded with them.

use crate::Error;

/// Forwards, the lowest bit of a byte first.
pub(crate) struct Forward<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Forward<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `n` bits, at most 16, without taking them; beyond the end are zeros.
    pub(crate) fn peek(&self, n: u32) -> u32 {
        let byte = |i: usize| u32::from(self.bytes.get(self.at / 8 + i).copied().unwrap_or(0));
        let word = byte(0) | byte(1) << 8 | byte(2) << 16;
        word >> (self.at % 8) & ((1 << n) - 1)
    }

    pub(crate) fn skip(&mut self, n: u32) {
        self.at += n as usize;
    }

    /// Whole bytes that were taken. `Truncated` if there were not so many.
    pub(crate) fn bytes_taken(&self) -> Result<usize, Error> {
        let taken = self.at.div_ceil(8);
        if taken <= self.bytes.len() { Ok(taken) } else { Err(Error::Truncated) }
    }
}

/// Backwards, from below the highest bit that is set.
pub(crate) struct Backward<'a> {
    bytes: &'a [u8],
    /// Bytes that are not in `word` yet.
    rest: usize,
    /// The next bits, the first on top.
    word: u64,
    /// How many of them are valid; negative: so many were taken beyond the start, where zeros are.
    valid: i32,
}

impl<'a> Backward<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let last = bytes.last().copied().filter(|byte| *byte != 0).ok_or(Error::Corrupt)?;
        let mut reader = Self { bytes, rest: bytes.len(), word: 0, valid: 0 };
        reader.refill();
        reader.take(last.leading_zeros() + 1);
        Ok(reader)
    }

    /// Makes at least 56 bits valid, if there are so many.
    #[inline(always)]
    pub(crate) fn refill(&mut self) {
        let Ok(valid) = u32::try_from(self.valid) else { return };
        if let Some(eight) = self.bytes.get(..self.rest).and_then(|before| before.last_chunk::<8>()) {
            // Bits of a byte that is not counted are put there again the next time.
            if valid < 64 {
                self.word |= u64::from_le_bytes(*eight) >> valid;
                let n = (64 - valid) / 8;
                self.rest -= n as usize;
                self.valid += n as i32 * 8;
            }
            return;
        }
        self.refill_last();
    }

    #[inline(never)]
    fn refill_last(&mut self) {
        while self.valid <= 56
            && let Some(byte) = self.rest.checked_sub(1).and_then(|at| self.bytes.get(at))
        {
            self.word |= u64::from(*byte) << (56 - self.valid);
            self.rest -= 1;
            self.valid += 8;
        }
    }

    /// The next `n` bits, of 1 to 32, without taking them.
    #[inline(always)]
    pub(crate) fn peek(&self, n: u32) -> usize {
        (self.word >> (64 - n)) as usize
    }

    #[inline(always)]
    pub(crate) fn skip(&mut self, n: u32) {
        self.word <<= n;
        self.valid -= n as i32;
    }

    /// The next `n` bits, of 0 to 32.
    #[inline(always)]
    pub(crate) fn take(&mut self, n: u32) -> u32 {
        // Two shifts: one by 64 is not defined.
        let value = (self.word >> 1 >> (63 - n)) as u32;
        self.skip(n);
        value
    }

    /// Whether more was taken than there is.
    #[inline(always)]
    pub(crate) fn is_over(&self) -> bool {
        self.valid < 0
    }

    /// Whether all was taken, and no more.
    pub(crate) fn is_done(&self) -> bool {
        self.rest == 0 && self.valid == 0
    }
}
