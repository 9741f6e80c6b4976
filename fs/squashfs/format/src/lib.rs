// SPDX-License-Identifier: GPL-2.0
//! What is in a squashfs 4.0 image: superblock, metadata blocks, inodes, directories, file blocks, fragments, extended attributes.
//! Everything read is doubted: damage is `EIO` (`EINVAL` in the superblock and the tables that a mount reads), never a panic, and
//! nothing is allocated whose size the image does not back with bytes of its own.
//!
//! | file | what |
//! |---|---|
//! | `superblock` | the superblock |
//! | `compress` | the five methods of compression |
//! | `image` | an open image; metadata blocks; tables of ids and fragments |
//! | `inode`, `dir`, `file`, `xattr` | what the names say |
//!
//! Called by `fs/squashfs`, which is the [`Store`]. No locks. May sleep. Source: the format's description in squashfs-tools and
//! Linux's `squashfs_fs.h`.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod compress;
mod dir;
mod file;
mod image;
mod inode;
mod le;
mod superblock;
mod xattr;

pub use compress::{Decoder, Method};
pub use dir::{DirReader, Entry, NAME_LEN};
pub use file::{BlockAt, FileMap};
pub use image::{Block, Cursor, Image, Kind, Store};
pub use inode::{Data, Inode, NO_FRAGMENT, NO_XATTR};
pub use superblock::{MAGIC, Super};
pub use xattr::Space;

/// Bytes of a full metadata block.
pub const METADATA: usize = 8192;
