// SPDX-License-Identifier: GPL-2.0
//! `/proc`: processes as directories, and texts about the system. The fixed part is a `kernfs` tree that other crates may add
//! to ([`root`]); directories of processes are made as they are looked at. Source: `proc(5)`.
//!
//! | file | what |
//! |---|---|
//! | `root` | the mounted file system and its root directory |
//! | `options` | mount options |
//! | `text/` | texts about the system (`stat`, `meminfo`, `cpuinfo`, ...) |
//! | `sysctl` | `/proc/sys` |
//! | `kmsg` | `/proc/kmsg` |
//! | `per_ns` | files of the opener's name space |
//! | `pid/` | `/proc/PID` and `/proc/PID/task/TID` |
//!
//! Columns of fixed formats that this kernel has nothing for show what Linux shows without the feature: in `stat` `irq` and
//! `softirq` (the tick, which Linux samples with too, never finds a handler that it interrupted), `steal`, `guest` and
//! `guest_nice` (no virtual time accounting); in `/proc/PID/stat` those named in `pid::stat`; in `/proc/PID/statm` `lib` and
//! `dt` (always 0 since Linux 2.6).
//!
//! Locks: those of `kernfs`; everything else takes the locks of what it shows, one at a time.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod kmsg;
mod options;
pub mod per_ns;
mod pid;
mod root;
mod sysctl;
mod text;

pub use kernfs::{Attribute, Node, Text, TextRw};
pub use root::init;
pub use sysctl::parse_number;
pub use text::{BLOCK_MAJORS, BlockMajors};

use errno::{Result, code::ENODEV};
use kalloc::Arc;
use kernfs::Ino;
use locking::SetOnce;

/// Numbers of the fixed part; processes' inodes have lower ones.
static NUMBERS: Ino = Ino::new(0xf000_0000);
static TREE: SetOnce<Arc<Node>> = SetOnce::new();

/// The root of the fixed part, for crates that add to it; `ENODEV` before [`init`].
pub fn root() -> Result<&'static Arc<Node>> {
    TREE.get().ok_or(ENODEV)
}
