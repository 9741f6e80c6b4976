// SPDX-License-Identifier: GPL-2.0
//! `QueueLimits`: how much a device takes at once, its block sizes and features. Drivers fill it in; file systems read it. No locks.

use crate::bio::BioVec;
use crate::types::SECTOR_SHIFT;

/// Limits of a device. `Default` is what a driver that says nothing gets (Linux's `blk_set_default_limits`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Bytes: the smallest unit the device addresses.
    pub logical_block_size: u32,
    /// Bytes: the smallest unit the device writes without reading first.
    pub physical_block_size: u32,
    /// Bytes: smallest I/O worth sending.
    pub io_min: u32,
    /// Bytes: best I/O size; 0 unknown.
    pub io_opt: u32,
    /// Bytes from the disk's start to its first natural boundary.
    pub alignment_offset: u32,
    /// Sectors of one request: what the hardware can do.
    pub max_hw_sectors: u32,
    /// Sectors of one request: what is used (`max_sectors_kb`).
    pub max_sectors: u32,
    /// Pieces of memory of one request.
    pub max_segments: u32,
    /// Bytes of one piece.
    pub max_segment_size: u32,
    /// Pieces may not cross multiples of this plus one (0: they may).
    pub seg_boundary_mask: u64,
    /// Pieces but the first begin, and but the last end, at multiples of this plus one (0: anywhere).
    pub virt_boundary_mask: u64,
    /// Bytes between a piece's start and a multiple of this plus one must be 0.
    pub dma_alignment: u32,
    /// Sectors of one discard; 0: no discard.
    pub max_discard_sectors: u32,
    /// What the hardware can discard at once.
    pub max_hw_discard_sectors: u32,
    /// Ranges of one discard request.
    pub max_discard_segments: u32,
    /// Bytes.
    pub discard_granularity: u32,
    /// Bytes.
    pub discard_alignment: u32,
    /// Sectors; 0: no secure erase.
    pub max_secure_erase_sectors: u32,
    /// Sectors of one write-zeroes; 0: none.
    pub max_write_zeroes_sectors: u32,
    /// There is a volatile cache that flushes write out.
    pub write_cache: bool,
    /// `FUA` needs no flush.
    pub fua: bool,
    /// Seeks cost time.
    pub rotational: bool,
    /// Timing of I/O feeds the random number generator.
    pub add_random: bool,
    /// Pages must not change while they are written.
    pub stable_writes: bool,
    /// Sectors read ahead by default.
    pub read_ahead_kb: u32,
}

/// Sectors of a request by default: 1280 KB.
pub const BLK_DEF_MAX_SECTORS: u32 = 2560;

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            logical_block_size: 512,
            physical_block_size: 512,
            io_min: 512,
            io_opt: 0,
            alignment_offset: 0,
            max_hw_sectors: 255,
            max_sectors: 255,
            max_segments: 128,
            max_segment_size: 65536,
            seg_boundary_mask: 0xffff_ffff,
            virt_boundary_mask: 0,
            dma_alignment: 511,
            max_discard_sectors: 0,
            max_hw_discard_sectors: 0,
            max_discard_segments: 1,
            discard_granularity: 0,
            discard_alignment: 0,
            max_secure_erase_sectors: 0,
            max_write_zeroes_sectors: 0,
            write_cache: false,
            fua: false,
            rotational: true,
            add_random: false,
            stable_writes: false,
            read_ahead_kb: 128,
        }
    }
}

impl QueueLimits {
    /// Puts in order what a driver gave: sizes are powers of two and fit each other, nothing that divides is 0.
    #[must_use]
    pub fn checked(mut self) -> Self {
        let block = |size: u32, least: u32| if size.is_power_of_two() && size >= least { size } else { least };
        self.logical_block_size = block(self.logical_block_size, 512).min(4096);
        self.physical_block_size = block(self.physical_block_size, self.logical_block_size);
        self.io_min = self.io_min.max(self.physical_block_size);
        let unit = self.logical_block_size >> 9;
        let whole = |sectors: u32| (sectors - sectors % unit).max(8);
        self.max_hw_sectors = whole(self.max_hw_sectors);
        self.max_sectors = whole(self.max_sectors.min(self.max_hw_sectors));
        self.max_segments = self.max_segments.max(1);
        self.max_segment_size = self.max_segment_size.max(4096);
        self.max_discard_sectors = self.max_discard_sectors.min(self.max_hw_discard_sectors);
        self.max_discard_segments = self.max_discard_segments.max(1);
        self
    }

    /// Bytes from `sector`, where a partition begins, to the first natural boundary of the device.
    pub fn alignment_of(&self, sector: u64) -> u32 {
        let unit = u64::from(self.physical_block_size.max(self.io_min));
        let over = (sector % (unit >> SECTOR_SHIFT).max(1)) << SECTOR_SHIFT;
        ((unit + u64::from(self.alignment_offset) - over) % unit.max(1)) as u32
    }

    /// Bytes from `sector` to the first block that can be discarded by itself; 0 where nothing can.
    pub fn discard_alignment_of(&self, sector: u64) -> u32 {
        let unit = u64::from(self.discard_granularity >> SECTOR_SHIFT);
        if self.max_discard_sectors == 0 || unit == 0 {
            return 0;
        }
        let first = u64::from(self.discard_alignment >> SECTOR_SHIFT);
        // Less than the granularity, which has 32 bits.
        (((unit + first - sector % unit) % unit) << SECTOR_SHIFT) as u32
    }

    /// Whether a piece may be followed by another one in one request.
    #[inline]
    pub fn joins(&self, last: &BioVec, next: &BioVec) -> bool {
        let mask = self.virt_boundary_mask;
        mask == 0 || ((u64::from(last.offset) + u64::from(last.len)) | u64::from(next.offset)) & mask == 0
    }

    /// Sectors that one request of `op` may have; 0: the device cannot do it.
    pub fn max_sectors_of(&self, op: crate::Op) -> u32 {
        match op {
            crate::Op::Read | crate::Op::Write => self.max_sectors,
            crate::Op::Discard => self.max_discard_sectors,
            crate::Op::SecureErase => self.max_secure_erase_sectors,
            crate::Op::WriteZeroes => self.max_write_zeroes_sectors,
            crate::Op::Flush => u32::MAX,
        }
    }
}
