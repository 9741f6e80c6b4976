// SPDX-License-Identifier: GPL-2.0
//! io_uring: a program puts requests into a ring that it shares with the kernel, `io_uring_enter(2)` begins them, and their results
//! come in a second ring.
//!
//! | file | what |
//! |---|---|
//! | `abi` | numbers and layouts of the interface |
//! | `region` | memory that the program maps |
//! | `ring` | a ring: requests in, results out, who waits |
//! | `request` | one request, its chain (`IOSQE_IO_LINK`) and its end |
//! | `ops` | what requests do |
//! | `rw` | reads and writes |
//! | `iopoll` | rings that look for their results (`IORING_SETUP_IOPOLL`) |
//! | `multi` | requests with several results |
//! | `provided` | buffers that are chosen when a request's turn comes |
//! | `drain` | requests that all others wait for (`IOSQE_IO_DRAIN`) |
//! | `pending` | requests that wait: for a file to be ready, for a time; taking them back |
//! | `sqpoll` | the thread that takes requests in (`IORING_SETUP_SQPOLL`) |
//! | `workers` | threads that do requests (`IOSQE_ASYNC`) |
//! | `register` | registered files, buffers, event descriptors |
//! | `syscalls` | the calls |
//!
//! Direct transfers and `fsync` go on after the call. What has to wait for a file to be ready is done when that tells so, by a task
//! that sent it, on its way to user mode or while it waits in `io_uring_enter`: then files, memory and rights are the program's. The
//! rest is done within `io_uring_enter`.
//!
//! Locks: a ring's `submit` mutex while requests are taken in; the mutex of its buffer groups inside that; its spin locks `cq` (results), `work` (what a task is to do), `pending`,
//! `files`, `buffers`, `event` (interrupts off), none inside another; `polled`, with them on. A request's file is never dropped where an interrupt ends it.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod abi;
mod drain;
mod iopoll;
mod multi;
mod ops;
mod pending;
mod provided;
mod region;
mod register;
mod request;
mod ring;
mod rw;
mod sqpoll;
mod syscalls;
mod workers;

pub use ring::init;
pub use syscalls::{sys_io_uring_enter, sys_io_uring_register, sys_io_uring_setup};
