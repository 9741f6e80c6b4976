// SPDX-License-Identifier: GPL-2.0
//! Interrupts of a function: message 0 for configuration and one for each queue, or two in all, or the line.

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use kernel::hardware::irq::{self, IrqFlags, IrqRequest, IrqReturn, request_irq, request_isa_irq};
use kernel::hardware::pci::{MsiVectors, PciDevice, enable_msix};
use virtio::Handler;

/// What a register of vectors holds for none.
pub(crate) const NO_VECTOR: u16 = 0xffff;

/// Writes a register of vectors. EBUSY if the device does not take it: it has no resources for the vector.
pub(crate) fn set_vector(vector: u16, write: impl Fn(u16), read: impl Fn() -> u16) -> Result {
    write(vector);
    if vector == NO_VECTOR || read() == vector { Ok(()) } else { Err(EBUSY) }
}

/// A connection to a handler.
pub(crate) struct Interrupts {
    // Dropped first: no handler runs when the messages go.
    _requests: KVec<IrqRequest>,
    messages: Option<MsiVectors>,
    /// Queues have messages of their own.
    each: bool,
}

impl Interrupts {
    /// Connects. `isr` reads (and clears) what the line means: bit 0 queues, bit 1 configuration.
    pub(crate) fn new(
        device: &Arc<PciDevice>,
        name: &str,
        cpus: &[u32],
        handler: &Arc<dyn Handler>,
        isr: impl Fn() -> u8 + Send + Sync + 'static,
    ) -> Result<Self> {
        let mut wanted = KVec::with_capacity(cpus.len() + 1, GFP_KERNEL)?;
        wanted.push(0, GFP_KERNEL)?;
        wanted.extend_from_slice(cpus, GFP_KERNEL)?;
        match Self::messages(device, name, &wanted, cpus.len(), handler) {
            Ok(made) => return Ok(made),
            // Fewer messages than queues.
            Err(EINVAL | ENOSPC) if cpus.len() > 1 => {
                if let Ok(made) = Self::messages(device, name, &[0, 0], cpus.len(), handler) {
                    return Ok(made);
                }
            }
            Err(_) => {}
        }
        Self::line(device, name, cpus.len(), handler, isr)
    }

    fn messages(
        device: &Arc<PciDevice>,
        name: &str,
        cpus: &[u32],
        queues: usize,
        handler: &Arc<dyn Handler>,
    ) -> Result<Self> {
        let messages = enable_msix(device, cpus)?;
        let each = cpus.len() == queues + 1;
        let mut requests = KVec::with_capacity(cpus.len(), GFP_KERNEL)?;
        for index in 0..cpus.len() {
            let irq = messages.irq(index).ok_or(EINVAL)?;
            let handler = handler.clone();
            let (label, call): (KString, KBox<irq::Handler>) = match index.checked_sub(1) {
                None => {
                    let call = move |_| {
                        handler.config_changed();
                        IrqReturn::Handled
                    };
                    (KString::from_fmt(format_args!("{name}-config"), GFP_KERNEL)?, KBox::new(call, GFP_KERNEL)?)
                }
                Some(queue) if each => {
                    let queue = u16::try_from(queue)?;
                    let call = move |_| {
                        handler.queue_interrupt(queue);
                        IrqReturn::Handled
                    };
                    (KString::from_fmt(format_args!("{name}-req.{queue}"), GFP_KERNEL)?, KBox::new(call, GFP_KERNEL)?)
                }
                Some(_) => {
                    let last = u16::try_from(queues)?;
                    let call = move |_| {
                        (0..last).for_each(|queue| handler.queue_interrupt(queue));
                        IrqReturn::Handled
                    };
                    (KString::from_fmt(format_args!("{name}-virtqueues"), GFP_KERNEL)?, KBox::new(call, GFP_KERNEL)?)
                }
            };
            requests.push(request_irq(irq, label.as_bytes(), IrqFlags::default(), call)?, GFP_KERNEL)?;
        }
        Ok(Self { _requests: requests, messages: Some(messages), each })
    }

    fn line(
        device: &PciDevice,
        name: &str,
        queues: usize,
        handler: &Arc<dyn Handler>,
        isr: impl Fn() -> u8 + Send + Sync + 'static,
    ) -> Result<Self> {
        let (handler, last) = (handler.clone(), u16::try_from(queues)?);
        let call = move |_| {
            let reason = isr();
            if reason & 2 != 0 {
                handler.config_changed();
            }
            if reason & 1 != 0 {
                (0..last).for_each(|queue| handler.queue_interrupt(queue));
            }
            if reason != 0 { IrqReturn::Handled } else { IrqReturn::None }
        };
        let mut requests = KVec::with_capacity(1, GFP_KERNEL)?;
        let request = request_isa_irq(device.isa_irq()?, name.as_bytes(), true, KBox::new(call, GFP_KERNEL)?)?;
        requests.push(request, GFP_KERNEL)?;
        Ok(Self { _requests: requests, messages: None, each: false })
    }

    /// The vector for configuration.
    pub(crate) fn config_vector(&self) -> u16 {
        if self.messages.is_some() { 0 } else { NO_VECTOR }
    }

    /// The vector of queue `index`.
    pub(crate) fn queue_vector(&self, index: u16) -> u16 {
        match (&self.messages, self.each) {
            (None, _) => NO_VECTOR,
            (Some(_), true) => index.saturating_add(1),
            (Some(_), false) => 1,
        }
    }

    /// Whether messages are used.
    pub(crate) fn has_messages(&self) -> bool {
        self.messages.is_some()
    }
}
