// SPDX-License-Identifier: GPL-2.0
//! Consoles of hypervisors: `drivers/tty/hvc` under its own names. Rust-for-Linux has no such interface.

pub use hvc::*;
