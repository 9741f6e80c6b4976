// SPDX-License-Identifier: GPL-2.0
//! Waiting for several descriptors at once: `poll(2)`, `ppoll(2)`, `select(2)`, `pselect6(2)`. (`epoll` is `fs/eventpoll`.)
//!
//! A pass asks every file what is ready and, while nothing is, registers with its wait queues; then the task sleeps until one of
//! them is woken. Locks: none of its own; the registrations take the wait queues' locks.

#![no_std]
#![forbid(unsafe_code)]

mod limits;
mod poll;
mod select;

pub use poll::{sys_poll, sys_ppoll};
pub use select::{sys_pselect6, sys_select};
