// SPDX-License-Identifier: GPL-2.0
//! What is said of pages that may be put together into a huge mapping.

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joined {
    /// It is a huge mapping now, or was one.
    Done,
    /// Somebody else has one of the pages at the moment.
    Busy,
    /// There is nothing, or something that no huge mapping can have, or nothing that the program may write.
    Unfit,
}

/// What is in the 512 entries of a last-level table, for who decides whether to put the pages together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Entries without a page of their own: empty, or of zeros.
    pub none: usize,
    /// Pages in swap space.
    pub swapped: usize,
    /// Pages that a write would copy first: somebody else may have them.
    pub shared: usize,
    /// Pages that somebody has for a transfer, or that are on their way to swap space.
    pub busy: usize,
    /// Pages that were used since somebody last forgot that they were.
    pub used: usize,
    /// Pages that the program can write to without a copy.
    pub writable: usize,
    /// Entries that no huge mapping can have.
    pub unfit: usize,
}
