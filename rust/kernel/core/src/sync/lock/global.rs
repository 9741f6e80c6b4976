// SPDX-License-Identifier: GPL-2.0
//! Locks that are statics: `global_lock!`.
//!
//! ```
//! kernel::sync::global_lock! {
//!     /// How many are open.
//!     static OPEN: Mutex<u32> = 0;
//! }
//!
//! *OPEN.lock() += 1;
//! assert!(OPEN.try_lock().is_some_and(|open| *open > 0));
//! ```

use super::{Backend, Guard, Lock};
use crate::sync::LockClassKey;
use crate::types::Opaque;
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::marker::{PhantomData, PhantomPinned};
use core::pin::Pin;

/// What `global_lock!` says of a static lock.
pub trait GlobalLockBackend {
    /// Its name.
    const NAME: &'static CStr;
    /// What it guards.
    type Item: 'static;
    /// How it locks.
    type Backend: Backend + 'static;

    /// Its class.
    fn get_lock_class() -> Pin<&'static LockClassKey>;
}

/// A lock that is a static.
pub struct GlobalLock<B: GlobalLockBackend> {
    inner: Lock<B::Item, B::Backend>,
}

// SAFETY: As the lock inside.
unsafe impl<B: GlobalLockBackend> Sync for GlobalLock<B> where B::Item: Send {}

impl<B: GlobalLockBackend> GlobalLock<B> {
    /// A free lock around `data`. Use `global_lock!`.
    #[doc(hidden)]
    pub const fn new_ready(data: B::Item, state: <B::Backend as Backend>::State) -> Self {
        Self { inner: Lock { state: Opaque::new(state), _pin: PhantomPinned, data: UnsafeCell::new(data) } }
    }

    /// Initializes the lock: in Linux, before its first use. Here it is ready from the start.
    ///
    /// # Safety
    /// None is needed.
    pub unsafe fn init(&'static self) {}

    /// Takes the lock.
    pub fn lock(&'static self) -> GlobalGuard<B> {
        GlobalGuard { inner: self.inner.lock() }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&'static self) -> Option<GlobalGuard<B>> {
        Some(GlobalGuard { inner: self.inner.try_lock()? })
    }
}

/// Holds a [`GlobalLock`].
pub struct GlobalGuard<B: GlobalLockBackend> {
    inner: Guard<'static, B::Item, B::Backend>,
}

impl<B: GlobalLockBackend> core::ops::Deref for GlobalGuard<B> {
    type Target = B::Item;

    fn deref(&self) -> &B::Item {
        &self.inner
    }
}

impl<B: GlobalLockBackend> core::ops::DerefMut for GlobalGuard<B>
where
    B::Item: Unpin,
{
    fn deref_mut(&mut self) -> &mut B::Item {
        &mut self.inner
    }
}

/// A value that a global lock guards although it is elsewhere.
pub struct GlobalLockedBy<T: ?Sized, B: GlobalLockBackend> {
    _backend: PhantomData<B>,
    value: UnsafeCell<T>,
}

// SAFETY: The value is reached with the lock held alone, or by its owner.
unsafe impl<T: ?Sized + Send, B: GlobalLockBackend> Send for GlobalLockedBy<T, B> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Send, B: GlobalLockBackend> Sync for GlobalLockedBy<T, B> {}

impl<T, B: GlobalLockBackend> GlobalLockedBy<T, B> {
    /// A value guarded by the lock `B`.
    pub fn new(value: T) -> Self {
        Self { _backend: PhantomData, value: UnsafeCell::new(value) }
    }
}

impl<T: ?Sized, B: GlobalLockBackend> GlobalLockedBy<T, B> {
    /// The value, while the lock is held.
    pub fn as_ref<'a>(&'a self, _guard: &'a GlobalGuard<B>) -> &'a T {
        // SAFETY: The one lock that guards it is held: there is one static for each `B`.
        unsafe { &*self.value.get() }
    }

    /// The value, mutably, while the lock is held.
    pub fn as_mut<'a>(&'a self, _guard: &'a mut GlobalGuard<B>) -> &'a mut T {
        // SAFETY: As in `as_ref`, and the guard is borrowed mutably, so nobody else has the value.
        unsafe { &mut *self.value.get() }
    }

    /// The value, which the caller has alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// Declares a static lock: `global_lock! { pub static NAME: Mutex<u32> = 0; }`. With `unsafe(uninit)` before `static`, as in Linux,
/// `NAME.init()` is to be called first, which does nothing here.
#[macro_export]
macro_rules! global_lock {
    {
        $(#[$meta:meta])* $pub:vis
        unsafe(uninit) static $name:ident: $kind:ident<$valuety:ty> = $value:expr;
    } => {
        $crate::global_lock! { $(#[$meta])* $pub static $name: $kind<$valuety> = $value; }
    };
    {
        $(#[$meta:meta])* $pub:vis static $name:ident: $kind:ident<$valuety:ty> = $value:expr;
    } => {
        #[doc = ::core::concat!("The back end of [`", ::core::stringify!($name), "`](static@", ::core::stringify!($name), ").")]
        #[allow(non_camel_case_types, unreachable_pub)]
        $pub enum $name {}

        impl $crate::sync::lock::GlobalLockBackend for $name {
            const NAME: &'static $crate::str::CStr = $crate::c_str!(::core::stringify!($name));
            type Item = $valuety;
            type Backend = $crate::global_lock_inner!(backend $kind);

            fn get_lock_class() -> ::core::pin::Pin<&'static $crate::sync::LockClassKey> {
                $crate::static_lock_class!()
            }
        }

        $(#[$meta])*
        $pub static $name: $crate::sync::lock::GlobalLock<$name> = {
            let init: $valuety = $value;
            $crate::sync::lock::GlobalLock::new_ready(init, $crate::global_lock_inner!(state $kind))
        };
    };
}
pub use global_lock;

#[doc(hidden)]
#[macro_export]
macro_rules! global_lock_inner {
    (state Mutex) => {
        $crate::sync::lock::mutex::MutexBackend::state()
    };
    (state SpinLock) => {
        $crate::sync::lock::spinlock::SpinLockBackend::state()
    };
    (state SpinLockIrq) => {
        $crate::sync::lock::spinlock::SpinLockIrqBackend::state()
    };
    (backend Mutex) => {
        $crate::sync::lock::mutex::MutexBackend
    };
    (backend SpinLock) => {
        $crate::sync::lock::spinlock::SpinLockBackend
    };
    (backend SpinLockIrq) => {
        $crate::sync::lock::spinlock::SpinLockIrqBackend
    };
}
