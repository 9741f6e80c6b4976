// SPDX-License-Identifier: GPL-2.0
//! What a [`Work`](super::Work) has of the level below. All that the workers call, and drop, is code of this crate: a module may be
//! gone when the last of it is.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use kalloc::Arc;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use locking::SetOnce;
use workqueue::Work;

/// A function, and the object it is to be called with.
struct Call {
    run: unsafe fn(*mut c_void),
    /// The object, while it is queued.
    object: AtomicPtr<c_void>,
}

/// Work that can be queued.
pub struct Item {
    run: unsafe fn(*mut c_void),
    /// Made at the first use, if not before.
    made: SetOnce<(Arc<Work>, Arc<Call>)>,
}

fn make(run: unsafe fn(*mut c_void), flags: kalloc::Flags) -> Option<(Arc<Work>, Arc<Call>)> {
    let call = Arc::new(Call { run, object: AtomicPtr::default() }, flags).ok()?;
    let called = call.clone();
    let work = Work::new(move || {
        let object = called.object.swap(ptr::null_mut(), Ordering::AcqRel);
        if !object.is_null() {
            // SAFETY: `queue` put it there, and it is taken out once.
            unsafe { (called.run)(object) };
        }
    });
    Some((work.ok()?, call))
}

impl Item {
    /// Work that calls `run`. May sleep.
    pub(crate) fn new(run: unsafe fn(*mut c_void)) -> Self {
        let made = SetOnce::new();
        if let Some(parts) = make(run, GFP_KERNEL) {
            // Fresh: nobody else set it.
            let _ = made.set(parts);
        }
        Self { run, made }
    }

    /// Queues a call with `object`; false if one is queued already (or if there was never memory). Any context but NMI.
    pub(crate) fn queue(&self, object: *mut c_void) -> bool {
        if self.made.get().is_none()
            && let Some(parts) = make(self.run, GFP_ATOMIC)
        {
            // Another CPU may have been faster.
            let _ = self.made.set(parts);
        }
        let Some((work, call)) = self.made.get() else { return false };
        let free = call.object.compare_exchange(ptr::null_mut(), object, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if free {
            // It may be pending for an object that was just taken: then it is about to look again, or is queued anew here.
            work.queue();
        }
        free
    }
}
