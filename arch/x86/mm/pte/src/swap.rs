// SPDX-License-Identifier: GPL-2.0
//! Entries of pages that are in swap space, and who keeps the books of it. No locks; the hook is called under a last-level table's.

use crate::entry::{Entry, PROT_NONE};
use hook::Hook;
use mm_alloc::Page;
use mm_alloc::kpt::bits;

/// A place in swap space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwapEntry {
    /// Number of the area (`swapon`), below [`SwapEntry::MAX_AREAS`].
    pub area: u8,
    /// Page in it, below [`SwapEntry::MAX_PAGES`].
    pub offset: u64,
}

/// Where the area's number is.
const AREA_SHIFT: u32 = 52;
const AREA_MASK: u64 = 31;

impl SwapEntry {
    /// Areas that entries can name.
    pub const MAX_AREAS: usize = AREA_MASK as usize + 1;
    /// Pages of an area that entries can name.
    pub const MAX_PAGES: u64 = bits::ADDR >> 12;

    /// As an entry of a table, without [`bits::SOFT_DIRTY`], which an entry may have besides. The page's number is there inverted: what a
    /// processor that does not wait for the present bit takes for an address (L1TF) is beyond all memory.
    #[inline]
    pub fn to_bits(self) -> u64 {
        bits::SPECIAL | u64::from(self.area) << AREA_SHIFT | !(self.offset << 12) & bits::ADDR
    }

    /// What an entry of a table says, if it is one of these.
    #[inline(always)]
    pub fn from_bits(value: u64) -> Option<Self> {
        if value & (bits::SPECIAL | bits::PRESENT | PROT_NONE) != bits::SPECIAL {
            return None;
        }
        Some(Self { area: (value >> AREA_SHIFT & AREA_MASK) as u8, offset: (!value & bits::ADDR) >> 12 })
    }
}

impl Entry {
    /// The place in swap space, if the page is there.
    #[inline]
    pub fn swap(self) -> Option<SwapEntry> {
        SwapEntry::from_bits(self.value())
    }
}

/// Who keeps the books of swap space. Nothing here may sleep.
pub trait Swap: Sync {
    /// `fork` copies an entry: its place has a user more. False if there are too many to be counted.
    fn duplicate(&self, entry: SwapEntry) -> bool;
    /// An entry is gone.
    fn free(&self, entry: SwapEntry);
    /// An entry that mapped a page of the swap cache is gone; `page` was its reference.
    fn unmapped(&self, page: Page);
}

/// The registered keeper.
pub static SWAP: Hook<dyn Swap> = Hook::new();

/// An entry is to be copied; false if that cannot be.
#[cold]
#[inline(never)]
pub fn duplicate(entry: SwapEntry) -> bool {
    SWAP.get().is_some_and(|swap| swap.duplicate(entry))
}

/// An entry is gone.
#[cold]
#[inline(never)]
pub fn free(entry: SwapEntry) {
    if let Some(swap) = SWAP.get() {
        swap.free(entry);
    }
}
