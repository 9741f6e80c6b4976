// SPDX-License-Identifier: GPL-2.0
//! Sequences: so many literals, then a match of such a length at such a distance. Source: RFC 8878, 3.1.1.3.2.

use super::bits::Backward;
use super::fse::{Entry, Shares, State, one_symbol};
use crate::Error;
use crate::output::Output;
use kalloc::KVVec;
use kalloc::flags::Flags;

/// A kind of numbers: literals' lengths, offsets, matches' lengths.
struct Kind {
    most_log: u32,
    symbols: usize,
    log: u32,
    shares: &'static [i16],
}

const LITERALS: Kind = Kind {
    most_log: 9,
    symbols: 36,
    log: 6,
    shares: &[
        4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
    ],
};
const OFFSETS: Kind = Kind {
    most_log: 8,
    symbols: 32,
    log: 5,
    shares: &[1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1],
};
const MATCHES: Kind = Kind {
    most_log: 9,
    symbols: 53,
    log: 6,
    shares: &[
        1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
    ],
};

/// Of codes from 16 on: least length, bits that are added.
const LITERALS_BASE: [(u32, u8); 20] = [
    (16, 1),
    (18, 1),
    (20, 1),
    (22, 1),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 4),
    (64, 6),
    (128, 7),
    (256, 8),
    (512, 9),
    (1024, 10),
    (2048, 11),
    (4096, 12),
    (8192, 13),
    (16384, 14),
    (32768, 15),
    (65536, 16),
];
/// The same from 32 on.
const MATCHES_BASE: [(u32, u8); 21] = [
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16387, 14),
    (32771, 15),
    (65539, 16),
];

/// A table, if there was one.
struct Table {
    entries: KVVec<Entry>,
    log: Option<u32>,
}

impl Table {
    fn new(kind: &Kind, flags: Flags) -> Result<Self, Error> {
        Ok(Self { entries: KVVec::from_elem(Entry::default(), 1 << kind.most_log, flags)?, log: None })
    }

    /// Gets it as `mode` says; what it takes of `from` is taken off.
    fn read(&mut self, kind: &Kind, mode: u8, from: &mut &[u8]) -> Result<(), Error> {
        let log = match mode & 3 {
            0 => Shares::given(kind.log, kind.shares).build(&mut self.entries)?,
            1 => {
                let (&symbol, rest) = from.split_first().ok_or(Error::Truncated)?;
                *from = rest;
                if usize::from(symbol) >= kind.symbols {
                    return Err(Error::Corrupt);
                }
                one_symbol(&mut self.entries, symbol)
            }
            2 => {
                let (shares, taken) = Shares::read(from, kind.most_log, kind.symbols)?;
                *from = from.get(taken..).ok_or(Error::Truncated)?;
                // It is gone until it is whole.
                self.log = None;
                shares.build(&mut self.entries)?
            }
            _ => self.log.ok_or(Error::Corrupt)?,
        };
        self.log = Some(log);
        Ok(())
    }

    fn begin<'a>(&'a self, bits: &mut Backward<'_>) -> State<'a> {
        State::new(&self.entries, self.log.unwrap_or(0), bits)
    }
}

/// State from block to block.
pub(crate) struct Sequences {
    literals: Table,
    offsets: Table,
    matches: Table,
    /// The last distances.
    last: [u32; 3],
}

impl Sequences {
    pub(crate) fn new(flags: Flags) -> Result<Self, Error> {
        Ok(Self {
            literals: Table::new(&LITERALS, flags)?,
            offsets: Table::new(&OFFSETS, flags)?,
            matches: Table::new(&MATCHES, flags)?,
            last: [1, 4, 8],
        })
    }

    /// A frame begins.
    pub(crate) fn reset(&mut self) {
        self.last = [1, 4, 8];
        for table in [&mut self.literals, &mut self.offsets, &mut self.matches] {
            table.log = None;
        }
    }

