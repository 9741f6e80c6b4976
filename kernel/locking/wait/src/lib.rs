// SPDX-License-Identifier: GPL-2.0
//! Wait queues, over `wait_list`. What sleeps on them is in crates beside: mutexes and semaphores (`raw_sleep`, and `sleep_locks` with their values); the
//! crate `sync` re-exports all of it. Task context only (waking is allowed anywhere).
//!
//! Locks: each object has one spin lock inside, taken with interrupts off; under it a wake-up takes a run queue's lock.

#![no_std]
#![forbid(unsafe_code)]

pub mod wait;

pub use wait::WaitQueue;
pub use wait_event::{PollMask, WakeCallback};
