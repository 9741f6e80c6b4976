// SPDX-License-Identifier: GPL-2.0
//! ISO 9660, read only, with Rock Ridge and Joliet: `isofs_format` knows what is on a disc; here it meets the page cache, the block
//! layer and the system calls.
//!
//! | file | what |
//! |---|---|
//! | `mount`, `options` | mounting, the super block |
//! | `node` | inodes and directories |
//! | `pages` | pages of files |
//!
//! Locks: those of the VFS, page locks, then those of the device's buffers; there are none of our own.

#![no_std]
#![forbid(unsafe_code)]

mod mount;
mod node;
mod options;
mod pages;

use kernel::filesystem::vfs::register_filesystem;
use kernel::prelude::*;

module! {
    type: Isofs,
    name: "isofs",
    authors: ["The Rideau developers"],
    description: "ISO 9660 CD-ROM filesystem",
    license: "GPL",
    alias: ["fs-iso9660", "iso9660"],
}

struct Isofs;

impl kernel::Module for Isofs {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        register_filesystem(&mount::ISO9660)?;
        Ok(Self)
    }
}
