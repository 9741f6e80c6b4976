// SPDX-License-Identifier: GPL-2.0
//! Rings of virtio, split and packed, over memory that its user provides ([`Memory`]): the kernel's, or a test's. Each chain of memory
//! pieces that is added carries a token, which comes back when the device is done.
//!
//! | file | what |
//! |---|---|
//! | `ring` | [`Ring`]: what drivers call |
//! | `chains` | what is known of the chains that the device has, and which entries are free |
//! | `split` | descriptors, available ring and used ring (2.7) |
//! | `packed` | one ring of descriptors that both sides write (2.8) |
//!
//! The device can write all of the ring's memory at any time, so nothing is read from it but what the device has to say: the used ring
//! or used descriptors, and its wish to be notified. Ids and lengths are checked; where descriptors are, which are free and how they
//! are chained is kept in `chains`. A wrong value breaks the ring (`EIO`), nothing else. A chain's token stays here until the device
//! says it is done or was reset: whatever owns the memory that the device may write to belongs into the token.
//!
//! No lock: methods take `&mut self`. Source: Virtual I/O Device Version 1.2, OASIS.

#![no_std]
#![forbid(unsafe_code)]

mod chains;
mod packed;
mod ring;
mod split;

pub use ring::Ring;

/// A piece of memory for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sg {
    /// Bus address.
    pub addr: u64,
    /// Bytes.
    pub len: u32,
}

/// What both sides agreed on, and how large the ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Entries: a power of two, at most 32768.
    pub size: u16,
    /// `VIRTIO_F_RING_PACKED`.
    pub packed: bool,
    /// `VIRTIO_F_EVENT_IDX`.
    pub event_idx: bool,
    /// `VIRTIO_F_INDIRECT_DESC`.
    pub indirect: bool,
}

/// Where the parts of a ring are, from the start of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Descriptors.
    pub desc: usize,
    /// What the driver writes: the available ring, or when it wants interrupts.
    pub driver: usize,
    /// What the device writes: the used ring, or when it wants notifications.
    pub device: usize,
    /// Bytes of all.
    pub len: usize,
}

impl Shape {
    /// Whether a ring can be so.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.size.is_power_of_two() && self.size <= 32768
    }

    /// Where its parts are. The layout of a split ring is that of legacy devices, which is good for all.
    #[inline]
    pub const fn places(self) -> Places {
        let n = self.size as usize;
        let driver = n * DESC;
        if self.packed {
            // Each side writes to a cache line of its own.
            let device = (driver + 4).next_multiple_of(64);
            return Places { desc: 0, driver, device, len: device + 4 };
        }
        let device = (driver + 6 + 2 * n).next_multiple_of(PAGE);
        Places { desc: 0, driver, device, len: device + 6 + 8 * n }
    }
}

/// A ring's memory, which the device sees and may write to at any time: cleared at first. Offsets are inside and aligned.
pub trait Memory {
    /// Tables of descriptors for the same device.
    type Table: Table;
    /// 16 bits.
    fn read16(&self, at: usize) -> u16;
    /// 32 bits, in one access.
    fn read32(&self, at: usize) -> u32;
    /// 64 bits, in one access.
    fn read64(&self, at: usize) -> u64;
    /// 16 bits.
    fn write16(&self, at: usize, value: u16);
    /// 64 bits, in one access.
    fn write64(&self, at: usize, value: u64);
    /// The device wrote a wrong value (`what`: which) and the ring is broken: for the log.
    fn wrong(&self, what: &str, value: u32);
}

/// A table of descriptors that the device reads.
pub trait Table: Sized {
    /// Descriptors it has room for.
    const ROOM: usize;
    /// A new one, if there is memory. Does not sleep.
    fn new() -> Option<Self>;
    /// Its bus address.
    fn addr(&self) -> u64;
    /// Writes 64 bits.
    fn put(&self, at: usize, value: u64);
}

/// Descriptor: goes on with the next.
const DESC_NEXT: u16 = 1;
/// Descriptor: the device writes.
const DESC_WRITE: u16 = 2;
/// Descriptor: points to a table.
const DESC_INDIRECT: u16 = 4;
/// Bytes of a descriptor.
const DESC: usize = 16;
/// What a legacy device aligns the used ring to.
const PAGE: usize = 4096;

#[inline]
fn flags(writes: bool, more: bool) -> u16 {
    (if writes { DESC_WRITE } else { 0 }) | (if more { DESC_NEXT } else { 0 })
}

/// Whether event `event` is among those from `old` up to `new`, not with it.
#[inline]
fn passed(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
