// SPDX-License-Identifier: GPL-2.0
//! PCI devices: the part of `kernel::pci` that is not about drivers, over `drivers/pci`.

mod io;
mod irq;

pub use io::{Bar, ConfigSpace, ConfigSpaceBackend, ConfigSpaceSize, DevresBar, Extended, Normal};
pub use irq::{IrqType, IrqTypes, IrqVector, IrqVectorRegistration};
pub use kernel_base::pci_id::{Class, ClassMask, DeviceId, IdTable, Vendor};

use crate::device;
use crate::device::DeviceContext;
use crate::error::{Error, Result, code::*};
use core::num::NonZero;

crate::bus_device! {
    /// A PCI device.
    pub struct Device;
}

impl<Ctx: DeviceContext> Device<Ctx> {
    /// The function. `ENODEV` for a device of another bus, which is never one of this type.
    fn function(&self) -> Result<&::pci::PciDevice> {
        ::pci::bus::function(self.0.core()).ok_or(ENODEV)
    }

    fn known<T: Default>(&self, get: impl FnOnce(&::pci::PciDevice) -> T) -> T {
        self.function().map(get).unwrap_or_default()
    }

    /// Its vendor.
    pub fn vendor_id(&self) -> Vendor {
        Vendor::from_raw(self.known(|function| function.vendor))
    }

    /// Its vendor's number for it.
    pub fn device_id(&self) -> u16 {
        self.known(|function| function.device)
    }

    /// Its revision.
    pub fn revision_id(&self) -> u8 {
        self.known(|function| function.revision)
    }

    /// Bus (8 bits), device (5) and function (3).
    pub fn dev_id(&self) -> u16 {
        self.known(|function| {
            let at = function.address;
            u16::from(at.bus) << 8 | u16::from(at.device) << 3 | u16::from(at.function)
        })
    }

    /// Its subsystem's vendor.
    pub fn subsystem_vendor_id(&self) -> u16 {
        self.known(|function| function.subsystem.0)
    }

    /// Its subsystem.
    pub fn subsystem_device_id(&self) -> u16 {
        self.known(|function| function.subsystem.1)
    }

    /// Its class.
    pub fn pci_class(&self) -> Class {
        Class::from_raw(self.known(|function| function.class))
    }

    /// The first bus address of what is behind a base address register. `EINVAL`.
    pub fn resource_start(&self, bar: u32) -> Result<u64> {
        Ok(self.bar(bar)?.map_or(0, |bar| bar.start))
    }

    /// The bytes behind a base address register. `EINVAL`.
    pub fn resource_len(&self, bar: u32) -> Result<u64> {
        Ok(self.bar(bar)?.map_or(0, |bar| bar.size))
    }

    fn bar(&self, bar: u32) -> Result<Option<::pci::Bar>> {
        self.function()?.bars.get(bar as usize).copied().ok_or(EINVAL)
    }
}

impl Device<device::Core<'_>> {
    /// How many virtual functions the device could have, as its SR-IOV capability says; `None` without one.
    pub fn sriov_get_totalvfs(&self) -> Option<NonZero<u16>> {
        const SRIOV: u16 = 0x10;
        const TOTAL_VFS: u16 = 0xe;
        let function = self.function().ok()?;
        let (_, at) = ::pci::extended_capabilities(function.address).find(|(id, _)| *id == SRIOV)?;
        NonZero::new(x86::pci_config::read16(function.address, at.checked_add(TOTAL_VFS)?))
    }

    /// Lets the device answer to accesses of its memory. May sleep.
    pub fn enable_device_mem(&self) -> Result {
        self.function()?.enable();
        Ok(())
    }

    /// Lets the device answer to accesses of its memory and ports. May sleep.
    pub fn enable_device(&self) -> Result {
        self.enable_device_mem()
    }

    /// Lets the device start transfers. May sleep.
    pub fn set_master(&self) {
        if let Ok(function) = self.function() {
            function.set_master();
        }
    }
}

impl<'a, Ctx: DeviceContext> TryFrom<&'a device::Device<Ctx>> for &'a Device<Ctx> {
    type Error = Error;

    /// The PCI device that a device is. `EINVAL` if it is another bus's.
    fn try_from(device: &'a device::Device<Ctx>) -> Result<Self> {
        if ::pci::bus::function(device.core()).is_some() { Ok(Device::of(device)) } else { Err(EINVAL) }
    }
}
