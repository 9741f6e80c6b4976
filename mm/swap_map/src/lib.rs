// SPDX-License-Identifier: GPL-2.0
//! The books of one swap area: which of its pages are used by how many entries of page tables ([`SlotMap`]), what its first page
//! says ([`Header`]), and where its pages are on the device ([`Extents`]). Pure: tested on the host. No locks.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

mod extents;
mod header;
mod slots;

pub use extents::{Extent, Extents};
pub use header::{Header, HeaderError};
pub use slots::{Cache, Put, SlotMap};

/// Bytes of a page of an area.
pub const PAGE_SIZE: usize = 4096;
