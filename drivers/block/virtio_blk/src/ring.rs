// SPDX-License-Identifier: GPL-2.0
//! A ring of a disk: a request becomes a chain of a header that the device reads, the data, and a byte that the device writes.

use core::ops::DerefMut;
use kernel::block::blk_mq::{Refused, Request};
use kernel::block::{Op, OpFlags};
use kernel::ext::{Completion, SpinLock};
use kernel::hardware::mm_alloc::dma::DmaBuffer;
use kernel::prelude::*;
use kernel::sync::Arc;
use virtio::{Sg, VirtQueue, VirtioDevice};

/// Types of requests.
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;
/// Flag of a range to be zeroed: it may be given back.
const UNMAP: u32 = 1;
/// Status: the device knows no such request.
const UNSUPPORTED: u8 = 2;

/// Each tag's place for a header (16 bytes), a range (16 bytes) and a status.
const SLOT: usize = 64;
const RANGE: usize = 16;
const STATUS: usize = 32;
/// Bytes of a serial number.
pub(crate) const ID_BYTES: usize = 20;
/// Where the answer to [`GET_ID`] goes.
const ID: usize = 64;

/// The question for the serial number.
pub(crate) struct IdQuery {
    memory: DmaBuffer,
    done: Completion,
}

impl IdQuery {
    /// Waits for the answer; its bytes up to the first 0. ERESTARTSYS if the caller is killed: the device may never answer.
    pub(crate) fn wait(&self) -> Result<KVec<u8>> {
        self.done.wait_killable()?;
        status(self.memory.read8(STATUS))?;
        let mut bytes = [0; ID_BYTES];
        self.memory.read_bytes(ID, &mut bytes)?;
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(KVec::from_slice(text, GFP_KERNEL)?)
    }
}

enum Token {
    Request(KBox<Request>),
    Id(Arc<IdQuery>),
}

struct Inner {
    queue: VirtQueue<Token>,
    /// Where a chain is put together.
    pieces: KVec<Sg>,
    slots: DmaBuffer,
    /// Nothing is put in.
    asleep: bool,
    /// What takes the queue's place when the disk wakes.
    spare: Option<VirtQueue<Token>>,
}

/// Most entries.
const MOST: u16 = 1024;

/// A ring.
pub(crate) struct Ring {
    index: u16,
    inner: SpinLock<Inner>,
    /// Bytes of one piece.
    max_piece: u32,
    /// No interrupts are wanted: somebody looks.
    polled: bool,
}

/// Requests that are ended at once.
const BATCH: usize = 16;

/// The errno of a status.
fn status(byte: u8) -> Result {
    match byte {
        0 => Ok(()),
        UNSUPPORTED => Err(EOPNOTSUPP),
        _ => Err(EIO),
    }
}

impl Ring {
    /// Makes queue `index` of the device and switches it on. Requests have at most `max_pieces` pieces of `max_piece` bytes.
    /// `polled`: no interrupts are wanted.
    pub(crate) fn new(
        device: &VirtioDevice,
        index: u16,
        (max_pieces, max_piece): (u32, u32),
        polled: bool,
    ) -> Result<Self> {
        let mut queue: VirtQueue<Token> = device.new_queue(index, MOST)?;
        if polled {
            queue.disable_callbacks();
        }
        let slots = DmaBuffer::new(usize::from(queue.size()) * SLOT, false, GFP_KERNEL)?;
        let pieces = KVec::with_capacity(max_pieces as usize + 2, GFP_KERNEL)?;
        let inner = Inner { queue, pieces, slots, asleep: false, spare: None };
        Ok(Self { index, inner: SpinLock::new(inner), max_piece, polled })
    }

    /// Whether somebody has to look for the end of its requests.
    pub(crate) fn is_polled(&self) -> bool {
        self.polled
    }

    /// Entries.
    pub(crate) fn size(&self) -> u16 {
        self.inner.lock_irqsave().queue.size()
    }

