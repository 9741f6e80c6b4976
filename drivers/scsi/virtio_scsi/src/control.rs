// SPDX-License-Identifier: GPL-2.0
//! The ring for aborting commands and resetting units.

use crate::spec::{self, CONTROL};
use kernel::ext::{Completion, SpinLock};
use kernel::hardware::mm_alloc::dma::DmaBuffer;
use kernel::prelude::*;
use kernel::sync::Arc;
use virtio::{Sg, VirtQueue, VirtioDevice};

/// Bytes of a request, and where the answer's byte is.
const REQUEST: u32 = 24;
const ANSWER: usize = 32;

struct Call {
    memory: DmaBuffer,
    done: Completion,
    failed: kernel::ext::SetOnce<()>,
}

/// The ring.
pub(crate) struct Control(SpinLock<VirtQueue<Arc<Call>>>);

impl Control {
    /// Makes the ring and switches it on.
    pub(crate) fn new(device: &VirtioDevice) -> Result<Self> {
        Ok(Self(SpinLock::new(device.new_queue(CONTROL, 64)?)))
    }

    /// Asks the device for `what` (`TMF_*`) about a unit, or its command `id`: whether it says that it did it. May sleep.
    pub(crate) fn call(&self, device: &VirtioDevice, what: u32, target: u32, lun: u64, id: u64) -> Result<bool> {
        let memory = DmaBuffer::new(ANSWER + 4, false, GFP_KERNEL)?;
        memory.write32(0, spec::TMF);
        memory.write32(4, what);
        memory.write_bytes(8, &spec::address(target, lun))?;
        memory.write64(16, id);
        memory.write8(ANSWER, u8::MAX);
        let at = memory.bus_addr();
        let call = Call { memory, done: Completion::new(), failed: kernel::ext::SetOnce::new() };
        let call = Arc::new(call, GFP_KERNEL)?;
        let pieces = [Sg { addr: at, len: REQUEST }, Sg { addr: at + ANSWER as u64, len: 1 }];
        let mut queue = self.0.lock_irqsave();
        let result = queue.add(&pieces, 1, call.clone());
        let kick = queue.prepare_kick();
        drop(queue);
        result.map_err(|(error, _)| error)?;
        if kick {
            device.transport().notify(CONTROL);
        }
        call.done.wait_io();
        if call.failed.get().is_some() {
            return Err(EIO);
        }
        Ok(matches!(call.memory.read8(ANSWER), 0 | spec::FUNCTION_SUCCEEDED))
    }

    /// The device answered. EIO if it wrote nonsense. Any context.
    pub(crate) fn interrupt(&self) -> Result {
        loop {
            let next = self.0.lock_irqsave().get()?;
            match next {
                Some((call, _)) => call.done.complete(),
                None => return Ok(()),
            }
        }
    }

    /// Ends all that the device has. Only after its reset. Any context.
    pub(crate) fn drain(&self) {
        loop {
            let call = {
                let mut queue = self.0.lock_irqsave();
                queue.set_broken();
                queue.detach_unused()
            };
            let Some(call) = call else { return };
            let _ = call.failed.set(());
            call.done.complete();
        }
    }
}
