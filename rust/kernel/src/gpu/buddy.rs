// SPDX-License-Identifier: GPL-2.0
//! Which parts of a card's memory are free: `kernel::gpu::buddy`, over `lib/space_buddy`.
//!
//! ```
//! use kernel::gpu::buddy::{GpuBuddy, GpuBuddyAllocFlags, GpuBuddyAllocMode, GpuBuddyParams};
//! use kernel::ptr::Alignment;
//!
//! let params = GpuBuddyParams { base_offset: 0x1_0000_0000, size: 1 << 28, chunk_size: Alignment::new::<4096>() };
//! let memory = GpuBuddy::new(params)?;
//! let page = Alignment::new::<4096>();
//! let ring = memory.alloc_blocks(GpuBuddyAllocMode::TopDown, 1 << 16, page, GpuBuddyAllocFlags::default());
//! let ring = KBox::pin_init(ring, GFP_KERNEL)?;
//! for block in ring.iter() {
//!     pr_info!("{:#x}: {} bytes\n", block.offset(), block.size());
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! Memory is given back as what may hold anything: `Clear` prefers memory that was given back as cleared, of which there is none, and changes
//! nothing. (So it is in Linux, whose abstraction gives all back like that.)

use crate::alloc::flags::GFP_KERNEL;
use crate::error::{Result, code::*};
use crate::ptr::Alignment;
use core::ops::Range;
use kalloc::{Arc, KVec};
use pin_init::{PinInit, init_with};
use space_buddy::{Block, Space};
use sync::Mutex;

/// Where memory is looked for.
pub enum GpuBuddyAllocMode {
    /// Anywhere.
    Simple,
    /// Between these addresses, which count from 0 (not from [`GpuBuddyParams::base_offset`]). A range of just the size is taken as it is.
    Range(Range<u64>),
    /// As far up as possible.
    TopDown,
}

crate::impl_flags!(
    /// How memory is taken.
    #[derive(Clone, Copy, Default, PartialEq, Eq)]
    pub struct GpuBuddyAllocFlags(usize);

    /// One of these ways.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum GpuBuddyAllocFlag {
        /// In one piece.
        Contiguous = 1 << 2,
        /// Cleared memory, if there is such.
        Clear = 1 << 3,
        /// What is beyond the wanted size, for the blocks' sake, is taken too.
        TrimDisable = 1 << 5,
    }
);

/// What memory there is.
pub struct GpuBuddyParams {
    /// The address of its first byte.
    pub base_offset: u64,
    /// Bytes; what is no whole chunk is left out.
    pub size: u64,
    /// The smallest piece: at least 4 KB.
    pub chunk_size: Alignment,
}

struct Inner {
    params: GpuBuddyParams,
    space: Mutex<Space>,
}

/// A card's memory. The blocks that were taken keep it, too.
pub struct GpuBuddy(Arc<Inner>);

impl GpuBuddy {
    /// All of it is free. EINVAL for chunks of less than 4 KB, or less memory than one; ENOMEM.
    pub fn new(params: GpuBuddyParams) -> Result<Self> {
        let chunk = params.chunk_size;
        if chunk.as_usize() < 4096 || params.base_offset.checked_add(params.size).is_none() {
            return Err(EINVAL);
        }
        let space = Mutex::new(Space::new(params.size >> chunk.log2(), GFP_KERNEL)?);
        Ok(Self(Arc::new(Inner { params, space }, GFP_KERNEL)?))
    }

    /// The address of its first byte.
    pub fn base_offset(&self) -> u64 {
        self.0.params.base_offset
    }

    /// The smallest piece.
    pub fn chunk_size(&self) -> Alignment {
        self.0.params.chunk_size
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.0.params.size
    }

    /// Bytes that are free.
    pub fn avail(&self) -> u64 {
        self.0.space.lock().avail() << self.chunk_size().log2()
    }

    /// Takes `size` bytes in blocks of at least `min_block_size`. EINVAL: sizes or addresses are no multiples of a chunk, or more than
    /// there is; ENOSPC; ENOMEM. May sleep.
    pub fn alloc_blocks(
        &self,
        mode: GpuBuddyAllocMode,
        size: u64,
        min_block_size: Alignment,
        flags: impl Into<GpuBuddyAllocFlags>,
    ) -> impl PinInit<AllocatedBlocks, crate::error::Error> {
        let (buddy, flags) = (self.0.clone(), flags.into());
        init_with(move || {
            let mut taken = AllocatedBlocks { blocks: KVec::new(), buddy };
            let wanted = Wanted::new(&taken.buddy.params, &mode, size, min_block_size, flags)?;
            wanted.take(&mut taken.buddy.space.lock(), &mut taken.blocks)?;
            Ok(taken)
        })
    }
}

