// SPDX-License-Identifier: GPL-2.0
//! The sleeping family: wait queues, mutexes, reader-writer semaphores, completions, and the registration that `poll(2)` and
//! `epoll(7)` make with wait queues. Task context only (waking is allowed anywhere).
//!
//! Locks: each object has one spin lock inside, taken with interrupts off; under it a wake-up takes a run queue's lock, and an
//! epoll callback its own ready-list lock. Order: wait queue, then epoll, then run queue.

#![no_std]

pub mod completion;
mod lockdep;
pub mod mutex;
pub mod poll;
pub mod rwsem;
pub mod wait;

pub use completion::Completion;
pub use mutex::{Mutex, MutexGuard};
pub use poll::{PollMask, PollTable, WakeCallback};
pub use rwsem::{RwReadGuard, RwSemaphore, RwWriteGuard};
pub use wait::WaitQueue;
