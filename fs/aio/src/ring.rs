// SPDX-License-Identifier: GPL-2.0
//! The ring of events: `struct aio_ring`, a header of 32 bytes and events of 32 bytes, in pages that the program maps. The program may
//! write anything to them: what the kernel relies on it keeps elsewhere.

use core::sync::atomic::{AtomicU32, Ordering::*, fence};
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use mm_alloc::{PAGE_SIZE, Page};

const HEADER: usize = 32;
/// Bytes of `struct io_event`.
pub(crate) const EVENT: usize = 32;
const MAGIC: u32 = 0xa10a_10a1;

/// Offsets in the header.
mod at {
    pub(super) const NR: usize = 4;
    pub(super) const HEAD: usize = 8;
    pub(super) const TAIL: usize = 12;
    pub(super) const MAGIC: usize = 16;
    pub(super) const COMPAT: usize = 20;
    pub(super) const HEADER_LENGTH: usize = 28;
}

/// `data`, `obj`, `res`, `res2`.
pub(crate) type Event = [u64; 4];

pub(crate) struct Ring {
    pages: KVec<Page>,
    /// Places for events.
    nr: u32,
}

impl Ring {
    /// A ring for at least `events` events. ENOMEM.
    pub(crate) fn new(events: usize) -> Result<Self> {
        let bytes = events.checked_mul(EVENT).and_then(|bytes| bytes.checked_add(HEADER)).ok_or(EINVAL)?;
        let count = bytes.div_ceil(PAGE_SIZE);
        let mut pages = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            pages.push(Page::alloc_zeroed(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let nr = u32::try_from((count * PAGE_SIZE - HEADER) / EVENT)?;
        let ring = Self { pages, nr };
        for (offset, value) in [(at::NR, nr), (at::MAGIC, MAGIC), (at::COMPAT, 1), (at::HEADER_LENGTH, HEADER as u32)] {
            ring.word(offset).ok_or(EINVAL)?.store(value, Relaxed);
        }
        Ok(ring)
    }

    pub(crate) fn nr(&self) -> u32 {
        self.nr
    }

    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * PAGE_SIZE
    }

    pub(crate) fn page(&self, index: u64) -> Option<&Page> {
        self.pages.get(usize::try_from(index).ok()?)
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.pages.first()?.atomic_u32(offset)
    }

    /// Where the program (or the kernel for it) reads next: always within the ring.
    pub(crate) fn head(&self) -> u32 {
        self.word(at::HEAD).map_or(0, |head| head.load(Acquire)) % self.nr.max(1)
    }

    pub(crate) fn set_head(&self, head: u32) {
        if let Some(word) = self.word(at::HEAD) {
            word.store(head, Release);
        }
    }

    /// The place after `index`.
    pub(crate) fn after(&self, index: u32) -> u32 {
        if index + 1 < self.nr { index + 1 } else { 0 }
    }

    /// Writes the event at `tail`, and then shows the program that it is there.
    pub(crate) fn publish(&self, tail: u32, event: &Event) {
        let start = HEADER + tail as usize * EVENT;
        // Events do not cross pages: both sizes divide a page's.
        if let Some(page) = self.pages.get(start / PAGE_SIZE) {
            for (i, word) in event.iter().enumerate() {
                if let Some(place) = page.atomic_u64(start % PAGE_SIZE + i * 8) {
                    place.store(*word, Relaxed);
                }
            }
        }
        fence(Release);
        if let Some(word) = self.word(at::TAIL) {
            word.store(self.after(tail), Release);
        }
    }

    /// The event at `index`.
    pub(crate) fn event(&self, index: u32) -> Event {
        let start = HEADER + index as usize * EVENT;
        let page = self.pages.get(start / PAGE_SIZE);
        [0, 8, 16, 24].map(|offset| {
            let place = page.and_then(|page| page.atomic_u64(start % PAGE_SIZE + offset));
            place.map_or(0, |place| place.load(Relaxed))
        })
    }
}
