// SPDX-License-Identifier: GPL-2.0
//! A ring of commands: each becomes a chain of the command, data for the device, the answer, and room for the device's data.

use crate::spec::{self, REQUEST, RESPONSE};
use core::ops::DerefMut;
use kernel::ext::SpinLock;
use kernel::hardware::mm_alloc::dma::DmaBuffer;
use kernel::prelude::*;
use scsi::{Command, Direction, done};
use virtio::{Sg, VirtQueue, VirtioDevice};

/// Each place: the command, then the answer.
const PLACE: usize = 256;
const ANSWER: usize = 64;
const SENSE: usize = ANSWER + 12;
/// Commands that are ended at once.
const BATCH: usize = 16;

/// A command, and the place of its bytes.
struct Token {
    command: KBox<Command>,
    place: u16,
}

struct Inner {
    queue: VirtQueue<Token>,
    /// Where a chain is put together.
    pieces: KVec<Sg>,
    /// Places that are free.
    free: KVec<u16>,
    /// Numbers of the commands in the places; 0: free.
    ids: KVec<u64>,
    memory: DmaBuffer,
}

/// A ring.
pub(crate) struct Ring {
    index: u16,
    inner: SpinLock<Inner>,
}

impl Ring {
    /// Makes queue `index` of the device and switches it on. Commands have at most `max_pieces` pieces of memory.
    pub(crate) fn new(device: &VirtioDevice, index: u16, max_pieces: u32) -> Result<Self> {
        let mut queue: VirtQueue<Token> = device.new_queue(index, 1024)?;
        queue.cut_lengths();
        let places = queue.size();
        let mut free = KVec::with_capacity(places.into(), GFP_KERNEL)?;
        let mut ids = KVec::with_capacity(places.into(), GFP_KERNEL)?;
        for place in (0..places).rev() {
            free.push(place, GFP_KERNEL)?;
            ids.push(0, GFP_KERNEL)?;
        }
        let memory = DmaBuffer::new(usize::from(places) * PLACE, false, GFP_KERNEL)?;
        let pieces = KVec::with_capacity(max_pieces as usize + 2, GFP_KERNEL)?;
        Ok(Self { index, inner: SpinLock::new(Inner { queue, pieces, free, ids, memory }) })
    }

    /// Entries.
    pub(crate) fn size(&self) -> u16 {
        self.inner.lock_irqsave().queue.size()
    }

    /// Puts a command into the ring. EBUSY: it is full.
    pub(crate) fn submit(
        &self,
        device: &VirtioDevice,
        command: KBox<Command>,
        last: bool,
    ) -> Result<(), (Error, KBox<Command>)> {
        let mut inner = self.inner.lock_irqsave();
        let result = inner.add(command);
        if last || result.is_err() {
            self.kick(device, inner);
        }
        result
    }

    /// Tells the device of what was put in without `last`.
    pub(crate) fn commit(&self, device: &VirtioDevice) {
        self.kick(device, self.inner.lock_irqsave());
    }

    /// Tells the device, if it wants to know; not under the lock, which would be held for the exit to the host.
    fn kick(&self, device: &VirtioDevice, mut inner: impl DerefMut<Target = Inner>) {
        let kick = inner.queue.prepare_kick();
        drop(inner);
        if kick {
            device.transport().notify(self.index);
        }
    }

    /// Whether the device has this command.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.inner.lock_irqsave().ids.contains(&id)
    }

    /// Ends what the device is done with: how many. EIO if it wrote nonsense. Any context.
    pub(crate) fn interrupt(&self) -> Result<usize> {
        let mut ended = 0;
        loop {
            let mut batch: [Option<KBox<Command>>; BATCH] = [const { None }; BATCH];
            let (mut more, mut result) = (true, Ok(()));
            {
                let mut inner = self.inner.lock_irqsave();
                inner.queue.disable_callbacks();
                for slot in &mut batch {
                    match inner.queue.get() {
                        Ok(Some((token, len))) => *slot = Some(inner.finish(token, len)),
                        Ok(None) => {
                            more = !inner.queue.enable_callbacks();
                            break;
                        }
                        Err(error) => {
                            (more, result) = (false, Err(error));
                            break;
                        }
                    }
                }
            }
            for command in batch.into_iter().flatten() {
                ended += 1;
                done(command);
            }
            if !more {
                return result.map(|()| ended);
            }
        }
    }

    /// Takes all that the device has, for good. Only after its reset. Any context.
    pub(crate) fn drain(&self) {
        loop {
            let command = {
                let mut inner = self.inner.lock_irqsave();
                inner.queue.set_broken();
                inner.queue.detach_unused().map(|token| inner.give_back(token))
            };
            let Some(mut command) = command else { return };
            command.host_status = scsi::HostStatus::NoConnect;
            done(command);
        }
    }
}

