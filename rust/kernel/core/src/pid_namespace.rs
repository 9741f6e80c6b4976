// SPDX-License-Identifier: GPL-2.0
//! Name spaces of process numbers: `kernel::pid_namespace`.

use crate::sync::aref::AlwaysRefCounted;
use ::pid_namespace::{Level, PidNs, first_object, object_of_task};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kalloc::Arc;

/// A name space of process numbers.
///
/// # Invariants
/// The value inside lives in an `Arc`.
#[repr(transparent)]
pub struct PidNamespace(Level);

impl PidNamespace {
    fn from_object(object: &Arc<Level>) -> &Self {
        let raw: *const Level = &**object;
        // SAFETY: `Self` is a transparent wrapper of `Level`, which lives in the `Arc` that is borrowed for as long as the result.
        unsafe { &*raw.cast::<Self>() }
    }

    /// The name space in which a task that is not gone has its number.
    pub(crate) fn of(task: &::task::Task) -> Option<&Self> {
        if task.state() == ::task::State::DEAD && ::process::process_of(task).is_none() {
            return None;
        }
        object_of_task(task).or_else(|| first_object()).map(Self::from_object)
    }

    /// One more reference to the object.
    fn counted(&self) -> Arc<Level> {
        // SAFETY: By the type invariant the value lies in an `Arc`, whose count is at least one while it is borrowed; the
        // `ManuallyDrop` keeps that count, and the clone adds its own.
        let borrowed = ManuallyDrop::new(unsafe { Arc::from_raw(&raw const self.0) });
        Arc::clone(&borrowed)
    }

    /// As the kernel's own crates have it.
    pub(crate) fn as_ns(&self) -> PidNs {
        PidNs::of_object(self.counted())
    }
}

// SAFETY: By the type invariant the value lives in an `Arc`, whose count these change.
unsafe impl AlwaysRefCounted for PidNamespace {
    fn inc_ref(&self) {
        core::mem::forget(self.counted());
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference that was counted.
        drop(unsafe { Arc::from_raw(obj.as_ptr().cast::<Level>()) });
    }
}
