// SPDX-License-Identifier: GPL-2.0
//! Drivers: `kernel::driver`, over `drivers/base/core`. A bus has an `Adapter<T>` for the drivers `T` that implement its trait; a
//! [`Registration`] of it is the driver in the tree.

use crate::device::{self, CoreInternal, Device};
use crate::error::Result;
use crate::{ThisModule, acpi, of};
use core::ffi::CStr;
use core::marker::PhantomData;
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use pin_init::{PinInit, pin_init_from_closure};

/// What a bus's adapter does for its drivers. All may sleep.
pub trait RegistrationOps: 'static {
    /// The bus.
    fn bus() -> &'static ::device::Bus;

    /// Whether the driver serves `device`.
    #[doc(hidden)]
    fn matches(device: &::device::Device) -> bool;

    /// Takes a device: its data is in the device afterwards.
    #[doc(hidden)]
    fn probe(device: &Device<CoreInternal<'_>>) -> Result;

    /// Gives a device up: takes the data out.
    #[doc(hidden)]
    fn remove(device: &Device<CoreInternal<'_>>);

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
        T::probe(core_of(device))
    }

    fn remove(&self, device: &Arc<::device::Device>) {
        T::remove(core_of(device));
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

/// A driver that is registered; it goes when this is dropped, after it gave up its devices.
pub struct Registration<T: RegistrationOps> {
    driver: Arc<::device::Driver>,
    _adapter: PhantomData<fn() -> T>,
}

impl<T: RegistrationOps> Registration<T> {
    /// The driver `name`. `EEXIST`, `ENOMEM`. May sleep.
    pub fn new(name: &'static CStr, _module: &'static ThisModule) -> impl PinInit<Self, crate::error::Error> {
        let make = move |slot: *mut Self| {
            let ops: Arc<dyn ::device::DriverOps> =
                Arc::new(Ops::<T> { dynamic: T::dynamic_ids(), _adapter: PhantomData }, GFP_KERNEL)?;
            let driver = ::device::Driver::register(T::bus(), name.to_bytes(), ops)?;
            // SAFETY: The slot is valid for a write.
            unsafe { slot.write(Self { driver, _adapter: PhantomData }) };
            Ok(())
        };
        // SAFETY: On success the slot was written; on an error nothing of it needs to be dropped.
        unsafe { pin_init_from_closure(make) }
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
        firmware_match::<Self::IdInfo>(device.core(), Self::acpi_id_table(), Self::of_id_table())
    }
}

/// The entry of either table that matches what firmware says of `device`.
pub(crate) fn firmware_match<I: 'static>(
    device: &::device::Device,
    acpi_table: Option<acpi::IdTable<I>>,
    of_table: Option<of::IdTable<I>>,
) -> Option<&'static I> {
    let info = device.info::<::device::platform::Info>()?;
    let by_acpi = acpi_table.and_then(|table| {
        let has = |id: &acpi::DeviceId| info.acpi_ids.iter().any(|its| its.as_bytes() == id.as_bytes());
        table.entries().iter().find(|(id, _)| has(id)).map(|(_, data)| *data)
    });
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
        of_table?.entries().iter().find(|(id, _)| has(id)).map(|(_, data)| *data)
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
