// SPDX-License-Identifier: GPL-2.0
//! The reader's section and the queue of references that wait for a grace period.

use hook::Hook;
use kalloc::Arc;
use x86_cpu::preempt::{PreemptGuard, preempt_disable};

/// A read-side critical section: preemption is off, so no grace period ends while it lives. Must not sleep. Nests.
#[must_use]
pub struct RcuGuard {
    _preempt: PreemptGuard,
}

/// Enters a read-side critical section: one instruction.
#[inline(always)]
pub fn read_lock() -> RcuGuard {
    RcuGuard { _preempt: preempt_disable() }
}

/// A reference that is dropped after a grace period.
///
/// # Invariants
/// `pointer` came from `Arc::<T>::into_raw` for the `T` of `drop_fn`, and this owns that reference; `T: Send + Sync`.
pub struct Deferred {
    pointer: *const (),
    drop_fn: unsafe fn(*const ()),
}

// SAFETY: By the type invariant it is an `Arc` of something that may be dropped by any thread.
unsafe impl Send for Deferred {}

impl Deferred {
    fn new<T: Send + Sync + 'static>(arc: Arc<T>) -> Self {
        Self { pointer: Arc::into_raw(arc).cast(), drop_fn: drop_arc::<T> }
    }

    /// Drops the reference. A grace period has passed since this was made.
    #[inline]
    pub fn run(self) {
        // SAFETY: By the type invariant; `self` is consumed, so this happens once.
        unsafe { (self.drop_fn)(self.pointer) }
    }
}

/// # Safety
/// As the invariant of [`Deferred`] says of `pointer`.
unsafe fn drop_arc<T>(pointer: *const ()) {
    // SAFETY: By the contract.
    drop(unsafe { Arc::<T>::from_raw(pointer.cast()) });
}

/// The queue for references, kept by `kernel/rcu`.
pub trait Reclaim: Sync {
    /// Runs `deferred` in a task (where it may sleep) after every read-side section that is open now has ended. Any context
    /// but hard interrupts.
    fn defer(&self, deferred: Deferred);
}

/// The registered queue. Before it is set there is one CPU and one task, and references are dropped at once when the caller is
/// in no section of its own, else leaked.
pub static RECLAIM: Hook<dyn Reclaim> = Hook::new();

/// Drops `arc` after a grace period.
#[inline]
pub(crate) fn defer_drop<T: Send + Sync + 'static>(arc: Arc<T>) {
    // Not the last reference, and readers found the object through it: it must stay until they are gone, so there is no
    // shortcut by looking at the count.
    let deferred = Deferred::new(arc);
    match RECLAIM.get() {
        Some(queue) => queue.defer(deferred),
        None if x86_cpu::preempt::preempt_count() == 0 => deferred.run(),
        None => {}
    }
}
