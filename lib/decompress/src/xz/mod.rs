// SPDX-License-Identifier: GPL-2.0
//! xz: a stream of blocks, each of LZMA2 and perhaps a filter of machine code before it, with an index. The checks are none, CRC-32 and
//! CRC-64. The decoder's state (28 KB) comes from the heap once and can be used again. No locks. Source: The .xz File Format 1.2.1.

mod bcj;
mod lzma;

use crate::output::Output;
use crate::{Error, Method, crc32, crc32_update, crc64_update};
use bcj::Bcj;
use kalloc::flags::Flags;
use lzma::Lzma;

const MAGIC: &[u8; 6] = b"\xfd7zXZ\0";
const FOOTER_MAGIC: &[u8; 2] = b"YZ";
/// Number of the filter LZMA2.
const LZMA2: u64 = 0x21;

/// A decoder.
pub struct Decoder(Lzma);

/// What is checked of a block's content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    None,
    Crc32,
    Crc64,
}

/// Input and where we are in it.
struct Input<'a> {
    all: &'a [u8],
    at: usize,
}

/// Sizes of the blocks, as they were and as the index has them: counts, sums, and a CRC of all.
#[derive(Default, PartialEq, Eq)]
struct Sizes {
    blocks: u64,
    packed: u64,
    plain: u64,
    crc: u32,
}

/// What a block's header says.
struct Header {
    packed: Option<u64>,
    plain: Option<u64>,
    filter: Option<Bcj>,
    dictionary: u64,
}

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(n).ok_or(Error::Truncated)?;
        let bytes = self.all.get(self.at..end).ok_or(Error::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| Error::Truncated)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<usize, Error> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A number of seven bits a byte.
    fn number(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for i in 0..9 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                // Only the shortest form is right.
                return if byte == 0 && i != 0 { Err(Error::Corrupt) } else { Ok(value) };
            }
        }
        Err(Error::Corrupt)
    }

    /// Zeros until the distance from `start` is a multiple of 4.
    fn padding(&mut self, start: usize) -> Result<(), Error> {
        while !(self.at - start).is_multiple_of(4) {
            if self.byte()? != 0 {
                return Err(Error::Corrupt);
            }
        }
        Ok(())
    }

    /// A CRC of what came from `start` on.
    fn crc_since(&mut self, start: usize) -> Result<(), Error> {
        let crc = crc32(self.all.get(start..self.at).unwrap_or_default());
        if self.u32()? == crc { Ok(()) } else { Err(Error::Checksum) }
    }
}

impl Sizes {
    fn add(&mut self, packed: u64, plain: u64) -> Result<(), Error> {
        self.blocks += 1;
        self.packed = self.packed.checked_add(packed).ok_or(Error::Corrupt)?;
        self.plain = self.plain.checked_add(plain).ok_or(Error::Corrupt)?;
        self.crc = crc32_update(crc32_update(self.crc, &packed.to_le_bytes()), &plain.to_le_bytes());
        Ok(())
    }
}

impl Check {
    fn of(flags: [u8; 2]) -> Result<Self, Error> {
        match flags {
            [0, 0] => Ok(Self::None),
            [0, 1] => Ok(Self::Crc32),
            [0, 4] => Ok(Self::Crc64),
            _ => Err(Error::NotConfigured(Method::Xz)),
        }
    }

    fn update(self, crc: u64, data: &[u8]) -> u64 {
        match self {
            Self::None => 0,
            Self::Crc32 => crc32_update(crc as u32, data).into(),
            Self::Crc64 => crc64_update(crc, data),
        }
    }

    fn verify(self, input: &mut Input<'_>, crc: u64) -> Result<u64, Error> {
        let (there, len) = match self {
            Self::None => (crc, 0),
            Self::Crc32 => (input.u32()?.into(), 4),
            Self::Crc64 => (u64::from_le_bytes(input.array()?), 8),
        };
        if there == crc { Ok(len) } else { Err(Error::Checksum) }
    }
}

impl Decoder {
    /// A decoder. `NoMemory`.
    pub fn new(flags: Flags) -> Result<Self, Error> {
        Ok(Self(Lzma::new(flags)?))
    }

    /// Decompresses the stream that `from` is into `to`: how many bytes came out. `TooLong` if there is no room for it, `Truncated`,
    /// `Corrupt`, `Checksum`; `NotConfigured` for filters and checks that are not there.
    pub fn decode(&mut self, from: &[u8], to: &mut [u8]) -> Result<usize, Error> {
        let mut out = Output::whole(to);
        self.stream(from, &mut out)?;
        Ok(out.pos())
    }

    /// The stream at the start of `from`: its length.
    pub(crate) fn stream(&mut self, from: &[u8], out: &mut Output<'_>) -> Result<usize, Error> {
        let mut input = Input { all: from, at: 0 };
        if input.array()? != *MAGIC {
            return Err(Error::Corrupt);
        }
        let flags = input.array()?;
        if input.u32()? != crc32(&flags) {
            return Err(Error::Checksum);
        }
        let check = Check::of(flags)?;
        let mut sizes = Sizes::default();
        let index_len = loop {
            let start = input.at;
            match input.byte()? {
                0 => {
                    index(&mut input, start, &sizes)?;
                    break input.at - start;
                }
                words => self.block(&mut input, start, words, check, &mut sizes, out)?,
            }
        };
        footer(&mut input, flags, index_len)?;
        out.flush()?;
        Ok(input.at)
    }

