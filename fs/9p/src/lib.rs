// SPDX-License-Identifier: GPL-2.0
//! v9fs: files of a server that speaks 9P2000.L, such as a directory of the host of a virtual machine. `p9net` speaks with the server;
//! here files get inodes, pages and system calls.
//!
//! | file | what |
//! |---|---|
//! | `mount`, `options` | mounting, the super block |
//! | `session` | a mounted file system: who acts on the server for whom |
//! | `node` | inodes: the server's files behind them, their attributes |
//! | `inode_ops`, `setattr`, `xattr` | looking up, making, removing, renaming; changing attributes |
//! | `open_dir`, `file`, `pages` | open directories and files, pages of files |
//! | `lock` | locks |
//!
//! The server is the truth: with `cache=none` each name and each attribute is asked for when it is used (`InodeOps::check`,
//! `refresh`), with `cache=loose` none again while it is cached.
//!
//! Locks, outermost first: those of the VFS, page locks, then an inode's `fids`, `place`, `made` and `open`, each alone and for a moment: no
//! message is sent under them.

#![no_std]
#![forbid(unsafe_code)]

mod file;
mod inode_ops;
mod lock;
mod mount;
mod node;
mod open_dir;
mod options;
mod pages;
mod session;
mod setattr;
mod xattr;

use kernel::ext::Alive;
use kernel::filesystem::vfs::{register_filesystem, unregister_filesystem};
use kernel::prelude::*;

module! {
    type: V9fs,
    name: "9p",
    authors: ["The Rideau developers"],
    description: "9P Client File System",
    license: "GPL",
    alias: ["fs-9p"],
}

/// Sessions that are in memory.
pub(crate) static ALIVE: Alive = Alive::new();

struct V9fs;

impl kernel::Module for V9fs {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        register_filesystem(&mount::V9FS)?;
        Ok(Self)
    }
}

impl Drop for V9fs {
    fn drop(&mut self) {
        unregister_filesystem(&mount::V9FS);
        ALIVE.wait_gone();
    }
}
