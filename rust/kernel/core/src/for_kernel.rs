// SPDX-License-Identifier: GPL-2.0
//! What the crate `kernel` needs of this one and modules must not have: it does not re-export this. `SAFETY` comments here rest on
//! `kernel` asking for a bus's form of a device only in calls of that bus, and for the operations of a driver only to register it.

use crate::device::{Bound, Device, DeviceContext};
use crate::error::Result;
use crate::io::mem::IoRequest;
use crate::io::resource::Resource;
use crate::{auxiliary, driver};
use kalloc::Arc;

/// The device of the level below.
pub fn device<Ctx: DeviceContext>(device: &Device<Ctx>) -> &::device::Device {
    device.core()
}

/// What the level below calls for the drivers of adapter `T`. `ENOMEM`.
pub fn driver_ops<T: driver::RegistrationOps>() -> Result<Arc<dyn ::device::DriverOps>> {
    driver::ops_of::<T>()
}

/// The wish for `resource`, which is one of `device`'s.
pub fn io_request(device: &Device<Bound>, resource: Resource) -> IoRequest<'_> {
    IoRequest::new(device, resource)
}

/// An auxiliary device as one.
pub fn auxiliary_device<Ctx: DeviceContext>(device: &Device<Ctx>) -> &auxiliary::Device<Ctx> {
    auxiliary::Device::of(device)
}

/// A PCI device as one.
#[cfg(feature = "CONFIG_PCI")]
pub fn pci_device<Ctx: DeviceContext>(device: &Device<Ctx>) -> &crate::pci::Device<Ctx> {
    crate::pci::Device::of(device)
}
