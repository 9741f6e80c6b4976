// SPDX-License-Identifier: GPL-2.0
//! Deferred drops: what must outlive today's readers waits in a per-CPU list of chunks; the thread `rcu_reclaim` takes all
//! lists, waits for a grace period and drops everything. It gathers for a while first, so that one grace period serves many; but not when
//! what it dropped, which was little, defers in turn: a chain of objects that hold each other goes one link a grace period.
//!
//! Part of `rcu`, which re-exports it. Locks: none of its own.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use kalloc::{Arc, KBox};
use rcu_grace::now_ns;
use rcu_queue::Entry;
use sync::WaitQueue;

/// How long entries are gathered before a grace period starts.
const GATHER_NS: u64 = 3_000_000;
/// With more than this on one CPU gathering ends early.
const PRESSURE: usize = 8192;

/// Entries that are little.
const FEW: u64 = 16;

static WORK: WaitQueue = WaitQueue::new();
/// Something was deferred since the thread last looked.
static PENDING: AtomicBool = AtomicBool::new(false);
static HURRY: AtomicBool = AtomicBool::new(false);
static RUNNING: AtomicBool = AtomicBool::new(false);
/// The last batch had few entries.
static LAST_FEW: AtomicBool = AtomicBool::new(false);
/// The thread's task, as a number.
static THREAD: AtomicUsize = AtomicUsize::new(0);
/// Entries handed in and entries dropped, for [`barrier`].
static DEFERRED: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);
static DRAINED: WaitQueue = WaitQueue::new();

fn defer(entry: Entry) {
    let (result, count) = rcu_queue::push(entry);
    match result {
        Ok(()) => {
            DEFERRED.fetch_add(1, Ordering::Relaxed);
            if !PENDING.load(Ordering::Relaxed) && !PENDING.swap(true, Ordering::SeqCst) {
                if LAST_FEW.load(Ordering::Relaxed) && me() == THREAD.load(Ordering::Relaxed) {
                    HURRY.store(true, Ordering::SeqCst);
                }
                WORK.wake_up();
            }
            if count > PRESSURE && !HURRY.swap(true, Ordering::SeqCst) {
                WORK.wake_up();
            }
        }
        Err(entry) => without_memory(entry),
    }
}

/// A number for the current task.
fn me() -> usize {
    core::ptr::from_ref(&*task::current()).addr()
}

/// No chunk to be had. A caller that may sleep waits for the readers itself; from atomic context the object is left alone for
/// ever, which is safe and reported.
#[cold]
fn without_memory(entry: Entry) {
    if !x86_cpu::preempt::in_atomic() && !x86_cpu::irqflags::irqs_disabled() {
        entry.finish();
    } else {
        klog::pr_err!("rcu: out of memory in atomic context, an object is leaked");
    }
}

/// Drops `value` after a grace period. Any context but NMI. For what readers may still hold by plain reference.
pub fn defer_drop<T: Deferrable>(value: T) {
    value.defer();
}

/// What [`defer_drop`] takes: owning pointers of one word.
pub trait Deferrable {
    /// Hands the pointer over.
    fn defer(self);
}

impl<T: Send + Sync + 'static> Deferrable for Arc<T> {
    fn defer(self) {
        // Others hold the object anyway and free it: only the last reference needs the grace period, but who is last cannot
        // be known here.
        defer(Entry::of_arc(self));
    }
}

impl<T: Send + 'static> Deferrable for KBox<T> {
    fn defer(self) {
        defer(Entry::of_box(self));
    }
}

/// Calls `f` after a grace period, from a kernel thread (it may sleep). Any context but NMI (`call_rcu`).
pub fn call<F: FnOnce() + Send + 'static>(f: KBox<F>) {
    defer(Entry::of_call(f));
}

/// Waits until everything deferred before this call is done (`rcu_barrier`). May sleep. Returns at once before
/// [`start_reclaim`].
pub fn barrier() {
    task::might_sleep();
    if !RUNNING.load(Ordering::Relaxed) {
        return;
    }
    let target = DEFERRED.load(Ordering::SeqCst);
    HURRY.store(true, Ordering::SeqCst);
    PENDING.store(true, Ordering::SeqCst);
    WORK.wake_up();
    DRAINED.wait_until(|| DONE.load(Ordering::SeqCst) >= target);
}

/// Starts the reclaiming thread. Once, when threads and timers work. May sleep.
pub fn start_reclaim() -> errno::Result {
    task::kthread_run(b"rcu_reclaim", || {
        THREAD.store(me(), Ordering::Relaxed);
        RUNNING.store(true, Ordering::Relaxed);
        loop {
            reclaim_once();
        }
    })?;
    Ok(())
}

fn reclaim_once() {
    WORK.wait_idle(|| PENDING.load(Ordering::SeqCst));
    if let Some(now) = now_ns() {
        WORK.wait_idle_exclusive(Some(now.saturating_add(GATHER_NS)), || HURRY.load(Ordering::SeqCst));
    }
    HURRY.store(false, Ordering::SeqCst);
    PENDING.store(false, Ordering::SeqCst);
    let done = rcu_queue::take_all().finish();
    LAST_FEW.store(done <= FEW, Ordering::Relaxed);
    DONE.fetch_add(done, Ordering::SeqCst);
    DRAINED.wake_up_all();
}
