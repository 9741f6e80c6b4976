// SPDX-License-Identifier: GPL-2.0
//! Who may go on and who sleeps: mutexes and reader-writer semaphores without the values that they guard, which are `sleep_locks`'.
//! What is unsafe there rests on this crate: it is part of the trusted base. Task context only.
//!
//! Locks: the wait queue inside each.

#![no_std]
#![forbid(unsafe_code)]

mod biased;
mod mutex;
mod rwsem;

pub use biased::{Bias, Ticket};
pub use mutex::RawMutex;
pub use rwsem::RawRwSemaphore;
