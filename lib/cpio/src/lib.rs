// SPDX-License-Identifier: GPL-2.0
//! cpio archives ("newc" and "crc") as Linux's initramfs has them: a stream parser, and `unpack` for a whole buffer of
//! concatenated archives, each perhaps compressed. The start-up code gives a `Sink` that makes the files. May sleep
//! (allocates with `GFP_KERNEL`). No locks. Source: "initramfs buffer format" of Linux's documentation, `cpio(5)`.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod header;
mod parser;
mod unpack;

pub use header::Header;
pub use parser::Parser;
pub use unpack::unpack;

use errno::code::*;

/// What receives the files of an archive. An error from any of these ends the unpacking; a file that cannot be made and
/// is to be passed over is `Ok(false)`.
pub trait Sink {
    /// A file that is not a symbolic link: a regular file, directory, device, FIFO or socket, by `header.mode`. For a
    /// regular file with `header.size > 0` its bytes follow by `data` if this returns true. An existing file is
    /// replaced or truncated, an existing directory gets the attributes.
    fn create(&mut self, name: &[u8], header: &Header) -> errno::Result<bool>;

    /// A further name of the file made as `old`. As for `create` its bytes may follow: archives carry them with one of
    /// the names only.
    fn hard_link(&mut self, old: &[u8], name: &[u8], header: &Header) -> errno::Result<bool>;

    /// A symbolic link.
    fn symlink(&mut self, name: &[u8], target: &[u8], header: &Header) -> errno::Result;

    /// The next bytes of the file made last.
    fn data(&mut self, bytes: &[u8]) -> errno::Result;

    /// The file made last is complete.
    fn close(&mut self, header: &Header) -> errno::Result;
}

/// Why an archive could not be unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// No header where one must be.
    NoMagic,
    /// A header of the old portable format ("070707").
    OldFormat,
    /// A header with something else than hexadecimal digits.
    BadHeader,
    /// A name without its NUL.
    BadName,
    /// The sum of a "crc" archive's file is wrong.
    BadChecksum,
    /// The zeros after an archive do not reach to a multiple of four.
    BrokenPadding,
    /// Something else than an archive follows an archive.
    Junk,
    /// The buffer starts with something that is neither an archive nor compressed.
    BadStart,
    /// The archive ends in the middle of a file.
    Truncated,
    /// A compressed archive is damaged, or there is no decoder.
    Decompress(decompress::Error),
    /// No memory.
    NoMemory,
    /// The sink gave this error.
    Sink(errno::Error),
}

impl Error {
    /// A sentence for the log, as Linux has it where it has one.
    pub const fn message(self) -> &'static str {
        match self {
            Error::NoMagic => "no cpio magic",
            Error::OldFormat => "incorrect cpio method used: use -H newc option",
            Error::BadHeader => "invalid cpio header",
            Error::BadName => "malformed archive",
            Error::BadChecksum => "bad data checksum",
            Error::BrokenPadding => "broken padding",
            Error::Junk => "junk within compressed archive",
            Error::BadStart => "invalid magic at start of compressed archive",
            Error::Truncated => "junk at the end of compressed archive",
            Error::Decompress(e) => e.message(),
            Error::NoMemory => "can't allocate buffers",
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
        match e {
            Error::NoMemory => ENOMEM,
            Error::Decompress(e) => e.into(),
            Error::Sink(e) => e,
            _ => EINVAL,
        }
    }
}

#[cfg(test)]
mod tests;
