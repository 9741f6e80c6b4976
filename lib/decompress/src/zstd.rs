// SPDX-License-Identifier: GPL-2.0
//! One zstd frame (RFC 8878) by `ruzstd`. Its window (at most 128 MiB, as Linux allows) comes from the kernel's heap.
//! No locks.

use crate::Error;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::io::Read;

const MAX_WINDOW: u64 = 128 << 20;
/// How much is handed over at once.
const PIECE: usize = 32 << 10;

/// Decompresses the frame at the start of `data`; returns its length.
pub(crate) fn decompress(data: &[u8], sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<usize, Error> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_WINDOW);
    let mut input = data;
    match decoder.init(&mut input) {
        Ok(()) => {}
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            let frame = usize::try_from(length).ok().and_then(|l| l.checked_add(8)).ok_or(Error::Corrupt)?;
            return if frame <= data.len() { Ok(frame) } else { Err(Error::Truncated) };
        }
        Err(_) => return Err(if input.is_empty() { Error::Truncated } else { Error::Corrupt }),
    }
    let mut piece: KVec<u8> = KVec::from_elem(0, PIECE, GFP_KERNEL)?;
    loop {
        let finished = match decoder.decode_blocks(&mut input, BlockDecodingStrategy::UptoBytes(PIECE)) {
            Ok(finished) => finished,
            Err(_) => return Err(if input.is_empty() { Error::Truncated } else { Error::Corrupt }),
        };
        while decoder.can_collect() > 0 {
            let n = decoder.read(&mut piece).map_err(|_| Error::Corrupt)?;
            if n == 0 {
                break;
            }
            sink(piece.get(..n).unwrap_or(&[]))?;
        }
        if finished {
            break;
        }
    }
    if decoder.get_checksum_from_data().is_some()
        && decoder.get_checksum_from_data() != decoder.get_calculated_checksum()
    {
        return Err(Error::Checksum);
    }
    Ok(data.len().saturating_sub(input.len()))
}
