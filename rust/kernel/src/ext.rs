// SPDX-License-Identifier: GPL-2.0
//! What drivers of this tree use and Rust-for-Linux has no name for: locks whose guards keep interrupts off, values set once, completions
//! that one waiter takes, work items, growing strings.

pub use ::sync::Completion;
pub use kalloc::KString;
pub use locking::{SetOnce, SpinLock};
pub use workqueue::{DelayedWork, Work, spawn};

/// CPUs that run.
pub fn num_online_cpus() -> u32 {
    x86::smp::num_online()
}
