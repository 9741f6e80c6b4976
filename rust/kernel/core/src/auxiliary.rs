// SPDX-License-Identifier: GPL-2.0
//! Auxiliary devices and their data: the part of `kernel::auxiliary` that is not about drivers, over `drivers/base/core`.

use crate::device::{self, Bound, DeviceContext};
use crate::error::{Error, Result, code::*};
use crate::types::{CovariantForLt, ForLt, ForeignOwnable};
use ::device::auxiliary::Info;
use core::any::TypeId;
use core::ffi::CStr;
use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr::with_exposed_provenance_mut;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, InPlaceInit, KBox};
use pin_init::PinInit;

crate::bus_device! {
    /// An auxiliary device.
    pub struct Device;
}

impl<Ctx: DeviceContext> Device<Ctx> {
    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.core().info::<Info>().map_or(0, |info| info.id)
    }
}

impl Device<Bound> {
    /// The device it is a part of, which is bound too: its driver's [`Registration`] is what keeps this one.
    pub fn parent(&self) -> &device::Device<Bound> {
        // SAFETY: Of a bound auxiliary device the parent is bound, as its driver made this one and takes it away first.
        self.0.parent().map_or(self.as_ref(), |parent| unsafe { parent.as_bound() })
    }

    /// What the parent's driver gave it. `ENOENT`, `EINVAL` (another type).
    fn pinned<F: ForLt + 'static>(&self) -> Result<Pin<&F::Of<'_>>> {
        let (address, kind) = self.0.core().info::<Info>().ok_or(ENOENT)?.data;
        if kind != TypeId::of::<F>() {
            return Err(EINVAL);
        }
        // SAFETY: `Registration` put a box of this type there, which it drops after the device's driver is unbound; in this
        // context that is after `self`. Callers shorten the lifetime where the type allows it, or hide it.
        Ok(unsafe { Pin::<KBox<F::Of<'_>>>::borrow(with_exposed_provenance_mut(address)) })
    }

    /// Calls `f` with what the parent's driver gave it. `ENOENT`, `EINVAL` (another type).
    pub fn registration_data_with<F: ForLt + 'static, R>(
        &self,
        f: impl for<'a> FnOnce(Pin<&'a F::Of<'a>>) -> R,
    ) -> Result<R> {
        Ok(f(self.pinned::<F>()?))
    }

    /// What the parent's driver gave it. `ENOENT`, `EINVAL` (another type).
    pub fn registration_data<F: CovariantForLt + 'static>(&self) -> Result<Pin<&F::Of<'_>>> {
        self.pinned::<F>()
    }
}

/// An auxiliary device of ours; it goes when this is dropped, and its data after it.
///
/// # Invariants
/// `data` came from `into_foreign` of a `Pin<KBox<F::Of<'a>>>`; the device has it.
pub struct Registration<'a, F: ForLt + 'static> {
    device: Arc<::device::Device>,
    data: usize,
    _data: PhantomData<F::Of<'a>>,
}

impl<'a, F: ForLt> Registration<'a, F>
where
    for<'b> F::Of<'b>: Send + Sync,
{
    /// The device `MODNAME.NAME.ID` below `parent`. `EEXIST`, `ENOMEM`. May sleep.
    ///
    /// # Safety
    /// The registration is dropped before `'a` ends: it is not leaked.
    pub unsafe fn new_with_lt<E>(
        parent: &'a device::Device<Bound>,
        name: &CStr,
        id: u32,
        modname: &CStr,
        data: impl PinInit<F::Of<'a>, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        let data = KBox::<F::Of<'a>>::pin_init(data, GFP_KERNEL)?.into_foreign();
        let address = data.expose_provenance();
        let known = (address, TypeId::of::<F>());
        match ::device::auxiliary::add(parent.to_core(), modname.to_bytes(), name.to_bytes(), id, known) {
            Ok(device) => Ok(Self { device, data: address, _data: PhantomData }),
            Err(error) => {
                // SAFETY: It just came from `into_foreign`; the device that was to have it is gone.
                drop(unsafe { Pin::<KBox<F::Of<'a>>>::from_foreign(data) });
                Err(error)
            }
        }
    }

    /// As [`Self::new_with_lt`], for data that outlives everything.
    pub fn new<E>(
        parent: &'a device::Device<Bound>,
        name: &CStr,
        id: u32,
        modname: &CStr,
        data: impl PinInit<F::Of<'a>, E>,
    ) -> Result<Self>
    where
        F::Of<'a>: 'static,
        Error: From<E>,
    {
        // SAFETY: The data borrows nothing, so it may stay for ever.
        unsafe { Self::new_with_lt(parent, name, id, modname, data) }
    }
}

impl<F: ForLt> Drop for Registration<'_, F> {
    fn drop(&mut self) {
        self.device.unregister();
        // SAFETY: By the type invariant; the device has no driver any more that could look at it.
        drop(unsafe { Pin::<KBox<F::Of<'_>>>::from_foreign(with_exposed_provenance_mut(self.data)) });
    }
}

// SAFETY: The data may be dropped anywhere, and the device is shared anyway.
unsafe impl<F: ForLt> Send for Registration<'_, F> where for<'a> F::Of<'a>: Send {}
// SAFETY: Nothing of it can be reached through a shared reference.
unsafe impl<F: ForLt> Sync for Registration<'_, F> where for<'a> F::Of<'a>: Send {}