impl Inner {
    /// Frees a token's place.
    fn give_back(&mut self, token: Token) -> KBox<Command> {
        if let Some(id) = self.ids.get_mut(usize::from(token.place)) {
            *id = 0;
        }
        // There is room for all places.
        let _ = self.free.push_within_capacity(token.place);
        token.command
    }

    /// Takes the answer over; `len`: bytes that the device wrote, the answer's first.
    fn finish(&mut self, token: Token, len: u32) -> KBox<Command> {
        let at = usize::from(token.place) * PLACE;
        let mut command = self.give_back(token);
        if len < 12 {
            // It did not answer.
            command.host_status = scsi::HostStatus::Error;
            return command;
        }
        let memory = &self.memory;
        let (sense_len, residual) = (memory.read32(at + ANSWER), memory.read32(at + ANSWER + 4));
        command.status = memory.read8(at + ANSWER + 10);
        command.host_status = spec::host_status(memory.read8(at + ANSWER + 11));
        command.residual = u64::from(residual).min(command.len()) as u32;
        if sense_len != 0 && command.status == 2 {
            let room = command.sense_buffer((sense_len as usize).min((len as usize).saturating_sub(12)));
            // It is inside.
            let _ = memory.read_bytes(at + SENSE, room);
        }
        command
    }

    fn add(&mut self, command: KBox<Command>) -> Result<(), (Error, KBox<Command>)> {
        let Some(place) = self.free.pop() else { return Err((EBUSY, command)) };
        let out = match self.chain(&command, place) {
            Ok(out) => out,
            Err(error) => {
                let _ = self.free.push_within_capacity(place);
                return Err((error, command));
            }
        };
        let id = command.id();
        match self.queue.add(&self.pieces, out, Token { command, place }) {
            Ok(()) => {
                if let Some(slot) = self.ids.get_mut(usize::from(place)) {
                    *slot = id;
                }
                Ok(())
            }
            Err((error, token)) => {
                let command = self.give_back(token);
                Err((if error == ENOSPC { EBUSY } else { error }, command))
            }
        }
    }

    /// Puts the chain into `pieces`; how many of them the device reads.
    fn chain(&mut self, command: &Command, place: u16) -> Result<usize> {
        let at = usize::from(place) * PLACE;
        let bus = self.memory.bus_addr() + at as u64;
        let unit = command.unit().ok_or(EIO)?;
        let mut head = [0u8; REQUEST as usize];
        let (address, rest) = head.split_at_mut(8);
        let (tag, rest) = rest.split_at_mut(8);
        address.copy_from_slice(&spec::address(unit.target(), unit.lun()));
        tag.copy_from_slice(&command.id().to_le_bytes());
        // A simple task, without priority.
        for (to, byte) in rest.iter_mut().skip(3).zip(command.cdb.bytes()) {
            *to = *byte;
        }
        self.memory.write_bytes(at, &head)?;
        // A response that the device does not write is an error.
        self.memory.write32(at + ANSWER, 0);
        self.memory.write32(at + ANSWER + 8, u32::MAX);
        self.pieces.clear();
        self.push(bus, REQUEST)?;
        if command.direction == Direction::Out {
            self.push_data(command)?;
        }
        let out = self.pieces.len();
        self.push(bus + ANSWER as u64, RESPONSE)?;
        if command.direction == Direction::In {
            self.push_data(command)?;
        }
        Ok(out)
    }

    fn push_data(&mut self, command: &Command) -> Result {
        let first = self.pieces.len();
        for (addr, len) in command.pieces() {
            if self.pieces.len() > first
                && let Some(last) = self.pieces.last_mut()
                && last.addr + u64::from(last.len) == addr
                && let Some(sum) = last.len.checked_add(len)
            {
                last.len = sum;
            } else {
                self.push(addr, len)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, addr: u64, len: u32) -> Result {
        // There is room for what the limits allow.
        self.pieces.push_within_capacity(Sg { addr, len }).map_err(|_| EINVAL)
    }
}
