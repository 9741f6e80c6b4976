// SPDX-License-Identifier: GPL-2.0
//! `VirtQueue`: a split ring. Each chain of memory pieces that is added carries a token, which comes back when the device is done.
//!
//! The device can write all of the ring's memory at any time, so nothing is read from it but the used ring, whose index, ids and
//! lengths are checked; which descriptors are free and how they are chained is kept beside it. A chain's token stays here until the
//! device says it is done or was reset: whatever owns the memory that the device may write to belongs into the token.
//!
//! No lock: methods take `&mut self`. Source: Virtual I/O Device Version 1.2, 2.7.

use crate::transport::QueueAddresses;
use core::sync::atomic::{Ordering, fence};
use errno::{Error, Result, code::*};
use kalloc::KVec;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kernel::hardware::mm_alloc;
use mm_alloc::dma::DmaBuffer;
use mm_alloc::{PAGE_SIZE, Page, PhysAddr};

/// A piece of memory for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sg {
    /// Bus address.
    pub addr: PhysAddr,
    /// Bytes.
    pub len: u32,
}

/// Descriptor: goes on with `next`.
const DESC_NEXT: u16 = 1;
/// Descriptor: the device writes.
const DESC_WRITE: u16 = 2;
/// Descriptor: points to a table.
const DESC_INDIRECT: u16 = 4;
/// Bytes of a descriptor.
const DESC: usize = 16;
/// Used ring's flag: the device wants no notification.
const NO_NOTIFY: u16 = 1;
/// Available ring's flag: the driver wants no interrupt.
const NO_INTERRUPT: u16 = 1;
/// Tables that are kept for the next requests.
const SPARE_TABLES: usize = 32;
/// No descriptor.
const NONE: u16 = u16::MAX;

struct Slot<T> {
    /// The next of its chain, or of the free ones.
    next: u16,
    /// Of a chain's first: what it is for.
    token: Option<T>,
    /// Bytes that the device may write.
    writable: u64,
    /// Descriptors of the chain.
    count: u16,
    /// The table it points to.
    table: Option<Page>,
}

/// A ring.
///
/// Memory: descriptors, available ring, padding to a page, used ring (the layout of legacy devices, good for all).
pub struct VirtQueue<T> {
    mem: DmaBuffer,
    size: u16,
    avail_at: usize,
    used_at: usize,
    slots: KVec<Slot<T>>,
    free_head: u16,
    free: u16,
    avail_idx: u16,
    /// `avail_idx` when the device was last told.
    told_idx: u16,
    last_used: u16,
    event_idx: bool,
    indirect: bool,
    callbacks: bool,
    broken: bool,
    /// Lengths that the device tells are cut to what it may write.
    cut_lengths: bool,
    tables: KVec<Page>,
}

impl<T> VirtQueue<T> {
    /// An empty ring of `size` entries. EINVAL if that is no power of two or over 32768, ENOMEM.
    pub fn new(size: u16, event_idx: bool, indirect: bool) -> Result<Self> {
        if !size.is_power_of_two() || size > 32768 {
            return Err(EINVAL);
        }
        let n = usize::from(size);
        let avail_at = n * DESC;
        let used_at = (avail_at + 6 + 2 * n).next_multiple_of(PAGE_SIZE);
        let mem = DmaBuffer::new(used_at + 6 + 8 * n, false, GFP_KERNEL)?;
        let mut slots = KVec::with_capacity(n, GFP_KERNEL)?;
        for i in 0..size {
            let next = if i + 1 == size { NONE } else { i + 1 };
            slots.push(Slot { next, token: None, writable: 0, count: 0, table: None }, GFP_KERNEL)?;
        }
        Ok(Self {
            mem,
            size,
            avail_at,
            used_at,
            slots,
            free_head: 0,
            free: size,
            avail_idx: 0,
            told_idx: 0,
            last_used: 0,
            event_idx,
            indirect,
            callbacks: true,
            broken: false,
            cut_lengths: false,
            tables: KVec::with_capacity(SPARE_TABLES, GFP_KERNEL)?,
        })
    }

