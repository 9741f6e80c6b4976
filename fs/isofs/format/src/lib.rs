// SPDX-License-Identifier: GPL-2.0
//! What is on an ISO 9660 disc: volume descriptors, directory records, Joliet names, Rock Ridge attributes. Everything read is doubted:
//! damage is `EIO` (`EINVAL` in the descriptors that a mount reads), never a panic.
//!
//! | file | what |
//! |---|---|
//! | `volume` | the descriptors; which of the trees is shown |
//! | `record` | directory records and their names |
//! | `rock` | Rock Ridge: the fields behind a record |
//! | `inode` | what a record says of its file |
//! | `dir` | going through a directory |
//! | `date` | times |
//!
//! Called by `fs/isofs`, which is the [`Store`]. No locks. May sleep. Source: ECMA-119; the Joliet specification; the System Use Sharing
//! Protocol and the Rock Ridge Interchange Protocol (IEEE P1281, P1282).

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod date;
mod dir;
mod inode;
mod record;
mod rock;
mod volume;

pub use dir::{DirReader, Entry};
pub use inode::{Inode, Section};
pub use record::Names;
pub use volume::{Choice, Volume};

/// Bytes of a sector. Records of directories do not cross sectors; a block may be smaller.
pub const SECTOR: u64 = 2048;

/// Where a disc's bytes come from.
pub trait Store {
    /// Fills `to` with the bytes from `pos` on. EIO. May sleep.
    fn read(&self, pos: u64, to: &mut [u8]) -> errno::Result;
}

/// A record's place: the byte of the disc.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place(pub u64);

impl Place {
    /// The inode number of the file whose record is here: records have more than 32 bytes.
    pub fn ino(self) -> u64 {
        self.0 >> 5
    }
}

/// A little-endian field of a record that ends too early is 0.
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |two| u16::from_le_bytes(*two))
}

pub(crate) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}
