// SPDX-License-Identifier: GPL-2.0
//! Huffman codes of literals. Source: RFC 8878, 4.2.

use super::bits::Backward;
use super::fse::{Entry, Shares, State};
use crate::Error;
use kalloc::KVVec;
use kalloc::flags::Flags;

/// The longest code.
const MAX_BITS: u32 = 11;
/// Symbols whose weight is written; the last's follows from the others'.
const WEIGHTS: usize = 255;

/// A table: symbol and length of what begins with these bits.
pub(crate) struct Huffman {
    table: KVVec<(u8, u8)>,
    bits: u32,
}

impl Huffman {
    pub(crate) fn new(flags: Flags) -> Result<Self, Error> {
        Ok(Self { table: KVVec::from_elem((0, 0), 1 << MAX_BITS, flags)?, bits: 0 })
    }

    /// There is no table (yet).
    pub(crate) fn forget(&mut self) {
        self.bits = 0;
    }

    pub(crate) fn is_there(&self) -> bool {
        self.bits != 0
    }

    /// Reads a description: how many bytes it has.
    #[inline(never)]
    pub(crate) fn read(&mut self, from: &[u8]) -> Result<usize, Error> {
        let mut weights = [0u8; WEIGHTS + 1];
        let (&head, rest) = from.split_first().ok_or(Error::Truncated)?;
        let head = usize::from(head);
        let (count, taken) = if head >= 128 {
            let count = head - 127;
            let packed = rest.get(..count.div_ceil(2)).ok_or(Error::Truncated)?;
            for (pair, byte) in weights.chunks_mut(2).zip(packed) {
                pair.copy_from_slice(&[byte >> 4, byte & 15]);
            }
            (count, packed.len())
        } else {
            (coded_weights(rest.get(..head).ok_or(Error::Truncated)?, &mut weights)?, head)
        };
        self.build(weights.get_mut(..count + 1).ok_or(Error::Corrupt)?)?;
        Ok(1 + taken)
    }

    /// Makes the table; the last weight is found out.
    fn build(&mut self, weights: &mut [u8]) -> Result<(), Error> {
        let (last, known) = weights.split_last_mut().ok_or(Error::Corrupt)?;
        let mut sum = 0u32;
        for weight in known.iter() {
            if u32::from(*weight) > MAX_BITS {
                return Err(Error::Corrupt);
            }
            sum += if *weight == 0 { 0 } else { 1 << (weight - 1) };
        }
        let bits = sum.checked_ilog2().ok_or(Error::Corrupt)? + 1;
        let left = (1u32 << bits) - sum;
        if bits > MAX_BITS || !left.is_power_of_two() {
            return Err(Error::Corrupt);
        }
        *last = left.ilog2() as u8 + 1;
        let mut at = 0usize;
        for weight in 1..=bits as u8 {
            for (symbol, _) in weights.iter().enumerate().filter(|(_, its)| **its == weight) {
                let places = self.table.get_mut(at..at + (1 << (weight - 1))).ok_or(Error::Corrupt)?;
                places.fill((symbol as u8, bits as u8 + 1 - weight));
                at += places.len();
            }
        }
        self.bits = if at == 1 << bits { bits } else { return Err(Error::Corrupt) };
        Ok(())
    }

    /// Decodes all of a stream, which must be `to`.
    #[inline(never)]
    pub(crate) fn stream(&self, from: &[u8], to: &mut [u8]) -> Result<(), Error> {
        let mut reader = Backward::new(from)?;
        let table = self.table.get(..1 << self.bits).ok_or(Error::Corrupt)?;
        // Four codes have at most 44 bits.
        for four in to.chunks_mut(4) {
            reader.refill();
            for byte in four {
                let (symbol, bits) = table.get(reader.peek(self.bits)).copied().unwrap_or_default();
                *byte = symbol;
                reader.skip(bits.into());
            }
            if reader.is_over() {
                return Err(Error::Corrupt);
            }
        }
        if reader.is_done() { Ok(()) } else { Err(Error::Corrupt) }
    }
}

/// Weights that are coded themselves: how many.
fn coded_weights(from: &[u8], weights: &mut [u8; WEIGHTS + 1]) -> Result<usize, Error> {
    let mut table = [Entry::default(); 64];
    // Weights are at most 11, and 12 symbols with 0.
    let (shares, taken) = Shares::read(from, 6, MAX_BITS as usize + 1)?;
    let log = shares.build(&mut table)?;
    let mut bits = Backward::new(from.get(taken..).ok_or(Error::Truncated)?)?;
    // Two states in turn, until there are no bits for the next one.
    let mut now = State::new(&table, log, &mut bits);
    bits.refill();
    let mut other = State::new(&table, log, &mut bits);
    if bits.is_over() {
        return Err(Error::Corrupt);
    }
    let mut count = 0;
    let mut push = |symbol: u8| {
        *weights.get_mut(count).filter(|_| count < WEIGHTS).ok_or(Error::Corrupt)? = symbol;
        count += 1;
        Ok(count)
    };
    loop {
        push(now.symbol())?;
        bits.refill();
        now.advance(&mut bits);
        if bits.is_over() {
            return push(other.symbol());
        }
        core::mem::swap(&mut now, &mut other);
    }
}
