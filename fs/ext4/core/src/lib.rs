// SPDX-License-Identifier: GPL-2.0
//! ext4 without a kernel: all that decides what is on the disk. `fs/ext4` (the module) puts it under the VFS.
//!
//! Built on `ext4_store::Store` (buffers, transactions, locks, clock), so that it runs on the host too, where its tests compare
//! it with e2fsprogs. Documentation/filesystems/ext4.md describes the operations.
//!
//! ## Locks
//! An inode is a plain value: `&Inode` to look up, `&mut Inode` to change. Its owner guards it (`RwSemaphore<Inode>`), so
//! that reads of one file go on in parallel and nothing is shared between files. Inside there are only:
//! - a lock for each group: its bitmaps, its descriptor, what it keeps ahead (`group.rs`);
//! - a lock for each processor: the group where small files go (`balloc.rs`);
//! - a lock for each block of the orphan file; without that feature the superblock's lock guards the list of orphans;
//! - the superblock's lock, for changes of the superblock.
//!
//! Order: handle, inodes (VFS's order), processor's lock, group's lock; superblock's or an orphan block's lock, then data of a
//! buffer. No operation of a file takes a lock that all share, but for the list of orphans.
//!
//! ## Damage
//! Whatever the disk says is checked where it is read. A walk is bounded by what it walks (levels, blocks, inodes). Errors are
//! `EUCLEAN`, `EBADMSG` for checksums, `EIO`; each is reported through `Store::error` first.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod balloc;
mod bitmap;
mod counter;
mod dir;
mod extents;
mod file;
mod fs;
mod geometry;
mod group;
mod ialloc;
mod indirect;
mod inline;
mod inode;
mod map;
mod migrate;
pub mod mmp;
mod namei;
mod orphan;
mod quota;
mod replay;
mod resize;
mod space;
mod tx;
mod xattr;

pub use dir::{Cursor, Found};
pub use ext4_format as format;
pub use ext4_store as store;
pub use extents::Shift;
pub use fs::{Fs, Options, StatFs};
pub use geometry::Geometry;
pub use inode::Inode;
pub use map::{Create, Mapping, State};
pub use migrate::Migration;
pub use namei::NewFile;
pub use orphan::Noted;
pub use quota::{Quota, QuotaKind};
pub use replay::Replayer;
pub use space::{Run, Use};
pub use tx::Tx;
pub use xattr::SetMode;
