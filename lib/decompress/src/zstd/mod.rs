// SPDX-License-Identifier: GPL-2.0
//! zstd: a frame of blocks, each with literals and the sequences that use them. Without dictionaries. The decoder's tables (12 KB) and
//! room for a block's literals (128 KB) come from the heap once and can be used again. No locks. Source: RFC 8878.

mod bits;
mod fse;
mod huffman;
mod sequences;

use crate::output::Output;
use crate::{Error, Method};
use core::hash::Hasher;
use huffman::Huffman;
use kalloc::KVVec;
use kalloc::flags::Flags;
use sequences::Sequences;
use twox_hash::XxHash64;

const MAGIC: u32 = 0xfd2f_b528;
/// Frames that are skipped: the lowest four bits are free.
const SKIPPABLE: u32 = 0x184d_2a50;
/// Most bytes of a block.
const BLOCK: usize = 128 << 10;
/// The largest window that is taken (as Linux takes it).
const WINDOW: u64 = 128 << 20;

/// A decoder.
pub struct Decoder {
    huffman: Huffman,
    sequences: Sequences,
    literals: KVVec<u8>,
}

/// What a frame's header says.
struct Header {
    window: u64,
    /// Bytes of the content.
    content: Option<u64>,
    has_checksum: bool,
}

/// Takes bytes from the front.
fn take<'a>(from: &mut &'a [u8], n: usize) -> Result<&'a [u8], Error> {
    let (bytes, rest) = from.split_at_checked(n).ok_or(Error::Truncated)?;
    *from = rest;
    Ok(bytes)
}

