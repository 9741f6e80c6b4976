// SPDX-License-Identifier: GPL-2.0
//! Character devices with a major number of the driver's own, and what their open files are made of. Rust-for-Linux has miscellaneous
//! devices only ([`crate::miscdevice`]).

pub use cdev::*;
pub use uapi::{POLL_IN, POLL_OUT};
pub use vfs::{FasyncList, File, FileOps, PollMask, PollTable, fmode};
pub use x86_mm::uaccess::IovIter;
