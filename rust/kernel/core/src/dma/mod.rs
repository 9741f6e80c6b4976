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
pub use kernel_base::dma::{Attrs, DataDirection, DmaAddress, DmaMask, attrs};
pub use view::{CoherentIoBackend, CoherentView};

/// `EIO` for a mask that does not reach all of memory: what would be needed then is not there.
fn check(mask: DmaMask) -> Result {
    let every = u64::MAX >> 64u32.saturating_sub(x86_cpu::cpuid::features().phys_bits).min(63);
    if mask.value() & every == every { Ok(()) } else { Err(EIO) }
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
