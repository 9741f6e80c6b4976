// SPDX-License-Identifier: GPL-2.0
//! Event descriptors: `epoll(7)`, which waits for many files at once, and `eventfd(2)`, which is a counter to wait for.
//!
//! | file | what |
//! |---|---|
//! | `item` | one watched file, and the list of those that are ready |
//! | `epoll` | the open epoll file: its table of items, collecting events |
//! | `ctl` | adding, changing and removing items; loops among nested epolls |
//! | `limits` | how many files a user may watch |
//! | `syscalls` | `epoll_create`, `epoll_ctl`, `epoll_wait` and their kin |
//! | `eventfd` | the counter |
//!
//! Locks, outermost first: `ctl::NESTING` (sleeping, only for epolls inside epolls), an epoll's `items` (sleeping), its `scan`
//! (sleeping), a watched file's wait queue (spin), an epoll's `ready` (spin, interrupts off), its own wait queues (spin).

#![no_std]
#![forbid(unsafe_code)]

mod ctl;
mod epoll;
mod eventfd;
mod item;
pub mod limits;
mod syscalls;

pub use ctl::target;
pub use eventfd::{eventfd_signal, is_eventfd, sys_eventfd, sys_eventfd2};
pub use syscalls::{
    sys_epoll_create, sys_epoll_create1, sys_epoll_ctl, sys_epoll_pwait, sys_epoll_pwait2, sys_epoll_wait,
};
