// SPDX-License-Identifier: GPL-2.0
//! Devices: `kernel::device`, over `drivers/base/core`. What may be done with a device is its type's second part: [`Normal`] for a
//! mere reference, [`Bound`] while a driver is bound to it, [`Core`] in the calls of the bus's core.

mod context;
mod data;
mod print;

pub use context::{Bound, BoundInternal, Core, CoreInternal, DeviceContext, InternalBoundContext, Normal};
pub use kernel_base::device::property;

use crate::sync::aref::AlwaysRefCounted;
use core::ffi::CStr;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kalloc::Arc;
use property::FwNode;

/// A device.
///
/// # Invariants
/// The value inside lives in an `Arc`.
#[repr(transparent)]
pub struct Device<Ctx: DeviceContext = Normal>(::device::Device, PhantomData<Ctx>);

// SAFETY: References are counted atomically, and the value may be used and dropped anywhere.
unsafe impl<Ctx: DeviceContext> Send for Device<Ctx> {}
// SAFETY: All of its methods may be called by several threads at once.
unsafe impl<Ctx: DeviceContext> Sync for Device<Ctx> {}

impl<Ctx: DeviceContext> Device<Ctx> {
    /// The device of the level below, in a context.
    ///
    /// # Safety
    /// What the context promises is true for `'a`.
    pub(crate) unsafe fn from_core(device: &Arc<::device::Device>) -> &Self {
        // SAFETY: `Device` is its `device::Device`, which lives in an `Arc`.
        unsafe { &*Arc::as_ptr(device).cast() }
    }

    /// The device of the level below.
    pub(crate) fn core(&self) -> &::device::Device {
        &self.0
    }

    /// A reference to it of the level below.
    pub(crate) fn to_core(&self) -> Arc<::device::Device> {
        // SAFETY: By the type invariant the value lives in an `Arc`; that of the caller is only looked at.
        Arc::clone(&ManuallyDrop::new(unsafe { Arc::from_raw(&raw const self.0) }))
    }

    /// The device it belongs to.
    pub fn parent(&self) -> Option<&Device> {
        // SAFETY: `Normal` promises nothing.
        self.0.parent().map(|parent| unsafe { Device::from_core(parent) })
    }

    /// What firmware says of it.
    pub fn fwnode(&self) -> Option<&FwNode> {
        self.0.info::<::device::platform::Info>()?.fwnode.as_ref().map(FwNode::of)
    }

    /// Its name.
    pub fn name(&self) -> &CStr {
        self.0.c_name()
    }
}

impl<Ctx: DeviceContext> property::Reporter for Device<Ctx> {
    fn error(&self, text: core::fmt::Arguments<'_>) {
        self.pr_err(text);
    }
}

impl<Ctx: DeviceContext> AsRef<Device<Ctx>> for Device<Ctx> {
    fn as_ref(&self) -> &Device<Ctx> {
        self
    }
}

// SAFETY: By the type invariant the value lives in an `Arc`, whose count these change.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        core::mem::forget(self.to_core());
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference that was counted.
        drop(unsafe { Arc::from_raw(obj.as_ptr().cast::<::device::Device>()) });
    }
}

// SAFETY: The context is a marker alone.
crate::impl_device_context_deref!(unsafe { Device });
crate::impl_device_context_into_aref!(Device);

/// What every bus's own device type has: it is the bus-less one inside. The type is a transparent wrapper of that.
#[doc(hidden)]
#[macro_export]
macro_rules! bus_device {
    ($(#[$attr:meta])* pub struct $device:ident;) => {
        $(#[$attr])*
        #[repr(transparent)]
        pub struct $device<Ctx: $crate::device::DeviceContext = $crate::device::Normal>($crate::device::Device<Ctx>);

        impl<Ctx: $crate::device::DeviceContext> $device<Ctx> {
            /// The bus's form of a device, which is on the bus.
            pub(crate) fn of(device: &$crate::device::Device<Ctx>) -> &Self {
                // SAFETY: The type is a transparent wrapper, and promises nothing more.
                unsafe { &*::core::ptr::from_ref(device).cast() }
            }
        }

        impl<Ctx: $crate::device::DeviceContext> AsRef<$crate::device::Device<Ctx>> for $device<Ctx> {
            fn as_ref(&self) -> &$crate::device::Device<Ctx> {
                &self.0
            }
        }

        // SAFETY: The value lives where the device does, in an `Arc`, whose count these change.
        unsafe impl $crate::sync::aref::AlwaysRefCounted for $device {
            fn inc_ref(&self) {
                $crate::sync::aref::AlwaysRefCounted::inc_ref(&self.0);
            }

            unsafe fn dec_ref(obj: ::core::ptr::NonNull<Self>) {
                // SAFETY: The caller's contract, for the value inside.
                unsafe { <$crate::device::Device as $crate::sync::aref::AlwaysRefCounted>::dec_ref(obj.cast()) };
            }
        }

        // SAFETY: The context is a marker alone.
        $crate::impl_device_context_deref!(unsafe { $device });
        $crate::impl_device_context_into_aref!($device);
    };
}
