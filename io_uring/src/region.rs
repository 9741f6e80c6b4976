// SPDX-License-Identifier: GPL-2.0
//! Memory that the kernel and a program share. The program may write anything to it at any time, so it is read a word at a time, and
//! what is read is checked.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use errno::Result;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use mm_alloc::{PAGE_SIZE, Page};

pub(crate) struct Region(KVec<Page>);

impl Region {
    /// Zeroed pages for `bytes`. ENOMEM.
    pub(crate) fn new(bytes: usize) -> Result<Self> {
        let count = bytes.div_ceil(PAGE_SIZE);
        let mut pages = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            pages.push(Page::alloc_zeroed(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Self(pages))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * PAGE_SIZE
    }

    pub(crate) fn page(&self, index: u64) -> Option<&Page> {
        self.0.get(usize::try_from(index).ok()?)
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.0.get(offset / PAGE_SIZE)?.atomic_u32(offset % PAGE_SIZE)
    }

    fn long(&self, offset: usize) -> Option<&AtomicU64> {
        self.0.get(offset / PAGE_SIZE)?.atomic_u64(offset % PAGE_SIZE)
    }

    pub(crate) fn load(&self, offset: usize) -> u32 {
        self.word(offset).map_or(0, |word| word.load(Acquire))
    }

    pub(crate) fn store(&self, offset: usize, value: u32) {
        if let Some(word) = self.word(offset) {
            word.store(value, Release);
        }
    }

    /// Sets and clears bits.
    pub(crate) fn change(&self, offset: usize, set: u32, clear: u32) {
        if let Some(word) = self.word(offset) {
            word.fetch_or(set, AcqRel);
            word.fetch_and(!clear, AcqRel);
        }
    }

    pub(crate) fn add(&self, offset: usize, amount: u32) {
        if let Some(word) = self.word(offset) {
            word.fetch_add(amount, AcqRel);
        }
    }

    pub(crate) fn load_long(&self, offset: usize) -> u64 {
        self.long(offset).map_or(0, |word| word.load(Relaxed))
    }

    pub(crate) fn store_long(&self, offset: usize, value: u64) {
        if let Some(word) = self.long(offset) {
            word.store(value, Relaxed);
        }
    }
}
