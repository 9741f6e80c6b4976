// SPDX-License-Identifier: GPL-2.0
//! Which kernel addresses are in use: areas, first fit from a hint on. An area that dies keeps its addresses until every CPU was
//! flushed. The owner's lock guards it (`mm_alloc::vmalloc`).

use crate::layout::PAGE_SIZE;
use errno::{Result, code::ENOMEM};
use kalloc::KVec;
use kalloc::flags::GFP_ATOMIC;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InUse,
    /// Unmapped, waits for a flush.
    Dead,
    /// Unmapped, and the flush of this number is under way for it.
    Flushing(u32),
}

#[derive(Clone, Copy)]
struct Area {
    start: usize,
    end: usize,
    state: State,
}

/// A flush that is under way: what it is for lies in `[start, end)`.
#[derive(Debug)]
pub struct Flush {
    /// Lowest address.
    pub start: usize,
    /// One past the highest.
    pub end: usize,
    number: u32,
}

/// Areas of a range of addresses.
pub struct Areas {
    /// In use or dead, sorted.
    list: KVec<Area>,
    first: usize,
    end: usize,
    /// Where the next search begins.
    hint: usize,
    /// Pages of areas that died since the last flush began.
    dead_pages: usize,
    /// Flushes that began.
    flushes: u32,
}

impl Areas {
    /// None, of the addresses from `first` to before `end`.
    pub const fn new(first: usize, end: usize) -> Self {
        Self { list: KVec::new(), first, end, hint: first, dead_pages: 0, flushes: 0 }
    }

    /// Takes `len` bytes of addresses; returns the first. ENOMEM.
    pub fn reserve(&mut self, len: usize) -> Result<usize> {
        self.list.reserve(1, GFP_ATOMIC)?;
        let (at, start) = self.find(len, self.hint).or_else(|| self.find(len, self.first)).ok_or(ENOMEM)?;
        self.list.insert(at, Area { start, end: start + len, state: State::InUse }, GFP_ATOMIC)?;
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

    /// How many bytes the area at `start` has, if it is in use.
    pub fn len_at(&self, start: usize) -> Option<usize> {
        let area = self.list.get(self.list.partition_point(|a| a.start < start))?;
        (area.start == start && area.state == State::InUse).then_some(area.end - area.start)
    }

    /// Marks the area at `start` as dead; false if there is none, or it is dead already.
    pub fn retire(&mut self, start: usize) -> bool {
        let at = self.list.partition_point(|a| a.start < start);
        match self.list.get_mut(at) {
            Some(area) if area.start == start && area.state == State::InUse => {
                area.state = State::Dead;
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

    /// A flush begins, for all dead areas that no other is under way for; `None` if there are none.
    pub fn begin_flush(&mut self) -> Option<Flush> {
        self.dead_pages = 0;
        let number = self.flushes.wrapping_add(1);
        let mut flush: Option<Flush> = None;
        for area in self.list.iter_mut().filter(|area| area.state == State::Dead) {
            area.state = State::Flushing(number);
            let start = flush.as_ref().map_or(area.start, |flush| flush.start);
            flush = Some(Flush { start, end: area.end, number });
        }
        self.flushes = number;
        flush
    }

    /// Every CPU was flushed: the addresses may be used again.
    pub fn end_flush(&mut self, flush: Flush) {
        self.list.retain(|area| area.state != State::Flushing(flush.number));
        // What is free lowest is used first: page tables are there already.
        self.hint = self.hint.min(flush.start);
    }
}

#[cfg(test)]
mod tests;
