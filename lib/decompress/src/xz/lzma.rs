// SPDX-License-Identifier: GPL-2.0
//! LZMA: a range decoder of bits with adaptive probabilities, and what the bits mean. Source: the LZMA specification (Igor Pavlov).

use crate::Error;
use crate::output::{Output, repeat};
use kalloc::KVVec;
use kalloc::flags::Flags;

// Where the probabilities of each kind are. POS: one for each of 16 states of the position.
const POS: usize = 16;
const STATES: usize = 12;
const IS_MATCH: usize = 0;
const IS_REP: usize = IS_MATCH + STATES * POS;
const IS_REP0: usize = IS_REP + STATES;
const IS_REP1: usize = IS_REP0 + STATES;
const IS_REP2: usize = IS_REP1 + STATES;
const IS_REP0_LONG: usize = IS_REP2 + STATES;
const DIST_SLOT: usize = IS_REP0_LONG + STATES * POS;
const DIST_SPECIAL: usize = DIST_SLOT + 4 * 64;
const DIST_ALIGN: usize = DIST_SPECIAL + 115;
const LEN_MATCH: usize = DIST_ALIGN + 16;
const LEN_REP: usize = LEN_MATCH + LEN_PROBS;
const LITERAL: usize = LEN_REP + LEN_PROBS;
const TOTAL: usize = LITERAL + 16 * 0x300;
// Within the probabilities of lengths.
const LEN_LOW: usize = 2;
const LEN_MID: usize = LEN_LOW + POS * 8;
const LEN_HIGH: usize = LEN_MID + POS * 8;
const LEN_PROBS: usize = LEN_HIGH + 256;

/// One half, as a probability.
const HALF: u16 = 1 << 10;
/// The longest match.
const MATCH_MAX: usize = 273;

type Probs = [u16; TOTAL];

/// Decoder of bits.
struct Range<'a> {
    range: u32,
    code: u32,
    input: &'a [u8],
    at: usize,
}

impl Range<'_> {
    #[inline(always)]
    fn normalize(&mut self) {
        if self.range < 1 << 24 {
            self.range <<= 8;
            // Beyond the end come zeros; at the end it is seen that they were taken.
            self.code = self.code << 8 | u32::from(self.input.get(self.at).copied().unwrap_or(0));
            self.at += 1;
        }
    }

    #[inline(always)]
    fn bit(&mut self, prob: &mut u16) -> usize {
        self.normalize();
        let bound = (self.range >> 11) * u32::from(*prob);
        if self.code < bound {
            self.range = bound;
            *prob += (2048 - *prob) >> 5;
            0
        } else {
            self.range -= bound;
            self.code -= bound;
            *prob -= *prob >> 5;
            1
        }
    }

    /// The bit with probability `at`; there is none outside.
    #[inline(always)]
    fn bit_at(&mut self, probs: &mut Probs, at: usize) -> usize {
        match probs.get_mut(at) {
            Some(prob) => self.bit(prob),
            None => 0,
        }
    }

    /// `bits` bits of a tree at `base`, the highest first.
    #[inline(always)]
    fn tree(&mut self, probs: &mut Probs, base: usize, bits: u32) -> usize {
        let mut symbol = 1;
        for _ in 0..bits {
            symbol = symbol << 1 | self.bit_at(probs, base + symbol);
        }
        symbol - (1 << bits)
    }

    /// The same, the lowest first.
    #[inline(always)]
    fn reverse_tree(&mut self, probs: &mut Probs, base: usize, bits: u32) -> u32 {
        let (mut symbol, mut value) = (1, 0);
        for i in 0..bits {
            let bit = self.bit_at(probs, base + symbol);
            symbol = symbol << 1 | bit;
            value |= (bit as u32) << i;
        }
        value
    }

    /// `bits` bits that are as likely 0 as 1.
    #[inline(always)]
    fn direct(&mut self, bits: u32) -> u32 {
        let mut value = 0u32;
        for _ in 0..bits {
            self.normalize();
            self.range >>= 1;
            self.code = self.code.wrapping_sub(self.range);
            let mask = 0u32.wrapping_sub(self.code >> 31);
            self.code = self.code.wrapping_add(self.range & mask);
            value = (value << 1).wrapping_add(mask.wrapping_add(1));
        }
        value
    }

    /// A length, from 2 on.
    #[inline(always)]
    fn length(&mut self, probs: &mut Probs, base: usize, pos: usize) -> usize {
        if self.bit_at(probs, base) == 0 {
            2 + self.tree(probs, base + LEN_LOW + pos * 8, 3)
        } else if self.bit_at(probs, base + 1) == 0 {
            10 + self.tree(probs, base + LEN_MID + pos * 8, 3)
        } else {
            18 + self.tree(probs, base + LEN_HIGH, 8)
        }
    }
}

