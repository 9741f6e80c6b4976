// SPDX-License-Identifier: GPL-2.0
//! Platform devices and their drivers: `kernel::platform`, over `drivers/base/core`.

pub use kernel_core::platform::*;

use crate::device::{self, CoreInternal};
use crate::driver;
use crate::error::{Error, Result};
use crate::{acpi, for_kernel, of};
use core::marker::PhantomData;
use core::pin::Pin;
use pin_init::PinInit;

/// The bus's part of the driver `T`.
pub struct Adapter<T: Driver>(PhantomData<fn() -> T>);

impl<T: Driver + 'static> driver::RegistrationOps for Adapter<T> {
    type Data<'bound> = T::Data<'bound>;

    fn bus() -> &'static ::device::Bus {
        &::device::platform::BUS
    }

    fn matches(device: &::device::Device) -> bool {
        driver::firmware_match(device, T::ACPI_ID_TABLE, T::OF_ID_TABLE).is_some()
    }

    fn probe<'bound>(device: &'bound device::Device<CoreInternal<'_>>) -> impl PinInit<Self::Data<'bound>, Error> {
        let info = driver::firmware_match(for_kernel::device(device), T::ACPI_ID_TABLE, T::OF_ID_TABLE);
        T::probe(for_kernel::platform_device(device), info)
    }

    fn unbind<'bound>(device: &'bound device::Device<CoreInternal<'_>>, data: Pin<&Self::Data<'bound>>) {
        T::unbind(for_kernel::platform_device(device), data);
    }

    fn pm<'bound>(
        device: &'bound device::Device<CoreInternal<'_>>,
        data: Pin<&Self::Data<'bound>>,
        phase: ::device::Phase,
    ) -> Result {
        crate::pm::call!(T, for_kernel::platform_device(device), data, phase)
    }
}

impl<T: Driver> driver::Adapter for Adapter<T> {
    type IdInfo = T::IdInfo;

    fn acpi_id_table() -> Option<acpi::IdTable<Self::IdInfo>> {
        T::ACPI_ID_TABLE
    }

    fn of_id_table() -> Option<of::IdTable<Self::IdInfo>> {
        T::OF_ID_TABLE
    }
}

/// Declares a module that is one platform driver.
#[macro_export]
macro_rules! module_platform_driver {
    ($($f:tt)*) => {
        $crate::module_driver!(<T>, $crate::platform::Adapter<T>, { $($f)* });
    };
}

/// A driver of platform devices.
pub trait Driver {
    /// Its data for an id.
    type IdInfo: 'static;
    /// What it keeps of a device; dropped after `unbind`.
    type Data<'bound>: Send + 'bound;

    /// Device-tree ids that it serves.
    const OF_ID_TABLE: Option<of::IdTable<Self::IdInfo>> = None;
    /// ACPI ids that it serves.
    const ACPI_ID_TABLE: Option<acpi::IdTable<Self::IdInfo>> = None;

    /// Takes a device.
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
