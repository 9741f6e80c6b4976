// SPDX-License-Identifier: GPL-2.0
//! Counted pointers that are read under RCU: safe containers for data that is looked up far more often than it is changed.
//! `RcuArc` is one place, `RcuList` a chain (of a hash bucket). A reader borrows without touching a count; what a writer takes
//! out loses its reference only after a grace period. Callers: the dentry cache, the mount table and other look-up tables.
//!
//! Locks: none here. Writers of one `RcuList` are serialised by the lock whose guard they pass.

#![no_std]

mod defer;
mod list;
mod slot;

pub use defer::{Deferred, RECLAIM, RcuGuard, Reclaim, read_lock};
pub use list::{RcuLink, RcuList, RcuListed};
pub use slot::RcuArc;