    /// Puts the block together from its sequences (`from`) and `literals`: at most `most` bytes.
    #[inline(never)]
    pub(crate) fn run(&mut self, from: &[u8], literals: &[u8], out: &mut Output<'_>, most: usize) -> Result<(), Error> {
        let (count, mut rest) = match *from {
            [0] => return if literals.len() <= most { out.put(literals) } else { Err(Error::Corrupt) },
            [a @ 1..128, ref rest @ ..] => (usize::from(a), rest),
            [a @ 128..=254, b, ref rest @ ..] => (usize::from(a - 128) << 8 | usize::from(b), rest),
            [255, a, b, ref rest @ ..] => ((usize::from(a) | usize::from(b) << 8) + 0x7f00, rest),
            _ => return Err(Error::Corrupt),
        };
        let (&modes, after) = rest.split_first().ok_or(Error::Truncated)?;
        rest = after;
        if modes & 3 != 0 {
            return Err(Error::Corrupt);
        }
        self.literals.read(&LITERALS, modes >> 6, &mut rest)?;
        self.offsets.read(&OFFSETS, modes >> 4, &mut rest)?;
        self.matches.read(&MATCHES, modes >> 2, &mut rest)?;
        self.execute(rest, count, literals, out, most)
    }

    fn execute(
        &mut self,
        from: &[u8],
        count: usize,
        mut literals: &[u8],
        out: &mut Output<'_>,
        mut most: usize,
    ) -> Result<(), Error> {
        let mut bits = Backward::new(from)?;
        let mut literal_state = self.literals.begin(&mut bits);
        let mut offset_state = self.offsets.begin(&mut bits);
        let mut match_state = self.matches.begin(&mut bits);
        let mut last = self.last;
        for i in 0..count {
            bits.refill();
            let code = u32::from(offset_state.symbol()).min(31);
            let value = (1u32 << code) | bits.take(code);
            let (base, more) = of_match(match_state.symbol());
            let match_len = (base + bits.take(more)) as usize;
            bits.refill();
            let (base, more) = of_literals(literal_state.symbol());
            let literal_len = (base + bits.take(more)) as usize;
            if i + 1 != count {
                literal_state.advance(&mut bits);
                match_state.advance(&mut bits);
                offset_state.advance(&mut bits);
            }
            if bits.is_over() {
                return Err(Error::Corrupt);
            }
            let distance = distance(&mut last, value, literal_len == 0)?;
            most = most.checked_sub(literal_len + match_len).ok_or(Error::Corrupt)?;
            let (these, rest) = literals.split_at_checked(literal_len).ok_or(Error::Corrupt)?;
            literals = rest;
            out.put(these)?;
            out.repeat(distance as usize, match_len)?;
        }
        self.last = last;
        if !bits.is_done() || literals.len() > most {
            return Err(Error::Corrupt);
        }
        out.put(literals)
    }
}

#[inline(always)]
fn of_literals(code: u8) -> (u32, u32) {
    match LITERALS_BASE.get(usize::from(code).wrapping_sub(16)) {
        Some((base, bits)) => (*base, (*bits).into()),
        None => (code.into(), 0),
    }
}

#[inline(always)]
fn of_match(code: u8) -> (u32, u32) {
    match MATCHES_BASE.get(usize::from(code).wrapping_sub(32)) {
        Some((base, bits)) => (*base, (*bits).into()),
        None => (u32::from(code) + 3, 0),
    }
}

/// The distance that `value` means: one of the last, or another.
#[inline(always)]
fn distance(last: &mut [u32; 3], value: u32, no_literals: bool) -> Result<u32, Error> {
    let [a, b, c] = *last;
    let which = if value > 3 { 5 } else { value + u32::from(no_literals) };
    *last = match which {
        5 => [value - 3, a, b],
        1 => return Ok(a),
        2 => [b, a, c],
        3 => [c, a, b],
        _ => [a.wrapping_sub(1), a, b],
    };
    let [first, ..] = *last;
    if first == 0 { Err(Error::Corrupt) } else { Ok(first) }
}
