// SPDX-License-Identifier: GPL-2.0
//! Memory that devices transfer to and from: `kernel::dma`. There is no IOMMU driver: a device's addresses are physical ones, and
//! on this machine its view of memory is the caches'.

use crate::device;
use crate::error::{Result, code::EIO};
use mm_alloc::memblock;

mod coherent;
mod coherent_box;
#[cfg(CONFIG_KUNIT = "y")]
#[doc(hidden)]
pub mod for_tests;
mod view;

pub use coherent::{Coherent, CoherentHandle};
pub use coherent_box::CoherentBox;
pub use kernel_base::dma::*;
pub use view::{CoherentIoBackend, CoherentView};

/// A device that transfers, while its driver probes it.
pub trait Device<'a>: AsRef<device::Device<device::Core<'a>>> {
    /// Says which addresses streaming transfers can reach. `EIO` if that is not all memory: there are no bounce buffers.
    ///
    /// # Safety
    /// Nothing is mapped or allocated for the device at the same time.
    unsafe fn dma_set_mask(&self, mask: DmaMask) -> Result {
        if !reaches_all(mask.value(), memblock::end()) {
            return Err(EIO);
        }
        self.as_ref().core().set_dma_mask(mask.value());
        Ok(())
    }

    /// Says which addresses coherent memory may have. `EIO` if there is none of these.
    ///
    /// # Safety
    /// As for [`Self::dma_set_mask`].
    unsafe fn dma_set_coherent_mask(&self, mask: DmaMask) -> Result {
        zone_of(mask.value(), memblock::end()).ok_or(EIO)?;
        self.as_ref().core().set_coherent_dma_mask(mask.value());
        Ok(())
    }

    /// Both.
    ///
    /// # Safety
    /// As for [`Self::dma_set_mask`].
    unsafe fn dma_set_mask_and_coherent(&self, mask: DmaMask) -> Result {
        // SAFETY: The caller's contract.
        unsafe {
            self.dma_set_mask(mask)?;
            self.dma_set_coherent_mask(mask)
        }
    }
}

#[cfg(feature = "CONFIG_PCI")]
impl<'a> Device<'a> for crate::pci::Device<device::Core<'a>> {}
