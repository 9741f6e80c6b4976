// SPDX-License-Identifier: GPL-2.0
//! Decompression of one block into memory of a known size. No locks. May sleep: the decoders' state comes from the heap.

use errno::Result;
use errno::code::EIO;
use kalloc::flags::GFP_NOFS;
use kalloc::{KBox, KVVec};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_COMPUTE_ADLER32, TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::io::Read;
use xz4rust::{XzDecoder, XzNextBlockResult};

/// How an image is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// gzip, in zlib's format.
    Zlib,
    /// LZO1X.
    Lzo,
    /// xz.
    Xz,
    /// LZ4 blocks.
    Lz4,
    /// zstd.
    Zstd,
}

impl Method {
    /// Of its number; none for lzma, which Linux does not read either, and for what is unknown.
    pub const fn of(id: u16) -> Option<Self> {
        match id {
            1 => Some(Self::Zlib),
            3 => Some(Self::Lzo),
            4 => Some(Self::Xz),
            5 => Some(Self::Lz4),
            6 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// What is said of an image that cannot be read for its method.
    pub const fn unsupported(self) -> &'static str {
        match self {
            Self::Zlib => "Filesystem uses \"zlib\" compression. This is not supported",
            Self::Lzo => "Filesystem uses \"lzo\" compression. This is not supported",
            Self::Xz => "Filesystem uses \"xz\" compression. This is not supported",
            Self::Lz4 => "Filesystem uses \"lz4\" compression. This is not supported",
            Self::Zstd => "Filesystem uses \"zstd\" compression. This is not supported",
        }
    }

    /// Decompresses `from` to the start of `to`; how many bytes came out. `window`: how far back a stream may reach. EIO if it is
    /// damaged or does not fit.
    pub fn decompress(self, from: &[u8], to: &mut [u8], window: usize) -> Result<usize> {
        let done = match self {
            Self::Zlib => zlib(from, to),
            Self::Lzo => lzo::decompress_into(from, to).map_err(|_| EIO),
            Self::Xz => xz(from, to, window),
            Self::Lz4 => lz4_flex::block::decompress_into(from, to).map_err(|_| EIO),
            Self::Zstd => zstd(from, to, window),
        }?;
        if done <= to.len() { Ok(done) } else { Err(EIO) }
    }
}

// A frame of its own: the others' state is not on the stack along with its own.
#[inline(never)]
fn zlib(from: &[u8], to: &mut [u8]) -> Result<usize> {
    let mut state = KBox::new_with(DecompressorOxide::new, GFP_NOFS)?;
    let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | TINFL_FLAG_COMPUTE_ADLER32;
    match inflate(&mut state, from, to, 0, flags) {
        (TINFLStatus::Done, _, made) => Ok(made),
        _ => Err(EIO),
    }
}

// A frame of its own: the others' state is not on the stack along with its own.
#[inline(never)]
fn xz(from: &[u8], to: &mut [u8], window: usize) -> Result<usize> {
    let mut dictionary = KVVec::from_elem(0u8, window, GFP_NOFS)?;
    let mut decoder = KBox::new_with(|| XzDecoder::with_fixed_size_dict(&mut dictionary), GFP_NOFS)?;
    let (mut input, mut made) = (from, 0);
    loop {
        let rest = to.get_mut(made..).ok_or(EIO)?;
        let step = decoder.decode(input, rest).map_err(|_| EIO)?;
        input = input.get(step.input_consumed()..).ok_or(EIO)?;
        made += step.output_produced();
        match step {
            XzNextBlockResult::EndOfStream(..) => return Ok(made),
            _ if !step.made_progress() => return Err(EIO),
            _ => {}
        }
    }
}

// A frame of its own: the others' state is not on the stack along with its own.
#[inline(never)]
fn zstd(from: &[u8], to: &mut [u8], window: usize) -> Result<usize> {
    let mut decoder = KBox::new_with(FrameDecoder::new, GFP_NOFS)?;
    decoder.set_max_window_size(window as u64);
    let mut input = from;
    decoder.init(&mut input).map_err(|_| EIO)?;
    let mut made = 0;
    loop {
        let finished = decoder.decode_blocks(&mut input, BlockDecodingStrategy::UptoBytes(window)).map_err(|_| EIO)?;
        loop {
            let rest = to.get_mut(made..).ok_or(EIO)?;
            let n = decoder.read(rest).map_err(|_| EIO)?;
            made += n;
            if n == 0 {
                break;
            }
        }
        if finished {
            break;
        }
        if decoder.can_collect() != 0 && made == to.len() {
            return Err(EIO);
        }
    }
    if decoder.can_collect() != 0 {
        return Err(EIO);
    }
    if decoder.get_checksum_from_data().is_some()
        && decoder.get_checksum_from_data() != decoder.get_calculated_checksum()
    {
        return Err(EIO);
    }
    Ok(made)
}
