// SPDX-License-Identifier: GPL-2.0
//! Drivers: `kernel::driver`, over `drivers/base/core`. A bus has an `Adapter<T>` for the drivers `T` that implement its trait; a
//! [`Registration`] of it is the driver in the tree.

pub use kernel_core::driver::{DynamicIds, RegistrationOps};

use crate::error::Error;
use crate::{ThisModule, acpi, device, for_kernel, of};
use core::ffi::CStr;
use core::marker::PhantomData;
use kalloc::Arc;
use pin_init::{PinInit, init_with};

/// A driver that is registered; it goes when this is dropped, after it gave up its devices.
pub struct Registration<T: RegistrationOps> {
    driver: Arc<::device::Driver>,
    _adapter: PhantomData<fn() -> T>,
}

impl<T: RegistrationOps> Registration<T> {
    /// The driver `name`. `EEXIST`, `ENOMEM`. May sleep.
    pub fn new(name: &'static CStr, _module: &'static ThisModule) -> impl PinInit<Self, Error> {
        init_with(|| {
            let driver = ::device::Driver::register(T::bus(), name.to_bytes(), for_kernel::driver_ops::<T>()?)?;
            Ok(Self { driver, _adapter: PhantomData })
        })
    }
}

impl<T: RegistrationOps> Drop for Registration<T> {
    fn drop(&mut self) {
        self.driver.unregister();
    }
}

/// How a bus's drivers are found by what firmware says.
pub trait Adapter {
    /// The driver's data for an id.
    type IdInfo: 'static;

    /// Ids of ACPI.
    fn acpi_id_table() -> Option<acpi::IdTable<Self::IdInfo>>;

    /// Ids of a device tree.
    fn of_id_table() -> Option<of::IdTable<Self::IdInfo>>;

    /// The data for the id that matches `device`, if one does.
    fn id_info(device: &device::Device) -> Option<&'static Self::IdInfo> {
        firmware_match::<Self::IdInfo>(for_kernel::device(device), Self::acpi_id_table(), Self::of_id_table())
    }
}

/// The entry of either table that matches what firmware says of `device`.
pub(crate) fn firmware_match<I: 'static>(
    device: &::device::Device,
    acpi_table: Option<acpi::IdTable<I>>,
    of_table: Option<of::IdTable<I>>,
) -> Option<&'static I> {
    let info = device.info::<::device::platform::Info>()?;
    let by_acpi =
        acpi_table.and_then(|table| table.find(|id| info.acpi_ids.iter().any(|its| its.as_bytes() == id.as_bytes())));
    by_acpi.or_else(|| {
        // Properties count as a device tree's if firmware says so by this id.
        info.acpi_ids.iter().find(|id| id.as_bytes() == b"PRP0001")?;
        let compatible = info.fwnode.as_ref()?.property(b"compatible")?;
        let has = |id: &of::DeviceId| {
            let is = |part: &::device::Value| {
                matches!(part, ::device::Value::Text(text) if text.as_bytes() == id.as_bytes())
            };
            compatible.parts().iter().any(is)
        };
        of_table?.find(has)
    })
}

/// Declares a module that is one driver; buses have macros of their own for it.
#[macro_export]
macro_rules! module_driver {
    (<$gen_type:ident>, $driver_ops:ty, { type: $type:ty, $($f:tt)* }) => {
        type Ops<$gen_type> = $driver_ops;

        #[$crate::prelude::pin_data]
        struct DriverModule {
            #[pin]
            _driver: $crate::driver::Registration<Ops<$type>>,
        }

        impl $crate::InPlaceModule for DriverModule {
            fn init(
                module: &'static $crate::ThisModule,
            ) -> impl $crate::prelude::PinInit<Self, $crate::error::Error> {
                $crate::try_pin_init!(Self {
                    _driver <- $crate::driver::Registration::new(
                        <Self as $crate::ModuleMetadata>::NAME,
                        module,
                    ),
                })
            }
        }

        $crate::prelude::module! {
            type: DriverModule,
            $($f)*
        }
    };
}
