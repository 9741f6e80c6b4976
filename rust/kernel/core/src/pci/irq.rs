// SPDX-License-Identifier: GPL-2.0
//! A PCI device's interrupts: messages.

use super::Device;
use crate::device::Bound;
use crate::error::{Error, Result, code::*};
use crate::irq::{self, IrqRequest};
use ::pci::{MsiVectors, PciDevice};
use core::ffi::CStr;
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

/// One of a device's interrupts.
pub struct IrqVector<'a> {
    request: IrqRequest<'a>,
    vectors: &'a IrqVectorRegistration<'a>,
}

impl<'a> IrqVector<'a> {
    /// All that were turned on with it.
    pub fn vectors(&self) -> &'a IrqVectorRegistration<'a> {
        self.vectors
    }

    /// What kind it is.
    pub fn irq_type(&self) -> IrqType {
        self.vectors.irq_type()
    }
}

impl<'a> From<IrqVector<'a>> for IrqRequest<'a> {
    fn from(vector: IrqVector<'a>) -> Self {
        vector.request
    }
}

/// Interrupts of a device that are on until this is dropped, which those who use them borrow.
pub struct IrqVectorRegistration<'a> {
    device: &'a Device<Bound>,
    vectors: MsiVectors,
}

impl<'a> IrqVectorRegistration<'a> {
    /// How many there are: one at least.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    /// What kind they are.
    pub fn irq_type(&self) -> IrqType {
        if self.vectors.is_msix() { IrqType::MsiX } else { IrqType::Msi }
    }

    /// Number `index`, counted from 0. `EINVAL`.
    pub fn index(&self, index: usize) -> Result<IrqVector<'_>> {
        let irq = self.vectors.irq(index).ok_or(EINVAL)?;
        // SAFETY: The message is the device's as long as `self` is borrowed.
        Ok(IrqVector { request: unsafe { IrqRequest::new(self.device.as_ref(), irq) }, vectors: self })
    }

    /// Leaves them on until the driver is unbound: for who keeps them and their handlers side by side. `ENOMEM`. May sleep.
    pub fn keep(self) -> Result<&'a Self> {
        let device = self.device;
        let kept = KBox::into_raw(KBox::new(self, GFP_KERNEL)?);
        // SAFETY: It is the pointer just taken out of a box. The lifetime is that of the device in a bound state; the device drops the
        // box when its driver was unbound, and is there itself while it does, and dropping does not look at the reference.
        let owner: KBox<IrqVectorRegistration<'static>> = unsafe { KBox::from_raw(kept.cast()) };
        device.as_ref().core().add_resource(owner)?;
        // SAFETY: The device has the box as long as `'a`, and nobody has it mutably.
        Ok(unsafe { &*kept })
    }
}

/// Turns messages on: MSI-X, else one of MSI.
fn enable(device: &Arc<PciDevice>, min: u32, max: u32, types: IrqTypes) -> Result<MsiVectors> {
    if min == 0 || max < min || ::pci::has_messages(device) {
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
    /// Turns `min_vecs` to `max_vecs` interrupts on. Lines are not among them: `ENOSPC` without messages, `EINVAL` (they are on
    /// already), `ENOMEM`. May sleep.
    pub fn alloc_irq_vectors(
        &self,
        min_vecs: u32,
        max_vecs: u32,
        irq_types: IrqTypes,
    ) -> Result<IrqVectorRegistration<'_>> {
        let function = self.as_ref().core().info::<Arc<PciDevice>>().ok_or(ENODEV)?;
        let vectors = enable(function, min_vecs, max_vecs, irq_types)?;
        Ok(IrqVectorRegistration { device: self, vectors })
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
            // SAFETY: The caller's contract.
            Ok(unsafe { irq::Registration::<T>::new(vector.into(), flags, name, handler) })
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
            // SAFETY: The caller's contract.
            Ok(unsafe { irq::ThreadedRegistration::<T>::new(vector.into(), flags, name, handler) })
        })
    }
}
