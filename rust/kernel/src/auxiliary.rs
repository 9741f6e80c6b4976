// SPDX-License-Identifier: GPL-2.0
//! Auxiliary devices and their drivers: `kernel::auxiliary`, over `drivers/base/core`. A driver makes one with a
//! [`Registration`], which has data for whoever serves the device.

pub use kernel_core::auxiliary::{Device, Registration};

use crate::device::{self, CoreInternal};
use crate::device_id::{Alias, RawDeviceId, RawDeviceIdIndex};
use crate::driver;
use crate::error::{Error, Result, code::*};
use crate::for_kernel;
use ::device::auxiliary::Info;
use core::ffi::CStr;
use core::marker::PhantomData;
use core::pin::Pin;
use pin_init::{PinInit, pin_init_scope};

/// The bus's part of the driver `T`.
pub struct Adapter<T: Driver>(PhantomData<fn() -> T>);

/// The entry of the driver's table that `device` matches.
fn entry<T: Driver>(device: &::device::Device) -> Option<&'static T::IdInfo> {
    let info = device.info::<Info>()?;
    T::ID_TABLE.find(|id| id.is(info.matches.as_bytes()))
}

impl<T: Driver + 'static> driver::RegistrationOps for Adapter<T> {
    type Data<'bound> = T::Data<'bound>;

    fn bus() -> &'static ::device::Bus {
        &::device::auxiliary::BUS
    }

    fn matches(device: &::device::Device) -> bool {
        entry::<T>(device).is_some()
    }

    fn probe<'bound>(device: &'bound device::Device<CoreInternal<'_>>) -> impl PinInit<Self::Data<'bound>, Error> {
        pin_init_scope(|| {
            let info = entry::<T>(for_kernel::device(device)).ok_or(ENODEV)?;
            Ok(T::probe(for_kernel::auxiliary_device(device), info))
        })
    }

    fn unbind<'bound>(device: &'bound device::Device<CoreInternal<'_>>, data: Pin<&Self::Data<'bound>>) {
        T::unbind(for_kernel::auxiliary_device(device), data);
    }

    fn pm<'bound>(
        device: &'bound device::Device<CoreInternal<'_>>,
        data: Pin<&Self::Data<'bound>>,
        phase: ::device::Phase,
    ) -> Result {
        crate::pm::call!(T, for_kernel::auxiliary_device(device), data, phase)
    }
}

/// Declares a module that is one auxiliary driver.
#[macro_export]
macro_rules! module_auxiliary_driver {
    ($($f:tt)*) => {
        $crate::module_driver!(<T>, $crate::auxiliary::Adapter<T>, { $($f)* });
    };
}

/// An id: the module that makes the device, and the name it gives it.
#[derive(Clone, Copy)]
pub struct DeviceId(&'static CStr, &'static CStr);

impl RawDeviceId for DeviceId {}
impl RawDeviceIdIndex for DeviceId {}

impl DeviceId {
    /// Devices called `name` of module `modname`.
    pub const fn new(modname: &'static CStr, name: &'static CStr) -> Self {
        assert!(modname.count_bytes() + name.count_bytes() < 39, "name exceeds 40 bytes");
        Self(modname, name)
    }

    /// Whether `text` is `MODULE.NAME`.
    fn is(&self, text: &[u8]) -> bool {
        let rest = text.strip_prefix(self.0.to_bytes()).and_then(|rest| rest.strip_prefix(b"."));
        rest == Some(self.1.to_bytes())
    }

    #[doc(hidden)]
    pub const fn alias(&self) -> Alias {
        Alias::new().text(b"auxiliary:").text(self.0.to_bytes()).text(b".").text(self.1.to_bytes())
    }
}

/// A table.
pub type IdTable<T> = &'static dyn crate::device_id::IdTable<DeviceId, T>;

/// Declares a table of auxiliary ids.
#[macro_export]
macro_rules! auxiliary_device_table {
    ($($tt:tt)*) => {
        $crate::module_device_table!("auxiliary", $crate::auxiliary::DeviceId, $($tt)*);
    };
}

/// A driver of auxiliary devices.
pub trait Driver {
    /// Its data for an id.
    type IdInfo: 'static;
    /// What it keeps of a device; dropped after `unbind`.
    type Data<'bound>: Send + 'bound;

    /// What it serves.
    const ID_TABLE: IdTable<Self::IdInfo>;

    /// Takes a device.
    fn probe<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        id_info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Gives a device up.
    fn unbind<'bound>(dev: &'bound Device<device::Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        let _ = (dev, this);
    }

    crate::pm::callbacks! { Device<device::Core<'_>> }
}
