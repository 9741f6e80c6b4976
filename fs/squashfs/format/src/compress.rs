// SPDX-License-Identifier: GPL-2.0
//! Decompression of one block into memory of a known size. No locks. A decoder's state comes from the heap when it is made and is used
//! again for the next block; to decompress then takes no memory.

use decompress::{Error, xz, zstd};
use errno::Result;
use errno::code::{EIO, ENOMEM};
use kalloc::KBox;
use kalloc::flags::GFP_NOFS;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_COMPUTE_ADLER32, TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate};

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

    /// A decoder for the method. ENOMEM.
    #[inline(never)]
    pub fn decoder(self) -> Result<Decoder> {
        Ok(match self {
            Self::Zlib => Decoder::Zlib(KBox::new_with(DecompressorOxide::new, GFP_NOFS)?),
            Self::Lzo => Decoder::Lzo,
            Self::Xz => Decoder::Xz(xz::Decoder::new(GFP_NOFS).map_err(error)?),
            Self::Lz4 => Decoder::Lz4,
            Self::Zstd => Decoder::Zstd(zstd::Decoder::new(GFP_NOFS).map_err(error)?),
        })
    }
}

/// A decoder, for one block after the other.
pub enum Decoder {
    /// gzip.
    Zlib(KBox<DecompressorOxide>),
    /// LZO1X.
    Lzo,
    /// xz.
    Xz(xz::Decoder),
    /// LZ4 blocks.
    Lz4,
    /// zstd.
    Zstd(zstd::Decoder),
}

impl Decoder {
    /// Decompresses `from` to the start of `to`; how many bytes came out. EIO if it is damaged or does not fit.
    pub fn decode(&mut self, from: &[u8], to: &mut [u8]) -> Result<usize> {
        let done = match self {
            Self::Zlib(state) => zlib(state, from, to),
            Self::Lzo => lzo::decompress_into(from, to).map_err(|_| EIO),
            Self::Xz(decoder) => decoder.decode(from, to).map_err(error),
            Self::Lz4 => lz4_flex::block::decompress_into(from, to).map_err(|_| EIO),
            Self::Zstd(decoder) => decoder.decode(from, to).map_err(error),
        }?;
        if done <= to.len() { Ok(done) } else { Err(EIO) }
    }
}

fn error(error: Error) -> errno::Error {
    if error == Error::NoMemory { ENOMEM } else { EIO }
}

fn zlib(state: &mut DecompressorOxide, from: &[u8], to: &mut [u8]) -> Result<usize> {
    state.init();
    let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | TINFL_FLAG_COMPUTE_ADLER32;
    match inflate(state, from, to, 0, flags) {
        (TINFLStatus::Done, _, made) => Ok(made),
        _ => Err(EIO),
    }
}
