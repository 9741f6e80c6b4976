// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of memory that devices see.

use crate::dma::{Coherent, CoherentBox, CoherentHandle, DataDirection, DmaMask, attrs};
use crate::faux::{self, for_tests::device};
use crate::io::{Io, io_project, io_read, io_write};
use crate::page::PAGE_SIZE;
use crate::prelude::*;
use crate::scatterlist::SGTable;
use kernel_core::dma::for_tests::Entry;

#[macros::kunit_tests(rust_kernel_coherent)]
mod cases {
    use super::*;

    #[test]
    fn coherent_memory() -> Result {
        let registration = faux::Registration::new(c"dma-test", None)?;
        let dev = device(&registration);
        let ring = Coherent::<Entry>::zeroed_slice(dev, 300, GFP_KERNEL)?;
        assert_eq!((ring.len(), ring.size()), (300, 4800));
        assert!(ring.dma_address() != 0 && ring.dma_address().is_multiple_of(PAGE_SIZE as u64));
        io_write!(ring, [try: 299].flags, 7);
        assert_eq!((io_read!(ring, [try: 299].flags), io_read!(ring, [try: 298].flags)), (7, 0));
        let beyond = || -> Result<u32> { Ok(io_read!(ring, [try: 300].flags)) };
        assert_eq!(beyond(), Err(ERANGE));
        // A part is seen behind the start by as much.
        let part = io_project!(ring.as_view(), [try: 256]);
        assert_eq!(part.dma_address(), ring.dma_address() + 4096);
        part.copy_write(Entry { address: 1, len: 2, flags: 3 });
        let again = io_project!(ring.as_view(), [try: 256]);
        assert_eq!(again.copy_read(), Entry { address: 1, len: 2, flags: 3 });
        assert_eq!(Coherent::<Entry>::zeroed_slice(dev, 0, GFP_KERNEL).err(), Some(EINVAL));
        assert_eq!(Coherent::<Entry>::zeroed_slice(dev, usize::MAX / 8, GFP_KERNEL).err(), Some(ENOMEM));
        assert_eq!(CoherentHandle::alloc(dev, 0, GFP_KERNEL).err(), Some(EINVAL));
        assert_eq!(CoherentHandle::alloc(dev, 100, GFP_KERNEL)?.size(), 100);
        Ok(())
    }

    /// It is filled before the device hears of it.
    #[test]
    fn memory_of_our_own() -> Result {
        let registration = faux::Registration::new(c"dma-test", None)?;
        let mut own = CoherentBox::<[Entry]>::from_slice(device(&registration), &[Entry::default(); 3], GFP_KERNEL)?;
        own.init_at(1, Entry { address: 0, len: 5, flags: 0 })?;
        assert_eq!(own.init_at(3, Entry::default()), Err(EINVAL));
        if let Some(last) = own.last_mut() {
            last.len = 9;
        }
        assert!(own.iter().map(|entry| entry.len).eq([0, 5, 9]));
        let shared = Coherent::from(own);
        assert_eq!(io_read!(shared, [try: 2].len), 9);
        Ok(())
    }

    #[test]
    fn masks_and_wishes() {
        assert_eq!((DmaMask::new::<32>().value(), DmaMask::new::<64>().value()), (0xffff_ffff, u64::MAX));
        assert_eq!((DmaMask::try_new(0), DmaMask::try_new(65)), (Err(EINVAL), Err(EINVAL)));
        assert_eq!(DmaMask::try_new(1).map(|mask| mask.value()), Ok(1));
        let both = attrs::DMA_ATTR_NO_WARN | attrs::DMA_ATTR_FORCE_CONTIGUOUS;
        assert!(both.contains(attrs::DMA_ATTR_NO_WARN) && !attrs::DMA_ATTR_NO_WARN.contains(both));
    }

    /// Each page is in one piece, in order; what has no pages of its own is no list.
    #[test]
    fn lists_of_pages() -> Result {
        let registration = faux::Registration::new(c"dma-test", None)?;
        let dev = device(&registration);
        let pages = VVec::<u8>::with_capacity(3 * PAGE_SIZE, GFP_KERNEL)?;
        let bytes = pages.capacity() as u64;
        let table = KBox::pin_init(SGTable::new(dev, pages, DataDirection::ToDevice, GFP_KERNEL), GFP_KERNEL)?;
        assert_eq!(table.iter().map(|entry| entry.dma_len()).sum::<u64>(), bytes);
        assert!(table.iter().all(|entry| entry.dma_address().is_multiple_of(PAGE_SIZE as u64)));
        let wide = VVec::<u32>::with_capacity(PAGE_SIZE / 2, GFP_KERNEL)?;
        let table = KBox::pin_init(SGTable::new(dev, wide, DataDirection::FromDevice, GFP_KERNEL), GFP_KERNEL)?;
        assert!(table.iter().map(|entry| entry.dma_len()).sum::<u64>() >= 2 * PAGE_SIZE as u64);
        let none = SGTable::new(dev, VVec::<u8>::new(), DataDirection::ToDevice, GFP_KERNEL);
        assert_eq!(KBox::pin_init(none, GFP_KERNEL).err(), Some(EINVAL));
        Ok(())
    }
}