/// Takes a number of `n` bytes.
fn number(from: &mut &[u8], n: usize) -> Result<u64, Error> {
    Ok(take(from, n)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

impl Decoder {
    /// A decoder. `NoMemory`.
    pub fn new(flags: Flags) -> Result<Self, Error> {
        Ok(Self {
            huffman: Huffman::new(flags)?,
            sequences: Sequences::new(flags)?,
            literals: KVVec::from_elem(0, BLOCK, flags)?,
        })
    }

    /// Decompresses the frame at the start of `from` into `to`: how many bytes came out. `TooLong` if there is no room for it,
    /// `Truncated`, `Corrupt`, `Checksum`; `NotConfigured` if it needs a dictionary.
    pub fn decode(&mut self, from: &[u8], to: &mut [u8]) -> Result<usize, Error> {
        let mut out = Output::whole(to);
        self.frame(from, &mut out)?;
        Ok(out.pos())
    }

    /// The frame at the start of `from`: its length.
    pub(crate) fn frame(&mut self, from: &[u8], out: &mut Output<'_>) -> Result<usize, Error> {
        let mut input = from;
        let magic = number(&mut input, 4)? as u32;
        if magic & !15 == SKIPPABLE {
            let len = number(&mut input, 4)? as usize;
            take(&mut input, len)?;
            return Ok(from.len() - input.len());
        }
        if magic != MAGIC {
            return Err(Error::Corrupt);
        }
        let header = header(&mut input)?;
        if out.is_sink() && header.window > WINDOW {
            return Err(Error::Corrupt);
        }
        self.huffman.forget();
        self.sequences.reset();
        out.restart(header.window);
        let most = BLOCK.min(usize::try_from(header.window).unwrap_or(BLOCK));
        let mut hash = XxHash64::with_seed(0);
        let mut made = 0u64;
        loop {
            let head = number(&mut input, 3)? as usize;
            let before = out.total();
            if out.is_sink() {
                out.room(most)?;
            }
            self.block(&mut input, head >> 1 & 3, head >> 3, out, most)?;
            let n = out.total().wrapping_sub(before);
            made = made.wrapping_add(n);
            if header.has_checksum {
                hash.write(out.last(n as usize));
            }
            if head & 1 != 0 {
                break;
            }
        }
        if header.content.is_some_and(|said| said != made) {
            return Err(Error::Corrupt);
        }
        if header.has_checksum && number(&mut input, 4)? as u32 != hash.finish() as u32 {
            return Err(Error::Checksum);
        }
        out.flush()?;
        Ok(from.len() - input.len())
    }

    /// A block of the kind `kind`; `size` is that of the block, or of what it stands for.
    fn block(
        &mut self,
        input: &mut &[u8],
        kind: usize,
        size: usize,
        out: &mut Output<'_>,
        most: usize,
    ) -> Result<(), Error> {
        if size > most {
            return Err(Error::Corrupt);
        }
        match kind {
            0 => out.put(take(input, size)?),
            1 => {
                let byte = number(input, 1)? as u8;
                out.fill(byte, size)
            }
            2 => {
                let mut block = take(input, size)?;
                let count = self.literals(&mut block, most)?;
                let literals = self.literals.get(..count).ok_or(Error::Corrupt)?;
                self.sequences.run(block, literals, out, most)
            }
            _ => Err(Error::Corrupt),
        }
    }

    /// The literals at the start of `block`, which are taken off: how many.
    fn literals(&mut self, block: &mut &[u8], most: usize) -> Result<usize, Error> {
        let (kind, format) = block.first().map(|byte| (byte & 3, byte >> 2 & 3)).ok_or(Error::Truncated)?;
        if kind < 2 {
            let (bytes, shift) = [(1, 3), (2, 4), (1, 3), (3, 4)].get(usize::from(format)).copied().unwrap_or((1, 3));
            let count = (number(block, bytes)? >> shift) as usize;
            let to = self.literals.get_mut(..count).filter(|_| count <= most).ok_or(Error::Corrupt)?;
            if kind == 0 {
                to.copy_from_slice(take(block, count)?);
            } else {
                to.fill(number(block, 1)? as u8);
            }
            return Ok(count);
        }
        let (bytes, width) = [(3, 10), (3, 10), (4, 14), (5, 18)].get(usize::from(format)).copied().unwrap_or((3, 10));
        let sizes = number(block, bytes)? >> 4;
        let mask = (1u64 << width) - 1;
        let (count, packed) = ((sizes & mask) as usize, (sizes >> width & mask) as usize);
        let mut from = take(block, packed)?;
        if kind == 2 {
            self.huffman.forget();
            let taken = self.huffman.read(from)?;
            from = from.get(taken..).ok_or(Error::Truncated)?;
        }
        let to = self.literals.get_mut(..count).filter(|_| count <= most).ok_or(Error::Corrupt)?;
        if !self.huffman.is_there() {
            return Err(Error::Corrupt);
        }
        if format == 0 {
            self.huffman.stream(from, to)?;
            return Ok(count);
        }
        // Four streams; the lengths of the first three, and as many bytes each but the last.
        let lens = [number(&mut from, 2)?, number(&mut from, 2)?, number(&mut from, 2)?];
        let part = count.div_ceil(4);
        let mut to = to;
        for len in lens {
            let (these, rest) = to.split_at_mut_checked(part).ok_or(Error::Corrupt)?;
            self.huffman.stream(take(&mut from, len as usize)?, these)?;
            to = rest;
        }
        self.huffman.stream(from, to)?;
        Ok(count)
    }
}

/// A frame's header, after the magic.
fn header(input: &mut &[u8]) -> Result<Header, Error> {
    let flags = number(input, 1)? as u8;
    if flags & 8 != 0 {
        return Err(Error::Corrupt);
    }
    let single = flags & 0x20 != 0;
    let mut window = 0;
    if !single {
        let byte = number(input, 1)?;
        let base = 1u64 << (10 + (byte >> 3));
        window = base + base / 8 * (byte & 7);
    }
    let dictionary = [0, 1, 2, 4].get(usize::from(flags & 3)).copied().unwrap_or(0);
    if number(input, dictionary)? != 0 {
        return Err(Error::NotConfigured(Method::Zstd));
    }
    let content = match flags >> 6 {
        0 if !single => None,
        0 => Some(number(input, 1)?),
        1 => Some(number(input, 2)? + 256),
        2 => Some(number(input, 4)?),
        _ => Some(number(input, 8)?),
    };
    if single {
        window = content.unwrap_or(0);
    }
    Ok(Header { window, content, has_checksum: flags & 4 != 0 })
}
