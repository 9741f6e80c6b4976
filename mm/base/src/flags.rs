// SPDX-License-Identifier: GPL-2.0
//! What the flags of a page frame mean.

/// Flag bits of a page, free for its owner but for those named internal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageFlags(pub u64);

impl PageFlags {
    /// Contents are being read or truncated: see `mm`'s page cache.
    pub const LOCKED: Self = Self(1 << 0);
    /// Contents are those of the file.
    pub const UPTODATE: Self = Self(1 << 1);
    /// Contents are newer than the file.
    pub const DIRTY: Self = Self(1 << 2);
    /// Used since the last look.
    pub const REFERENCED: Self = Self(1 << 3);
    /// Was taken out of its mapping.
    pub const TRUNCATED: Self = Self(1 << 4);
    /// Private memory of a process.
    pub const ANON: Self = Self(1 << 5);
    /// Reading the contents failed.
    pub const ERROR: Self = Self(1 << 6);
    /// Memory of a shared object (tmpfs).
    pub const SWAP_BACKED: Self = Self(1 << 7);
    /// Owner's own.
    pub const PRIVATE: Self = Self(1 << 8);
    /// Counted in a per-state statistic that the free undoes: page table.
    pub const TABLE: Self = Self(1 << 9);
    /// Contents are on their way to the file.
    pub const WRITEBACK: Self = Self(1 << 10);
    /// Reading on ahead starts when this page is reached.
    pub const READAHEAD: Self = Self(1 << 11);
    /// Used more than once.
    pub const ACTIVE: Self = Self(1 << 12);
    /// On one of the lists of pages that can be reclaimed.
    pub const LRU: Self = Self(1 << 13);
    /// Somebody waits for `LOCKED` or `WRITEBACK` to go.
    pub const WAITERS: Self = Self(1 << 14);
    /// To be reclaimed as soon as it is written back.
    pub const RECLAIM: Self = Self(1 << 15);
    /// On the list of active pages, with [`PageFlags::LRU`].
    pub const ON_ACTIVE: Self = Self(1 << 16);
    /// Private memory with a place in swap space: its owner is the area, its index the page there.
    pub const SWAP_CACHE: Self = Self(1 << 17);
    /// Those that an owner may change; on the others the allocators' unsafe code rests.
    const OWNERS: u64 = (1 << 32) - 1;
    /// Internal: begins a free block of the buddy allocator.
    pub const BUDDY: Self = Self(1 << 32);
    /// Internal: belongs to the slab allocator.
    pub const SLAB: Self = Self(1 << 33);
    /// Internal: begins a block of several pages.
    pub const HEAD: Self = Self(1 << 34);
    /// Internal: allocated as movable. Of a free page: what it was.
    pub const MOVABLE: Self = Self(1 << 35);
    /// Internal: allocated as reclaimable.
    pub const RECLAIMABLE: Self = Self(1 << 36);

    /// What of these an owner may change.
    #[inline(always)]
    pub const fn owners(self) -> Self {
        Self(self.0 & Self::OWNERS)
    }
}
