// SPDX-License-Identifier: GPL-2.0
//! Which kernel addresses are in use: areas, first fit from a hint on. An area that dies keeps its addresses until every CPU was
//! flushed. The owner's lock guards it (`mm_alloc::vmalloc`).

use crate::layout::PAGE_SIZE;
use errno::{Result, code::ENOMEM};
use kalloc::KVec;
use kalloc::flags::GFP_ATOMIC;

#[derive(Clone, Copy)]
struct Area {
    start: usize,
    end: usize,
    /// Unmapped, waits for the flush.
    dead: bool,
}

/// Areas of a range of addresses.
pub struct Areas {
    /// In use or dead, sorted.
    list: KVec<Area>,
    first: usize,
    end: usize,
    /// Where the next search begins.
    hint: usize,
    /// Pages of dead areas.
    dead_pages: usize,
}

impl Areas {
    /// None, of the addresses from `first` to before `end`.
    pub const fn new(first: usize, end: usize) -> Self {
        Self { list: KVec::new(), first, end, hint: first, dead_pages: 0 }
    }

    /// Takes `len` bytes of addresses; returns the first. ENOMEM.
    pub fn reserve(&mut self, len: usize) -> Result<usize> {
        self.list.reserve(1, GFP_ATOMIC)?;
        let (at, start) = self.find(len, self.hint).or_else(|| self.find(len, self.first)).ok_or(ENOMEM)?;
        self.list.insert(at, Area { start, end: start + len, dead: false }, GFP_ATOMIC)?;
        self.hint = start + len;
        Ok(start)
    }

    /// The first hole of `len` bytes at or above `from`: its place in the list and its address.
    fn find(&self, len: usize, from: usize) -> Option<(usize, usize)> {
        let mut at = self.list.partition_point(|a| a.end <= from);
        let mut start = from;
        loop {
            let stop = self.list.get(at).map_or(self.end, |a| a.start);
            if stop >= start && stop - start >= len {
                return Some((at, start));
            }
            start = self.list.get(at)?.end;
            at += 1;
        }
    }

    /// Marks the area at `start` as dead; false if there is none, or it is dead already.
    pub fn retire(&mut self, start: usize) -> bool {
        let at = self.list.partition_point(|a| a.start < start);
        match self.list.get_mut(at) {
            Some(area) if area.start == start && !area.dead => {
                area.dead = true;
                self.dead_pages += (area.end - area.start) / PAGE_SIZE;
                true
            }
            _ => false,
        }
    }

    /// Pages of areas that died since the last flush began.
    pub fn dead_pages(&self) -> usize {
        self.dead_pages
    }

    /// A flush begins: the lowest and the highest address of dead areas, if there are any.
    pub fn begin_flush(&mut self) -> Option<(usize, usize)> {
        self.dead_pages = 0;
        let dead = || self.list.iter().filter(|a| a.dead);
        dead().map(|a| a.start).min().zip(dead().map(|a| a.end).max())
    }

    /// Every CPU was flushed, for which the lowest address was `start`.
    pub fn end_flush(&mut self, start: usize) {
        // Areas that died during the flush are still to be flushed: they were counted after the count was cleared.
        if self.dead_pages == 0 {
            self.list.retain(|a| !a.dead);
            // What is free lowest is used first: page tables are there already.
            self.hint = self.hint.min(start);
        }
    }
}
