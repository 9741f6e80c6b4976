// SPDX-License-Identifier: GPL-2.0
//! Registers and memory of devices: `kernel::io`.
//!
//! Something that can be accessed ([`Io`]) is a view: a region of bytes ([`Region`]) or a typed value, and how it is reached (its
//! [`IoBackend`]): [`Mmio`] for a device's memory, [`SysMem`] for memory that a device shares, `pci::ConfigSpace`. Accesses that do
//! not begin with `try_` are checked when the code is compiled. A part of a view is one, too ([`io_project!`]). [`register!`] gives
//! registers names and fields.
//!
//! ```
//! use kernel::io::{Io, Mmio, Region, register};
//!
//! register! {
//!     /// What the device is doing.
//!     STATUS(u32) @ 0x8 {
//!         /// Requests that are waiting.
//!         15:8 waiting;
//!         0:0 ready => bool;
//!     }
//! }
//!
//! fn waiting(io: Mmio<'_, Region<0x10>>) -> u8 {
//!     let status = io.read(STATUS);
//!     if status.ready() { status.waiting().into() } else { 0 }
//! }
//! ```
//!
//! No locks: who writes a register that another CPU may write sees to the order.

mod access;
mod backend;
pub mod mem;
mod mmio;
pub mod poll;
mod project;
mod region;
pub mod register;
pub mod resource;
mod sys_map;
mod sys_mem;

pub use crate::{io_project, io_read, io_write, register};
pub use access::Io;
pub use backend::{IoBackend, IoBase, IoCapable, IoCopyable, IoLoc};
pub use mmio::{Mmio, MmioBackend, MmioRaw, RelaxedMmio, RelaxedMmioBackend};
#[doc(hidden)]
pub use project::{finish, start};
pub use region::Region;
pub use resource::Resource;
pub use sys_map::{IoSysMap, IoSysMapBackend};
pub use sys_mem::{SysMem, SysMemBackend};

/// A physical address.
pub type PhysAddr = u64;

/// The size of a [`Resource`], in bytes.
pub type ResourceSize = u64;
