// SPDX-License-Identifier: GPL-2.0
//! `Request`: one message to a server, and room for its answer. The device reads and writes its memory until the answer is there; what
//! it wrote is copied before anybody looks at it.

use crate::data::{Piece, total};
use core::sync::atomic::{AtomicU32, Ordering::*};
use kalloc::{Arc, KVec};
use kernel::ext::WaitQueue;
use kernel::filesystem::mm_alloc::dma::DmaBuffer;
use kernel::prelude::*;
use p9_proto::{Frame, HEADER, kind};

/// Bytes that a message takes or gives beside the message proper.
pub enum Data {
    /// None.
    None,
    /// They follow the message.
    Out(KVec<Piece>),
    /// They follow the answer's head, which has the room that was asked for and not a byte more.
    In(KVec<Piece>),
}

impl Data {
    fn out(&self) -> &[Piece] {
        if let Self::Out(pieces) = self { pieces } else { &[] }
    }

    pub(crate) fn room(&self) -> &[Piece] {
        if let Self::In(pieces) = self { pieces } else { &[] }
    }
}

/// Not answered.
const WAITS: u32 = 0;
const DONE: u32 = 1;
const FAILED: u32 = 2;

/// The answer begins at a multiple of this, so that no line of the cache has both.
const ALIGN: usize = 64;

/// A message. Always in an `Arc`.
pub struct Request {
    tag: u16,
    kind: u8,
    /// The message, then the answer's head.
    memory: DmaBuffer,
    out_len: usize,
    answer_at: usize,
    answer_len: usize,
    data: Data,
    state: AtomicU32,
    /// Bytes that the server wrote.
    received: AtomicU32,
    pub(crate) wait: WaitQueue,
}

/// What the server said: what follows the frame, without [`Data::In`].
pub(crate) struct Answer {
    pub(crate) body: KVec<u8>,
    /// Bytes of data that can be there, at most.
    pub(crate) data: usize,
}

impl Request {
    /// A message that `finish` gives with the size and the tag in it; the answer has at most `room` bytes behind its frame, and `data`. ENOMEM.
    pub(crate) fn new(tag: u16, kind: u8, message: &[u8], room: usize, data: Data) -> Result<Arc<Self>> {
        let answer_at = message.len().next_multiple_of(ALIGN);
        // An error must fit.
        let answer_len = HEADER + room.max(4);
        let memory = DmaBuffer::new(answer_at + answer_len, false, GFP_KERNEL)?;
        memory.write_bytes(0, message)?;
        let request = Self {
            tag,
            kind,
            memory,
            out_len: message.len(),
            answer_at,
            answer_len,
            data,
            state: AtomicU32::new(WAITS),
            received: AtomicU32::new(0),
            wait: WaitQueue::new(),
        };
        Ok(Arc::new(request, GFP_KERNEL)?)
    }

    /// The tag.
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// Calls `put` with bus address and length of each piece: those that the server reads, and then (`true`) those that it writes.
    pub fn for_each_piece(&self, mut put: impl FnMut(u64, u32, bool) -> Result) -> Result {
        let bus = self.memory.bus_addr();
        put(bus, self.out_len as u32, false)?;
        for piece in self.data.out() {
            put(piece.page.phys() + piece.offset as u64, piece.len as u32, false)?;
        }
        put(bus + self.answer_at as u64, self.answer_len as u32, true)?;
        for piece in self.data.room() {
            put(piece.page.phys() + piece.offset as u64, piece.len as u32, true)?;
        }
        Ok(())
    }

    /// The message, for channels that are no devices. ENOMEM.
    pub fn message(&self) -> Result<KVec<u8>> {
        let mut bytes = KVec::from_elem(0u8, self.out_len, GFP_KERNEL)?;
        self.memory.read_bytes(0, &mut bytes)?;
        for piece in self.data.out() {
            let at = bytes.len();
            bytes.resize(at + piece.len, 0, GFP_KERNEL)?;
            piece.page.read(piece.offset, bytes.get_mut(at..).ok_or(EINVAL)?)?;
        }
        Ok(bytes)
    }

    /// The answer, for channels that are no devices: as much of it as there is room for.
    pub fn answer(&self, bytes: &[u8]) -> Result {
        let (head, mut rest) = bytes.split_at(bytes.len().min(self.answer_len));
        self.memory.write_bytes(self.answer_at, head)?;
        for piece in self.data.room() {
            let (part, others) = rest.split_at(rest.len().min(piece.len));
            piece.page.write(piece.offset, part)?;
            rest = others;
        }
        self.done((bytes.len() - rest.len()) as u32);
        Ok(())
    }

    /// The answer is there: the server wrote `len` bytes. Any context.
    pub fn done(&self, len: u32) {
        self.received.store(len, Relaxed);
        self.end(DONE);
    }

    /// There will be no answer. Any context.
    pub fn fail(&self) {
        self.end(FAILED);
    }

    fn end(&self, state: u32) {
        // The first word counts.
        if self.state.compare_exchange(WAITS, state, AcqRel, Relaxed).is_ok() {
            self.wait.wake_up_all();
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.load(Acquire) != WAITS
    }

    /// Waits for the answer. May sleep.
    pub(crate) fn wait_over(&self) {
        self.wait.wait_until(|| self.is_over());
    }

    /// The answer, once it is over: what the server says, or its error. EIO if there is none or it makes no sense.
    pub(crate) fn take_answer(&self) -> Result<Result<Answer>> {
        if self.state.load(Acquire) != DONE {
            return Err(EIO);
        }
        let received = self.received.load(Relaxed) as usize;
        let mut body = KVec::from_elem(0u8, received.min(self.answer_len), GFP_KERNEL)?;
        self.memory.read_bytes(self.answer_at, &mut body)?;
        let frame = Frame::parse(&body).map_err(|_| EIO)?;
        let size = frame.size as usize;
        if size > received || size > self.answer_len + total(self.data.room()) || frame.tag != self.tag {
            return Err(EIO);
        }
        let head = size.min(self.answer_len);
        body.truncate(head);
        drop(body.drain(..HEADER));
        match frame.check(self.kind, &body) {
            Err(error) if frame.kind == kind::RLERROR => Ok(Err(error)),
            other => other.map(|()| Ok(Answer { body, data: size - head })),
        }
    }
}
