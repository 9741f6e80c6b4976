// SPDX-License-Identifier: GPL-2.0
//! What the crate `kernel` needs of this one and modules must not have: it does not re-export this. `SAFETY` comments here rest on
//! `kernel` asking for a bus's form of a device only in calls of that bus, and for the operations of a driver only to register it.

use crate::device::{Device, DeviceContext};
use crate::error::Result;
use crate::io::PhysAddr;
use crate::page::Page;
use crate::{auxiliary, driver, platform};
use kalloc::Arc;

/// The device of the level below.
pub fn device<Ctx: DeviceContext>(device: &Device<Ctx>) -> &::device::Device {
    device.core()
}

/// What the level below calls for the drivers of adapter `T`. `ENOMEM`.
pub fn driver_ops<T: driver::RegistrationOps>() -> Result<Arc<dyn ::device::DriverOps>> {
    driver::ops_of::<T>()
}

/// A platform device as one.
pub fn platform_device<Ctx: DeviceContext>(device: &Device<Ctx>) -> &platform::Device<Ctx> {
    platform::Device::of(device)
}

/// Where a page is, for a device too.
pub fn page_address(page: &Page) -> PhysAddr {
    page.phys()
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
