// SPDX-License-Identifier: GPL-2.0
//! Decompression of what the boot loader and user programs hand over: initramfs archives, modules. A stream is found by
//! its magic and comes out in pieces, so that nothing but a window is held. May sleep (allocates with `GFP_KERNEL`).
//! [`xz::Decoder`] and [`zstd::Decoder`] also decompress into memory for all; they are our own since all their memory comes from the
//! kernel's heap, can fail to come, and is used again, and since they need little stack.
//! No locks. Source: RFC 1951, RFC 1952 (gzip), RFC 8878 (zstd), Linux's table of magics in the initramfs buffer format.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod crc32;
mod gzip;
mod output;
pub mod xz;
pub mod zstd;

pub use crc32::{crc32, crc32_update, crc64_update};

use kalloc::flags::GFP_KERNEL;
use output::Output;

/// How a stream is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// gzip: deflate with a CRC.
    Gzip,
    /// bzip2 (recognized only).
    Bzip2,
    /// lzma (recognized only).
    Lzma,
    /// xz.
    Xz,
    /// lzop (recognized only).
    Lzo,
    /// lz4, legacy frames (recognized only).
    Lz4,
    /// zstd.
    Zstd,
}

impl Method {
    /// Linux's name of the method.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Gzip => "gzip",
            Method::Bzip2 => "bzip2",
            Method::Lzma => "lzma",
            Method::Xz => "xz",
            Method::Lzo => "lzo",
            Method::Lz4 => "lz4",
            Method::Zstd => "zstd",
        }
    }
}

/// Why a stream could not be decompressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// There is no decoder for the method.
    NotConfigured(Method),
    /// The stream ends too early.
    Truncated,
    /// The stream is not valid.
    Corrupt,
    /// The checksum or the length at the end is not that of the data.
    Checksum,
    /// More comes out than the caller allows.
    TooLong,
    /// No memory for the decoder.
    NoMemory,
    /// The sink gave this error.
    Sink(errno::Error),
}

impl Error {
    /// A sentence for the log.
    pub const fn message(self) -> &'static str {
        match self {
            Error::NotConfigured(_) => "compression method not configured",
            Error::Truncated => "compressed data ends too early",
            Error::Corrupt => "compressed data is corrupt",
            Error::Checksum => "crc error",
            Error::TooLong => "decompressed data is too long",
            Error::NoMemory => "out of memory while decompressing",
            Error::Sink(_) => "write error",
        }
    }
}

impl From<kalloc::AllocError> for Error {
    fn from(_: kalloc::AllocError) -> Self {
        Error::NoMemory
    }
}

impl From<Error> for errno::Error {
    fn from(e: Error) -> Self {
        use errno::code::*;
        match e {
            Error::NotConfigured(_) => EOPNOTSUPP,
            Error::Truncated | Error::Corrupt | Error::Checksum => EINVAL,
            Error::TooLong => EFBIG,
            Error::NoMemory => ENOMEM,
            Error::Sink(e) => e,
        }
    }
}

/// Where decompressed bytes go.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> errno::Result;

/// The method of a stream, by its first two bytes.
pub fn detect(data: &[u8]) -> Option<Method> {
    match data {
        [0x1f, 0x8b | 0x9e, ..] => Some(Method::Gzip),
        [0x42, 0x5a, ..] => Some(Method::Bzip2),
        [0x5d, 0x00, ..] => Some(Method::Lzma),
        [0xfd, 0x37, ..] => Some(Method::Xz),
        [0x89, 0x4c, ..] => Some(Method::Lzo),
        [0x02, 0x21, ..] => Some(Method::Lz4),
        [0x28, 0xb5, ..] => Some(Method::Zstd),
        _ => None,
    }
}

/// Decompresses one stream (a gzip member, a zstd frame) from the start of `data` into `sink`, at most `limit` bytes.
/// Returns how much of `data` the stream took.
pub fn decompress(data: &[u8], method: Method, limit: u64, sink: Sink<'_>) -> Result<usize, Error> {
    let mut left = limit;
    let mut bounded = |piece: &[u8]| {
        left = left.checked_sub(piece.len() as u64).ok_or(Error::TooLong)?;
        sink(piece).map_err(Error::Sink)
    };
    match method {
        Method::Gzip => gzip::decompress(data, &mut bounded),
        Method::Xz => xz::Decoder::new(GFP_KERNEL)?.stream(data, &mut Output::sink(&mut bounded)),
        Method::Zstd => zstd::Decoder::new(GFP_KERNEL)?.frame(data, &mut Output::sink(&mut bounded)),
        other => Err(Error::NotConfigured(other)),
    }
}

#[cfg(test)]
mod tests;
