// SPDX-License-Identifier: GPL-2.0
//! PCI devices and their drivers: `kernel::pci`, over `drivers/pci`.

mod io;
mod irq;

pub use io::{Bar, ConfigSpace, ConfigSpaceBackend, ConfigSpaceSize, DevresBar, Extended, Normal};
pub use irq::{IrqType, IrqTypes, IrqVector};
pub use kernel_base::pci_id::{Class, ClassMask, DeviceId, IdTable, Vendor};

use crate::device::{self, CoreInternal, DeviceContext};
use crate::driver::{self, DynamicIds};
use crate::error::{Error, Result, code::*};
use core::marker::PhantomData;
use core::pin::Pin;
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use pin_init::PinInit;

/// The bus's part of the driver `T`.
pub struct Adapter<T: Driver>(PhantomData<fn() -> T>);

/// The entry of the driver's table that `device` matches.
fn entry<T: Driver>(device: &::device::Device) -> Option<&'static T::IdInfo> {
    let function = ::pci::bus::function(device)?;
    T::ID_TABLE.entries().iter().find(|(id, _)| id.as_raw().matches(function)).map(|(_, data)| *data)
}

struct Dynamic(::pci::bus::DynamicIds);

impl DynamicIds for Dynamic {
    fn matches(&self, device: &::device::Device) -> bool {
        ::pci::bus::function(device).is_some_and(|function| self.0.matches(function))
    }

    fn add(&self, text: &[u8]) -> Result {
        self.0.add(text)
    }

    fn remove(&self, text: &[u8]) -> Result {
        self.0.remove(text)
    }
}

/// A driver's list of dynamic ids; code of the image, whatever driver it is for.
fn dynamic_ids() -> Option<Arc<dyn DynamicIds>> {
    let ids: Arc<dyn DynamicIds> = Arc::new(Dynamic(::pci::bus::DynamicIds::new()), GFP_KERNEL).ok()?;
    Some(ids)
}

impl<T: Driver + 'static> driver::RegistrationOps for Adapter<T> {
    fn bus() -> &'static ::device::Bus {
        &::pci::bus::BUS
    }

    fn matches(device: &::device::Device) -> bool {
        entry::<T>(device).is_some()
    }

    fn probe(device: &device::Device<CoreInternal<'_>>) -> Result {
        let info = entry::<T>(device.core());
        device.set_drvdata::<T::Data<'_>>(T::probe(Device::of(device), info))
    }

    fn remove(device: &device::Device<CoreInternal<'_>>) {
        // SAFETY: `probe` of this adapter put it there, and nobody has taken it.
        unsafe { device.remove_drvdata::<T::Data<'_>>(|data| T::unbind(Device::of(device), data)) };
    }

    fn dynamic_ids() -> Option<Arc<dyn DynamicIds>> {
        dynamic_ids()
    }
}

/// Declares a module that is one PCI driver.
#[macro_export]
macro_rules! module_pci_driver {
    ($($f:tt)*) => {
        $crate::module_driver!(<T>, $crate::pci::Adapter<T>, { $($f)* });
    };
}

/// Declares a table of PCI ids.
#[macro_export]
macro_rules! pci_device_table {
    ($($tt:tt)*) => {
        $crate::module_device_table!("pci", $crate::pci::DeviceId, $($tt)*);
    };
}

/// A driver of PCI devices.
pub trait Driver {
    /// Its data for an id.
    type IdInfo: 'static;
    /// What it keeps of a device; dropped after `unbind`.
    type Data<'bound>: Send + 'bound;

    /// What it serves.
    const ID_TABLE: IdTable<Self::IdInfo>;

    /// Takes a device; without data if a program chose it (`new_id`, `driver_override`).
    fn probe<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        id_info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Gives a device up.
    fn unbind<'bound>(dev: &'bound Device<device::Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        let _ = (dev, this);
    }
}

/// A PCI device.
#[repr(transparent)]
pub struct Device<Ctx: DeviceContext = device::Normal>(device::Device<Ctx>);

crate::impl_bus_device!(Device);

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
