// SPDX-License-Identifier: GPL-2.0
//! `inotify(7)`: what happens to files, read from a file. Called by the system call table; the VFS tells its marks.
//!
//! | file | what |
//! |---|---|
//! | `group` | what an inotify file is: a table of watches and a queue; its file operations |
//! | `queue` | the queue of events |
//! | `watch` | a watch: the mark on an inode |
//! | `limits` | the limits below `/proc/sys/fs/inotify`, and who uses how much of them |
//! | `syscalls` | `inotify_init1`, `inotify_add_watch`, `inotify_rm_watch` |
//!
//! Locks, outermost first: a group's `watches`, an inode's marks (the VFS's), a group's `queue` (spinning), `USERS`.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod group;
pub mod limits;
mod queue;
pub mod syscalls;
mod watch;

pub use syscalls::{sys_inotify_add_watch, sys_inotify_init, sys_inotify_init1, sys_inotify_rm_watch};
