// SPDX-License-Identifier: GPL-2.0
//! What entries of page tables and of local descriptor tables say, how pages are counted, which PCID a context has: what `x86_mm`
//! knows without touching a table. It re-exports this; the crate is part of its trusted base. No locks.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod entry;
pub mod huge;
mod join;
mod kind;
pub mod ldt;
mod pcid;
mod rss;
pub mod swap;
#[cfg(test)]
mod tests;

pub use entry::{Entry, OWN, PROT_NONE, UserProt};
pub use join::{Census, Joined};
pub use kind::{Counts, Kind};
pub use pcid::Pcids;
pub use rss::Rss;
