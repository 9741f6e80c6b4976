// SPDX-License-Identifier: GPL-2.0
//! `DmaBuffer`: physically contiguous memory that a device reads and writes, with its bus address (x86 DMA is coherent and,
//! without an IOMMU, bus addresses are physical). Access is volatile and bounds-checked. No locks.

use crate::frame::Frame;
use crate::layout::{PAGE_SIZE, PhysAddr};
use crate::{buddy, reclaim};
use core::ptr::NonNull;
use errno::{Result, code::*};
use kalloc::Flags;
use kalloc::flags::__GFP_DMA32;

/// Memory shared with a device.
///
/// # Invariants
/// `frame` begins a block of 2^`order` pages that this value owns.
pub struct DmaBuffer {
    frame: &'static Frame,
    order: usize,
    len: usize,
}

macro_rules! access {
    ($($read:ident, $write:ident, $ty:ty;)*) => {
        $(
            /// Reads at byte `offset`; 0 if that is outside or not aligned.
            #[inline]
            pub fn $read(&self, offset: usize) -> $ty {
                match self.at::<$ty>(offset) {
                    // SAFETY: In bounds of our block and aligned; the device may write it meanwhile, hence volatile.
                    Some(ptr) => unsafe { ptr.read_volatile() },
                    None => 0,
                }
            }

            /// Writes at byte `offset`; does nothing if that is outside or not aligned.
            #[inline]
            pub fn $write(&self, offset: usize, value: $ty) {
                if let Some(ptr) = self.at::<$ty>(offset) {
                    // SAFETY: As in the read.
                    unsafe { ptr.write_volatile(value) };
                }
            }
        )*
    };
}

impl DmaBuffer {
    /// Allocates `len` cleared bytes, below 4 GB if `below_4g`. EINVAL for 0 or more than 4 MB, ENOMEM.
    pub fn new(len: usize, below_4g: bool, flags: Flags) -> Result<Self> {
        if len == 0 || len > PAGE_SIZE << buddy::MAX_ORDER {
            return Err(EINVAL);
        }
        let order = len.div_ceil(PAGE_SIZE).next_power_of_two().ilog2() as usize;
        let flags = if below_4g { flags | __GFP_DMA32 } else { flags };
        let frame = buddy::alloc_pages(order, flags)
            .or_else(|| reclaim::allocate(order, flags, |flags| buddy::alloc_pages(order, flags)))
            .ok_or(ENOMEM)?;
        // SAFETY: The block was just allocated.
        unsafe { core::ptr::write_bytes(frame.virt(), 0, PAGE_SIZE << order) };
        Ok(Self { frame, order, len })
    }

    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let end = offset.checked_add(size_of::<T>())?;
        (end <= self.len && offset.is_multiple_of(align_of::<T>()))
            .then(|| self.frame.virt().wrapping_add(offset).cast())
    }

    access! {
        read8, write8, u8;
        read16, write16, u16;
        read32, write32, u32;
        read64, write64, u64;
    }

    /// The first byte. The memory is there as long as this is; the device may access it at any time.
    #[inline]
    pub fn as_ptr(&self) -> NonNull<u8> {
        // The direct map has no page at 0.
        NonNull::new(self.frame.virt()).unwrap_or(NonNull::dangling())
    }

    /// What the device is told.
    pub fn bus_addr(&self) -> PhysAddr {
        self.frame.phys()
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the buffer is empty (it never is).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies in. EINVAL if that is outside.
    pub fn write_bytes(&self, offset: usize, from: &[u8]) -> Result {
        if offset.checked_add(from.len()).is_none_or(|end| end > self.len) {
            return Err(EINVAL);
        }
        // SAFETY: In bounds of our block.
        unsafe { crate::mem::copy_shared(self.frame.virt().add(offset), from.as_ptr(), from.len()) };
        Ok(())
    }

    /// Copies out. EINVAL if that is outside.
    pub fn read_bytes(&self, offset: usize, to: &mut [u8]) -> Result {
        if offset.checked_add(to.len()).is_none_or(|end| end > self.len) {
            return Err(EINVAL);
        }
        // SAFETY: In bounds of our block.
        unsafe { crate::mem::copy_shared(to.as_mut_ptr(), self.frame.virt().add(offset), to.len()) };
        Ok(())
    }
}

impl Drop for DmaBuffer {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the block is ours; the driver has stopped the device.
        unsafe { buddy::free_pages(self.frame, self.order) };
    }
}
