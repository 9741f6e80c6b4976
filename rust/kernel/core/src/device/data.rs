// SPDX-License-Identifier: GPL-2.0
//! What a driver keeps of a device (`drvdata`): a pinned box whose pointer is the device's word for its driver.

use super::{Bound, CoreInternal, Device, Normal};
use crate::error::{Error, Result};
use crate::types::ForeignOwnable;
use core::pin::Pin;
use core::ptr::with_exposed_provenance_mut;
use kalloc::flags::GFP_KERNEL;
use kalloc::{InPlaceInit, KBox};
use pin_init::PinInit;

impl Device<CoreInternal<'_>> {
    /// Builds the driver's data and keeps it. `ENOMEM`, or what the initializer says.
    pub(crate) fn set_drvdata<T>(&self, data: impl PinInit<T, Error>) -> Result {
        let data = KBox::pin_init(data, GFP_KERNEL)?;
        // There was none: the device had no driver.
        let _ = self.core().set_data(data.into_foreign().expose_provenance());
        Ok(())
    }

    /// Shows `f` the data.
    ///
    /// # Safety
    /// `set_drvdata` put a `T` there, and nobody took it since.
    pub(crate) unsafe fn with_drvdata<T, R>(&self, f: impl FnOnce(Pin<&T>) -> R) -> R {
        let data = with_exposed_provenance_mut(self.core().data());
        // SAFETY: By the caller's contract it came from `into_foreign` of such a box, which stays: the device's lock, which a call of the
        // bus's core has, keeps the driver bound.
        f(unsafe { Pin::<KBox<T>>::borrow(data) })
    }

    /// Shows `unbind` the data, and drops it.
    ///
    /// # Safety
    /// `set_drvdata` put a `T` there, and nobody took it since.
    pub(crate) unsafe fn remove_drvdata<T>(&self, unbind: impl FnOnce(Pin<&T>)) {
        let data = with_exposed_provenance_mut(self.core().data());
        // SAFETY: By the caller's contract it came from `into_foreign` of such a box, which is taken back below.
        unbind(unsafe { Pin::<KBox<T>>::borrow(data) });
        // SAFETY: As above; once, as the word is cleared.
        drop(unsafe { Pin::<KBox<T>>::from_foreign(data) });
        let _ = self.core().set_data(0);
    }
}

impl Device<Normal> {
    /// The device as one that a driver is bound to.
    ///
    /// # Safety
    /// A driver is bound, and stays so as long as the reference is used.
    pub unsafe fn as_bound(&self) -> &Device<Bound> {
        // SAFETY: The two are the same inside; the caller promises what the context says.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }
}
