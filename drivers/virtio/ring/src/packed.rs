// SPDX-License-Identifier: GPL-2.0
//! The packed ring: the driver writes a chain's descriptors into the ring one after the other, the first's flags last; the device
//! overwrites the first that it has not yet overwritten with the id of a chain that it is done with, and goes on after as many as that
//! chain has. Two flags tell what a descriptor is; what they mean changes each time a side comes to the ring's end.
//!
//! Flags, id and length are one aligned word, read and written in one access. Source: Virtual I/O Device Version 1.2, 2.8.

use crate::chains::{Chains, Wrong};
use crate::{DESC, Memory, Places, Sg, flags, passed};
use core::sync::atomic::{Ordering, fence};

/// Flag: as the driver's counter of turns, written by the driver.
const AVAIL: u16 = 1 << 7;
/// Flag: as the device's counter of turns when it is used, the contrary when it is available.
const USED: u16 = 1 << 15;
/// When one side wants to hear of the other: never; when it has come to a descriptor. (Always is 0.)
const EVENT_DISABLE: u16 = 1;
const EVENT_DESC: u16 = 2;
/// In the place that is waited for: the counter of turns.
const EVENT_WRAP: u16 = 1 << 15;

/// A place in the ring, and a side's counter of turns.
#[derive(Clone, Copy)]
struct Place {
    index: u16,
    wrap: bool,
}

impl Place {
    /// Goes on by at most a turn.
    #[inline]
    fn advance(&mut self, by: u16, size: u16) {
        // Neither is over 32768, and the index is less.
        self.index += by;
        if self.index >= size {
            self.index -= size;
            self.wrap = !self.wrap;
        }
    }

    /// Flags of an available descriptor.
    #[inline]
    fn available(self) -> u16 {
        if self.wrap { AVAIL } else { USED }
    }

    /// As a place that is waited for.
    #[inline]
    fn event(self) -> u16 {
        self.index | if self.wrap { EVENT_WRAP } else { 0 }
    }
}

pub(crate) struct Packed {
    size: u16,
    driver_at: usize,
    device_at: usize,
    /// Where the next chain goes.
    avail: Place,
    /// Descriptors since the device was last told; more than `size` are as good as `size`.
    added: u16,
    /// Where the device's next answer will be.
    used: Place,
}

/// A descriptor's second word.
#[inline]
pub(crate) fn word(len: u32, id: u16, flags: u16) -> u64 {
    u64::from(len) | u64::from(id) << 32 | u64::from(flags) << 48
}

impl Packed {
    #[inline]
    pub(crate) fn new(size: u16, places: &Places) -> Self {
        let start = Place { index: 0, wrap: true };
        let (driver_at, device_at) = (places.driver, places.device);
        Self { size, driver_at, device_at, avail: start, added: 0, used: start }
    }

    /// Writes a chain into the next descriptors (there are enough) and makes it available: its id, and what ids are free after it.
    #[inline]
    pub(crate) fn publish<M: Memory, T>(
        &mut self,
        mem: &M,
        chains: &Chains<T, M::Table>,
        pieces: &[Sg],
        out: usize,
        extra: u16,
    ) -> (u16, u16) {
        let id = chains.free_head;
        let first = usize::from(self.avail.index) * DESC + 8;
        let mut first_word = 0;
        for (i, piece) in pieces.iter().enumerate() {
            let at = usize::from(self.avail.index) * DESC;
            let bits = flags(i >= out, i + 1 != pieces.len()) | extra | self.avail.available();
            mem.write64(at, piece.addr);
            if i == 0 {
                first_word = word(piece.len, id, bits);
            } else {
                mem.write64(at + 8, word(piece.len, id, bits));
            }
            self.avail.advance(1, self.size);
        }
        // The device must see the rest before the first one's flags.
        fence(Ordering::Release);
        mem.write64(first, first_word);
        self.added = self.added.saturating_add(pieces.len() as u16);
        (id, chains.next(id))
    }

    #[inline]
    pub(crate) fn prepare_kick<M: Memory>(&mut self, mem: &M) -> bool {
        let added = core::mem::replace(&mut self.added, 0);
        if added == 0 {
            return false;
        }
        let wish = mem.read32(self.device_at);
        let (event, when) = (wish as u16, (wish >> 16) as u16 & 3);
        if when != EVENT_DESC {
            return when != EVENT_DISABLE;
        }
        // Places of the turn before are negative.
        let turn = if (event & EVENT_WRAP != 0) == self.avail.wrap { 0 } else { self.size };
        let new = self.avail.index;
        passed((event & !EVENT_WRAP).wrapping_sub(turn), new, new.wrapping_sub(added.min(self.size)))
    }

    /// The next answer, if there is one.
    #[inline]
    fn answer<M: Memory>(&self, mem: &M) -> Option<u64> {
        let word = mem.read64(usize::from(self.used.index) * DESC + 8);
        let wanted = if self.used.wrap { AVAIL | USED } else { 0 };
        ((word >> 48) as u16 & (AVAIL | USED) == wanted).then_some(word)
    }

    /// What the device is done with next.
    #[inline]
    pub(crate) fn get<M: Memory, T>(
        &mut self,
        mem: &M,
        chains: &mut Chains<T, M::Table>,
    ) -> Result<Option<(T, u32)>, Wrong> {
        let Some(word) = self.answer(mem) else { return Ok(None) };
        // What the device wrote into the chain's memory must be read after the flags.
        fence(Ordering::Acquire);
        let id = (word >> 32) as u16;
        let (token, len, count) = chains.done(id.into(), word as u32)?;
        chains.free(id, id, count);
        self.used.advance(count, self.size);
        Ok(Some((token, len)))
    }

    pub(crate) fn no_callbacks<M: Memory>(&self, mem: &M) {
        mem.write16(self.driver_at + 2, EVENT_DISABLE);
    }

    /// Interrupts are wanted from the next used chain on.
    #[inline]
    pub(crate) fn want_callbacks<M: Memory>(&self, mem: &M, event_idx: bool) {
        if event_idx {
            mem.write16(self.driver_at, self.used.event());
        } else {
            mem.write16(self.driver_at + 2, 0);
        }
    }

    /// With event indices: interrupts are wanted at a place, from now on for ever.
    pub(crate) fn begin_events<M: Memory>(&self, mem: &M) {
        mem.write16(self.driver_at, self.used.event());
        mem.write16(self.driver_at + 2, EVENT_DESC);
    }

    #[inline]
    pub(crate) fn is_idle<M: Memory>(&self, mem: &M) -> bool {
        self.answer(mem).is_none()
    }
}
