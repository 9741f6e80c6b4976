// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of what devices reach.

use crate::alloc::flags::*;
use crate::dma::{Coherent, DmaMask};
use crate::error::{Result, code::*};
use crate::{faux, for_kernel};
use kernel_core::dma::{reaches_all, zone_of};

const GB: u64 = 1 << 30;

#[macros::kunit_tests(rust_kernel_dma)]
mod cases {
    use super::*;

    /// Masks and the end of memory.
    #[test]
    fn masks() {
        let mask = |bits| DmaMask::try_new(bits).map_or(0, |mask| mask.value());
        assert!(reaches_all(mask(32), 4 * GB) && !reaches_all(mask(32), 4 * GB + 0x1000));
        assert!(reaches_all(mask(64), u64::MAX) && reaches_all(mask(24), 1 << 24));
        assert!(zone_of(mask(64), 8 * GB) == Some(Flags::from_raw(0)));
        assert!(zone_of(mask(32), GB) == Some(Flags::from_raw(0)));
        assert!(zone_of(mask(40), 8 << 40) == Some(__GFP_DMA32));
        assert!(zone_of(mask(32), 8 * GB) == Some(__GFP_DMA32));
        assert!(zone_of(mask(31), 8 * GB) == Some(__GFP_DMA));
        assert!(zone_of(mask(24), GB) == Some(__GFP_DMA));
        assert!(zone_of(mask(23), GB).is_none());
    }

    /// Memory is where the device reaches it.
    #[test]
    fn coherent_memory_is_in_reach() -> Result {
        let registration = faux::Registration::new(c"dma-reach", None)?;
        let device = faux::for_tests::device(&registration);
        for bits in [24, 32, 64] {
            let mask = DmaMask::try_new(bits)?.value();
            for_kernel::device(device).set_coherent_dma_mask(mask);
            match Coherent::<u8>::zeroed_slice(device, 0x3000, GFP_KERNEL) {
                Ok(memory) => assert!(memory.dma_address() + 0x2fff <= mask),
                // There is little memory below 16 MB; it may be in use.
                Err(error) => assert_eq!((error, bits), (ENOMEM, 24)),
            }
        }
        for_kernel::device(device).set_coherent_dma_mask(0xffff);
        assert!(Coherent::<u8>::zeroed_slice(device, 0x1000, GFP_KERNEL).err() == Some(ENOMEM));
        Ok(())
    }
}