    /// Where it is.
    pub fn addresses(&self) -> QueueAddresses {
        let base = self.mem.bus_addr();
        QueueAddresses { desc: base, avail: base + self.avail_at as u64, used: base + self.used_at as u64 }
    }

    /// Entries.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Entries that are free.
    pub fn free(&self) -> u16 {
        self.free
    }

    /// Whether the device wrote nonsense: nothing works any more.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The device is one whose lengths also count what it read (QEMU's SCSI adapter): they are cut to what it may write, and are not
    /// worth more than that (`suppress_used_validation`).
    pub fn cut_lengths(&mut self) {
        self.cut_lengths = true;
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
        if count == 0 || out > count || count > usize::from(self.size) {
            return Err((EINVAL, token));
        }
        let writable = pieces.iter().skip(out).map(|piece| u64::from(piece.len)).sum();
        if self.indirect
            && count > 1
            && count * DESC <= PAGE_SIZE
            && self.free != 0
            && let Some(table) = self.tables.pop().or_else(|| Page::alloc(GFP_ATOMIC).ok())
        {
            for (i, piece) in pieces.iter().enumerate() {
                let more = i + 1 != count;
                write_desc(i, piece, flags(i >= out, more), if more { i as u16 + 1 } else { 0 }, |at, word| {
                    if let Some(place) = table.atomic_u64(at) {
                        place.store(word, Ordering::Relaxed);
                    }
                });
            }
            let whole = Sg { addr: table.phys(), len: (count * DESC) as u32 };
            self.publish(&[whole], 1, DESC_INDIRECT, writable, Some(table), token);
            return Ok(());
        }
        if count > usize::from(self.free) {
            return Err((ENOSPC, token));
        }
        self.publish(pieces, out, 0, writable, None, token);
        Ok(())
    }

    /// Writes a chain into free descriptors (there are enough) and makes it available.
    fn publish(&mut self, pieces: &[Sg], out: usize, extra: u16, writable: u64, table: Option<Page>, token: T) {
        let head = self.free_head;
        let mut at = head;
        for (i, piece) in pieces.iter().enumerate() {
            let more = i + 1 != pieces.len();
            let next = self.slots.get(usize::from(at)).map_or(NONE, |slot| slot.next);
            let mem = &self.mem;
            write_desc(usize::from(at), piece, flags(i >= out, more) | extra, next, |place, word| {
                mem.write64(place, word);
            });
            at = next;
        }
        self.free_head = at;
        self.free -= pieces.len() as u16;
        if let Some(slot) = self.slots.get_mut(usize::from(head)) {
            slot.token = Some(token);
            slot.writable = writable;
            slot.count = pieces.len() as u16;
            slot.table = table;
        }
        let place = usize::from(self.avail_idx & (self.size - 1));
        self.mem.write16(self.avail_at + 4 + 2 * place, head);
        self.avail_idx = self.avail_idx.wrapping_add(1);
        // The device must see the chain before the index.
        fence(Ordering::Release);
        self.mem.write16(self.avail_at + 2, self.avail_idx);
    }

