// SPDX-License-Identifier: GPL-2.0
//! What a `Work` of modules has of the level below. All that the workers call, and drop, is code of the image, none of it generic: a
//! module may be gone when the last of it is.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use kalloc::Arc;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use ktime::{Clock, HrTimer, Restart};
use locking::SetOnce;
use workqueue::Work;
use x86_cpu::preempt::preempt_disable;

/// Where work runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// In a task, where it may sleep.
    Task,
    /// With preemption off, as softirqs do; here that is in a task, too.
    BottomHalf,
}

/// A function, and the object it is to be called with.
struct Call {
    run: fn(*mut c_void),
    /// The object, while it is queued.
    object: AtomicPtr<c_void>,
    /// Whether the time of the object has come. Clear while there is none.
    due: AtomicBool,
    /// Whether it runs as a bottom half.
    bottom_half: AtomicBool,
}

/// Work that can be queued.
pub struct Item {
    run: fn(*mut c_void),
    /// Made at the first use, if not before.
    made: SetOnce<(Arc<Work>, Arc<Call>)>,
    /// Queues it later, if it is of a kind that can be.
    timer: SetOnce<Arc<HrTimer>>,
}

fn make(run: fn(*mut c_void), flags: kalloc::Flags) -> Option<(Arc<Work>, Arc<Call>)> {
    let call = Arc::new(
        Call { run, object: AtomicPtr::default(), due: AtomicBool::new(false), bottom_half: AtomicBool::new(false) },
        flags,
    )
    .ok()?;
    let called = call.clone();
    let work = Work::new(move || {
        // One that waits for its timer stays: this may be the end of a run for another.
        if !called.due.swap(false, Ordering::AcqRel) {
            return;
        }
        let object = called.object.swap(ptr::null_mut(), Ordering::AcqRel);
        if !object.is_null() {
            let _off = called.bottom_half.load(Ordering::Relaxed).then(preempt_disable);
            (called.run)(object);
        }
    });
    Some((work.ok()?, call))
}

impl Item {
    /// Work that calls `run` with each object that was queued, once. May sleep.
    pub fn new(run: fn(*mut c_void)) -> Self {
        let made = SetOnce::new();
        if let Some(parts) = make(run, GFP_KERNEL) {
            // Fresh: nobody else set it.
            let _ = made.set(parts);
        }
        Self { run, made, timer: SetOnce::new() }
    }

    /// What it is made of, if there is memory.
    fn parts(&self) -> Option<&(Arc<Work>, Arc<Call>)> {
        if self.made.get().is_none()
            && let Some(parts) = make(self.run, GFP_ATOMIC)
        {
            // Another CPU may have been faster.
            let _ = self.made.set(parts);
        }
        self.made.get()
    }

    /// Makes the timer for [`Self::queue_after`]. May sleep.
    pub fn with_timer(self) -> Self {
        if let Some((work, call)) = self.parts() {
            let (work, call) = (work.clone(), call.clone());
            let timer = HrTimer::new(Clock::Monotonic, move |_: &Arc<HrTimer>| {
                call.due.store(true, Ordering::Release);
                work.queue();
                Restart::No
            });
            // Fresh: nobody else set it.
            let _ = timer.map(|timer| self.timer.set(timer));
        }
        self
    }

    /// Queues a call with `object`; false if one is queued already (or if there was never memory). Any context but NMI.
    pub fn queue(&self, object: *mut c_void, context: Context) -> bool {
        let Some((work, call)) = self.parts() else { return false };
        let free = call.object.compare_exchange(ptr::null_mut(), object, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if free {
            call.bottom_half.store(context == Context::BottomHalf, Ordering::Relaxed);
            call.due.store(true, Ordering::Release);
            // It may be pending for an object that was just taken: then it is about to look again, or is queued anew here.
            work.queue();
        }
        free
    }

    /// As [`Self::queue`], in so many nanoseconds. For one that was made [`Self::with_timer`].
    pub fn queue_after(&self, object: *mut c_void, nanos: u64, context: Context) -> bool {
        if nanos == 0 {
            return self.queue(object, context);
        }
        let (Some((_, call)), Some(timer)) = (self.parts(), self.timer.get()) else { return false };
        let free = call.object.compare_exchange(ptr::null_mut(), object, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if free {
            call.bottom_half.store(context == Context::BottomHalf, Ordering::Relaxed);
            timer.start_after(nanos);
        }
        free
    }
}
