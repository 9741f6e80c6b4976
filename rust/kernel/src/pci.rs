// SPDX-License-Identifier: GPL-2.0
//! PCI devices and their drivers: `kernel::pci`, over `drivers/pci`.

pub use kernel_core::pci::*;

use crate::device::{self, CoreInternal};
use crate::driver::{self, DynamicIds};
use crate::error::{Error, Result};
use crate::for_kernel;
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
    T::ID_TABLE.find(|id| id.as_raw().matches(function))
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
    type Data<'bound> = T::Data<'bound>;

    fn bus() -> &'static ::device::Bus {
        &::pci::bus::BUS
    }

    fn matches(device: &::device::Device) -> bool {
        entry::<T>(device).is_some()
    }

    fn probe<'bound>(device: &'bound device::Device<CoreInternal<'_>>) -> impl PinInit<Self::Data<'bound>, Error> {
        T::probe(for_kernel::pci_device(device), entry::<T>(for_kernel::device(device)))
    }

    fn unbind<'bound>(device: &'bound device::Device<CoreInternal<'_>>, data: Pin<&Self::Data<'bound>>) {
        T::unbind(for_kernel::pci_device(device), data);
    }

    fn pm<'bound>(
        device: &'bound device::Device<CoreInternal<'_>>,
        data: Pin<&Self::Data<'bound>>,
        phase: ::device::Phase,
    ) -> Result {
        crate::pm::call!(T, for_kernel::pci_device(device), data, phase)
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

    crate::pm::callbacks! { Device<device::Core<'_>> }
}