    /// Puts a request into the ring.
    pub(crate) fn submit(&self, device: &VirtioDevice, request: KBox<Request>, last: bool) -> Result<(), Refused> {
        let mut inner = self.inner.lock_irqsave();
        if inner.asleep {
            return Err(Refused::Busy(request));
        }
        let result = inner.add(request, self.max_piece);
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

    /// Asks for the serial number. EBUSY if the ring is full.
    pub(crate) fn query_id(&self, device: &VirtioDevice) -> Result<Arc<IdQuery>> {
        let memory = DmaBuffer::new(ID + ID_BYTES, false, GFP_KERNEL)?;
        memory.write32(0, GET_ID);
        memory.write8(STATUS, u8::MAX);
        let at = memory.bus_addr();
        let query = Arc::new(IdQuery { memory, done: Completion::new() }, GFP_KERNEL)?;
        let pieces = [
            Sg { addr: at, len: 16 },
            Sg { addr: at + ID as u64, len: ID_BYTES as u32 },
            Sg { addr: at + STATUS as u64, len: 1 },
        ];
        let mut inner = self.inner.lock_irqsave();
        if inner.asleep {
            return Err(EBUSY);
        }
        if let Err((error, token)) = inner.queue.add(&pieces, 1, Token::Id(query.clone())) {
            drop(inner);
            drop(token);
            return Err(if error == ENOSPC { EBUSY } else { error });
        }
        self.kick(device, inner);
        Ok(query)
    }

    /// Ends what the device is done with: how many requests. EIO if it wrote nonsense. Any context.
    pub(crate) fn interrupt(&self) -> Result<usize> {
        let mut count = 0;
        loop {
            let mut done: [Option<(Token, Result)>; BATCH] = [const { None }; BATCH];
            let (mut more, mut result) = (true, Ok(()));
            {
                let mut inner = self.inner.lock_irqsave();
                inner.queue.disable_callbacks();
                for place in &mut done {
                    match inner.queue.get() {
                        Ok(Some((token, _))) => {
                            let ended = inner.status_of(&token);
                            *place = Some((token, ended));
                        }
                        Ok(None) => {
                            more = !self.polled && !inner.queue.enable_callbacks();
                            break;
                        }
                        Err(error) => {
                            (more, result) = (false, Err(error));
                            break;
                        }
                    }
                }
            }
            for (token, ended) in done.into_iter().flatten() {
                end(token, ended);
                count += 1;
            }
            if !more {
                return result.map(|()| count);
            }
        }
    }

    /// Nothing is put in from here on; requests wait in the block layer. Whatever [`Self::wake`] needs is made now, while disks can still take
    /// what makes room for it. ENOMEM. May sleep.
    pub(crate) fn sleep(&self, device: &VirtioDevice) -> Result {
        let mut spare = device.make_queue(self.index, MOST)?;
        if self.polled {
            spare.disable_callbacks();
        }
        let mut inner = self.inner.lock_irqsave();
        inner.asleep = true;
        inner.spare = Some(spare);
        Ok(())
    }

    /// Whether the device has nothing.
    pub(crate) fn is_idle(&self) -> bool {
        let inner = self.inner.lock_irqsave();
        inner.queue.free() == inner.queue.size()
    }

    /// The device was not reset after all: things are put in again.
    pub(crate) fn stay_awake(&self) {
        let spare = {
            let mut inner = self.inner.lock_irqsave();
            inner.asleep = false;
            inner.spare.take()
        };
        drop(spare);
    }

    /// The device was reset and starts again: with an empty queue. May sleep.
    pub(crate) fn wake(&self, device: &VirtioDevice) -> Result {
        let spare = self.inner.lock_irqsave().spare.take().ok_or(EIO)?;
        device.activate(self.index, &spare)?;
        let old = {
            let mut inner = self.inner.lock_irqsave();
            inner.asleep = false;
            core::mem::replace(&mut inner.queue, spare)
        };
        drop(old);
        Ok(())
    }

    /// Ends all that the device has, with EIO. Only after its reset. Any context.
    pub(crate) fn drain(&self) {
        loop {
            let token = {
                let mut inner = self.inner.lock_irqsave();
                inner.queue.set_broken();
                inner.queue.detach_unused()
            };
            let Some(token) = token else { return };
            end(token, Err(EIO));
        }
    }
}

fn end(token: Token, ended: Result) {
    match token {
        Token::Request(request) => request.complete(ended),
        Token::Id(query) => query.done.complete(),
    }
}

impl Inner {
    fn status_of(&self, token: &Token) -> Result {
        match token {
            Token::Request(request) => status(self.slots.read8(request.tag() as usize * SLOT + STATUS)),
            Token::Id(_) => Ok(()),
        }
    }

    fn add(&mut self, request: KBox<Request>, max_piece: u32) -> Result<(), Refused> {
        let slot = request.tag() as usize * SLOT;
        let (kind, sector) = match request.op() {
            Op::Read => (IN, request.sector()),
            Op::Write => (OUT, request.sector()),
            Op::Flush => (FLUSH, 0),
            Op::Discard => (DISCARD, 0),
            Op::WriteZeroes => (WRITE_ZEROES, 0),
            Op::SecureErase => return Err(Refused::Failed(request, EOPNOTSUPP)),
        };
        self.slots.write32(slot, kind);
        self.slots.write32(slot + 4, 0);
        self.slots.write64(slot + 8, sector);
        self.slots.write8(slot + STATUS, u8::MAX);
        let at = self.slots.bus_addr() + slot as u64;
        let out = match self.chain(&request, at, slot, kind, max_piece) {
            Ok(out) => out,
            Err(error) => return Err(Refused::Failed(request, error)),
        };
        match self.queue.add(&self.pieces, out, Token::Request(request)) {
            Ok(()) => Ok(()),
            Err((ENOSPC, Token::Request(request))) => Err(Refused::Busy(request)),
            Err((error, Token::Request(request))) => Err(Refused::Failed(request, error)),
            // It gives back what it was given.
            Err((_, Token::Id(_))) => Ok(()),
        }
    }

    /// Puts the chain into `pieces`; how many of them the device reads.
    fn chain(&mut self, request: &Request, at: u64, slot: usize, kind: u32, max_piece: u32) -> Result<usize> {
        self.pieces.clear();
        self.push(at, 16)?;
        if matches!(kind, DISCARD | WRITE_ZEROES) {
            let unmap = kind == WRITE_ZEROES && !request.flags().has(OpFlags::NOUNMAP);
            self.slots.write64(slot + RANGE, request.sector());
            self.slots.write32(slot + RANGE + 8, u32::try_from(request.sectors())?);
            self.slots.write32(slot + RANGE + 12, if unmap { UNMAP } else { 0 });
            self.push(at + RANGE as u64, 16)?;
        }
        let first = self.pieces.len();
        for piece in request.segments() {
            let addr = piece.page.phys() + u64::from(piece.offset);
            if self.pieces.len() > first
                && let Some(last) = self.pieces.last_mut()
                && last.addr + u64::from(last.len) == addr
                && last.len.checked_add(piece.len).is_some_and(|len| len <= max_piece)
            {
                last.len += piece.len;
            } else {
                self.push(addr, piece.len)?;
            }
        }
        let out = if kind == IN { 1 } else { self.pieces.len() };
        self.push(at + STATUS as u64, 1)?;
        Ok(out)
    }

    fn push(&mut self, addr: u64, len: u32) -> Result {
        // There is room for what the limits allow.
        self.pieces.push_within_capacity(Sg { addr, len }).map_err(|_| EINVAL)
    }
}
