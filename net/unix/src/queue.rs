// SPDX-License-Identifier: GPL-2.0
//! Messages that wait to be received: first in, first out. No locks of its own.
//!
//! A receiver that copies (and may sleep) checks the first message out: its bytes leave the queue, its place does not, so that
//! whoever looks meanwhile still finds the queue full. One receiver at a time.

use crate::inflight::Rights;
use crate::sock::UnixSocket;
use errno::Result;
use kalloc::flags::GFP_ATOMIC;
use kalloc::{KVVec, KVec, WeakArc};
use socket::{SockAddr, Ucred};

/// A message in a socket's queue.
pub(crate) struct Message {
    pub(crate) data: KVVec<u8>,
    /// Bytes of `data` that were received already (streams).
    pub(crate) taken: usize,
    pub(crate) rights: Rights,
    /// Who sent it, said or not.
    pub(crate) sender: Ucred,
    /// The sender's address when it was sent.
    pub(crate) from: SockAddr,
    /// The sender, if it is there still.
    pub(crate) source: WeakArc<UnixSocket>,
    /// When a packet was sent, if its receiver wanted to know by then (real time, nanoseconds); else 0.
    pub(crate) sent_at: u64,
    /// What a packet takes of its sender's buffer while it is not received; 0 in streams and before it is queued.
    pub(crate) charged: usize,
}

impl Drop for Message {
    fn drop(&mut self) {
        if self.charged != 0
            && let Some(source) = self.source.upgrade()
        {
            source.give_back(self.charged);
        }
    }
}

impl Message {
    /// The sender's address: that of now, if it had none when it sent this. Not under a queue's lock.
    pub(crate) fn address(&self) -> SockAddr {
        address_of(self.from, &self.source)
    }

    /// Bytes not received yet.
    pub(crate) fn left(&self) -> &[u8] {
        self.data.get(self.taken..).unwrap_or(&[])
    }
}

/// `from`, or what address `source` has now.
pub(crate) fn address_of(from: SockAddr, source: &WeakArc<UnixSocket>) -> SockAddr {
    if !from.is_empty() {
        return from;
    }
    source.upgrade().map_or(from, |source| source.source())
}

/// The queue.
pub(crate) struct Queue {
    /// From `head` on all are full, but for the first while it is checked out.
    slots: KVec<Option<Message>>,
    /// Slots before this one are empty.
    head: usize,
    /// Bytes in all messages.
    pub(crate) bytes: usize,
    /// What all messages take of their sender's buffer.
    pub(crate) charged: usize,
}

/// Bytes that Linux can put into a buffer of one page, and into one with pages beside it.
const HEAD: usize = 4096 - SHARED_INFO;
/// Most bytes of a stream that travel in one message: a head, and eight pages.
pub(crate) const CHUNK: usize = HEAD + 32768;
const SHARED_INFO: usize = 320;
const BUFFER: usize = 256;

/// What a message of `len` bytes takes of its sender's buffer: as much as in Linux (its `truesize`), so that as much fits and
/// poll says the same.
pub(crate) fn charge(len: usize) -> usize {
    let pages = len.saturating_sub(HEAD).next_multiple_of(4096).min(len);
    let head = (len - pages).next_multiple_of(64) + SHARED_INFO;
    let bucket = if head <= 192 && head > 128 { 192 } else { head.next_power_of_two() };
    bucket + BUFFER + pages.next_multiple_of(4096)
}

/// The same for a packet, which has its pages only beyond four of them in one piece.
pub(crate) fn charge_packet(len: usize) -> usize {
    const PIECE: usize = 4 * 4096 - SHARED_INFO;
    const MOST_PAGES: usize = 17 * 4096;
    let pages = len.saturating_sub(PIECE).min(MOST_PAGES).next_multiple_of(4096).min(len);
    let head = (len - pages).next_multiple_of(64) + SHARED_INFO;
    let bucket = if head <= 192 && head > 128 { 192 } else { head.next_power_of_two() };
    bucket + BUFFER + pages.next_multiple_of(4096)
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { slots: KVec::new(), head: 0, bytes: 0, charged: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head >= self.slots.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.head
    }

    /// Adds a message at the end. Gives it back without memory.
    #[allow(clippy::result_large_err, reason = "there is no memory for a box")]
    pub(crate) fn push(&mut self, message: Message) -> Result<(), Message> {
        if self.slots.reserve(1, GFP_ATOMIC).is_err() {
            return Err(message);
        }
        self.bytes += message.left().len();
        self.charged += charge(message.data.len());
        // There is room.
        let _ = self.slots.push_within_capacity(Some(message));
        Ok(())
    }

    /// All messages, but for one that is checked out.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.slots.iter().flatten()
    }

    /// The first message.
    pub(crate) fn front(&self) -> Option<&Message> {
        self.slots.get(self.head)?.as_ref()
    }

    /// Takes the first message.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.check_out()?;
        self.bytes = self.bytes.saturating_sub(message.left().len());
        self.charged = self.charged.saturating_sub(charge(message.data.len()));
        self.advance();
        Some(message)
    }

    /// Takes the first message but leaves its place and its bytes counted, until [`Self::check_in`].
    pub(crate) fn check_out(&mut self) -> Option<Message> {
        self.slots.get_mut(self.head)?.take()
    }

    /// Puts back what `check_out` gave, less `taken` bytes of it. Gives it back if it is used up (`keep`: even then it stays), or
    /// if its place is gone: the socket was closed.
    pub(crate) fn check_in(&mut self, mut message: Message, taken: usize, keep: bool) -> Option<Message> {
        let Some(slot) = self.slots.get_mut(self.head).filter(|slot| slot.is_none()) else { return Some(message) };
        message.taken = message.taken.saturating_add(taken);
        self.bytes = self.bytes.saturating_sub(taken);
        if keep || !message.left().is_empty() {
            *slot = Some(message);
            return None;
        }
        self.charged = self.charged.saturating_sub(charge(message.data.len()));
        self.advance();
        Some(message)
    }

    /// The first place is empty: the next one's turn.
    fn advance(&mut self) {
        self.head += 1;
        if self.head == self.slots.len() {
            self.slots.clear();
            self.head = 0;
        } else if self.head >= 32 && self.head * 2 >= self.slots.len() {
            drop(self.slots.drain(..self.head));
            self.head = 0;
        }
    }

    /// Takes everything.
    pub(crate) fn take(&mut self) -> Self {
        core::mem::replace(self, Self::new())
    }
}
