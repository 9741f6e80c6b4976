// SPDX-License-Identifier: GPL-2.0
//! What file systems on devices are made of: the crates below under their own names. Rust-for-Linux has no such interface yet;
//! when it has, this becomes it.

pub use block;
pub use buffer;
pub use cred;
pub use freezer;
pub use ktime;
pub use locking;
pub use mm;
pub use mm_alloc;
pub use proc;
pub use process;
pub use random;
pub use rcu;
pub use rlimit;
pub use sync;
pub use sysfs;
pub use task;
pub use vfs;
pub use x86::panic::panic;
pub use x86_cpu::percpu;
pub use x86_mm::uaccess;
