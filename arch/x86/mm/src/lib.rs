// SPDX-License-Identifier: GPL-2.0
//! User address spaces as the hardware sees them, and the kernel's way to user memory.
//!
//! - [`PageTable`]: the user half of one address space. It owns one reference to each page it maps. `mm` decides what to map.
//! - [`switch_to`]: loads an address space, lazily; [`tlb`]: keeps every CPU's translations true.
//! - [`ldt`]: the segments that a program makes for itself (`modify_ldt`).
//! - [`huge`]: entries that map 2 MB of private memory.
//! - [`swap`]: entries of pages that are in swap space.
//! - [`uaccess`]: copies from and to user memory that may fault; [`extable`]: where such a fault continues.
//!
//! Locks: a lock for each table that has entries of memory (in its frame record), taken with preemption off; nothing is locked inside
//! but the page cache's lock by closures of `mm`, and what [`swap::SWAP`] takes. Table pages are made without a lock and freed by `unmap`
//! under `PageTable`'s own lock, which walkers hold who have no lock of `mm` (truncation). User addresses are below `TASK_SIZE`; others
//! are refused.

#![no_std]

pub mod extable;
pub mod fork;
mod free;
mod gather;
pub mod huge;
pub mod init;
mod join;
pub mod lazy;
pub mod ldt;
mod marks;
mod quicklist;
pub mod range;
pub mod swap;
pub mod table;
pub mod tlb;
pub mod uaccess;

pub use init::{init, init_cpu};
pub use join::{Census, Joined};
pub use ldt::{Ldt, UserDesc};
pub use mm_alloc::layout::TASK_SIZE;
pub use table::{Kind, PageTable, WriteFault};
pub use tlb::{FlushRequest, TLB_IPI, TlbIpi, switch_to};
pub use uaccess::{
    IovIter, UserPtr, access_ok, clear_user, copy_from_user, copy_to_user, get_user, put_user, strncpy_from_user,
};
pub use x86_pte::entry;
pub use x86_pte::{Entry, UserProt};
