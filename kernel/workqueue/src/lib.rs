// SPDX-License-Identifier: GPL-2.0
//! Work queues: functions that run later in a kernel thread, where they may sleep. Each CPU has a pool of workers
//! (`kworker/CPU:N`); one of them always waits for work, so an item that sleeps holds up nobody. Queueing is allowed in any
//! context but NMI and allocates nothing.
//!
//! Locks: a pool's list (interrupts off), inside it an item's link. None is held while an item runs.

#![no_std]
#![forbid(unsafe_code)]
// Methods on `&Arc<Work>`, as R4L has them.
#![feature(arbitrary_self_types)]

mod delayed;
mod pool;
#[cfg(any(test, CONFIG_KUNIT = "y"))]
mod tests;

pub use delayed::DelayedWork;
pub use pool::start;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use sync::WaitQueue;
use x86_cpu::percpu::{CpuId, cpu_id};

/// A function to run later. While it is queued, queueing it again does nothing; while it runs, it can be queued again, and runs
/// once more afterwards (never twice at the same time).
pub struct Work {
    function: KBox<dyn Fn() + Send + Sync>,
    pending: AtomicBool,
    running: AtomicBool,
    /// Times queued, and times done.
    queued: AtomicU64,
    done: AtomicU64,
    /// The next item of the list this one is on.
    next: SpinLock<Option<Arc<Work>>>,
    finished: WaitQueue,
}

impl Work {
    /// An item that runs `function`. May sleep.
    pub fn new(function: impl Fn() + Send + Sync + 'static) -> Result<Arc<Self>> {
        let work = Self {
            function: KBox::new(function, GFP_KERNEL)?,
            pending: AtomicBool::new(false),
            running: AtomicBool::new(false),
            queued: AtomicU64::new(0),
            done: AtomicU64::new(0),
            next: SpinLock::new(None),
            finished: WaitQueue::new(),
        };
        Ok(Arc::new(work, GFP_KERNEL)?)
    }

    /// Queues the item on this CPU. False if it is queued already. Any context but NMI.
    pub fn queue(self: &Arc<Self>) -> bool {
        self.queue_on(cpu_id())
    }

    /// Queues the item on `cpu`.
    pub fn queue_on(self: &Arc<Self>, cpu: CpuId) -> bool {
        if self.pending.swap(true, SeqCst) {
            return false;
        }
        self.queued.fetch_add(1, SeqCst);
        pool::push(cpu, self.clone());
        true
    }

    /// Waits until the item has run for every time that it was queued before this call. May sleep. Not from the item itself.
    pub fn flush(&self) {
        let target = self.queued.load(SeqCst);
        self.finished.wait_until(|| self.done.load(SeqCst) >= target);
    }

    /// Takes the item off its queue if it has not started, and waits for it if it runs. Returns whether it was taken off. May
    /// sleep. The caller makes sure that nobody queues it again.
    pub fn cancel_sync(self: &Arc<Self>) -> bool {
        let taken = self.pending.load(SeqCst) && pool::remove(self);
        if taken {
            self.done.fetch_add(1, SeqCst);
            self.finished.wake_up_all();
        } else {
            self.flush();
        }
        taken
    }

    /// Whether the item is queued or runs.
    pub fn is_busy(&self) -> bool {
        self.done.load(SeqCst) != self.queued.load(SeqCst)
    }

    fn run(&self) {
        // One at a time: it may have been queued on another CPU while it runs here.
        while self.running.swap(true, SeqCst) {
            self.finished.wait_until(|| !self.running.load(SeqCst));
        }
        self.pending.store(false, SeqCst);
        (self.function)();
        self.running.store(false, SeqCst);
        self.done.fetch_add(1, SeqCst);
        self.finished.wake_up_all();
    }
}

/// Runs `f` once in a worker. May sleep now (it allocates).
pub fn spawn(f: impl FnOnce() + Send + 'static) -> Result {
    let once = SpinLock::new(Some(f));
    let work = Work::new(move || {
        let f = once.lock().take();
        if let Some(f) = f {
            f();
        }
    })?;
    work.queue();
    Ok(())
}
