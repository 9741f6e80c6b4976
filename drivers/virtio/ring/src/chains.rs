// SPDX-License-Identifier: GPL-2.0
//! What is known of the chains that the device has. An entry's number is a split ring's descriptor, or a packed ring's buffer id.

use kalloc::flags::GFP_KERNEL;
use kalloc::{AllocError, KVec};

/// No entry.
pub(crate) const NONE: u16 = u16::MAX;
/// Tables that are kept for the next requests.
const SPARE_TABLES: usize = 32;

pub(crate) struct Slot<T, B> {
    /// The next of its chain, or of the free ones.
    pub(crate) next: u16,
    /// Descriptors of the chain.
    pub(crate) count: u16,
    /// Of a chain's first: what it is for.
    token: Option<T>,
    /// Bytes that the device may write.
    writable: u64,
    /// The table it points to.
    table: Option<B>,
}

pub(crate) struct Chains<T, B> {
    slots: KVec<Slot<T, B>>,
    /// The first free entry.
    pub(crate) free_head: u16,
    /// Descriptors that are free.
    pub(crate) free: u16,
    /// Tables to be used again.
    pub(crate) tables: KVec<B>,
    /// Lengths that the device tells are cut to what it may write.
    pub(crate) cut_lengths: bool,
}

/// What a device says that is wrong, and what it said.
pub(crate) type Wrong = (&'static str, u32);

impl<T, B> Chains<T, B> {
    pub(crate) fn new(size: u16) -> Result<Self, AllocError> {
        let mut slots = KVec::with_capacity(size.into(), GFP_KERNEL)?;
        for i in 0..size {
            let next = if i + 1 == size { NONE } else { i + 1 };
            slots.push(Slot { next, count: 0, token: None, writable: 0, table: None }, GFP_KERNEL)?;
        }
        let tables = KVec::with_capacity(SPARE_TABLES, GFP_KERNEL)?;
        Ok(Self { slots, free_head: 0, free: size, tables, cut_lengths: false })
    }

    /// The entry after `at`.
    #[inline]
    pub(crate) fn next(&self, at: u16) -> u16 {
        self.slots.get(usize::from(at)).map_or(NONE, |slot| slot.next)
    }

    /// Chain `head`, of `count` descriptors, is the device's now; `rest` are the entries that are free after it.
    #[inline]
    pub(crate) fn hand_over(&mut self, head: u16, count: u16, rest: u16, writable: u64, table: Option<B>, token: T) {
        self.free_head = rest;
        self.free -= count;
        if let Some(slot) = self.slots.get_mut(usize::from(head)) {
            slot.token = Some(token);
            slot.writable = writable;
            slot.count = count;
            slot.table = table;
        }
    }

    /// The device says that it is done with chain `id` and wrote `len` bytes: the token, the length, and the chain's descriptors, if it
    /// has such a chain and may write so much.
    #[inline]
    pub(crate) fn done(&mut self, id: u32, len: u32) -> Result<(T, u32, u16), Wrong> {
        let Some(slot) = self.slots.get_mut(id as usize) else { return Err(("id", id)) };
        let len = match u32::try_from(slot.writable) {
            Ok(most) if len > most && slot.token.is_some() => {
                if !self.cut_lengths {
                    return Err(("length", len));
                }
                most
            }
            _ => len,
        };
        let Some(token) = slot.token.take() else { return Err(("id", id)) };
        if let Some(table) = slot.table.take() {
            // Dropped if there are enough.
            let _ = self.tables.push_within_capacity(table);
        }
        Ok((token, len, slot.count))
    }

    /// The entries from `head` on to `last` are free again, with `count` descriptors.
    #[inline]
    pub(crate) fn free(&mut self, head: u16, last: u16, count: u16) {
        if let Some(slot) = self.slots.get_mut(usize::from(last)) {
            slot.next = self.free_head;
            self.free_head = head;
            self.free += count;
        }
    }

    /// The tokens of the chains that the device has.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.token.as_ref())
    }

    /// Takes back some chain that the device has: its number, token and count.
    pub(crate) fn take_any(&mut self) -> Option<(u16, T, u16)> {
        let head = self.slots.iter().position(|slot| slot.token.is_some())?;
        let slot = self.slots.get_mut(head)?;
        let token = slot.token.take()?;
        drop(slot.table.take());
        Some((head as u16, token, slot.count))
    }
}
