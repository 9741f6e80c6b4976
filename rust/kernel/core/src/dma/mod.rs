// SPDX-License-Identifier: GPL-2.0
//! Memory that devices transfer to and from: `kernel::dma`. There is no IOMMU driver: a device's addresses are physical ones, and
//! on this machine its view of memory is the caches'.

use crate::device;
use crate::error::{Result, code::*};

mod coherent;
mod coherent_box;
mod view;

pub use coherent::{Coherent, CoherentHandle};
pub use coherent_box::CoherentBox;
pub use view::{CoherentIoBackend, CoherentView};

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

/// `EIO` for a mask that does not reach all of memory: what would be needed then is not there.
fn check(mask: DmaMask) -> Result {
    let every = u64::MAX >> 64u32.saturating_sub(x86_cpu::cpuid::features().phys_bits).min(63);
    if mask.0 & every == every { Ok(()) } else { Err(EIO) }
}

/// A device that transfers, while its driver probes it.
pub trait Device<'a>: AsRef<device::Device<device::Core<'a>>> {
    /// Says which addresses streaming transfers can reach. `EIO`.
    ///
    /// # Safety
    /// Nothing is mapped or allocated for the device at the same time.
    unsafe fn dma_set_mask(&self, mask: DmaMask) -> Result {
        check(mask)
    }

    /// Says which addresses coherent memory may have. `EIO`.
    ///
    /// # Safety
    /// As for [`Self::dma_set_mask`].
    unsafe fn dma_set_coherent_mask(&self, mask: DmaMask) -> Result {
        check(mask)
    }

    /// Both.
    ///
    /// # Safety
    /// As for [`Self::dma_set_mask`].
    unsafe fn dma_set_mask_and_coherent(&self, mask: DmaMask) -> Result {
        check(mask)
    }
}

#[cfg(feature = "CONFIG_PCI")]
impl<'a> Device<'a> for crate::pci::Device<device::Core<'a>> {}

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
