// SPDX-License-Identifier: GPL-2.0
//! Resource limits of a process: the table every subsystem asks (`rlimit::current(RLIMIT_NOFILE)`), and nothing more; the system
//! calls that change it are in `kernel/process`. Threads of a process share one table. No locks: each limit is two atomics, and
//! a reader needs only one of them. Source: `getrlimit(2)`.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use task::{Task, TaskLocal, try_current};

/// Number of limits (`RLIM_NLIMITS`).
pub const COUNT: usize = 16;
/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// One soft and one hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is enforced.
    pub cur: u64,
    /// How far an unprivileged process may raise `cur`.
    pub max: u64,
}

/// A process's limits.
pub struct Rlimits {
    limits: [(AtomicU64, AtomicU64); COUNT],
}

/// Linux's initial values (`INIT_RLIMITS`), by resource number.
const INITIAL: [(u64, u64); COUNT] = [
    (INFINITY, INFINITY), // CPU
    (INFINITY, INFINITY), // FSIZE
    (INFINITY, INFINITY), // DATA
    (8 << 20, INFINITY),  // STACK
    (0, INFINITY),        // CORE
    (INFINITY, INFINITY), // RSS
    (0, 0),               // NPROC: set from memory by `set_boot_defaults`
    (1024, 4096),         // NOFILE
    (8 << 20, 8 << 20),   // MEMLOCK
    (INFINITY, INFINITY), // AS
    (INFINITY, INFINITY), // LOCKS
    (0, 0),               // SIGPENDING: as NPROC
    (819_200, 819_200),   // MSGQUEUE
    (0, 0),               // NICE
    (0, 0),               // RTPRIO
    (INFINITY, INFINITY), // RTTIME
];

static RLIMITS: TaskLocal<Arc<Rlimits>> = TaskLocal::new();

impl Rlimits {
    /// The table of the first process.
    pub fn initial() -> Self {
        Self { limits: INITIAL.map(|(cur, max)| (AtomicU64::new(cur), AtomicU64::new(max))) }
    }

    /// A copy for a child process.
    pub fn duplicate(&self) -> Self {
        let copy = |a: &AtomicU64| AtomicU64::new(a.load(Ordering::Relaxed));
        Self { limits: core::array::from_fn(|i| (copy(&self.limits[i].0), copy(&self.limits[i].1))) }
    }

    /// One limit; `INFINITY` for numbers that do not exist.
    pub fn get(&self, resource: u32) -> Limit {
        match self.limits.get(resource as usize) {
            Some((cur, max)) => Limit { cur: cur.load(Ordering::Relaxed), max: max.load(Ordering::Relaxed) },
            None => Limit { cur: INFINITY, max: INFINITY },
        }
    }

    /// Sets one limit; the caller has checked permission and `cur <= max`.
    pub fn set(&self, resource: u32, limit: Limit) {
        if let Some((cur, max)) = self.limits.get(resource as usize) {
            cur.store(limit.cur, Ordering::Relaxed);
            max.store(limit.max, Ordering::Relaxed);
        }
    }
}

/// Gives a new task its table.
pub fn attach(task: &Task, limits: Arc<Rlimits>) -> Result {
    // A second `set` cannot happen: fork attaches once. The refused value would only be dropped.
    let _ = RLIMITS.set(task, KBox::new(limits, GFP_KERNEL)?);
    Ok(())
}

/// A task's table; `None` for kernel threads made before the first process.
pub fn of(task: &Task) -> Option<&Arc<Rlimits>> {
    RLIMITS.get(task)
}

/// The soft limit of the current task; `INFINITY` where there is no table.
pub fn current(resource: u32) -> u64 {
    try_current().and_then(|task| RLIMITS.get(&task).map(|l| l.get(resource).cur)).unwrap_or(INFINITY)
}
