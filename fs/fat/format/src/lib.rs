// SPDX-License-Identifier: GPL-2.0
//! What is on a FAT file system: the boot sector, the table's entries, directory entries with short and long names, dates. Everything
//! read is doubted; nothing here reads or writes a device.
//!
//! | file | what |
//! |---|---|
//! | `boot` | the boot sector, the information sector of FAT32 |
//! | `link` | entries of the table: 12, 16 and 32 bits |
//! | `entry` | directory entries and the slots of long names |
//! | `reader` | gathering the slots of a file from a directory's entries |
//! | `short` | making short names, and how they are shown |
//! | `charset` | code page 437; the character sets that programs see |
//! | `date` | times |
//!
//! Called by `fs/fat`. No locks. Source: "Microsoft Extensible Firmware Initiative FAT32 File System Specification", 1.03.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod boot;
pub mod charset;
pub mod date;
pub mod entry;
pub mod link;
pub mod reader;
pub mod short;

/// Most UTF-16 units of a long name.
pub const LONG_MAX: usize = 255;
/// Units in one slot of a long name.
pub const SLOT_UNITS: usize = 13;
/// Bytes of a directory entry.
pub const ENTRY: usize = 32;

pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |two| u16::from_le_bytes(*two))
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

pub(crate) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}