/// State from chunk to chunk.
pub(crate) struct Lzma {
    probs: KVVec<u16>,
    state: usize,
    /// The last four distances, less one.
    reps: [u32; 4],
    /// Bits of the byte before, and masks of positions.
    lc: u32,
    lp_mask: usize,
    pb_mask: usize,
    /// Bytes since the dictionary's start, for positions.
    count: usize,
}

impl Lzma {
    pub(crate) fn new(flags: Flags) -> Result<Self, Error> {
        let probs = KVVec::from_elem(HALF, TOTAL, flags)?;
        Ok(Self { probs, state: 0, reps: [0; 4], lc: 0, lp_mask: 0, pb_mask: 0, count: 0 })
    }

    /// Sets the properties of one byte, and resets. `Corrupt` if there are no such.
    pub(crate) fn set_properties(&mut self, byte: u8) -> Result<(), Error> {
        let (lc, lp, pb) = (byte % 9, byte / 9 % 5, byte / 45);
        if byte > 224 || lc + lp > 4 {
            return Err(Error::Corrupt);
        }
        self.lc = lc.into();
        (self.lp_mask, self.pb_mask) = ((1 << lp) - 1, (1 << pb) - 1);
        self.reset();
        Ok(())
    }

    /// Forgets what was learned.
    pub(crate) fn reset(&mut self) {
        (self.state, self.reps) = (0, [0; 4]);
        self.probs.fill(HALF);
    }

    /// The dictionary begins anew.
    pub(crate) fn restart(&mut self) {
        self.count = 0;
    }

    /// Bytes that were not compressed came out.
    pub(crate) fn skip(&mut self, n: usize) {
        self.count = self.count.wrapping_add(n);
    }

    /// Decodes a chunk: all of `input` into `len` bytes, for which there is room.
    #[inline(never)]
    pub(crate) fn chunk(&mut self, input: &[u8], out: &mut Output<'_>, len: usize) -> Result<(), Error> {
        let (head, _) = input.split_first_chunk::<5>().ok_or(Error::Corrupt)?;
        let [_, code @ ..] = *head;
        let mut range = Range { range: u32::MAX, code: u32::from_be_bytes(code), input, at: 5 };
        let history = out.history();
        let keep = out.keep();
        let (all, pos) = out.parts();
        let end = pos.checked_add(len).filter(|end| *end <= all.len()).ok_or(Error::TooLong)?;
        let all = all.get_mut(..end).ok_or(Error::TooLong)?;
        self.symbols(&mut range, all, pos, history, keep)?;
        range.normalize();
        if range.at != input.len() || range.code != 0 {
            return Err(Error::Corrupt);
        }
        self.count = self.count.wrapping_add(len);
        out.advance_to(end);
        Ok(())
    }

