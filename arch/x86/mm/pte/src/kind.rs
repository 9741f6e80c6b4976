// SPDX-License-Identifier: GPL-2.0
//! What pages count as. No locks.

use mm_alloc::stat::{Item, add};
use mm_alloc::{Frame, PageFlags};

/// What a page counts as in the resident set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Kind {
    /// Private memory.
    Anon,
    /// A file's page.
    File,
    /// tmpfs and shared memory.
    Shmem,
    /// Not resident: in swap space.
    Swap,
    /// Private memory whose entry has the mark of `MADV_FREE`; counted as that, too.
    Lazy,
}

impl Kind {
    /// By the page's flags.
    #[inline(always)]
    pub fn of(frame: &Frame) -> Self {
        Self::from_flags(frame.flag_bits())
    }

    /// By the flags of a page.
    #[inline(always)]
    pub fn from_flags(flags: u64) -> Self {
        if flags & PageFlags::ANON.0 != 0 {
            Self::Anon
        } else if flags & PageFlags::SWAP_BACKED.0 != 0 {
            Self::Shmem
        } else {
            Self::File
        }
    }

    /// Counts `delta` pages of the kind in the machine's figures.
    #[inline]
    pub fn count(self, delta: i64) {
        match self {
            Self::Anon => add(Item::Anon, delta),
            Self::File | Self::Shmem => add(Item::FileMapped, delta),
            Self::Swap => {}
            Self::Lazy => add(Item::LazyFree, delta),
        }
    }
}

/// Pages by [`Kind`], counted in a loop and added once.
pub type Counts = [i64; 5];
