// SPDX-License-Identifier: GPL-2.0
//! Auxiliary devices and their drivers: `kernel::auxiliary`, over `drivers/base/core`. A driver makes one with a
//! [`Registration`], which has data for whoever serves the device.

use crate::device::{self, Bound, CoreInternal, DeviceContext, Normal};
use crate::device_id::{Alias, RawDeviceId, RawDeviceIdIndex};
use crate::driver;
use crate::error::{Error, Result, code::*};
use crate::types::{CovariantForLt, ForLt, ForeignOwnable};
use ::device::auxiliary::Info;
use core::any::TypeId;
use core::ffi::CStr;
use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr::with_exposed_provenance_mut;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, InPlaceInit, KBox};
use pin_init::PinInit;

/// The bus's part of the driver `T`.
pub struct Adapter<T: Driver>(PhantomData<fn() -> T>);

/// The entry of the driver's table that `device` matches.
fn entry<T: Driver>(device: &::device::Device) -> Option<&'static T::IdInfo> {
    let info = device.info::<Info>()?;
    T::ID_TABLE.entries().iter().find(|(id, _)| id.is(info.matches.as_bytes())).map(|(_, data)| *data)
}

impl<T: Driver + 'static> driver::RegistrationOps for Adapter<T> {
    fn bus() -> &'static ::device::Bus {
        &::device::auxiliary::BUS
    }

    fn matches(device: &::device::Device) -> bool {
        entry::<T>(device).is_some()
    }

    fn probe(device: &device::Device<CoreInternal<'_>>) -> Result {
        let info = entry::<T>(device.core()).ok_or(ENODEV)?;
        device.set_drvdata::<T::Data<'_>>(T::probe(Device::of(device), info))
    }

    fn remove(device: &device::Device<CoreInternal<'_>>) {
        // SAFETY: `probe` of this adapter put it there, and nobody has taken it.
        unsafe { device.remove_drvdata::<T::Data<'_>>(|data| T::unbind(Device::of(device), data)) };
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
}

/// An auxiliary device.
#[repr(transparent)]
pub struct Device<Ctx: DeviceContext = Normal>(device::Device<Ctx>);

crate::impl_bus_device!(Device);

impl<Ctx: DeviceContext> Device<Ctx> {
    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.core().info::<Info>().map_or(0, |info| info.id)
    }
}

impl Device<Bound> {
    /// The device it is a part of, which is bound too: its driver's [`Registration`] is what keeps this one.
    pub fn parent(&self) -> &device::Device<Bound> {
        // SAFETY: Of a bound auxiliary device the parent is bound, as its driver made this one and takes it away first.
        self.0.parent().map_or(self.as_ref(), |parent| unsafe { parent.as_bound() })
    }

    /// What the parent's driver gave it. `ENOENT`, `EINVAL` (another type).
    fn pinned<F: ForLt + 'static>(&self) -> Result<Pin<&F::Of<'_>>> {
        let (address, kind) = self.0.core().info::<Info>().ok_or(ENOENT)?.data;
        if kind != TypeId::of::<F>() {
            return Err(EINVAL);
        }
        // SAFETY: `Registration` put a box of this type there, which it drops after the device's driver is unbound; in this
        // context that is after `self`. Callers shorten the lifetime where the type allows it, or hide it.
        Ok(unsafe { Pin::<KBox<F::Of<'_>>>::borrow(with_exposed_provenance_mut(address)) })
    }

    /// Calls `f` with what the parent's driver gave it. `ENOENT`, `EINVAL` (another type).
    pub fn registration_data_with<F: ForLt + 'static, R>(
        &self,
        f: impl for<'a> FnOnce(Pin<&'a F::Of<'a>>) -> R,
    ) -> Result<R> {
        Ok(f(self.pinned::<F>()?))
    }

    /// What the parent's driver gave it. `ENOENT`, `EINVAL` (another type).
    pub fn registration_data<F: CovariantForLt + 'static>(&self) -> Result<Pin<&F::Of<'_>>> {
        self.pinned::<F>()
    }
}

/// An auxiliary device of ours; it goes when this is dropped, and its data after it.
///
/// # Invariants
/// `data` came from `into_foreign` of a `Pin<KBox<F::Of<'a>>>`; the device has it.
pub struct Registration<'a, F: ForLt + 'static> {
    device: Arc<::device::Device>,
    data: usize,
    _data: PhantomData<F::Of<'a>>,
}

impl<'a, F: ForLt> Registration<'a, F>
where
    for<'b> F::Of<'b>: Send + Sync,
{
    /// The device `MODNAME.NAME.ID` below `parent`. `EEXIST`, `ENOMEM`. May sleep.
    ///
    /// # Safety
    /// The registration is dropped before `'a` ends: it is not leaked.
    pub unsafe fn new_with_lt<E>(
        parent: &'a device::Device<Bound>,
        name: &CStr,
        id: u32,
        modname: &CStr,
        data: impl PinInit<F::Of<'a>, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        let data = KBox::<F::Of<'a>>::pin_init(data, GFP_KERNEL)?.into_foreign();
        let address = data.expose_provenance();
        let known = (address, TypeId::of::<F>());
        match ::device::auxiliary::add(parent.to_core(), modname.to_bytes(), name.to_bytes(), id, known) {
            Ok(device) => Ok(Self { device, data: address, _data: PhantomData }),
            Err(error) => {
                // SAFETY: It just came from `into_foreign`; the device that was to have it is gone.
                drop(unsafe { Pin::<KBox<F::Of<'a>>>::from_foreign(data) });
                Err(error)
            }
        }
    }

    /// As [`Self::new_with_lt`], for data that outlives everything.
    pub fn new<E>(
        parent: &'a device::Device<Bound>,
        name: &CStr,
        id: u32,
        modname: &CStr,
        data: impl PinInit<F::Of<'a>, E>,
    ) -> Result<Self>
    where
        F::Of<'a>: 'static,
        Error: From<E>,
    {
        // SAFETY: The data borrows nothing, so it may stay for ever.
        unsafe { Self::new_with_lt(parent, name, id, modname, data) }
    }
}

impl<F: ForLt> Drop for Registration<'_, F> {
    fn drop(&mut self) {
        self.device.unregister();
        // SAFETY: By the type invariant; the device has no driver any more that could look at it.
        drop(unsafe { Pin::<KBox<F::Of<'_>>>::from_foreign(with_exposed_provenance_mut(self.data)) });
    }
}

// SAFETY: The data may be dropped anywhere, and the device is shared anyway.
unsafe impl<F: ForLt> Send for Registration<'_, F> where for<'a> F::Of<'a>: Send {}
// SAFETY: Nothing of it can be reached through a shared reference.
unsafe impl<F: ForLt> Sync for Registration<'_, F> where for<'a> F::Of<'a>: Send {}
