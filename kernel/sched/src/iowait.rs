// SPDX-License-Identifier: GPL-2.0
//! How many tasks wait for devices, and how long a CPU was idle meanwhile. A task counts on the CPU where it went to sleep.
//!
//! Locks: everything is changed under the lock of that CPU's run queue, and read by anybody.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A CPU's figures.
pub(crate) struct IoWaiters {
    count: AtomicU32,
    /// Since when the CPU is idle and somebody waits; 0: it is not so.
    since: AtomicU64,
    /// Nanoseconds for which it was so, up to `since`.
    idle_ns: AtomicU64,
}

impl IoWaiters {
    pub(crate) const fn new() -> Self {
        Self { count: AtomicU32::new(0), since: AtomicU64::new(0), idle_ns: AtomicU64::new(0) }
    }

    /// How many wait.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// One more waits. The CPU runs it still.
    pub(crate) fn begin(&self) {
        self.count.store(self.count().saturating_add(1), Relaxed);
    }

    /// One waits no more.
    pub(crate) fn end(&self) {
        self.count.store(self.count().saturating_sub(1), Relaxed);
        if self.count() == 0 {
            self.settle();
        }
    }

    /// The CPU goes to the next task: its idle task, if `idle`.
    #[inline]
    pub(crate) fn change(&self, idle: bool) {
        if self.since.load(Relaxed) != 0 {
            self.settle();
        }
        if idle && self.count() != 0 {
            self.since.store(ktime::sched_clock(), Relaxed);
        }
    }

    #[cold]
    fn settle(&self) {
        let since = self.since.load(Relaxed);
        if since != 0 {
            let more = ktime::sched_clock().saturating_sub(since);
            self.idle_ns.store(self.idle_ns.load(Relaxed).saturating_add(more), Relaxed);
            self.since.store(0, Relaxed);
        }
    }

    /// Nanoseconds for which the CPU was idle and somebody waited, up to now.
    pub(crate) fn idle_ns(&self) -> u64 {
        let since = self.since.load(Relaxed);
        let running = if since == 0 { 0 } else { ktime::sched_clock().saturating_sub(since) };
        self.idle_ns.load(Relaxed).saturating_add(running)
    }
}
