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
mod location;
pub mod poll;
mod project;
pub mod register;

pub use crate::{io_read, io_write, register};
pub use access::Io;
pub use kernel_core::io::*;
pub use location::IoLoc;
