// SPDX-License-Identifier: GPL-2.0
//! File systems whose files live in memory only: tmpfs (with limits), ramfs and the root file system of boot (without), and
//! `memfd_create`. Names live in the dentry cache, contents in the page cache. devtmpfs builds on it.
//!
//! Called by the VFS; `init` and `mount_rootfs` by the boot code. Locks: `xattrs` of an inode (spin). Limits are atomics.
//! Source: `tmpfs(5)`, `memfd_create(2)`.

#![no_std]
#![forbid(unsafe_code)]

mod file;
mod inode;
mod limits;
pub mod memfd;
mod options;
mod super_block;
mod xattr;

pub use memfd::sys_memfd_create;
pub use options::Options;
pub use super_block::{init, mount_rootfs, new_super};
