// SPDX-License-Identifier: GPL-2.0
//! What the allocators stand on: the layout of the kernel half of the address space (`layout`), what an entry of a page table says
//! (`pgprot`), the boot allocator, which knows what is memory and what of it is taken (`memblock`), the zones and their marks (`zone`),
//! free memory grouped by mobility (`mobility`), which frames have records (`sections`), areas of
//! kernel addresses (`areas`), what is counted (`stat`), a frame's flags, and what an allocation does that finds no memory (`reclaim`).
//!
//! Only `mm_alloc` uses it, which re-exports what others need: its unsafe code trusts what is written here.
//! Lock: `memblock::MEMBLOCK`, innermost.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod areas;
mod flags;
pub mod layout;
pub mod memblock;
pub mod mobility;
pub mod pgprot;
pub mod reclaim;
pub mod sections;
pub mod stat;
pub mod zone;

pub use flags::PageFlags;
