// SPDX-License-Identifier: GPL-2.0
//! Completions: one side waits until the other says it is done. Counts, so the order of the two does not matter.

use core::sync::atomic::{AtomicU32, Ordering};
use errno::Result;
use wait_queue::WaitQueue;

const ALL: u32 = u32::MAX;

/// Something to wait for.
pub struct Completion {
    done: AtomicU32,
    waiters: WaitQueue,
}

impl Completion {
    /// Not done yet.
    #[track_caller]
    pub const fn new() -> Self {
        Self { done: AtomicU32::new(0), waiters: WaitQueue::new() }
    }

    /// Lets one waiter (now or later) go on. Any context.
    pub fn complete(&self) {
        let _ = self.done.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |n| Some(n.saturating_add(1)));
        self.waiters.wake_up();
    }

    /// Lets every waiter, now and later, go on. Any context.
    pub fn complete_all(&self) {
        self.done.store(ALL, Ordering::SeqCst);
        self.waiters.wake_up_all();
    }

    /// Takes one completion if there is one.
    pub fn try_wait(&self) -> bool {
        self.done
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |n| match n {
                0 => None,
                ALL => Some(ALL),
                n => Some(n - 1),
            })
            .is_ok()
    }

    /// Waits until done. May sleep.
    pub fn wait(&self) {
        self.waiters.wait_until(|| self.try_wait());
    }

    /// As [`Self::wait`], for a device: counts as I/O wait. May sleep.
    pub fn wait_io(&self) {
        let _io = task::IoWait::new();
        self.wait();
    }

    /// Waits until done or until a signal comes (`ERESTARTSYS`). May sleep.
    pub fn wait_interruptible(&self) -> Result {
        self.waiters.wait_interruptible(|| self.try_wait())
    }

    /// Waits until done or until a fatal signal comes (`ERESTARTSYS`). May sleep.
    pub fn wait_killable(&self) -> Result {
        self.waiters.wait_killable(|| self.try_wait())
    }
}

impl Default for Completion {
    fn default() -> Self {
        Self::new()
    }
}
