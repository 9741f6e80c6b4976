// SPDX-License-Identifier: GPL-2.0
//! vfat: FAT with 12, 16 and 32 bits and long names. `fat_format` knows what is on it; here it meets the page cache, the block layer and
//! the system calls. The table and directories are changed in the device's buffers, which are written in the background or by `fsync`;
//! there is no journal.
//!
//! | file | what |
//! |---|---|
//! | `mount`, `options` | mounting, the super block |
//! | `mounted` | a mounted file system: errors, the state in the boot sector, the free count, inodes by place |
//! | `table` | the table: reading, giving clusters away and taking them back |
//! | `chain` | the clusters of a file |
//! | `dir` | places of a directory: finding, adding, removing |
//! | `names` | names of new files |
//! | `node` | inodes, attributes |
//! | `inode_ops` | looking up, making, removing, renaming |
//! | `open_dir`, `file`, `pages` | open directories and files, pages of files |
//! | `ioctl` | requests |
//!
//! Locks, outermost first: those of the VFS, page locks, a list of inodes by place, an inode's `place`, an inode's `chain`, the table's
//! `free`; then those of the device's buffers. A directory's places are guarded by its inode's lock, but that an entry's attributes are
//! written under its inode's `place` alone.

#![no_std]
#![forbid(unsafe_code)]

mod chain;
mod dir;
mod file;
mod inode_ops;
mod ioctl;
mod mount;
mod mounted;
mod names;
mod node;
mod open_dir;
mod options;
mod pages;
mod table;

use kernel::filesystem::vfs::register_filesystem;
use kernel::prelude::*;

module! {
    type: Vfat,
    name: "vfat",
    authors: ["The Rideau developers"],
    description: "VFAT filesystem",
    license: "GPL",
    alias: ["fs-vfat"],
}

struct Vfat;

impl kernel::Module for Vfat {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        register_filesystem(&mount::VFAT)?;
        Ok(Self)
    }
}