    /// Decodes until `all` is full, from `start` on; `history` bytes before it may be looked at, never more than `keep` back.
    #[inline(always)]
    fn symbols(
        &mut self,
        range: &mut Range<'_>,
        all: &mut [u8],
        start: usize,
        history: usize,
        keep: usize,
    ) -> Result<(), Error> {
        let probs: &mut Probs = self.probs.as_mut_slice().try_into().map_err(|_| Error::Corrupt)?;
        let (mut state, [mut rep0, mut rep1, mut rep2, mut rep3]) = (self.state.min(STATES - 1), self.reps);
        let (end, mut pos) = (all.len(), start);
        let offset = self.count.wrapping_sub(start);
        while pos < end {
            let count = pos.wrapping_add(offset);
            let pos_state = count & self.pb_mask & (POS - 1);
            if range.bit_at(probs, IS_MATCH + state * POS + pos_state) == 0 {
                let known = history + (pos - start);
                let before = if known == 0 { 0 } else { all.get(pos.wrapping_sub(1)).copied().unwrap_or(0) };
                let coder = usize::from(before) >> (8 - self.lc) | (count & self.lp_mask) << self.lc;
                let base = LITERAL + coder * 0x300;
                let mut symbol = 1;
                if state >= 7 {
                    let back = (rep0 as usize).wrapping_add(1);
                    let mut other = usize::from(all.get(pos.wrapping_sub(back)).copied().unwrap_or(0)) << 1;
                    let mut offset = 0x100;
                    while symbol < 0x100 {
                        let bit = other & offset;
                        other <<= 1;
                        if range.bit_at(probs, base + offset + bit + symbol) != 0 {
                            symbol = symbol << 1 | 1;
                            offset = bit;
                        } else {
                            symbol <<= 1;
                            offset ^= bit;
                        }
                    }
                } else {
                    while symbol < 0x100 {
                        symbol = symbol << 1 | range.bit_at(probs, base + symbol);
                    }
                }
                if let Some(place) = all.get_mut(pos) {
                    *place = symbol as u8;
                }
                pos += 1;
                state = match state {
                    0..4 => 0,
                    4..10 => state - 3,
                    _ => state - 6,
                };
                continue;
            }
            let len;
            if range.bit_at(probs, IS_REP + state) == 0 {
                (rep3, rep2, rep1) = (rep2, rep1, rep0);
                len = range.length(probs, LEN_MATCH, pos_state);
                rep0 = distance(range, probs, len);
                state = if state < 7 { 7 } else { 10 };
            } else {
                let mut short = false;
                if range.bit_at(probs, IS_REP0 + state) == 0 {
                    short = range.bit_at(probs, IS_REP0_LONG + state * POS + pos_state) == 0;
                } else if range.bit_at(probs, IS_REP1 + state) == 0 {
                    (rep0, rep1) = (rep1, rep0);
                } else if range.bit_at(probs, IS_REP2 + state) == 0 {
                    (rep0, rep1, rep2) = (rep2, rep0, rep1);
                } else {
                    (rep0, rep1, rep2, rep3) = (rep3, rep0, rep1, rep2);
                }
                if short {
                    (len, state) = (1, if state < 7 { 9 } else { 11 });
                } else {
                    len = range.length(probs, LEN_REP, pos_state);
                    state = if state < 7 { 8 } else { 11 };
                }
            }
            // A chunk ends with a symbol; no match goes on in the next. (`MATCH_MAX` is what `length` can give.)
            let back = (rep0 as usize).wrapping_add(1);
            let known = (history + (pos - start)).min(keep);
            if back > known || len > (end - pos).min(MATCH_MAX) {
                return Err(Error::Corrupt);
            }
            repeat(all, pos, back, len).ok_or(Error::Corrupt)?;
            pos += len;
        }
        (self.state, self.reps) = (state, [rep0, rep1, rep2, rep3]);
        Ok(())
    }
}

/// A distance, less one, of a match of `len` bytes.
#[inline(always)]
fn distance(range: &mut Range<'_>, probs: &mut Probs, len: usize) -> u32 {
    let slot = range.tree(probs, DIST_SLOT + (len - 2).min(3) * 64, 6) as u32;
    if slot < 4 {
        return slot;
    }
    let bits = (slot >> 1) - 1;
    let base = (2 | slot & 1) << bits;
    if slot < 14 {
        // The tree's first entry is its second.
        base + range.reverse_tree(probs, DIST_SPECIAL + (base - slot) as usize - 1, bits)
    } else {
        let high = range.direct(bits - 4) << 4;
        base.wrapping_add(high).wrapping_add(range.reverse_tree(probs, DIST_ALIGN, 4))
    }
}