    fn block(
        &mut self,
        input: &mut Input<'_>,
        start: usize,
        words: u8,
        check: Check,
        sizes: &mut Sizes,
        out: &mut Output<'_>,
    ) -> Result<(), Error> {
        let header = header(input, start, words)?;
        if header.filter.is_some() && out.is_sink() {
            // What is handed on cannot be filtered later.
            return Err(Error::NotConfigured(Method::Xz));
        }
        let (data, before, place) = (input.at, out.total(), out.pos());
        out.restart(header.dictionary);
        let mut crc = 0;
        self.lzma2(input, out, |piece| {
            if header.filter.is_none() {
                crc = check.update(crc, piece);
            }
        })?;
        if let Some(filter) = header.filter {
            let content = out.since(place);
            filter.apply(content);
            crc = check.update(0, content);
        }
        let (packed, plain) = ((input.at - data) as u64, out.total().wrapping_sub(before));
        if header.packed.is_some_and(|said| said != packed) || header.plain.is_some_and(|said| said != plain) {
            return Err(Error::Corrupt);
        }
        let unpadded = (input.at - start) as u64;
        input.padding(data)?;
        let unpadded = unpadded + check.verify(input, crc)?;
        sizes.add(unpadded, plain)
    }

    /// Chunks up to their end; `made` sees what came out.
    fn lzma2(&mut self, input: &mut Input<'_>, out: &mut Output<'_>, mut made: impl FnMut(&[u8])) -> Result<(), Error> {
        let (mut no_dictionary, mut no_properties) = (true, true);
        loop {
            let control = input.byte()?;
            if control == 0 {
                return Ok(());
            }
            if control == 1 || control >= 0xe0 {
                (no_dictionary, no_properties) = (false, true);
                out.restart(out.keep() as u64);
                self.0.restart();
            } else if no_dictionary || matches!(control, 3..0x80) {
                return Err(Error::Corrupt);
            }
            if control < 0x80 {
                let len = input.u16()? + 1;
                out.room(len)?;
                out.put(input.take(len)?)?;
                self.0.skip(len);
                made(out.last(len));
                continue;
            }
            let len = (usize::from(control & 0x1f) << 16 | input.u16()?) + 1;
            let packed = input.u16()? + 1;
            if control >= 0xc0 {
                self.0.set_properties(input.byte()?)?;
                no_properties = false;
            } else if no_properties {
                return Err(Error::Corrupt);
            } else if control >= 0xa0 {
                self.0.reset();
            }
            out.room(len)?;
            self.0.chunk(input.take(packed)?, out, len)?;
            made(out.last(len));
        }
    }
}

/// A block's header, which begins at `start` with `words`.
fn header(input: &mut Input<'_>, start: usize, words: u8) -> Result<Header, Error> {
    let end = start.checked_add(usize::from(words) * 4).ok_or(Error::Truncated)?;
    let mut inner = Input { all: input.all.get(..end).ok_or(Error::Truncated)?, at: input.at };
    // Its CRC first: what is wrong in it is damage.
    input.at = end;
    input.crc_since(start)?;
    let flags = inner.byte()?;
    let packed = if flags & 0x40 != 0 { Some(inner.number()?) } else { None };
    let plain = if flags & 0x80 != 0 { Some(inner.number()?) } else { None };
    let unknown = Error::NotConfigured(Method::Xz);
    let filter = match flags & 0x3f {
        0 => None,
        1 => {
            let filter = Bcj::of(inner.number()?).ok_or(unknown)?;
            // A start of its own is not usual, and not known to Linux either.
            if inner.number()? != 0 {
                return Err(unknown);
            }
            Some(filter)
        }
        _ => return Err(unknown),
    };
    if (inner.number()?, inner.number()?) != (LZMA2, 1) {
        return Err(unknown);
    }
    let bits = inner.byte()?;
    if bits > 39 {
        return Err(unknown);
    }
    let dictionary = (2 | u64::from(bits & 1)) << (bits / 2 + 11);
    while inner.at < end {
        if inner.byte()? != 0 {
            return Err(unknown);
        }
    }
    Ok(Header { packed, plain, filter, dictionary })
}

/// The index, which begins at `start` with a zero: it must be about `sizes`.
fn index(input: &mut Input<'_>, start: usize, sizes: &Sizes) -> Result<(), Error> {
    let count = input.number()?;
    if count != sizes.blocks {
        return Err(Error::Corrupt);
    }
    let mut said = Sizes::default();
    for _ in 0..count {
        said.add(input.number()?, input.number()?)?;
    }
    if said != *sizes {
        return Err(Error::Corrupt);
    }
    input.padding(start)?;
    input.crc_since(start)
}

/// The footer, after an index of `index_len` bytes.
fn footer(input: &mut Input<'_>, flags: [u8; 2], index_len: usize) -> Result<(), Error> {
    let crc = input.u32()?;
    let body = input.array::<6>()?;
    if crc32(&body) != crc {
        return Err(Error::Checksum);
    }
    let [size @ .., flags_low, flags_high] = body;
    let words = u64::from(u32::from_le_bytes(size)) + 1;
    if words * 4 != index_len as u64 || [flags_low, flags_high] != flags || input.array()? != *FOOTER_MAGIC {
        return Err(Error::Corrupt);
    }
    Ok(())
}
