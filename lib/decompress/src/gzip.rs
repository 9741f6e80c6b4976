// SPDX-License-Identifier: GPL-2.0
//! One gzip member (RFC 1952): the header here, deflate by `miniz_oxide`. No locks.

use crate::{Error, crc32_update};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KBox, KVec};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate};

/// The window, of which deflate looks back at most 32 KiB; a power of two.
const WINDOW: usize = 64 << 10;

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;

/// What follows the header.
fn skip_header(data: &[u8]) -> Result<&[u8], Error> {
    let (head, mut rest) = data.split_first_chunk::<10>().ok_or(Error::Truncated)?;
    let [_, _, method, flags, ..] = *head;
    if method != 8 || flags & !0x1f != 0 {
        return Err(Error::Corrupt);
    }
    if flags & FEXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>().ok_or(Error::Truncated)?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..).ok_or(Error::Truncated)?;
    }
    for field in [FNAME, FCOMMENT] {
        if flags & field != 0 {
            let end = rest.iter().position(|&c| c == 0).ok_or(Error::Truncated)?;
            rest = rest.get(end..).and_then(|r| r.get(1..)).ok_or(Error::Truncated)?;
        }
    }
    if flags & FHCRC != 0 {
        rest = rest.get(2..).ok_or(Error::Truncated)?;
    }
    Ok(rest)
}

/// Decompresses the member at the start of `data`; returns its length.
pub(crate) fn decompress(data: &[u8], sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<usize, Error> {
    let mut input = skip_header(data)?;
    let mut window: KVec<u8> = KVec::from_elem(0, WINDOW, GFP_KERNEL)?;
    let mut state = KBox::new_with(DecompressorOxide::new, GFP_KERNEL)?;
    let (mut pos, mut crc, mut len) = (0usize, 0u32, 0u32);
    loop {
        // All input is there, so no flag says that more will come.
        let (status, used, made) = inflate(&mut state, input, &mut window, pos, 0);
        input = input.get(used..).ok_or(Error::Corrupt)?;
        let end = pos.checked_add(made).ok_or(Error::Corrupt)?;
        let piece = window.get(pos..end).ok_or(Error::Corrupt)?;
        crc = crc32_update(crc, piece);
        len = len.wrapping_add(made as u32);
        sink(piece)?;
        pos = end & (WINDOW - 1);
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => return Err(Error::Truncated),
            _ => return Err(Error::Corrupt),
        }
    }
    let (trailer, rest) = input.split_first_chunk::<8>().ok_or(Error::Truncated)?;
    let want = u64::from(crc) | u64::from(len) << 32;
    if u64::from_le_bytes(*trailer) != want {
        return Err(Error::Checksum);
    }
    Ok(data.len().saturating_sub(rest.len()))
}
