// SPDX-License-Identifier: GPL-2.0
//! Parts of a task that need no unsafe code: its state and work flags, and sets of I/O ports. The crate `task` re-exports them.
//! No locks.

#![no_std]
#![forbid(unsafe_code)]

mod io_ports;
pub mod state;

pub use io_ports::IoPorts;
