// SPDX-License-Identifier: GPL-2.0
//! What a bus's adapter is, and how the data of its drivers comes into devices, and out of them: a part of `kernel::driver`.

use crate::device::{CoreInternal, Device};
use crate::error::{Error, Result};
use core::marker::PhantomData;
use core::pin::Pin;
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use pin_init::PinInit;

/// What a bus's adapter does for its drivers. All may sleep.
pub trait RegistrationOps: 'static {
    /// The bus.
    fn bus() -> &'static ::device::Bus;

    /// Whether the driver serves `device`.
    #[doc(hidden)]
    fn matches(device: &::device::Device) -> bool;

    /// What the driver keeps of a device; dropped after [`Self::unbind`].
    #[doc(hidden)]
    type Data<'bound>: 'bound;

    /// Takes a device.
    #[doc(hidden)]
    fn probe<'bound>(device: &'bound Device<CoreInternal<'_>>) -> impl PinInit<Self::Data<'bound>, Error>;

    /// Gives a device up.
    #[doc(hidden)]
    fn unbind<'bound>(device: &'bound Device<CoreInternal<'_>>, data: Pin<&Self::Data<'bound>>);

    /// A step to sleep or back.
    #[doc(hidden)]
    fn pm<'bound>(
        device: &'bound Device<CoreInternal<'_>>,
        data: Pin<&Self::Data<'bound>>,
        phase: ::device::Phase,
    ) -> Result {
        let _ = (device, data, phase);
        Ok(())
    }

    /// Ids that programs may add, if the bus has such.
    #[doc(hidden)]
    fn dynamic_ids() -> Option<Arc<dyn DynamicIds>> {
        None
    }
}

/// Ids that programs add (`new_id`).
#[doc(hidden)]
pub trait DynamicIds: Send + Sync {
    /// Whether one of them is that of `device`.
    fn matches(&self, device: &::device::Device) -> bool;
    /// Adds one.
    fn add(&self, text: &[u8]) -> Result;
    /// Removes one.
    fn remove(&self, text: &[u8]) -> Result;
}

/// The operations of a driver, for the level below.
struct Ops<T> {
    dynamic: Option<Arc<dyn DynamicIds>>,
    _adapter: PhantomData<fn() -> T>,
}

/// The device in the context of a call of the bus's core.
fn core_of(device: &Arc<::device::Device>) -> &Device<CoreInternal<'_>> {
    // SAFETY: The level below calls with the device's lock held, and the driver set.
    unsafe { Device::from_core(device) }
}

impl<T: RegistrationOps> ::device::DriverOps for Ops<T> {
    fn matches(&self, device: &::device::Device) -> bool {
        T::matches(device) || self.dynamic.as_ref().is_some_and(|ids| ids.matches(device))
    }

    fn probe(&self, device: &Arc<::device::Device>) -> Result {
        let device = core_of(device);
        device.set_drvdata::<T::Data<'_>>(T::probe(device))
    }

    fn remove(&self, device: &Arc<::device::Device>) {
        let device = core_of(device);
        // SAFETY: `probe` put it there, and nobody has taken it.
        unsafe { device.remove_drvdata::<T::Data<'_>>(|data| T::unbind(device, data)) };
    }

    fn pm(&self, device: &Arc<::device::Device>, phase: ::device::Phase) -> Result {
        let device = core_of(device);
        // SAFETY: The device is bound, so `probe` put it there, and `remove` was not called yet.
        unsafe { device.with_drvdata::<T::Data<'_>, _>(|data| T::pm(device, data, phase)) }
    }

    fn has_dynamic_ids(&self) -> bool {
        self.dynamic.is_some()
    }

    fn add_id(&self, text: &[u8]) -> Result {
        self.dynamic.as_ref().map_or(Err(errno::code::EINVAL), |ids| ids.add(text))
    }

    fn remove_id(&self, text: &[u8]) -> Result {
        self.dynamic.as_ref().map_or(Err(errno::code::ENODEV), |ids| ids.remove(text))
    }
}

/// What the level below calls for the drivers of adapter `T`. `ENOMEM`.
pub(crate) fn ops_of<T: RegistrationOps>() -> Result<Arc<dyn ::device::DriverOps>> {
    Ok(Arc::new(Ops::<T> { dynamic: T::dynamic_ids(), _adapter: PhantomData }, GFP_KERNEL)?)
}
