// SPDX-License-Identifier: GPL-2.0
//! The ring of reports: units that come, go or change. The device has eight buffers to write into.

use crate::spec::{self, EVENTS};
use kernel::ext::SpinLock;
use kernel::hardware::mm_alloc::dma::DmaBuffer;
use kernel::prelude::*;
use virtio::{Sg, VirtQueue, VirtioDevice};

/// Reports that the device can make before the first is looked at.
const COUNT: usize = 8;
/// Bytes of one.
const EVENT: usize = 16;

/// A report.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) what: u32,
    pub(crate) place: Option<(u32, u64)>,
    pub(crate) reason: u32,
}

struct Inner {
    queue: VirtQueue<usize>,
    memory: DmaBuffer,
}

/// The ring.
pub(crate) struct Events(SpinLock<Inner>);

impl Inner {
    fn offer(&mut self, index: usize) {
        let piece = Sg { addr: self.memory.bus_addr() + (index * EVENT) as u64, len: EVENT as u32 };
        // There is room for all; without it there are fewer.
        let _ = self.queue.add(&[piece], 0, index);
    }
}

impl Events {
    /// Makes the ring and switches it on.
    pub(crate) fn new(device: &VirtioDevice) -> Result<Self> {
        let queue = device.new_queue(EVENTS, 64)?;
        let memory = DmaBuffer::new(COUNT * EVENT, false, GFP_KERNEL)?;
        Ok(Self(SpinLock::new(Inner { queue, memory })))
    }

    /// Gives the device its buffers. Once it is ready.
    pub(crate) fn begin(&self, device: &VirtioDevice) {
        let mut inner = self.0.lock_irqsave();
        for index in 0..COUNT.min(inner.queue.size().into()) {
            inner.offer(index);
        }
        let kick = inner.queue.prepare_kick();
        drop(inner);
        if kick {
            device.transport().notify(EVENTS);
        }
    }

    /// The next report, whose buffer the device gets back. EIO if it wrote nonsense. Any context.
    pub(crate) fn next(&self, device: &VirtioDevice) -> Result<Option<Event>> {
        let mut inner = self.0.lock_irqsave();
        let Some((index, len)) = inner.queue.get()? else { return Ok(None) };
        let at = index * EVENT;
        let mut address = [0; 8];
        inner.memory.read_bytes(at + 4, &mut address)?;
        let short = (len as usize) < EVENT;
        let event = Event {
            what: if short { 0 } else { inner.memory.read32(at) },
            place: spec::place(address),
            reason: inner.memory.read32(at + 12),
        };
        inner.offer(index);
        let kick = inner.queue.prepare_kick();
        drop(inner);
        if kick {
            device.transport().notify(EVENTS);
        }
        Ok(Some(event))
    }

    /// Nothing comes any more. Only after the device's reset.
    pub(crate) fn drain(&self) {
        let mut inner = self.0.lock_irqsave();
        inner.queue.set_broken();
        while inner.queue.detach_unused().is_some() {}
    }
}