/// What is to be taken, in chunks.
struct Wanted {
    /// Where it must be.
    range: Option<Range<u64>>,
    top_down: bool,
    contiguous: bool,
    /// What is taken in the end.
    size: u64,
    /// What is looked for: at least that.
    whole: u64,
    /// The order of the smallest block.
    min: u32,
}

impl Wanted {
    fn new(
        params: &GpuBuddyParams,
        mode: &GpuBuddyAllocMode,
        size: u64,
        min: Alignment,
        flags: GpuBuddyAllocFlags,
    ) -> Result<Self> {
        let shift = params.chunk_size.log2();
        let chunks = |bytes: u64| if bytes >> shift << shift == bytes { Ok(bytes >> shift) } else { Err(EINVAL) };
        let all = params.size >> shift;
        let range = match mode {
            GpuBuddyAllocMode::Range(range) if range.is_empty() => return Err(EINVAL),
            GpuBuddyAllocMode::Range(range) => Some(chunks(range.start)?..chunks(range.end)?),
            _ => None,
        };
        let begin = range.as_ref().map_or(0, |range| range.start);
        let (size, min) = (chunks(size)?, min.log2().checked_sub(shift).ok_or(EINVAL)?);
        if size == 0 || begin.checked_add(size).is_none_or(|end| end > all) {
            return Err(EINVAL);
        }
        let contiguous = flags.contains(GpuBuddyAllocFlag::Contiguous);
        let whole = match contiguous {
            true => size.checked_next_power_of_two(),
            false => size.checked_next_multiple_of(1u64.checked_shl(min).ok_or(EINVAL)?),
        };
        let whole = whole.ok_or(EINVAL)?;
        if whole > all && !contiguous {
            return Err(EINVAL);
        }
        let keep = flags.contains(GpuBuddyAllocFlag::TrimDisable);
        let top_down = matches!(mode, GpuBuddyAllocMode::TopDown);
        Ok(Self { range, top_down, contiguous, size: if keep { whole } else { size }, whole, min })
    }

    /// A place for a block.
    fn find(&self, space: &Space, order: u32) -> Option<u64> {
        match &self.range {
            Some(range) => space.find_between(range.start, range.end, order),
            None if self.top_down => space.find_top(order),
            None => space.find(order),
        }
    }

    fn take(&self, space: &mut Space, blocks: &mut KVec<Block>) -> Result {
        if let Some(range) = &self.range
            && range.start + self.size == range.end
        {
            // There is nothing to choose.
            let multiple = |at: u64| at >> self.min << self.min == at;
            if !multiple(range.start) || !multiple(range.end) {
                return Err(EINVAL);
            }
            return space.take(range.start, self.size, blocks, GFP_KERNEL);
        }
        if self.contiguous {
            let block = self.find(space, self.whole.ilog2().max(self.min));
            // No block is as large: there may be several that follow each other.
            let place = block.or_else(|| if self.range.is_none() { space.find_run(self.size, self.min) } else { None });
            return space.take(place.ok_or(ENOSPC)?, self.size, blocks, GFP_KERNEL);
        }
        let (mut left, mut trim) = (self.whole, self.whole - self.size);
        let mut order = left.ilog2();
        while left != 0 {
            order = order.min(left.ilog2());
            let Some(place) = self.find(space, order) else {
                order = order.checked_sub(1).filter(|&order| order >= self.min).ok_or(ENOSPC)?;
                continue;
            };
            left -= 1 << order;
            // The last block is the one that is more than is wanted.
            let len = (1 << order) - if left == 0 { core::mem::take(&mut trim) } else { 0 };
            space.take(place, len, blocks, GFP_KERNEL)?;
        }
        Ok(())
    }
}

/// Memory that was taken: it is free again when this is dropped.
pub struct AllocatedBlocks {
    blocks: KVec<Block>,
    buddy: Arc<Inner>,
}

