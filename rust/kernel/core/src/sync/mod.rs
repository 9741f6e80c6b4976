// SPDX-License-Identifier: GPL-2.0
//! Sharing: `kernel::sync`, over `kalloc` (reference counts) and `kernel/locking`.

pub mod atomic;
pub mod lock;
mod locked_by;
mod refcount;

pub use crate::{global_lock, new_mutex, new_spinlock, new_spinlock_irq, static_lock_class};
pub use completion::Completion;
pub use kalloc::{Arc, ArcBorrow, UniqueArc};
pub use kernel_base::sync::{completion, rcu};
pub use kernel_base::{barrier, set_once::SetOnce};
pub use kernel_raw::aref;
pub use lock::global::{GlobalGuard, GlobalLock, GlobalLockBackend, GlobalLockedBy};
pub use lock::mutex::{Mutex, MutexGuard};
pub use lock::spinlock::{SpinLock, SpinLockGuard, SpinLockIrq, SpinLockIrqGuard};
pub use locked_by::LockedBy;
pub use refcount::Refcount;

use core::panic::Location;
use pin_init::PinInit;

/// What the lock-order checker calls a class of locks: the place in the source where it is declared.
#[derive(Debug)]
pub struct LockClassKey {
    place: &'static Location<'static>,
}

impl LockClassKey {
    /// The class of a static; [`static_lock_class!`] makes one.
    ///
    /// # Safety
    /// The value becomes a static: locks refer to it as long as they are.
    #[track_caller]
    pub const unsafe fn new_static() -> Self {
        Self { place: Location::caller() }
    }

    /// A class of its own, for locks that live no longer than it.
    #[track_caller]
    pub fn new_dynamic() -> impl PinInit<Self> {
        Self { place: Location::caller() }
    }

    pub(crate) const fn place(&self) -> &'static Location<'static> {
        self.place
    }
}

/// A class of locks for the place where this stands.
#[macro_export]
macro_rules! static_lock_class {
    () => {{
        static CLASS: $crate::sync::LockClassKey =
            // SAFETY: It is the value of a static.
            unsafe { $crate::sync::LockClassKey::new_static() };
        ::core::pin::Pin::static_ref(&CLASS)
    }};
}

/// The name given, or the place as one.
#[doc(hidden)]
#[macro_export]
macro_rules! optional_name {
    () => {
        $crate::c_str!(::core::concat!(::core::file!(), ":", ::core::line!()))
    };
    ($name:literal) => {
        $crate::c_str!($name)
    };
}
