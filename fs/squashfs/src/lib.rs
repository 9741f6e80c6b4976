// SPDX-License-Identifier: GPL-2.0
//! squashfs, read only: `squashfs_format` knows what is in an image; here it meets the page cache, the block layer and the system
//! calls.
//!
//! | file | what |
//! |---|---|
//! | `mount` | mounting, options, the super block |
//! | `store` | bytes of the device; decompressed blocks that are kept |
//! | `node` | inodes, directories, attributes |
//! | `pages` | pages of files |
//!
//! Locks, outermost first: those of the VFS, page locks, a node's `map`, the store's `kept` (spin).

#![no_std]
#![forbid(unsafe_code)]

mod mount;
mod node;
mod pages;
mod store;

use kernel::filesystem::vfs::{register_filesystem, unregister_filesystem};
use kernel::prelude::*;

module! {
    type: Squashfs,
    name: "squashfs",
    authors: ["The Rideau developers"],
    description: "squashfs 4.0, a compressed read-only filesystem",
    license: "GPL",
    alias: ["fs-squashfs"],
}

struct Squashfs;

impl kernel::Module for Squashfs {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        register_filesystem(&mount::SQUASHFS)?;
        pr_info!("version 4.0\n");
        Ok(Self)
    }
}

impl Drop for Squashfs {
    fn drop(&mut self) {
        unregister_filesystem(&mount::SQUASHFS);
    }
}
