// SPDX-License-Identifier: GPL-2.0
//! ext4 (and ext3, ext2) under the VFS: `ext4_core` decides what is on the disk, `jbd2` keeps it whole; here they meet the page
//! cache, the block layer and the system calls.
//!
//! | file | what |
//! |---|---|
//! | `mount`, `recover`, `super_block`, `options`, `mounted`, `mmp` | mounting, and a mounted file system |
//! | `node`, `inode_ops`, `dir`, `truncate`, `fallocate`, `xattr`, `acl`, `file`, `direct` | inodes, and what is done to them |
//! | `ioctl`, `fileattr`, `fiemap`, `admin`, `move_extent` | requests of e2fsprogs |
//! | `pages`, `bios`, `ranges`, `clusters`, `journal_data` | pages of files, delayed allocation |
//! | `buffer`, `device`, `bdev`, `store`, `journal`, `locks` | what the core and the journal stand on |
//! | `health`, `show` | errors and `errors=`; `/sys` and `/proc` |
//!
//! Locks, outermost first: the VFS's locks of inodes, `invalidate` of a mapping, a handle (transaction), page locks, a node's
//! `tree`, the core's locks, those of `buffer` and of the journal.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod acl;
mod admin;
mod bdev;
mod bios;
mod buffer;
mod clusters;
mod device;
mod dir;
mod direct;
mod fallocate;
mod fast_commit;
mod fiemap;
mod file;
mod fileattr;
mod fsmap;
mod health;
mod inode_ops;
mod ioctl;
mod journal;
mod journal_data;
mod locks;
mod migrate;
mod mmp;
mod mount;
mod mounted;
mod move_extent;
mod node;
mod options;
mod pages;
mod ranges;
mod recover;
mod show;
mod store;
mod super_block;
mod swapfile;
mod truncate;
mod xattr;

use kernel::ext::ModuleHeader;
use kernel::filesystem::vfs::register_filesystem;
use kernel::prelude::*;

module! {
    type: Ext4,
    name: "ext4",
    authors: ["The Rideau developers"],
    description: "Fourth Extended Filesystem",
    license: "GPL",
    alias: ["fs-ext4", "fs-ext3", "fs-ext2"],
}

struct Ext4;

impl kernel::Module for Ext4 {
    fn init(module: &'static ThisModule) -> Result<Self> {
        // It stays once it is loaded: who has a file of /sys/fs/ext4 open would run what is gone.
        let _stays = module.header().is_none_or(ModuleHeader::try_get);
        // Without it file systems mount all the same.
        if let Err(error) = show::init() {
            pr_err!("EXT4-fs: /sys/fs/ext4: {error}\n");
        }
        for fs_type in [&mount::EXT3, &mount::EXT2, &mount::EXT4] {
            register_filesystem(fs_type)?;
        }
        Ok(Self)
    }
}
