// SPDX-License-Identifier: GPL-2.0
//! What the allocators stand on: the layout of the kernel half of the address space (`layout`), what an entry of a page table says
//! (`pgprot`), the boot allocator, which knows what is memory and what of it is taken (`memblock`), the zones and their marks (`zone`),
//! which frames have records (`sections`), areas of kernel addresses (`areas`), and what is counted (`stat`).
//!
//! Only `mm_alloc` uses it, which re-exports what others need: its unsafe code trusts what is written here.
//! Lock: `memblock::MEMBLOCK`, innermost.

#![no_std]
#![forbid(unsafe_code)]

pub mod areas;
pub mod layout;
pub mod memblock;
pub mod pgprot;
pub mod sections;
pub mod stat;
pub mod zone;
