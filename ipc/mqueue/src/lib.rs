// SPDX-License-Identifier: GPL-2.0
//! POSIX message queues: files of a file system of their own, with system calls to send and receive. Source: `mq_overview(7)` and
//! the manual pages named there.
//!
//! | file | what |
//! |---|---|
//! | `ns` | what one name space has of queues |
//! | `fs` | the file systems, one of each name space, that may be mounted |
//! | `queue` | a queue: messages by priority, who waits |
//! | `account` | limits, and what each user's queues take |
//! | `file` | an open queue |
//! | `notify` | `mq_notify(2)` |
//! | `syscalls` | the other calls |
//!
//! Called by the system-call table and the VFS. Locks: a directory's (the VFS's), then a queue's state (spin), inside it a waiter's
//! slot and the wait queues. Nothing is copied from or to user memory under a queue's.

#![no_std]
#![forbid(unsafe_code)]

mod account;
mod file;
mod fs;
mod notify;
mod ns;
mod queue;
pub mod syscalls;

pub use fs::init;
pub use notify::sys_mq_notify;
