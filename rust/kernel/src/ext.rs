// SPDX-License-Identifier: GPL-2.0
//! What drivers of this tree use and Rust-for-Linux has no name for: locks whose guards keep interrupts off, values set once, completions
//! that one waiter takes, work items, timers, pages, trees, growing strings, miscellaneous devices.

pub use ::sync::{Completion, Mutex, WaitQueue};
pub use containers::XArray;
pub use kalloc::{KString, WeakArc};
pub use ktime::hrtimer::{Clock, HrTimer, Restart};
pub use locking::{SetOnce, SpinLock};
pub use misc::{MiscOps, Registration as MiscRegistration};
pub use mm_alloc::Page;
pub use module_core::Header as ModuleHeader;
pub use workqueue::{DelayedWork, Work, spawn};

/// CPUs that run.
pub fn num_online_cpus() -> u32 {
    x86::smp::num_online()
}