    /// Whether the device is to be told of what was added since the last call.
    pub fn prepare_kick(&mut self) -> bool {
        // The index must be written before the device's wish is read.
        fence(Ordering::SeqCst);
        let (old, new) = (self.told_idx, self.avail_idx);
        self.told_idx = new;
        if old == new || self.broken {
            return false;
        }
        if self.event_idx {
            let event = self.mem.read16(self.used_at + 4 + 8 * usize::from(self.size));
            return new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old);
        }
        self.mem.read16(self.used_at) & NO_NOTIFY == 0
    }

    /// What the device is done with next: the token, and how many bytes it wrote. EIO if it wrote nonsense; the queue is broken then.
    pub fn get(&mut self) -> Result<Option<(T, u32)>> {
        if self.broken {
            return Err(EIO);
        }
        let used_idx = self.mem.read16(self.used_at + 2);
        let pending = used_idx.wrapping_sub(self.last_used);
        if pending == 0 {
            return Ok(None);
        }
        if pending > self.size {
            return Err(self.broke("index", u32::from(used_idx)));
        }
        // What the index counts must be read after it.
        fence(Ordering::Acquire);
        let at = self.used_at + 4 + 8 * usize::from(self.last_used & (self.size - 1));
        let (id, len) = (self.mem.read32(at), self.mem.read32(at + 4));
        let Some(slot) = self.slots.get_mut(id as usize) else { return Err(self.broke("id", id)) };
        let len = match u32::try_from(slot.writable) {
            Ok(most) if len > most && self.cut_lengths => most,
            Ok(most) if len > most => return Err(self.broke("length", len)),
            _ => len,
        };
        let Some(token) = slot.token.take() else { return Err(self.broke("id", id)) };
        self.detach(id as u16);
        self.last_used = self.last_used.wrapping_add(1);
        if self.callbacks && self.event_idx {
            self.mem.write16(self.avail_at + 4 + 2 * usize::from(self.size), self.last_used);
            fence(Ordering::SeqCst);
        }
        Ok(Some((token, len)))
    }

    #[cold]
    fn broke(&mut self, what: &str, value: u32) -> Error {
        self.broken = true;
        klog::pr_err!("virtio: the device put a wrong {what} ({value}) into the used ring");
        EIO
    }

    /// Frees the chain that begins at `head`.
    fn detach(&mut self, head: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(head)) else { return };
        let count = slot.count;
        if let Some(table) = slot.table.take() {
            // Dropped if there are enough.
            let _ = self.tables.push_within_capacity(table);
        }
        let mut last = head;
        for _ in 1..count {
            last = self.slots.get(usize::from(last)).map_or(NONE, |slot| slot.next);
        }
        if let Some(slot) = self.slots.get_mut(usize::from(last)) {
            slot.next = self.free_head;
            self.free_head = head;
            self.free += count;
        }
    }

    /// No interrupts are wanted (the device may still send some).
    pub fn disable_callbacks(&mut self) {
        if self.callbacks {
            self.callbacks = false;
            if !self.event_idx {
                self.mem.write16(self.avail_at, NO_INTERRUPT);
            }
        }
    }

    /// Interrupts are wanted again. False if something came meanwhile: look again.
    pub fn enable_callbacks(&mut self) -> bool {
        if !self.callbacks {
            self.callbacks = true;
            if self.event_idx {
                self.mem.write16(self.avail_at + 4 + 2 * usize::from(self.size), self.last_used);
            } else {
                self.mem.write16(self.avail_at, 0);
            }
        }
        // The wish must be written before the index is read.
        fence(Ordering::SeqCst);
        self.broken || self.mem.read16(self.used_at + 2) == self.last_used
    }

    /// Calls `f` for each token whose chain the device has.
    pub fn for_each_token(&self, f: impl FnMut(&T)) {
        self.slots.iter().filter_map(|slot| slot.token.as_ref()).for_each(f);
    }

    /// Takes back a token that the device did not use. Only after a reset of the device, which may write to the memory otherwise.
    pub fn detach_unused(&mut self) -> Option<T> {
        let head = self.slots.iter().position(|slot| slot.token.is_some())?;
        let token = self.slots.get_mut(head)?.token.take();
        self.detach(head as u16);
        token
    }

    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn memory(&self) -> (&DmaBuffer, usize, usize) {
        (&self.mem, self.avail_at, self.used_at)
    }
}

fn flags(writes: bool, more: bool) -> u16 {
    (if writes { DESC_WRITE } else { 0 }) | (if more { DESC_NEXT } else { 0 })
}

/// Descriptor `index` as two words, given to `put` with their places.
#[inline]
fn write_desc(index: usize, piece: &Sg, flags: u16, next: u16, put: impl Fn(usize, u64)) {
    put(index * DESC, piece.addr);
    put(index * DESC + 8, u64::from(piece.len) | u64::from(flags) << 32 | u64::from(next) << 48);
}

#[cfg(CONFIG_KUNIT = "y")]
#[path = "ring_tests.rs"]
mod tests;
