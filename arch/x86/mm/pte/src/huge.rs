// SPDX-License-Identifier: GPL-2.0
//! Entries one level above the last, which map 2 MB at once or lead to a table. Pure bit work; no locks.

use crate::entry::{Entry, PROT_NONE};
use mm_alloc::kpt::bits;
use mm_alloc::layout::PMD_SIZE;

/// Whether there are huge mappings at all.
pub const ENABLED: bool = cfg!(CONFIG_TRANSPARENT_HUGEPAGE);

/// A huge mapping on its way to a table, or the other way: nothing for the hardware.
pub const BUSY: u64 = bits::HUGE;

/// Whether an entry of level 1 is a huge mapping, or was one just now.
#[inline(always)]
pub const fn is_huge(entry: u64) -> bool {
    ENABLED && entry & bits::HUGE != 0
}

/// Whether a huge mapping is one of zeros.
#[inline(always)]
pub const fn is_zeros(value: u64) -> bool {
    value & bits::SPECIAL != 0
}

/// Whether an entry of level 1 leads to a table.
#[inline(always)]
pub const fn is_table(entry: u64) -> bool {
    let mask = if ENABLED { bits::PRESENT | bits::HUGE } else { bits::PRESENT };
    entry & mask == bits::PRESENT
}

/// Whether all of a huge mapping's addresses are in `[start, stop)`, which is within them.
#[inline(always)]
pub const fn is_whole(start: usize, stop: usize) -> bool {
    stop - start == PMD_SIZE
}

/// What a fault in a range of 2 MB that could be mapped at once finds there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// Nothing.
    Free,
    /// A huge mapping.
    Huge,
    /// Single pages, or a table for them.
    Table,
}

impl Entry {
    /// Is part of a huge mapping.
    #[inline(always)]
    pub const fn is_huge(self) -> bool {
        is_huge(self.value())
    }
}

const _: () = assert!(BUSY & (bits::PRESENT | PROT_NONE) == 0);
