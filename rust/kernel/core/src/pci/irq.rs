// SPDX-License-Identifier: GPL-2.0
//! A PCI device's interrupts: messages, which stay on as long as a driver is bound.

use super::Device;
use crate::device::Bound;
use crate::error::{Error, Result, code::*};
use crate::irq::{self, IrqRequest};
use ::pci::{MsiVectors, PciDevice};
use core::ffi::CStr;
use core::ops::RangeInclusive;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use pin_init::PinInit;

/// A kind of interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqType {
    /// A line.
    Intx,
    /// Messages, set up in the configuration space.
    Msi,
    /// Messages, set up in a table.
    MsiX,
}

/// Kinds of interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IrqTypes(u32);

impl IrqTypes {
    /// All of them.
    pub const fn all() -> Self {
        Self(7)
    }

    /// With one more.
    pub const fn with(self, kind: IrqType) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    fn has(self, kind: IrqType) -> bool {
        self.0 & 1 << kind as u32 != 0
    }
}

/// One of a device's interrupts, counted from 0.
#[derive(Clone, Copy)]
pub struct IrqVector<'a> {
    device: &'a Device<Bound>,
    index: u32,
    irq: u32,
}

impl<'a> IrqVector<'a> {
    /// Its place among the device's.
    pub fn index(&self) -> u32 {
        self.index
    }
}

impl<'a> TryFrom<IrqVector<'a>> for IrqRequest<'a> {
    type Error = Error;

    fn try_from(vector: IrqVector<'a>) -> Result<Self> {
        // SAFETY: The messages are the device's as long as it is bound.
        Ok(unsafe { IrqRequest::new(vector.device.as_ref(), vector.irq) })
    }
}

/// Turns messages on: MSI-X, else one of MSI.
fn enable(device: &Arc<PciDevice>, min: u32, max: u32, types: IrqTypes) -> Result<MsiVectors> {
    if min == 0 || max < min {
        return Err(EINVAL);
    }
    let table = ::pci::msix_count(device).ok().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    if types.has(IrqType::MsiX) && table >= min {
        let cpus = x86::smp::num_online().max(1);
        let mut targets = KVec::new();
        for index in 0..max.min(table) {
            targets.push(index.checked_rem(cpus).unwrap_or(0), GFP_KERNEL)?;
        }
        match ::pci::enable_msix(device, &targets) {
            // The table is not in memory.
            Err(EINVAL | ENODEV) => {}
            result => return result,
        }
    }
    if types.has(IrqType::Msi) && min == 1 {
        return ::pci::enable_msi(device, 0);
    }
    Err(ENOSPC)
}

impl Device<Bound> {
    /// Turns `min_vecs` to `max_vecs` interrupts on, which stay on until the driver is unbound: the first and the last. Lines are not
    /// among them: `ENOSPC` without messages, `EINVAL` (they are on already), `ENOMEM`. May sleep.
    pub fn alloc_irq_vectors(
        &self,
        min_vecs: u32,
        max_vecs: u32,
        irq_types: IrqTypes,
    ) -> Result<RangeInclusive<IrqVector<'_>>> {
        let function = self.as_ref().core().info::<Arc<PciDevice>>().ok_or(ENODEV)?;
        if self.as_ref().core().has_resource::<MsiVectors>() {
            return Err(EINVAL);
        }
        let vectors = enable(function, min_vecs, max_vecs, irq_types)?;
        let last = u32::try_from(vectors.len())?.checked_sub(1).ok_or(ENOSPC)?;
        let (first_irq, last_irq) = (vectors.irq(0).ok_or(ENOSPC)?, vectors.irq(last as usize).ok_or(ENOSPC)?);
        self.as_ref().core().add_resource(KBox::new(vectors, GFP_KERNEL)?)?;
        let vector = |index, irq| IrqVector { device: self, index, irq };
        Ok(vector(0, first_irq)..=vector(last, last_irq))
    }

    /// Registers a handler of an interrupt.
    ///
    /// # Safety
    /// The registration is dropped: it is not leaked.
    pub unsafe fn request_irq<'a, T: irq::Handler + 'a>(
        &'a self,
        vector: IrqVector<'a>,
        flags: irq::Flags,
        name: &'static CStr,
        handler: impl PinInit<T, Error> + 'a,
    ) -> impl PinInit<irq::Registration<'a, T>, Error> + 'a {
        pin_init::pin_init_scope(move || {
            let request = vector.try_into()?;
            // SAFETY: The caller's contract.
            Ok(unsafe { irq::Registration::<T>::new(request, flags, name, handler) })
        })
    }

    /// Registers a handler of an interrupt, with a thread.
    ///
    /// # Safety
    /// The registration is dropped: it is not leaked.
    pub unsafe fn request_threaded_irq<'a, T: irq::ThreadedHandler + 'a>(
        &'a self,
        vector: IrqVector<'a>,
        flags: irq::Flags,
        name: &'static CStr,
        handler: impl PinInit<T, Error> + 'a,
    ) -> impl PinInit<irq::ThreadedRegistration<'a, T>, Error> + 'a {
        pin_init::pin_init_scope(move || {
            let request = vector.try_into()?;
            // SAFETY: The caller's contract.
            Ok(unsafe { irq::ThreadedRegistration::<T>::new(request, flags, name, handler) })
        })
    }
}
