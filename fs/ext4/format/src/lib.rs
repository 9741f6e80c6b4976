// SPDX-License-Identifier: GPL-2.0
//! ext4's format on the disk: structures, feature bits, checksums, directory hashes, ACLs. No state, no locks, no I/O; any
//! context. `ext4_core` uses it, and tools may.
//!
//! Everything on the disk is little-endian. Structures that are taken as a whole are `zerocopy` types; records whose length
//! varies (inodes, group descriptors) are decoded to native structures, so that fields beyond a short record are simply zero.
//! Source: Linux's "ext4 Data Structures and Algorithms".

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod acl;
pub mod crc;
pub mod dir;
pub mod extent;
pub mod feature;
pub mod group;
pub mod hash;
pub mod inode;
pub mod le;
pub mod superblock;
pub mod xattr;

pub use group::GroupDesc;
pub use inode::RawInode;
pub use superblock::SuperBlock;
