// SPDX-License-Identifier: GPL-2.0
//! What a timer has of the level below. All that the interrupt calls, and drops, is code of this crate: a module may be gone when the
//! last of it is.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use ktime::{Clock, HrTimer, Restart};

/// A function, and the object it is to be called with; null while the timer is not started.
struct Call {
    run: unsafe fn(*mut c_void) -> bool,
    object: AtomicPtr<c_void>,
}

/// A timer. Without memory for it when it was made, it never expires.
pub(super) struct Raw(Option<(Arc<HrTimer>, Arc<Call>)>);

impl Raw {
    pub(super) fn new(clock: Clock, run: unsafe fn(*mut c_void) -> bool) -> Self {
        let made = || {
            let call = Arc::new(Call { run, object: AtomicPtr::default() }, GFP_KERNEL).ok()?;
            let called = call.clone();
            let timer = HrTimer::new(clock, move |_: &Arc<HrTimer>| {
                let object = called.object.load(Ordering::Acquire);
                // SAFETY: `start` put it there, and whoever started the timer stops it before the object goes.
                if !object.is_null() && unsafe { (called.run)(object) } { Restart::Yes } else { Restart::No }
            });
            Some((timer.ok()?, call))
        };
        Self(made())
    }

    /// Starts the timer.
    ///
    /// # Safety
    /// `object` is valid until `cancel`.
    pub(super) unsafe fn start(&self, object: *mut c_void, relative: bool, nanos: i64) {
        let Some((timer, call)) = &self.0 else { return };
        call.object.store(object, Ordering::Release);
        let nanos = u64::try_from(nanos).unwrap_or(0);
        if relative {
            timer.start_after(nanos);
        } else {
            timer.start(nanos);
        }
    }

    pub(super) fn cancel(&self) -> bool {
        let Some((timer, call)) = &self.0 else { return false };
        let was_queued = timer.cancel();
        call.object.store(ptr::null_mut(), Ordering::Release);
        was_queued
    }

    pub(super) fn expires(&self) -> i64 {
        self.0.as_ref().map_or(0, |(timer, _)| timer.expires().cast_signed())
    }

    pub(super) fn forward_now(&self, interval: i64) -> u64 {
        let interval = u64::try_from(interval).unwrap_or(0).max(1);
        self.0.as_ref().map_or(0, |(timer, _)| timer.forward_now(interval))
    }

    pub(super) fn forward(&self, now: i64, interval: i64) -> u64 {
        let (now, interval) = (u64::try_from(now).unwrap_or(0), u64::try_from(interval).unwrap_or(0).max(1));
        self.0.as_ref().map_or(0, |(timer, _)| timer.forward(now, interval))
    }
}
