// SPDX-License-Identifier: GPL-2.0
//! A port's two queues. For input the device always has some buffers; what it filled waits here until it is read, and goes back to
//! the device then. For output there are as many buffers as may be on their way.

use kernel::ext::SpinLock;
use kernel::hardware::mm_alloc::dma::DmaBuffer;
use kernel::prelude::*;
use kernel::sync::Arc;
use virtio::{Sg, VirtQueue, VirtioDevice};

/// Bytes of a buffer.
pub(crate) const BUFFER: usize = 4096;
/// Buffers of each queue.
const BUFFERS: usize = 8;
/// Most entries of a ring.
const RING: u16 = 64;

struct Input {
    queue: VirtQueue<DmaBuffer>,
    /// What came: buffers and how much is in them, the oldest first.
    filled: KVec<(DmaBuffer, usize)>,
    /// What of the oldest was read.
    at: usize,
    /// It has its buffers.
    is_full: bool,
}

struct Output {
    queue: VirtQueue<DmaBuffer>,
    free: KVec<DmaBuffer>,
}

/// The queues.
pub(crate) struct Queues {
    device: Arc<VirtioDevice>,
    /// Numbers of the two.
    input_index: u16,
    input: SpinLock<Input>,
    output: SpinLock<Output>,
}

impl Input {
    /// Takes what the device filled. True: it broke the rules.
    fn collect(&mut self) -> bool {
        loop {
            match self.queue.get() {
                Ok(Some((buffer, 0))) => self.give(buffer),
                Ok(Some((buffer, len))) => {
                    // There is room for all buffers there are.
                    let _ = self.filled.push_within_capacity((buffer, (len as usize).min(BUFFER)));
                }
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Gives the device a buffer.
    fn give(&mut self, buffer: DmaBuffer) {
        let piece = Sg { addr: buffer.bus_addr(), len: BUFFER as u32 };
        // A ring that is broken takes none; nothing comes any more then.
        if let Err((_, buffer)) = self.queue.add(&[piece], 0, buffer) {
            drop(buffer);
        }
    }

    /// The oldest buffer was read up to `at`: it goes back if that is all.
    fn advance(&mut self, by: usize) {
        self.at += by;
        while self.filled.first().is_some_and(|(_, len)| self.at >= *len) {
            self.at = 0;
            let Ok((buffer, _)) = self.filled.remove(0) else { return };
            self.give(buffer);
        }
    }

    /// Copies from the oldest buffer; how many bytes.
    fn peek(&self, out: &mut [u8]) -> usize {
        let Some((buffer, end)) = self.filled.first() else { return 0 };
        let len = out.len().min(end.saturating_sub(self.at));
        let copied = out.get_mut(..len).map(|out| buffer.read_bytes(self.at, out));
        if copied == Some(Ok(())) { len } else { 0 }
    }
}

impl Output {
    /// Takes back what the device has read. True: it broke the rules.
    fn collect(&mut self) -> bool {
        loop {
            match self.queue.get() {
                Ok(Some((buffer, _))) => {
                    // There is room for all buffers there are.
                    let _ = self.free.push_within_capacity(buffer);
                }
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }
}

impl Queues {
    /// Switches queues `index` (input) and `index + 1` (output) of the device on. May sleep.
    pub(crate) fn new(device: &Arc<VirtioDevice>, index: u16) -> Result<Self> {
        let input = Input {
            queue: device.new_queue(index, RING)?,
            filled: KVec::with_capacity(BUFFERS, GFP_KERNEL)?,
            at: 0,
            is_full: false,
        };
        let output =
            Output { queue: device.new_queue(index + 1, RING)?, free: KVec::with_capacity(BUFFERS, GFP_KERNEL)? };
        Ok(Self {
            device: device.clone(),
            input_index: index,
            input: SpinLock::new(input),
            output: SpinLock::new(output),
        })
    }

    /// Makes the buffers, the first time, and gives the device, which is ready, those for input. May sleep.
    pub(crate) fn start(&self) -> Result {
        if core::mem::replace(&mut self.input.lock_irqsave().is_full, true) {
            return Ok(());
        }
        let (inputs, outputs) = (self.input.lock_irqsave().queue.size(), self.output.lock_irqsave().queue.size());
        // A ring may be smaller than that.
        for _ in 0..BUFFERS.min(usize::from(inputs)) {
            let buffer = DmaBuffer::new(BUFFER, false, GFP_KERNEL)?;
            self.input.lock_irqsave().give(buffer);
        }
        for _ in 0..BUFFERS.min(usize::from(outputs)) {
            let buffer = DmaBuffer::new(BUFFER, false, GFP_KERNEL)?;
            // There is room.
            let _ = self.output.lock_irqsave().free.push_within_capacity(buffer);
        }
        let kick = self.input.lock_irqsave().queue.prepare_kick();
        if kick {
            self.device.transport().notify(self.input_index);
        }
        Ok(())
    }

    /// The input queue's interrupt. EIO if the device wrote nonsense.
    pub(crate) fn input_interrupt(&self) -> Result {
        let (broken, kick) = {
            let mut input = self.input.lock_irqsave();
            (input.collect(), input.queue.prepare_kick())
        };
        if kick {
            self.device.transport().notify(self.input_index);
        }
        if broken { Err(EIO) } else { Ok(()) }
    }

    /// Whether the device broke the rules for output.
    pub(crate) fn is_output_broken(&self) -> bool {
        self.output.lock_irqsave().collect()
    }

    /// Whether there is input.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.lock_irqsave().filled.is_empty()
    }

    /// Copies input of one buffer without taking it; how many bytes. Does not sleep.
    pub(crate) fn peek(&self, out: &mut [u8]) -> usize {
        self.input.lock_irqsave().peek(out)
    }

    /// Takes `len` bytes of what [`Self::peek`] gave. Does not sleep.
    pub(crate) fn consume(&self, len: usize) {
        let kick = {
            let mut input = self.input.lock_irqsave();
            input.advance(len);
            input.queue.prepare_kick()
        };
        if kick {
            self.device.transport().notify(self.input_index);
        }
    }

    /// Drops what came.
    pub(crate) fn discard(&self) {
        let kick = {
            let mut input = self.input.lock_irqsave();
            while let Some((_, len)) = input.filled.first() {
                let rest = len.saturating_sub(input.at);
                input.advance(rest);
            }
            input.queue.prepare_kick()
        };
        if kick {
            self.device.transport().notify(self.input_index);
        }
    }

    /// Takes bytes to send, at most a buffer of them; 0: there is no buffer now. Does not sleep.
    pub(crate) fn send(&self, bytes: &[u8]) -> usize {
        let (len, kick) = {
            let mut output = self.output.lock_irqsave();
            if output.collect() {
                return 0;
            }
            let Some(buffer) = output.free.pop() else { return 0 };
            let part = bytes.get(..bytes.len().min(BUFFER)).unwrap_or_default();
            if part.is_empty() || buffer.write_bytes(0, part).is_err() {
                // It came from there.
                let _ = output.free.push_within_capacity(buffer);
                return 0;
            }
            let piece = Sg { addr: buffer.bus_addr(), len: part.len() as u32 };
            if let Err((_, buffer)) = output.queue.add(&[piece], 1, buffer) {
                let _ = output.free.push_within_capacity(buffer);
                return 0;
            }
            (part.len(), output.queue.prepare_kick())
        };
        if kick {
            self.device.transport().notify(self.input_index + 1);
        }
        len
    }

    /// Whether [`Self::send`] has a buffer.
    pub(crate) fn has_room(&self) -> bool {
        let mut output = self.output.lock_irqsave();
        !output.collect() && !output.free.is_empty()
    }

    /// Nothing more goes in or out (the device is gone). Its buffers are freed with this value, after the device's reset.
    pub(crate) fn stop(&self) {
        self.input.lock_irqsave().queue.set_broken();
        self.output.lock_irqsave().queue.set_broken();
    }
}
