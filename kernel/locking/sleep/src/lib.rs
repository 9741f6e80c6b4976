// SPDX-License-Identifier: GPL-2.0
//! The sleeping family: wait queues, mutexes, reader-writer semaphores, completions, and the registration that `poll(2)` and
//! `epoll(7)` make with wait queues. Task context only (waking is allowed anywhere).
//!
//! Locks: each object has one spin lock inside, taken with interrupts off; under it a wake-up takes a run queue's lock, and an
//! epoll callback its own ready-list lock. Order: wait queue, then epoll, then run queue.
//! Wait queues are the crate `wait_queue`, mutexes and semaphores `raw_sleep` and `sleep_locks`, maps whose ranges are claimed
//! `range_claim`.

#![no_std]
#![forbid(unsafe_code)]

pub mod completion;
pub mod poll;

pub use completion::Completion;
pub use poll::PollTable;
pub use range_claim::{ClaimedMap, Gate, Pass};
pub use sleep_locks::{
    BiasedReadGuard, BiasedRwSemaphore, Mutex, MutexGuard, RwReadGuard, RwSemaphore, RwWriteGuard, mutex, rwsem,
};
pub use wait_queue::{PollMask, WaitQueue, WakeCallback, wait};
