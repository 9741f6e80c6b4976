// SPDX-License-Identifier: GPL-2.0
//! A tree of directories, attributes and links that the kernel makes and programs read and write: what is under `/sys` and the
//! fixed part of `/proc`. Nodes are small; their inodes are made when a program looks at them and may go again.
//!
//! Called by `sysfs` and `proc`, and through them by whoever has something to show. Locks: each directory's child list has a
//! reader-writer semaphore, taken inside the inode's `lock`; attributes run without any lock of this crate but the open
//! file's.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod attribute;
mod file;
mod inode;
mod node;
mod revocable;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;

pub use attribute::{Attribute, Flag, Text, TextRw};
pub use inode::{NodeInode, inode_for, iterate, lookup};
pub use node::{Ino, Node};
pub use revocable::Revocable;
