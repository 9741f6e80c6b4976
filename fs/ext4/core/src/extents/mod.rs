// SPDX-License-Identifier: GPL-2.0
//! Extent trees. A node's records are sorted; an index gives the first block that its child covers. Every walk goes down at
//! most `MAX_DEPTH` levels, and each node is checked before it is used.
//!
//! The root lies in the inode, the other nodes in blocks with a checksum. A change of the tree is made under the inode's lock.

mod convert;
mod create;
mod insert;
mod path;
mod remove;
mod shift;

pub use shift::Shift;
