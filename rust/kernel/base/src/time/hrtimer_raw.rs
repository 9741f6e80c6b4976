// SPDX-License-Identifier: GPL-2.0
//! What an `HrTimer` of modules has of the level below. All that the interrupt and the workers call, and drop, is code of the image, none
//! of it generic: a module may be gone when the last of it is.
//!
//! The callback of a "soft" timer runs in a worker, with preemption off: where Linux has softirqs this kernel has threads. The interrupt
//! says that it is `due` and queues the work. Who stops the timer says `stopping` first, so that the interrupt queues nothing more; then
//! the timer, the work, and once more the timer, which the callback may have started again.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering, Ordering::SeqCst};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, WeakArc};
use ktime::{Clock, HrTimer, Restart};
use locking::SetOnce;
use workqueue::Work;
use x86_cpu::preempt::preempt_disable;

/// A function, and the object it is to be called with; null while the timer is not started.
struct Call {
    run: fn(*mut c_void) -> bool,
    object: AtomicPtr<c_void>,
    /// A soft timer expired, and its callback was not called yet.
    due: AtomicBool,
    /// It is being stopped, or was.
    stopping: AtomicBool,
}

impl Call {
    /// Calls the function; whether the timer is to go on.
    fn call(&self) -> bool {
        let object = self.object.load(Ordering::Acquire);
        !object.is_null() && (self.run)(object)
    }
}

struct Made {
    timer: Arc<HrTimer>,
    call: Arc<Call>,
    /// What calls a soft timer's callback.
    work: Option<Arc<Work>>,
}

/// A timer. Without memory for it when it was made, it never expires.
pub struct Raw(Option<Made>);

/// A timer whose callback runs in the interrupt.
fn hard(clock: Clock, call: Arc<Call>) -> errno::Result<Made> {
    let called = call.clone();
    let timer = HrTimer::new(clock, move |_: &Arc<HrTimer>| if called.call() { Restart::Yes } else { Restart::No })?;
    Ok(Made { timer, call, work: None })
}

/// A timer whose callback runs in a worker.
fn soft(clock: Clock, call: Arc<Call>) -> errno::Result<Made> {
    // Weak: the timer has the work.
    let timer = Arc::new(SetOnce::<WeakArc<HrTimer>>::new(), GFP_KERNEL)?;
    let (called, again) = (call.clone(), timer.clone());
    let work = Work::new(move || {
        if !called.due.swap(false, SeqCst) {
            return;
        }
        let off = preempt_disable();
        let restart = called.call();
        drop(off);
        if restart && let Some(timer) = again.get().and_then(WeakArc::upgrade) {
            timer.start(timer.expires());
        }
    })?;
    let (called, queued) = (call.clone(), work.clone());
    let made = HrTimer::new(clock, move |_: &Arc<HrTimer>| {
        if !called.stopping.load(SeqCst) {
            called.due.store(true, SeqCst);
            queued.queue();
        }
        Restart::No
    })?;
    // Fresh: nobody else set it.
    let _ = timer.set(Arc::downgrade(&made));
    Ok(Made { timer: made, call, work: Some(work) })
}

impl Raw {
    /// A timer on `clock` that is not started, and the function that it calls: in the interrupt, or, `is_soft`, in a worker.
    pub fn new(clock: Clock, is_soft: bool, run: fn(*mut c_void) -> bool) -> Self {
        let (due, stopping) = (AtomicBool::new(false), AtomicBool::new(false));
        let call = Arc::new(Call { run, object: AtomicPtr::default(), due, stopping }, GFP_KERNEL);
        Self(call.ok().and_then(|call| if is_soft { soft(clock, call) } else { hard(clock, call) }.ok()))
    }

    /// Starts the timer: from its expiry on, and until [`Self::cancel`] returns, the function may be called with `object`.
    pub fn start(&self, object: *mut c_void, relative: bool, nanos: i64) {
        let Some(Made { timer, call, .. }) = &self.0 else { return };
        call.object.store(object, Ordering::Release);
        // One that expired, and was not called yet, is as if it had not.
        call.due.store(false, SeqCst);
        call.stopping.store(false, SeqCst);
        let nanos = u64::try_from(nanos).unwrap_or(0);
        if relative {
            timer.start_after(nanos);
        } else {
            timer.start(nanos);
        }
    }

    /// Stops the timer and waits for its callback; whether it would have been called. A soft timer: may sleep.
    pub fn cancel(&self) -> bool {
        let Some(Made { timer, call, work }) = &self.0 else { return false };
        let mut was_waiting = false;
        if let Some(work) = work {
            call.stopping.store(true, SeqCst);
            was_waiting = timer.cancel();
            was_waiting |= call.due.swap(false, SeqCst);
            work.cancel_sync();
        }
        was_waiting |= timer.cancel();
        call.object.store(ptr::null_mut(), Ordering::Release);
        was_waiting
    }

    /// When it expires, or did.
    pub fn expires(&self) -> i64 {
        self.0.as_ref().map_or(0, |made| made.timer.expires().cast_signed())
    }

    /// As [`Self::forward`], from now.
    pub fn forward_now(&self, interval: i64) -> u64 {
        let interval = u64::try_from(interval).unwrap_or(0).max(1);
        self.0.as_ref().map_or(0, |made| made.timer.forward_now(interval))
    }

    /// Moves the expiry by whole intervals until it lies after `now`; how many.
    pub fn forward(&self, now: i64, interval: i64) -> u64 {
        let (now, interval) = (u64::try_from(now).unwrap_or(0), u64::try_from(interval).unwrap_or(0).max(1));
        self.0.as_ref().map_or(0, |made| made.timer.forward(now, interval))
    }
}
