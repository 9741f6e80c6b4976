// SPDX-License-Identifier: GPL-2.0
//! The split ring: the driver chains descriptors and puts the first's number into the available ring; the device puts it into the used
//! ring. Source: Virtual I/O Device Version 1.2, 2.7.

use crate::chains::{Chains, NONE, Wrong};
use crate::{DESC, Memory, Places, Sg, flags, passed};
use core::sync::atomic::{Ordering, fence};

/// Used ring's flag: the device wants no notification.
const NO_NOTIFY: u16 = 1;
/// Available ring's flag: the driver wants no interrupt.
const NO_INTERRUPT: u16 = 1;

pub(crate) struct Split {
    size: u16,
    avail_at: usize,
    used_at: usize,
    avail_idx: u16,
    /// `avail_idx` when the device was last told.
    told_idx: u16,
    last_used: u16,
}

/// A descriptor's second word.
#[inline]
pub(crate) fn word(len: u32, flags: u16, next: u16) -> u64 {
    u64::from(len) | u64::from(flags) << 32 | u64::from(next) << 48
}

impl Split {
    #[inline]
    pub(crate) fn new(size: u16, places: &Places) -> Self {
        let (avail_at, used_at) = (places.driver, places.device);
        Self { size, avail_at, used_at, avail_idx: 0, told_idx: 0, last_used: 0 }
    }

    /// Writes a chain into free descriptors (there are enough) and makes it available: its number, and what is free after it.
    #[inline]
    pub(crate) fn publish<M: Memory, T>(
        &mut self,
        mem: &M,
        chains: &Chains<T, M::Table>,
        pieces: &[Sg],
        out: usize,
        extra: u16,
    ) -> (u16, u16) {
        let head = chains.free_head;
        let mut at = head;
        for (i, piece) in pieces.iter().enumerate() {
            let next = chains.next(at);
            let place = usize::from(at) * DESC;
            mem.write64(place, piece.addr);
            mem.write64(place + 8, word(piece.len, flags(i >= out, i + 1 != pieces.len()) | extra, next));
            at = next;
        }
        let place = usize::from(self.avail_idx & (self.size - 1));
        mem.write16(self.avail_at + 4 + 2 * place, head);
        self.avail_idx = self.avail_idx.wrapping_add(1);
        // The device must see the chain before the index.
        fence(Ordering::Release);
        mem.write16(self.avail_at + 2, self.avail_idx);
        (head, at)
    }

    #[inline]
    pub(crate) fn prepare_kick<M: Memory>(&mut self, mem: &M, event_idx: bool) -> bool {
        let (old, new) = (self.told_idx, self.avail_idx);
        self.told_idx = new;
        if old == new {
            return false;
        }
        if event_idx {
            return passed(mem.read16(self.used_at + 4 + 8 * usize::from(self.size)), new, old);
        }
        mem.read16(self.used_at) & NO_NOTIFY == 0
    }

    /// What the device is done with next.
    #[inline]
    pub(crate) fn get<M: Memory, T>(
        &mut self,
        mem: &M,
        chains: &mut Chains<T, M::Table>,
    ) -> Result<Option<(T, u32)>, Wrong> {
        let used_idx = mem.read16(self.used_at + 2);
        let pending = used_idx.wrapping_sub(self.last_used);
        if pending == 0 {
            return Ok(None);
        }
        if pending > self.size {
            return Err(("index", used_idx.into()));
        }
        // What the index counts must be read after it.
        fence(Ordering::Acquire);
        let at = self.used_at + 4 + 8 * usize::from(self.last_used & (self.size - 1));
        let (id, len) = (mem.read32(at), mem.read32(at + 4));
        let (token, len, count) = chains.done(id, len)?;
        Self::free(chains, id as u16, count);
        self.last_used = self.last_used.wrapping_add(1);
        Ok(Some((token, len)))
    }

    /// Frees the chain of `count` descriptors that begins at `head`.
    #[inline]
    pub(crate) fn free<T, B>(chains: &mut Chains<T, B>, head: u16, count: u16) {
        let mut last = head;
        for _ in 1..count {
            last = chains.next(last);
        }
        if last != NONE {
            chains.free(head, last, count);
        }
    }

    pub(crate) fn no_callbacks<M: Memory>(&self, mem: &M) {
        mem.write16(self.avail_at, NO_INTERRUPT);
    }

    /// Interrupts are wanted from the next used chain on.
    #[inline]
    pub(crate) fn want_callbacks<M: Memory>(&self, mem: &M, event_idx: bool) {
        if event_idx {
            mem.write16(self.avail_at + 4 + 2 * usize::from(self.size), self.last_used);
        } else {
            mem.write16(self.avail_at, 0);
        }
    }

    #[inline]
    pub(crate) fn is_idle<M: Memory>(&self, mem: &M) -> bool {
        mem.read16(self.used_at + 2) == self.last_used
    }
}
