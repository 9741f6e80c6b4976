// SPDX-License-Identifier: GPL-2.0
//! Block devices. `mq` is Rust-for-Linux's interface for drivers with hardware queues, over [`blk_mq`], which is the core's own and
//! which the drivers of this tree use; beside them the core's types for drivers and file systems.

pub mod mq;

pub use ::block::mq as blk_mq;
pub use ::block::*;

/// The bits of a byte's place that lie within its sector.
pub const SECTOR_MASK: u32 = SECTOR_SIZE - 1;

/// A page has `1 << PAGE_SECTORS_SHIFT` sectors.
pub const PAGE_SECTORS_SHIFT: u32 = 12 - SECTOR_SHIFT;
