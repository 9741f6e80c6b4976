// SPDX-License-Identifier: GPL-2.0
//! Resource limits of a process: the table every subsystem asks (`rlimit::current(RLIMIT_NOFILE)`), and nothing more; the system
//! calls that change it are in `kernel/process`. Threads of a process share one table. Each limit is two atomics: who enforces one
//! reads its soft half without a lock. Source: `getrlimit(2)`.
//!
//! Locks: a table's `change`, innermost, interrupts off: both halves of a limit are read and changed as one.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::EINVAL};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
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
    change: SpinLock<()>,
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
        Self { limits: INITIAL.map(|(cur, max)| (AtomicU64::new(cur), AtomicU64::new(max))), change: SpinLock::new(()) }
    }

    /// A copy for a child process.
    pub fn duplicate(&self) -> Self {
        let copy = |a: &AtomicU64| AtomicU64::new(a.load(Ordering::Relaxed));
        let _change = self.change.lock_irqsave();
        let limits = core::array::from_fn(|i| (copy(&self.limits[i].0), copy(&self.limits[i].1)));
        Self { limits, change: SpinLock::new(()) }
    }

    /// One limit; `INFINITY` for numbers that do not exist.
    pub fn get(&self, resource: u32) -> Limit {
        let Some((cur, max)) = self.limits.get(resource as usize) else {
            return Limit { cur: INFINITY, max: INFINITY };
        };
        let _change = self.change.lock_irqsave();
        Limit { cur: cur.load(Ordering::Relaxed), max: max.load(Ordering::Relaxed) }
    }

    /// Makes of one limit what `decide` makes of it, as one step; gives it as it was. `decide` checks permission and `cur <= max`; it
    /// runs with interrupts off. `EINVAL` for numbers that do not exist, and `decide`'s errors, which change nothing.
    pub fn update(&self, resource: u32, decide: impl FnOnce(Limit) -> Result<Limit>) -> Result<Limit> {
        let (cur, max) = self.limits.get(resource as usize).ok_or(EINVAL)?;
        let _change = self.change.lock_irqsave();
        let old = Limit { cur: cur.load(Ordering::Relaxed), max: max.load(Ordering::Relaxed) };
        let new = decide(old)?;
        cur.store(new.cur, Ordering::Relaxed);
        max.store(new.max, Ordering::Relaxed);
        Ok(old)
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
