// SPDX-License-Identifier: GPL-2.0
//! `Mutex`: a lock whose waiters sleep. `kernel::sync::lock::mutex`, over `kernel/locking/sleep`.

use core::mem::ManuallyDrop;
use core::panic::Location;

/// A mutex around a value, in place: `new_mutex!(value)` or `new_mutex!(value, "name")`.
#[macro_export]
macro_rules! new_mutex {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::sync::Mutex::new($inner, $crate::optional_name!($($name)?), $crate::static_lock_class!())
    };
}
pub use new_mutex;

/// A value that one task at a time may use; the others sleep.
pub type Mutex<T> = super::Lock<T, MutexBackend>;
/// Holds a [`Mutex`].
pub type MutexGuard<'a, T> = super::Guard<'a, T, MutexBackend>;

/// The back end of [`Mutex`].
pub struct MutexBackend;

impl MutexBackend {
    /// A free mutex, in a constant.
    #[doc(hidden)]
    #[track_caller]
    pub const fn state() -> ::sync::Mutex<()> {
        ::sync::Mutex::new_at((), Location::caller())
    }
}

// SAFETY: The mutex below has one holder at a time; its guard is kept from `lock` to `unlock`.
unsafe impl super::Backend for MutexBackend {
    type State = ::sync::Mutex<()>;
    type GuardState = ManuallyDrop<::sync::MutexGuard<'static, ()>>;

    fn new_state(place: &'static Location<'static>) -> Self::State {
        ::sync::Mutex::new_at((), place)
    }

    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: The state is initialized, and stays in place while the lock is held (the caller's contract).
        ManuallyDrop::new(unsafe { &*ptr }.lock())
    }

    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        // SAFETY: As in `lock`.
        unsafe { &*ptr }.try_lock().map(ManuallyDrop::new)
    }

    unsafe fn unlock(_: *mut Self::State, guard_state: &mut Self::GuardState) {
        // SAFETY: The guard is dropped once for each time the lock was taken (the caller's contract).
        unsafe { ManuallyDrop::drop(guard_state) };
    }
}
