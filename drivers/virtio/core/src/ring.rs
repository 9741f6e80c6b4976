// SPDX-License-Identifier: GPL-2.0
//! `VirtQueue`: a ring of `virtio_ring` in memory that the device sees.

use crate::transport::QueueAddresses;
use core::sync::atomic::Ordering::Relaxed;
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kernel::hardware::mm_alloc;
use mm_alloc::dma::DmaBuffer;
use mm_alloc::{PAGE_SIZE, Page};
use virtio_ring::{Memory, Ring, Shape, Table};

/// A queue of a device. Chains carry tokens `T`.
pub type VirtQueue<T> = Ring<T, RingMemory>;

/// A ring's memory.
pub struct RingMemory(DmaBuffer);

impl Memory for RingMemory {
    type Table = TablePage;

    #[inline(always)]
    fn read16(&self, at: usize) -> u16 {
        self.0.read16(at)
    }

    #[inline(always)]
    fn read32(&self, at: usize) -> u32 {
        self.0.read32(at)
    }

    #[inline(always)]
    fn read64(&self, at: usize) -> u64 {
        self.0.read64(at)
    }

    #[inline(always)]
    fn write16(&self, at: usize, value: u16) {
        self.0.write16(at, value);
    }

    #[inline(always)]
    fn write64(&self, at: usize, value: u64) {
        self.0.write64(at, value);
    }

    #[cold]
    fn wrong(&self, what: &str, value: u32) {
        klog::pr_err!("virtio: the device put a wrong {what} ({value}) into a ring");
    }
}

/// A page of descriptors.
pub struct TablePage(Page);

impl Table for TablePage {
    const ROOM: usize = PAGE_SIZE / 16;

    fn new() -> Option<Self> {
        Page::alloc(GFP_ATOMIC).ok().map(Self)
    }

    #[inline(always)]
    fn addr(&self) -> u64 {
        self.0.phys()
    }

    #[inline(always)]
    fn put(&self, at: usize, value: u64) {
        if let Some(place) = self.0.atomic_u64(at) {
            place.store(value, Relaxed);
        }
    }
}

/// An empty ring. EINVAL for a shape that cannot be, ENOMEM.
pub(crate) fn new_ring<T>(shape: Shape) -> Result<VirtQueue<T>> {
    if !shape.is_valid() {
        return Err(EINVAL);
    }
    Ring::with_memory(shape, RingMemory(DmaBuffer::new(shape.places().len, false, GFP_KERNEL)?))
}

/// Where it is.
pub(crate) fn addresses<T>(queue: &VirtQueue<T>) -> QueueAddresses {
    let (base, places) = (queue.memory().0.bus_addr(), queue.places());
    QueueAddresses {
        desc: base + places.desc as u64,
        driver: base + places.driver as u64,
        device: base + places.device as u64,
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[path = "ring_tests.rs"]
mod tests;
