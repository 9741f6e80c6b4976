// SPDX-License-Identifier: GPL-2.0
//! jbd2: a block journal in the format of Linux's. A file system (ext4) changes its metadata blocks in transactions; after a
//! crash each of them is on the disk as a whole or not at all.
//!
//! The crate is pure: it runs over the traits of [`system`] (a monitor to sleep in, the log's device, buffers), in the kernel
//! and, in tests, on the host with a disk that forgets what was not flushed.
//!
//! | module | what |
//! |---|---|
//! | `format`, `csum` | what lies on the disk: superblock, descriptor tags, revoke and commit blocks, their checksums |
//! | `recovery`, `fast_commit`, `append` | replay after a crash in three passes; the fast-commit area; what its replay changed |
//! | `journal` | opening, flushing, ending, aborting a journal; its superblock |
//! | `handle`, `access` | handles and their credits; which transaction a buffer belongs to |
//! | `commit`, `log` | writing a transaction |
//! | `checkpoint` | getting log space back |
//! | `daemon` | who commits when; waiting for it |
//!
//! ## Locks
//! `checkpointing` (held over I/O, one who advances the tail) → `superblock` (held over its write) → `state` (short, never over
//! I/O; copies of single blocks are made under it). The caller's locks come before all of them, except a buffer's data, which
//! comes last. A commit runs with none of them held but between its steps.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "host"))]
extern crate std;

mod access;
mod append;
mod checkpoint;
mod commit;
mod csum;
mod daemon;
pub mod fast_commit;
pub mod format;
mod handle;
#[cfg(feature = "host")]
pub mod host;
mod journal;
mod log;
pub mod recovery;
mod state;
pub mod system;

pub use handle::Handle;
pub use journal::{Config, Geometry, Journal, Run};
pub use state::{Mark, Stats};
pub use system::{BlockDevice, Buffer, Claim, LogBuf, Monitor, OrderedRange, System, WriteFlags};

/// Number of a transaction. Numbers wrap: compare with [`tid_gt`] and [`tid_geq`].
pub type Tid = u32;

/// Whether `a` is a later transaction than `b`.
#[inline]
pub const fn tid_gt(a: Tid, b: Tid) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// Whether `a` is `b` or later.
#[inline]
pub const fn tid_geq(a: Tid, b: Tid) -> bool {
    (a.wrapping_sub(b) as i32) >= 0
}
