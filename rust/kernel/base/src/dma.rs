// SPDX-License-Identifier: GPL-2.0
//! Addresses of devices, and wishes about memory for them: a part of `kernel::dma`.

use crate::error::{Result, code::EINVAL};
use kalloc::Flags;
use kalloc::flags::{__GFP_DMA, __GFP_DMA32};

/// An address as devices see it.
pub type DmaAddress = u64;

/// Which addresses a device can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaMask(u64);

impl DmaMask {
    /// Addresses of `N` bits.
    pub const fn new<const N: u32>() -> Self {
        const { assert!(N > 0 && N <= 64, "invalid DMA mask") };
        Self(u64::MAX >> (64 - N))
    }

    /// Addresses of `n` bits. `EINVAL`.
    pub const fn try_new(n: u32) -> Result<Self> {
        match n {
            1..=64 => Ok(Self(u64::MAX >> (64 - n))),
            _ => Err(EINVAL),
        }
    }

    /// All of them.
    pub const fn value(&self) -> u64 {
        self.0
    }
}

/// Whether a device of this mask reaches all memory, which ends at `end`. It must: there are no bounce buffers.
#[doc(hidden)]
pub const fn reaches_all(mask: u64, end: u64) -> bool {
    mask >= end.saturating_sub(1)
}

/// Where memory for a device of this mask is to be taken from, as flags; `None` if there is no zone that it reaches.
#[doc(hidden)]
pub const fn zone_of(mask: u64, end: u64) -> Option<Flags> {
    match mask {
        _ if reaches_all(mask, end) => Some(Flags::from_raw(0)),
        0xffff_ffff.. => Some(__GFP_DMA32),
        0xff_ffff.. => Some(__GFP_DMA),
        _ => None,
    }
}

/// Which way a transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DataDirection {
    /// Both ways.
    Bidirectional = 0,
    /// To the device.
    ToDevice = 1,
    /// From the device.
    FromDevice = 2,
    /// None.
    None = 3,
}

/// How memory is allocated or mapped for a device: a set of [`attrs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Attrs(u32);

impl Attrs {
    /// No wish.
    #[doc(hidden)]
    pub const NONE: Self = Self(0);

    /// Whether all of `flags` are in it.
    pub fn contains(self, flags: Attrs) -> bool {
        self & flags == flags
    }
}

impl core::ops::BitOr for Attrs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl core::ops::BitAnd for Attrs {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl core::ops::Not for Attrs {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

pub mod attrs {
    //! Wishes about memory for devices. On this machine, where a device's accesses go through the caches, as in Linux none of them
    //! changes what is allocated.

    use super::Attrs;

    /// Accesses may be reordered.
    pub const DMA_ATTR_WEAK_ORDERING: Attrs = Attrs(1 << 1);
    /// Writes may be gathered.
    pub const DMA_ATTR_WRITE_COMBINE: Attrs = Attrs(1 << 2);
    /// Caches need not be flushed.
    pub const DMA_ATTR_SKIP_CPU_SYNC: Attrs = Attrs(1 << 5);
    /// Physically contiguous, which it always is.
    pub const DMA_ATTR_FORCE_CONTIGUOUS: Attrs = Attrs(1 << 6);
    /// Large pages are not worth the work.
    pub const DMA_ATTR_ALLOC_SINGLE_PAGES: Attrs = Attrs(1 << 7);
    /// No message if there is no memory.
    pub const DMA_ATTR_NO_WARN: Attrs = Attrs(1 << 8);
    /// For the device's most privileged accesses alone.
    pub const DMA_ATTR_PRIVILEGED: Attrs = Attrs(1 << 9);
    /// It is a device's memory.
    pub const DMA_ATTR_MMIO: Attrs = Attrs(1 << 10);
}
