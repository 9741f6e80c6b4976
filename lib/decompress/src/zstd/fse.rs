// SPDX-License-Identifier: GPL-2.0
//! Tables of finite state entropy coding. Source: RFC 8878, 4.1.

use super::bits::{Backward, Forward};
use crate::Error;

/// Symbols of any table are fewer.
const SYMBOLS: usize = 64;

/// A state: its symbol, and how the next one is found.
#[derive(Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) symbol: u8,
    bits: u8,
    base: u16,
}

/// Shares of the symbols, of `1 << log`; -1: less than one.
pub(crate) struct Shares {
    log: u32,
    shares: [i16; SYMBOLS],
    count: usize,
}

impl Shares {
    /// Those of the format itself.
    pub(crate) fn given(log: u32, given: &[i16]) -> Self {
        let mut shares = [0; SYMBOLS];
        shares.iter_mut().zip(given).for_each(|(to, from)| *to = *from);
        Self { log, shares, count: given.len() }
    }

    /// Reads a description: at most `symbols` symbols, of `1 << most_log` at most. How many bytes it has, too.
    pub(crate) fn read(from: &[u8], most_log: u32, symbols: usize) -> Result<(Self, usize), Error> {
        let mut bits = Forward::new(from);
        let log = 5 + bits.peek(4);
        bits.skip(4);
        if log > most_log {
            return Err(Error::Corrupt);
        }
        let mut this = Self { log, shares: [0; SYMBOLS], count: 0 };
        let mut left = 1u32 << log;
        while left > 0 {
            let most = left + 1;
            let width = most.ilog2() + 1;
            let low_mask = (1 << (width - 1)) - 1;
            // So many values do with a bit less.
            let short = (1 << width) - 1 - most;
            let mut value = bits.peek(width);
            if value & low_mask < short {
                value &= low_mask;
                bits.skip(width - 1);
            } else {
                if value > low_mask {
                    value -= short;
                }
                bits.skip(width);
            }
            let share = value as i16 - 1;
            left = left.checked_sub(u32::from(share.unsigned_abs())).ok_or(Error::Corrupt)?;
            this.push(share, symbols)?;
            if share == 0 {
                loop {
                    let zeros = bits.peek(2);
                    bits.skip(2);
                    for _ in 0..zeros {
                        this.push(0, symbols)?;
                    }
                    if zeros != 3 {
                        break;
                    }
                }
            }
        }
        let taken = bits.bytes_taken()?;
        Ok((this, taken))
    }

    fn push(&mut self, share: i16, symbols: usize) -> Result<(), Error> {
        let place = self.shares.get_mut(self.count).filter(|_| self.count < symbols).ok_or(Error::Corrupt)?;
        *place = share;
        self.count += 1;
        Ok(())
    }

    /// Makes the table in `to`, which has room for the largest: its logarithm.
    pub(crate) fn build(&self, to: &mut [Entry]) -> Result<u32, Error> {
        let size = 1usize << self.log;
        let table = to.get_mut(..size).ok_or(Error::Corrupt)?;
        let mut next = [0u16; SYMBOLS];
        let mut high = size;
        for (symbol, (share, next)) in self.shares.iter().zip(&mut next).enumerate() {
            *next = share.unsigned_abs();
            if *share == -1 {
                high = high.checked_sub(1).ok_or(Error::Corrupt)?;
                table.get_mut(high).ok_or(Error::Corrupt)?.symbol = symbol as u8;
            }
        }
        let step = (size >> 1) + (size >> 3) + 3;
        let mut at = 0;
        for (symbol, share) in self.shares.iter().enumerate() {
            for _ in 0..(*share).max(0) {
                table.get_mut(at).ok_or(Error::Corrupt)?.symbol = symbol as u8;
                loop {
                    at = (at + step) & (size - 1);
                    if at < high || high == 0 {
                        break;
                    }
                }
            }
        }
        if at != 0 {
            return Err(Error::Corrupt);
        }
        for entry in table {
            let next = next.get_mut(usize::from(entry.symbol)).ok_or(Error::Corrupt)?;
            let bits = self.log.checked_sub((*next).max(1).ilog2()).ok_or(Error::Corrupt)?;
            entry.bits = bits as u8;
            entry.base = ((usize::from(*next) << bits) - size) as u16;
            *next += 1;
        }
        Ok(self.log)
    }
}

/// A table of one symbol, which takes no bits.
pub(crate) fn one_symbol(to: &mut [Entry], symbol: u8) -> u32 {
    if let Some(first) = to.first_mut() {
        *first = Entry { symbol, bits: 0, base: 0 };
    }
    0
}

/// Where a decoder is in a table.
pub(crate) struct State<'a> {
    table: &'a [Entry],
    at: usize,
}

impl<'a> State<'a> {
    /// Begins, in a table of `1 << log` entries.
    pub(crate) fn new(table: &'a [Entry], log: u32, bits: &mut Backward<'_>) -> Self {
        Self { table: table.get(..1 << log).unwrap_or_default(), at: bits.take(log) as usize }
    }

    #[inline(always)]
    fn entry(&self) -> Entry {
        self.table.get(self.at).copied().unwrap_or_default()
    }

    /// The symbol here.
    #[inline(always)]
    pub(crate) fn symbol(&self) -> u8 {
        self.entry().symbol
    }

    /// Goes to the next.
    #[inline(always)]
    pub(crate) fn advance(&mut self, bits: &mut Backward<'_>) {
        let Entry { bits: n, base, .. } = self.entry();
        self.at = usize::from(base) + bits.take(n.into()) as usize;
    }
}
