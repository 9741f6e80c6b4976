// SPDX-License-Identifier: GPL-2.0
//! Sparse arrays with a lock: `kernel::xarray`, over `lib/containers`.
//!
//! ```
//! use kernel::xarray::{AllocKind, XArray};
//!
//! let sessions = KBox::pin_init(XArray::<KBox<u32>>::new(AllocKind::Alloc), GFP_KERNEL)?;
//! let one = KBox::new(1, GFP_KERNEL)?;
//! let mut guard = sessions.lock();
//! guard.store(70_000, one, GFP_KERNEL)?;
//! if let Some(uses) = guard.get_mut(70_000) {
//!     *uses += 1;
//! }
//! assert_eq!(guard.remove(70_000).map(|uses| *uses), Some(2));
//! # Ok::<(), Error>(())
//! ```

use crate::alloc::Flags;
use crate::error::{Error, Result, code::ENOMEM};
use crate::new_spinlock;
use crate::sync::SpinLock;
use crate::sync::lock::spinlock::SpinLockGuard;
use crate::types::{ForeignOwnable, OwnedForeign};
use kalloc::KBox;
use kalloc::flags::GFP_NOWAIT;
use pin_init::{PinInit, pin_data, pin_init};

/// An entry; nothing is in one that is being stored.
type Slots<T> = containers::XArray<Option<OwnedForeign<T>>>;

/// A sparse array of values by number. Its lock is a spin lock that interrupt handlers must not take.
#[pin_data]
pub struct XArray<T: ForeignOwnable> {
    #[pin]
    slots: SpinLock<Slots<T>>,
    _kind: AllocKind,
}

/// Where the numbers start that the array would choose itself; nothing chooses any yet, as in Rust-for-Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocKind {
    /// At 0.
    Alloc,
    /// At 1.
    Alloc1,
}

impl<T: ForeignOwnable> XArray<T> {
    /// An empty array.
    pub fn new(kind: AllocKind) -> impl PinInit<Self> {
        pin_init!(Self {
            slots <- new_spinlock!(Slots::new(), "XArray"),
            _kind: kind,
        })
    }

    /// Locks it, unless somebody else has.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        Some(Guard { array: self, slots: Some(self.slots.try_lock()?) })
    }

    /// Locks it.
    pub fn lock(&self) -> Guard<'_, T> {
        Guard { array: self, slots: Some(self.slots.lock()) }
    }
}

/// A locked [`XArray`].
///
/// # Invariants
/// `slots` is there but in [`Guard::store`].
#[must_use = "it is unlocked when this is dropped"]
pub struct Guard<'a, T: ForeignOwnable> {
    array: &'a XArray<T>,
    slots: Option<SpinLockGuard<'a, Slots<T>>>,
}

/// Why a value was not stored, and the value.
pub struct StoreError<T> {
    /// Why.
    pub error: Error,
    /// The value.
    pub value: T,
}

impl<T> From<StoreError<T>> for Error {
    fn from(failed: StoreError<T>) -> Self {
        failed.error
    }
}

impl<T: ForeignOwnable> Guard<'_, T> {
    /// What is at `index`.
    pub fn get(&self, index: usize) -> Option<T::Borrowed<'_>> {
        Some(self.slots.as_ref()?.load(index as u64)?.as_ref()?.borrow())
    }

    /// What is at `index`, to change it.
    pub fn get_mut(&mut self, index: usize) -> Option<T::BorrowedMut<'_>> {
        Some(self.slots.as_mut()?.load_mut(index as u64)?.as_mut()?.borrow_mut())
    }

    /// Takes out what is at `index`.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        Some(self.slots.as_mut()?.erase(index as u64)??.into_inner())
    }

    /// Puts `value` at `index`, and gives what was there. If there is no memory at once and `gfp` allows to sleep, the lock is given
    /// up meanwhile. `ENOMEM`.
    pub fn store(&mut self, index: usize, value: T, gfp: Flags) -> Result<Option<T>, StoreError<T>> {
        loop {
            if let Some(slots) = self.slots.as_mut()
                && slots.insert(index as u64, None, GFP_NOWAIT).is_ok()
                && let Some(slot) = slots.load_mut(index as u64)
            {
                let old = slot.replace(OwnedForeign::new(value));
                return Ok(old.map(OwnedForeign::into_inner));
            }
            self.slots = None;
            // Memory of the size of a node can be had now, or never.
            let memory = KBox::<[u64; 128]>::new_uninit(gfp);
            self.slots = Some(self.array.slots.lock());
            if memory.is_err() {
                return Err(StoreError { error: ENOMEM, value });
            }
        }
    }
}
