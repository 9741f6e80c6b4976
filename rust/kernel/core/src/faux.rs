// SPDX-License-Identifier: GPL-2.0
//! Faux devices: `kernel::faux`, over `drivers/base/core`.

use crate::device;
use core::ffi::CStr;
use core::marker::PhantomData;
use errno::Result;
use kalloc::Arc;

/// A device on the faux bus.
///
/// # Invariants
/// The value inside lives in an `Arc`.
#[repr(transparent)]
pub struct Device<Ctx: device::DeviceContext = device::Normal>(device::Device<Ctx>, PhantomData<Ctx>);

impl<Ctx: device::DeviceContext> AsRef<device::Device<Ctx>> for Device<Ctx> {
    fn as_ref(&self) -> &device::Device<Ctx> {
        &self.0
    }
}

/// A faux device of ours; it goes when this is dropped.
pub struct Registration(Arc<::device::Device>);

impl Registration {
    /// Makes the device `name`, below `parent` or the bus's root, bound at once. `EEXIST`, `ENOMEM`. May sleep.
    pub fn new(name: &CStr, parent: Option<&device::Device>) -> Result<Self> {
        let parent = parent.map(device::Device::to_core);
        Ok(Self(::device::faux::create(name.to_bytes(), parent)?))
    }
}

impl AsRef<Device<device::Bound>> for Registration {
    fn as_ref(&self) -> &Device<device::Bound> {
        // SAFETY: The device is bound from `new` on until this is dropped; `Device` is its `device::Device`.
        unsafe {
            let device: &device::Device<device::Bound> = device::Device::from_core(&self.0);
            &*core::ptr::from_ref(device).cast()
        }
    }
}

/// For tests that need a device.
#[cfg(CONFIG_KUNIT = "y")]
#[doc(hidden)]
pub mod for_tests {
    use super::{Device, Registration};
    use crate::device::{self, Bound};

    /// The device, whatever bus it is on.
    pub fn device(registration: &Registration) -> &device::Device<Bound> {
        let device: &Device<Bound> = registration.as_ref();
        device.as_ref()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.unregister();
    }
}
