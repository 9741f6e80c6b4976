// SPDX-License-Identifier: GPL-2.0
//! Wait queues, and what sleeps on them and needs unsafe code: mutexes, reader-writer semaphores, maps whose ranges are claimed. The crate
//! `sync` re-exports all of it. Task context only (waking is allowed anywhere).
//!
//! Locks: each object has one spin lock inside, taken with interrupts off; under it a wake-up takes a run queue's lock.

#![no_std]

pub mod biased;
pub mod claim;
pub mod mutex;
pub mod rwsem;
pub mod wait;

pub use biased::{BiasedReadGuard, BiasedRwSemaphore};
pub use claim::{ClaimedMap, Gate, Pass};
pub use mutex::{Mutex, MutexGuard};
pub use rwsem::{RwReadGuard, RwSemaphore, RwWriteGuard};
pub use wait::WaitQueue;
pub use wait_event::{PollMask, WakeCallback};
