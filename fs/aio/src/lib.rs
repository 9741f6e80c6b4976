// SPDX-License-Identifier: GPL-2.0
//! Linux AIO: `io_setup(2)`, `io_submit(2)`, `io_getevents(2)` and their kin. A context is a ring of events in memory that the program
//! and the kernel share; its number is the ring's address, and it lives as long as that mapping (or requests are on their way).
//!
//! | file | what |
//! |---|---|
//! | `ring` | the shared ring |
//! | `context` | a context: its requests, who waits for them |
//! | `request` | one request from `io_submit` to its event |
//! | `poll` | requests that wait for a file to be ready |
//! | `syscalls` | the calls |
//!
//! Transfers past the page cache go on after `io_submit` where the file can do that ([`vfs::FileOps::submit_direct`]), `fsync` in a
//! worker; others are done within `io_submit`, as in Linux.
//!
//! Locks: a context's `reaping` mutex around the ring's head and copies to the program; its `tail` spin lock (interrupts off) around
//! the ring's tail. A request's file is dropped by a task, never where the request ends.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod context;
mod poll;
mod request;
mod ring;
mod syscalls;

pub use context::{aio_max_nr, aio_nr};
pub use syscalls::{sys_io_cancel, sys_io_destroy, sys_io_getevents, sys_io_pgetevents, sys_io_setup, sys_io_submit};
