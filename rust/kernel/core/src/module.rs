// SPDX-License-Identifier: GPL-2.0
//! Modules: the traits that a module implements, its handle, and its value: a part of `kernel::module`.

use crate::error::Result;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};
use module_core::Header;
use pinned_init::PinInit;

/// A module whose value is made by a function.
pub trait Module: Sized + Sync + Send {
    /// Makes the module's value: called when it is loaded (or, built in, at boot). An error ends the loading.
    fn init(module: &'static ThisModule) -> Result<Self>;
}

/// A module whose value is built where it stays.
pub trait InPlaceModule: Sync + Send {
    /// The initializer of the module's value.
    fn init(module: &'static ThisModule) -> impl PinInit<Self, crate::error::Error>;
}

impl<T: Module> InPlaceModule for T {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, crate::error::Error> {
        pin_init::init_with(move || <Self as Module>::init(module))
    }
}

/// What `module!` says of the type of a module.
pub trait ModuleMetadata {
    /// The module's name.
    const NAME: &'static core::ffi::CStr;

    /// The module's handle.
    fn this_module() -> &'static ThisModule;
}

/// The handle of the module `M`.
pub fn this_module<M: ModuleMetadata>() -> &'static ThisModule {
    M::this_module()
}

/// A handle to the module itself: `THIS_MODULE`.
#[derive(Debug)]
pub struct ThisModule(Option<&'static Header>);

impl ThisModule {
    /// The handle of a loaded module (`Some`), or of one that is part of the image.
    pub const fn new(header: Option<&'static Header>) -> Self {
        Self(header)
    }

    /// What the loader keeps count in; `None` for a module that is part of the image.
    pub fn header(&self) -> Option<&'static Header> {
        self.0
    }
}

/// The one value of a module.
///
/// # Invariants
/// `value` is initialised exactly while `live` is set.
#[derive(Debug)]
pub struct Instance<T> {
    live: AtomicBool,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: The loader calls `start` and `stop` one after the other, never at once; nobody else reaches the value.
unsafe impl<T: Send> Sync for Instance<T> {}

impl<T: InPlaceModule> Instance<T> {
    /// No value yet.
    #[expect(clippy::new_without_default, reason = "used in statics alone")]
    pub const fn new() -> Self {
        Self { live: AtomicBool::new(false), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Makes the value: 0, or a negative errno. Once, by the loader.
    pub fn start(&'static self, module: &'static ThisModule) -> i32 {
        let slot = self.value.get().cast::<T>();
        // SAFETY: The slot is the static's own memory, which never moves (it is pinned), and not initialised yet: the loader
        // starts a module once. On an error nothing is left in it.
        match unsafe { T::init(module).__pinned_init(slot) } {
            Ok(()) => {
                self.live.store(true, Ordering::Release);
                0
            }
            Err(error) => error.to_errno(),
        }
    }

    /// Drops the value. Once, by the loader, after `start` succeeded.
    pub fn stop(&'static self) {
        if self.live.swap(false, Ordering::AcqRel) {
            // SAFETY: By the invariant it is initialised, and it is dropped once: the flag is clear now.
            unsafe { (*self.value.get()).assume_init_drop() };
        }
    }
}