impl AllocatedBlocks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Its blocks.
    pub fn iter(&self) -> impl Iterator<Item = AllocatedBlock<'_>> + '_ {
        self.blocks.iter().map(|block| AllocatedBlock { block, params: &self.buddy.params })
    }
}

impl Drop for AllocatedBlocks {
    fn drop(&mut self) {
        let mut space = self.buddy.space.lock();
        while let Some(block) = self.blocks.pop() {
            space.give(block);
        }
    }
}

/// A block of memory.
pub struct AllocatedBlock<'a> {
    block: &'a Block,
    params: &'a GpuBuddyParams,
}

impl AllocatedBlock<'_> {
    /// Its address.
    pub fn offset(&self) -> u64 {
        self.params.base_offset + (self.block.start() << self.params.chunk_size.log2())
    }

    /// It has two to the power of this chunks.
    pub fn order(&self) -> u32 {
        self.block.order()
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        1 << (self.block.order() + self.params.chunk_size.log2())
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(rust_gpu_buddy)]
mod tests {
    use super::*;
    use crate::prelude::*;

    const MB: u64 = 1 << 20;

    fn memory(size: u64) -> Result<GpuBuddy> {
        GpuBuddy::new(GpuBuddyParams { base_offset: 16 * MB, size, chunk_size: Alignment::new::<4096>() })
    }

    fn take(
        memory: &GpuBuddy,
        mode: GpuBuddyAllocMode,
        size: u64,
        flags: GpuBuddyAllocFlags,
    ) -> Result<Pin<KBox<AllocatedBlocks>>> {
        KBox::pin_init(memory.alloc_blocks(mode, size, Alignment::new::<4096>(), flags), GFP_KERNEL)
    }

    #[test]
    fn memory_is_taken_and_given_back() -> Result {
        let none = GpuBuddyAllocFlags::default();
        let memory = memory(6 * MB)?;
        let top = take(&memory, GpuBuddyAllocMode::TopDown, MB, none)?;
        assert!(top.iter().map(|block| (block.offset(), block.size())).eq([(21 * MB, MB)]));
        let exact = take(&memory, GpuBuddyAllocMode::Range(4096..3 * 4096), 8192, none)?;
        assert!(exact.iter().map(|block| block.offset()).eq([16 * MB + 4096, 16 * MB + 8192]));
        assert!(take(&memory, GpuBuddyAllocMode::Range(0..8192), 8192, none).err() == Some(ENOSPC));
        // Three quarters of a megabyte and a page, in pieces.
        let pieces = take(&memory, GpuBuddyAllocMode::Simple, 3 * MB / 4 + 4096, none)?;
        assert!(pieces.iter().map(|block| block.size()).eq([MB / 2, MB / 4, 4096]));
        assert_eq!(memory.avail(), 6 * MB - MB - 8192 - 3 * MB / 4 - 4096);
        drop((top, exact, pieces));
        assert_eq!(memory.avail(), 6 * MB);
        Ok(())
    }

    #[test]
    fn in_one_piece() -> Result {
        let one = GpuBuddyAllocFlags::from(GpuBuddyAllocFlag::Contiguous);
        let memory = memory(6 * MB)?;
        // No block is that large, but two follow each other.
        let five = take(&memory, GpuBuddyAllocMode::Simple, 5 * MB, one)?;
        assert_eq!(five.iter().map(|block| block.size()).sum::<u64>(), 5 * MB);
        assert!(take(&memory, GpuBuddyAllocMode::Simple, 2 * MB, one).err() == Some(ENOSPC));
        drop(five);
        let trimmed = take(&memory, GpuBuddyAllocMode::Simple, 3 * MB, one)?;
        assert_eq!(memory.avail(), 3 * MB);
        drop(trimmed);
        let whole = take(&memory, GpuBuddyAllocMode::Simple, 3 * MB, one | GpuBuddyAllocFlag::TrimDisable)?;
        assert!(whole.iter().map(|block| block.size()).eq([4 * MB]));
        for (mode, size) in [
            (GpuBuddyAllocMode::Simple, 100),
            (GpuBuddyAllocMode::Simple, 7 * MB),
            (GpuBuddyAllocMode::Range(5..5), 4096),
        ] {
            assert!(take(&memory, mode, size, one).err() == Some(EINVAL));
        }
        Ok(())
    }
}
