// SPDX-License-Identifier: GPL-2.0
//! [`Ring`]: what drivers call, the same for both kinds.

use crate::chains::Chains;
use crate::packed::{self, Packed};
use crate::split::{self, Split};
use crate::{DESC, DESC_INDIRECT, Memory, Places, Sg, Shape, Table, flags};
use core::sync::atomic::{Ordering, fence};
use errno::{Error, Result, code::*};

enum Layout {
    Split(Split),
    Packed(Packed),
}

/// A ring, with tokens `T`, in memory `M`.
pub struct Ring<T, M: Memory> {
    mem: M,
    chains: Chains<T, M::Table>,
    layout: Layout,
    shape: Shape,
    callbacks: bool,
    broken: bool,
}

impl<T, M: Memory> Ring<T, M> {
    /// An empty ring in `mem`, which has as many bytes as its shape needs ([`Shape::places`]). EINVAL for a shape that cannot be, ENOMEM.
    pub fn with_memory(shape: Shape, mem: M) -> Result<Self> {
        if !shape.is_valid() {
            return Err(EINVAL);
        }
        let places = shape.places();
        let layout = if shape.packed {
            let packed = Packed::new(shape.size, &places);
            if shape.event_idx {
                packed.begin_events(&mem);
            }
            Layout::Packed(packed)
        } else {
            Layout::Split(Split::new(shape.size, &places))
        };
        Ok(Self { mem, chains: Chains::new(shape.size)?, layout, shape, callbacks: true, broken: false })
    }

    /// Its memory.
    pub fn memory(&self) -> &M {
        &self.mem
    }

    /// Where its parts are in its memory.
    pub fn places(&self) -> Places {
        self.shape.places()
    }

    /// Entries.
    #[inline]
    pub fn size(&self) -> u16 {
        self.shape.size
    }

    /// Entries that are free.
    #[inline]
    pub fn free(&self) -> u16 {
        self.chains.free
    }

    /// Whether the device wrote nonsense: nothing works any more.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The device is one whose lengths also count what it read (QEMU's SCSI adapter): they are cut to what it may write, and are not
    /// worth more than that (`suppress_used_validation`).
    pub fn cut_lengths(&mut self) {
        self.chains.cut_lengths = true;
    }

    /// Nothing is to be added any more (the device is gone).
    pub fn set_broken(&mut self) {
        self.broken = true;
    }

    /// Makes a chain available: the first `out` pieces are read by the device, the others written. On an error the token comes back:
    /// ENOSPC if there is no room now, EINVAL for no pieces or more than there are entries, EIO if the queue is broken. Does not sleep.
    pub fn add(&mut self, pieces: &[Sg], out: usize, token: T) -> Result<(), (Error, T)> {
        if self.broken {
            return Err((EIO, token));
        }
        let count = pieces.len();
        if count == 0 || out > count || count > usize::from(self.shape.size) {
            return Err((EINVAL, token));
        }
        let writable = pieces.iter().skip(out).map(|piece| u64::from(piece.len)).sum();
        if self.shape.indirect
            && count > 1
            && count <= M::Table::ROOM
            && self.chains.free != 0
            && let Some(table) = self.chains.tables.pop().or_else(M::Table::new)
        {
            self.fill(&table, pieces, out);
            let whole = Sg { addr: table.addr(), len: (count * DESC) as u32 };
            self.publish(&[whole], 1, DESC_INDIRECT, writable, Some(table), token);
            return Ok(());
        }
        if count > usize::from(self.chains.free) {
            return Err((ENOSPC, token));
        }
        self.publish(pieces, out, 0, writable, None, token);
        Ok(())
    }

    /// Writes descriptors into a table. A packed ring's are taken one after the other, without saying so.
    #[inline]
    fn fill(&self, table: &M::Table, pieces: &[Sg], out: usize) {
        let packed = self.shape.packed;
        for (i, piece) in pieces.iter().enumerate() {
            let more = i + 1 != pieces.len();
            table.put(i * DESC, piece.addr);
            let word = if packed {
                packed::word(piece.len, 0, flags(i >= out, false))
            } else {
                split::word(piece.len, flags(i >= out, more), if more { i as u16 + 1 } else { 0 })
            };
            table.put(i * DESC + 8, word);
        }
    }

