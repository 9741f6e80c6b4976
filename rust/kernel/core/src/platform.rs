// SPDX-License-Identifier: GPL-2.0
//! Platform devices, and what firmware says that they have: the part of `kernel::platform` that is not about drivers, over
//! `drivers/base/core`. Neither memory nor interrupts have names here: those are a device tree's, which there is none of.

use crate::device::{self, Bound, DeviceContext};
use crate::dma;
use crate::error::{Error, Result, code::*};
use crate::io::mem::IoRequest;
use crate::io::resource::{Flags, Resource};
use crate::irq::{self, IrqRequest};
use ::device::platform::Info;
use core::ffi::CStr;
use kalloc::flags::GFP_ATOMIC;
use kalloc::{KBox, KVec};
use pin_init::PinInit;

crate::bus_device! {
    /// A platform device.
    pub struct Device;
}

/// The memory of a device as resources; `None` without memory for that.
fn resources(info: &Info) -> Option<&KVec<Resource>> {
    info.shown.get_or_make(|| {
        let mut list = KVec::with_capacity(info.memory.len(), GFP_ATOMIC).ok()?;
        for memory in &info.memory {
            let last = memory.start.wrapping_add(memory.len).wrapping_sub(1);
            list.push(Resource::new(memory.start, last, Flags::IORESOURCE_MEM, None), GFP_ATOMIC).ok()?;
        }
        KBox::new(list, GFP_ATOMIC).ok()
    })
}

impl<Ctx: DeviceContext> Device<Ctx> {
    fn info(&self) -> Option<&Info> {
        self.0.core().info()
    }

    /// The device's memory number `index`; `None` if it has less.
    pub fn resource_by_index(&self, index: u32) -> Option<&Resource> {
        resources(self.info()?)?.get(index as usize).filter(|resource| resource.size() != 0)
    }

    /// The device's memory that firmware calls `name`: there is none.
    pub fn resource_by_name(&self, name: &CStr) -> Option<&Resource> {
        let _ = name;
        None
    }
}

/// Requests of interrupts: `name` with `pick`, for `registration` of a `handler`.
macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident $pick:ident($by:ident: $type:ty) $registration:ident $handler:ident;)*) => { $(
        $(#[$doc])*
        ///
        /// # Safety
        /// The registration is dropped: it is not leaked.
        pub unsafe fn $name<'a, T: irq::$handler + 'a>(
            &'a self,
            flags: irq::Flags,
            $by: $type,
            name: &'static CStr,
            handler: impl PinInit<T, Error> + 'a,
        ) -> impl PinInit<irq::$registration<'a, T>, Error> + 'a {
            pin_init::pin_init_scope(move || {
                let request = self.$pick($by)?;
                // SAFETY: The caller's contract.
                Ok(unsafe { irq::$registration::<T>::new(request, flags, name, handler) })
            })
        }
    )* };
}

impl Device<Bound> {
    /// The wish for the device's memory number `index`, as firmware describes it; `None` if it has less.
    pub fn io_request_by_index(&self, index: u32) -> Option<IoRequest<'_>> {
        self.resource_by_index(index).map(|resource| IoRequest::new(&self.0, resource.clone()))
    }

    /// The wish for the memory that firmware calls `name`: there is none.
    pub fn io_request_by_name(&self, name: &CStr) -> Option<IoRequest<'_>> {
        self.resource_by_name(name).map(|resource| IoRequest::new(&self.0, resource.clone()))
    }

    /// The device's interrupt number `index`. `ENXIO` if it has less, which the log tells.
    pub fn irq_by_index(&self, index: u32) -> Result<IrqRequest<'_>> {
        self.optional_irq_by_index(index).inspect_err(|_| self.0.pr_err(format_args!("IRQ index {index} not found\n")))
    }

    /// As [`Self::irq_by_index`], and the log tells nothing.
    pub fn optional_irq_by_index(&self, index: u32) -> Result<IrqRequest<'_>> {
        let line = self.info().and_then(|info| info.interrupts.get(index as usize)).ok_or(ENXIO)?;
        // SAFETY: It is one of this device, as firmware says, for as long as there is the device.
        Ok(unsafe { IrqRequest::of_line(&self.0, line) })
    }

    /// The device's interrupt that firmware calls `name`. `ENXIO`: there is none, which the log tells.
    pub fn irq_by_name(&self, name: &CStr) -> Result<IrqRequest<'_>> {
        self.optional_irq_by_name(name)
            .inspect_err(|_| self.0.pr_err(format_args!("IRQ {} not found\n", name.to_bytes().escape_ascii())))
    }

    /// As [`Self::irq_by_name`], and the log tells nothing.
    pub fn optional_irq_by_name(&self, name: &CStr) -> Result<IrqRequest<'_>> {
        let _ = name;
        Err(ENXIO)
    }

    requests! {
        /// Registers a handler of interrupt number `index`.
        request_irq_by_index irq_by_index(index: u32) Registration Handler;
        /// Registers a handler of the interrupt that firmware calls `irq_name`.
        request_irq_by_name irq_by_name(irq_name: &'a CStr) Registration Handler;
        /// As [`Self::request_irq_by_index`]; the log does not tell if there is none.
        request_optional_irq_by_index optional_irq_by_index(index: u32) Registration Handler;
        /// As [`Self::request_irq_by_name`]; the log does not tell if there is none.
        request_optional_irq_by_name optional_irq_by_name(irq_name: &'a CStr) Registration Handler;
        /// Registers a handler with a thread, of interrupt number `index`.
        request_threaded_irq_by_index irq_by_index(index: u32) ThreadedRegistration ThreadedHandler;
        /// Registers a handler with a thread, of the interrupt that firmware calls `irq_name`.
        request_threaded_irq_by_name irq_by_name(irq_name: &'a CStr) ThreadedRegistration ThreadedHandler;
        /// As [`Self::request_threaded_irq_by_index`]; the log does not tell if there is none.
        request_optional_threaded_irq_by_index optional_irq_by_index(index: u32) ThreadedRegistration ThreadedHandler;
        /// As [`Self::request_threaded_irq_by_name`]; the log does not tell if there is none.
        request_optional_threaded_irq_by_name optional_irq_by_name(irq_name: &'a CStr) ThreadedRegistration ThreadedHandler;
    }
}

impl<'a> dma::Device<'a> for Device<device::Core<'a>> {}

impl<'a, Ctx: DeviceContext> TryFrom<&'a device::Device<Ctx>> for &'a Device<Ctx> {
    type Error = Error;

    /// The platform device that a device is. `EINVAL` if it is another bus's.
    fn try_from(device: &'a device::Device<Ctx>) -> Result<Self> {
        let on_bus = device.core().bus().is_some_and(|bus| core::ptr::eq(bus, &::device::platform::BUS));
        if on_bus { Ok(Device::of(device)) } else { Err(EINVAL) }
    }
}
