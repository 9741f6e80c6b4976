// SPDX-License-Identifier: GPL-2.0
//! `SpinLock` and `SpinLockIrq`: locks whose waiters spin. `kernel::sync::lock::spinlock`, over `kernel/locking`.
//!
//! ```
//! use kernel::interrupt::local_interrupt_disable;
//! use kernel::new_spinlock_irq;
//!
//! let ticks = KBox::pin_init(new_spinlock_irq!(0_u64), GFP_KERNEL)?;
//! *ticks.lock() += 1;
//! // One stretch without interrupts is enough for several locks.
//! let off = local_interrupt_disable();
//! assert_eq!(*ticks.lock_with(&off), 1);
//! # Ok::<(), Error>(())
//! ```

use super::{Backend, Guard, Lock};
use crate::interrupt::LocalInterruptDisabled;
use core::mem::ManuallyDrop;
use core::panic::Location;

/// A spin lock around a value, in place: `new_spinlock!(value)` or `new_spinlock!(value, "name")`.
#[macro_export]
macro_rules! new_spinlock {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::sync::SpinLock::new($inner, $crate::optional_name!($($name)?), $crate::static_lock_class!())
    };
}
pub use new_spinlock;

/// A spin lock that interrupt handlers may take too, around a value, in place.
#[macro_export]
macro_rules! new_spinlock_irq {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::sync::SpinLockIrq::new($inner, $crate::optional_name!($($name)?), $crate::static_lock_class!())
    };
}
pub use new_spinlock_irq;

/// A value that one CPU at a time may use. Its holder must not sleep.
pub type SpinLock<T> = Lock<T, SpinLockBackend>;
/// Holds a [`SpinLock`].
pub type SpinLockGuard<'a, T> = Guard<'a, T, SpinLockBackend>;
/// As [`SpinLock`], with interrupts off while it is held.
pub type SpinLockIrq<T> = Lock<T, SpinLockIrqBackend>;
/// Holds a [`SpinLockIrq`].
pub type SpinLockIrqGuard<'a, T> = Guard<'a, T, SpinLockIrqBackend>;

/// The back end of [`SpinLock`].
pub struct SpinLockBackend;
/// The back end of [`SpinLockIrq`].
pub struct SpinLockIrqBackend;

macro_rules! backend {
    ($name:ident, $guard:ident, $lock:ident, $try_lock:ident) => {
        impl $name {
            /// A free lock, in a constant.
            #[doc(hidden)]
            #[track_caller]
            pub const fn state() -> locking::SpinLock<()> {
                locking::SpinLock::new_at((), Location::caller())
            }
        }

        // SAFETY: The spin lock below has one holder at a time; its guard is kept from `lock` to `unlock`.
        unsafe impl Backend for $name {
            type State = locking::SpinLock<()>;
            type GuardState = ManuallyDrop<locking::$guard<'static, ()>>;

            fn new_state(place: &'static Location<'static>) -> Self::State {
                locking::SpinLock::new_at((), place)
            }

            unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
                // SAFETY: The state is initialized, and stays in place while the lock is held (the caller's contract).
                ManuallyDrop::new(unsafe { &*ptr }.$lock())
            }

            unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
                // SAFETY: As in `lock`.
                unsafe { &*ptr }.$try_lock().map(ManuallyDrop::new)
            }

            unsafe fn unlock(_: *mut Self::State, guard_state: &mut Self::GuardState) {
                // SAFETY: The guard is dropped once for each time the lock was taken (the caller's contract).
                unsafe { ManuallyDrop::drop(guard_state) };
            }
        }
    };
}

backend!(SpinLockBackend, SpinGuard, lock, try_lock);
backend!(SpinLockIrqBackend, SpinIrqGuard, lock_irqsave, try_lock_irqsave);

impl<T: ?Sized> Lock<T, SpinLockIrqBackend> {
    /// The same lock as one for where interrupts are off already.
    fn without_irq(&self) -> &Lock<T, SpinLockBackend> {
        // SAFETY: Both are laid out alike (`repr(C)`, the same state), and the state is that of one and the same kind of lock.
        unsafe { &*(core::ptr::from_ref(self) as *const Lock<T, SpinLockBackend>) }
    }

    /// Takes the lock where interrupts are off already, which saves turning them off.
    pub fn lock_with<'a>(&'a self, _off: &'a LocalInterruptDisabled) -> SpinLockGuard<'a, T> {
        self.without_irq().lock()
    }

    /// As [`Self::lock_with`], if the lock is free.
    #[must_use = "the lock is given back at once if the guard is not kept"]
    pub fn try_lock_with<'a>(&'a self, _off: &'a LocalInterruptDisabled) -> Option<SpinLockGuard<'a, T>> {
        self.without_irq().try_lock()
    }
}