    /// Writes a chain into the ring (there is room) and makes it available.
    #[inline]
    fn publish(&mut self, pieces: &[Sg], out: usize, extra: u16, writable: u64, table: Option<M::Table>, token: T) {
        let (mem, chains) = (&self.mem, &self.chains);
        let (head, rest) = match &mut self.layout {
            Layout::Split(split) => split.publish(mem, chains, pieces, out, extra),
            Layout::Packed(packed) => packed.publish(mem, chains, pieces, out, extra),
        };
        self.chains.hand_over(head, pieces.len() as u16, rest, writable, table, token);
    }

    /// Whether the device is to be told of what was added since the last call.
    #[inline]
    pub fn prepare_kick(&mut self) -> bool {
        // What was made available must be written before the device's wish is read.
        fence(Ordering::SeqCst);
        let kick = match &mut self.layout {
            Layout::Split(split) => split.prepare_kick(&self.mem, self.shape.event_idx),
            Layout::Packed(packed) => packed.prepare_kick(&self.mem),
        };
        kick && !self.broken
    }

    /// What the device is done with next: the token, and how many bytes it wrote. EIO if it wrote nonsense; the queue is broken then.
    pub fn get(&mut self) -> Result<Option<(T, u32)>> {
        if self.broken {
            return Err(EIO);
        }
        let found = match &mut self.layout {
            Layout::Split(split) => split.get(&self.mem, &mut self.chains),
            Layout::Packed(packed) => packed.get(&self.mem, &mut self.chains),
        };
        match found {
            Ok(Some(found)) => {
                if self.callbacks && self.shape.event_idx {
                    self.want_callbacks();
                    // The wish must be written before the next answer is looked for.
                    fence(Ordering::SeqCst);
                }
                Ok(Some(found))
            }
            Ok(None) => Ok(None),
            Err((what, value)) => Err(self.broke(what, value)),
        }
    }

    #[cold]
    fn broke(&mut self, what: &str, value: u32) -> Error {
        self.broken = true;
        self.mem.wrong(what, value);
        EIO
    }

    #[inline]
    fn want_callbacks(&self) {
        match &self.layout {
            Layout::Split(split) => split.want_callbacks(&self.mem, self.shape.event_idx),
            Layout::Packed(packed) => packed.want_callbacks(&self.mem, self.shape.event_idx),
        }
    }

    /// No interrupts are wanted (the device may still send some).
    #[inline]
    pub fn disable_callbacks(&mut self) {
        // With event indices the place that was waited for is left behind.
        if core::mem::replace(&mut self.callbacks, false) && !self.shape.event_idx {
            match &self.layout {
                Layout::Split(split) => split.no_callbacks(&self.mem),
                Layout::Packed(packed) => packed.no_callbacks(&self.mem),
            }
        }
    }

    /// Interrupts are wanted again. False if something came meanwhile: look again.
    #[inline]
    pub fn enable_callbacks(&mut self) -> bool {
        if !core::mem::replace(&mut self.callbacks, true) {
            self.want_callbacks();
        }
        // The wish must be written before the index is read.
        fence(Ordering::SeqCst);
        self.broken
            || match &self.layout {
                Layout::Split(split) => split.is_idle(&self.mem),
                Layout::Packed(packed) => packed.is_idle(&self.mem),
            }
    }

    /// Calls `f` for each token whose chain the device has.
    pub fn for_each_token(&self, f: impl FnMut(&T)) {
        self.chains.tokens().for_each(f);
    }

    /// Takes back a token that the device did not use. Only after a reset of the device, which may write to the memory otherwise; the
    /// ring is not to be used any more.
    pub fn detach_unused(&mut self) -> Option<T> {
        let (head, token, count) = self.chains.take_any()?;
        match self.layout {
            Layout::Split(_) => Split::free(&mut self.chains, head, count),
            Layout::Packed(_) => self.chains.free(head, head, count),
        }
        Some(token)
    }
}
