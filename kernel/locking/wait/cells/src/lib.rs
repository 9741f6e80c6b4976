// SPDX-License-Identifier: GPL-2.0
//! Values behind sleeping locks: mutexes and reader-writer semaphores. The crate `sync` re-exports all of it. Task context only.
//!
//! Locks: who has which is `raw_sleep`'s matter.

#![no_std]

pub mod biased;
pub mod mutex;
pub mod rwsem;

pub use biased::{BiasedReadGuard, BiasedRwSemaphore};
pub use mutex::{Mutex, MutexGuard};
pub use rwsem::{RwReadGuard, RwSemaphore, RwWriteGuard};
