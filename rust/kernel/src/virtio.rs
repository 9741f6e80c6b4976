// SPDX-License-Identifier: GPL-2.0
//! virtio drivers: devices, rings, and the memory that headers lie in.

pub use mm_alloc::dma::DmaBuffer;
pub use virtio::*;
