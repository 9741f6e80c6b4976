// SPDX-License-Identifier: GPL-2.0
//! Data structures that `core` and `kalloc` lack: an ordered tree, an array by index, number pools, rings, hash tables.
//! Everybody above uses them. None takes a lock: the owner's lock or `&mut` guards each.
//!
//! | type | for |
//! |---|---|
//! | `RBTree<K, V>` | ordered keys, nodes allocated ahead: run queues, timers, VMAs |
//! | `XArray<T>` | sparse index to value with marks: page caches, tables by number |
//! | `IdPool`, `Idr<T>` | the lowest (or next) free number: pids, descriptors, minors |
//! | `ByteRing` | bytes in order: terminals, logs |
//! | `HashMap` | lookup by name or number |
//! | `bitmap` | bits in a slice of words |
//! | `sort` | sorting without recursion, for stacks of 16 KiB |
//!
//! The tree is a crate of its own (`lib/rbtree`), since its links are unsafe code.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod bitmap;
pub mod hash;
mod idr;
mod ring;
pub mod sort;
pub mod xarray;

pub use hash::HashMap;
pub use idr::{IdPool, Idr};
pub use rbtree::{self, RBTree, RBTreeNode, RBTreeNodeReservation};
pub use ring::ByteRing;
pub use xarray::{Mark, XArray};
