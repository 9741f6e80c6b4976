// SPDX-License-Identifier: GPL-2.0
//! Which addresses a device can reach. What is allocated or mapped for it looks here. No locks.

use crate::Device;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The masks of a device. A driver that says nothing reaches addresses of 32 bits, as in Linux.
pub(crate) struct DmaMasks {
    streaming: AtomicU64,
    coherent: AtomicU64,
}

impl DmaMasks {
    /// Those of 32 bits.
    pub(crate) const fn new() -> Self {
        Self { streaming: AtomicU64::new(u32::MAX as u64), coherent: AtomicU64::new(u32::MAX as u64) }
    }
}

impl Device {
    /// The highest address that it can reach in memory that is mapped for it.
    pub fn dma_mask(&self) -> u64 {
        self.dma.streaming.load(Relaxed)
    }

    /// Sets that.
    pub fn set_dma_mask(&self, mask: u64) {
        self.dma.streaming.store(mask, Relaxed);
    }

    /// The highest address that it can reach in memory that is allocated for it.
    pub fn coherent_dma_mask(&self) -> u64 {
        self.dma.coherent.load(Relaxed)
    }

    /// Sets that.
    pub fn set_coherent_dma_mask(&self, mask: u64) {
        self.dma.coherent.store(mask, Relaxed);
    }
}
