// SPDX-License-Identifier: GPL-2.0
//! Blocks of 2 MB for huge mappings. A block is 512 pages that are counted one by one, each as if it had been allocated alone:
//! what has one of them needs not know of the others, and a mapping of the block becomes one of pages without the pages' knowing.
//! They come from the page allocator together and go back together, if nobody has a page still. No locks here.

use crate::frame::Frame;
use crate::layout::{PAGE_SIZE, PMD_SIZE, PhysAddr, phys_to_virt};
use crate::page::{Page, PageFlags, put_frame};
use crate::{buddy, mem, pcp, reclaim, stat};
use core::sync::atomic::{Ordering, fence};
use kalloc::Flags;

/// Binary logarithm of a block's pages.
pub const ORDER: usize = 9;
/// Pages of a block.
pub const PAGES: usize = 1 << ORDER;

const _: () = assert!(PAGES * PAGE_SIZE == PMD_SIZE && ORDER <= buddy::MAX_ORDER);

/// A block.
///
/// # Invariants
/// `first` begins an aligned block of [`PAGES`] frames, to each of which this value owns a reference; none is part of a larger
/// allocation.
pub struct Block {
    first: &'static Frame,
}

impl Block {
    /// A block of zeros, of pages of private memory. `None` if there is none, or if little would be left: nothing is reclaimed
    /// for it, and a page alone does as well. May sleep.
    pub fn alloc_zeroed(flags: Flags) -> Option<Self> {
        if buddy::free_pages_total() < buddy::reserve_pages() + PAGES {
            return None;
        }
        let first = buddy::alloc_pages(ORDER, flags)?;
        for frame in frames(first) {
            frame.flags.store(PageFlags::ANON.0 | PageFlags::MOVABLE.0, Ordering::Relaxed);
            frame.order.store(0, Ordering::Relaxed);
            // SAFETY: A frame of the block, which nobody else knows.
            unsafe { mem::clear_page(frame.virt()) };
            // Last: who finds a reference finds a page.
            frame.refs.store(1, Ordering::Release);
        }
        reclaim::refilled(flags);
        Some(Self { first })
    }

    /// Physical address.
    pub fn phys(&self) -> PhysAddr {
        self.first.phys()
    }

    /// Fills page `index` with the bytes of `from`; nothing happens if there is no such page.
    pub fn copy_in(&self, index: usize, from: &Page) {
        if index < PAGES {
            let page = phys_to_virt(self.phys()).wrapping_add(index * PAGE_SIZE);
            // SAFETY: Both are pages that we have references to; the contents of pages are shared bytes by definition.
            unsafe { mem::copy_page(page, from.as_ptr()) };
        }
    }

    /// The pages' records, in order.
    pub fn frames(&self) -> impl Iterator<Item = &'static Frame> + use<> {
        frames(self.first)
    }

    /// Gives the references up as a plain record; [`Block::from_first`] takes them back, else they leak.
    pub fn into_first(self) -> &'static Frame {
        let first = self.first;
        core::mem::forget(self);
        first
    }

    /// Takes over the references to a whole block.
    ///
    /// # Safety
    /// `first` begins a block that was made here; the caller owns one reference to each of its frames and gives them to the
    /// result.
    pub unsafe fn from_first(first: &'static Frame) -> Self {
        Self { first }
    }

    /// Whether nobody else has any of the pages.
    pub fn is_ours_alone(first: &'static Frame) -> bool {
        frames(first).all(|frame| frame.refs.load(Ordering::Relaxed) == 1)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // Nobody can get a page any more that has no reference; so this is whole, or it is known where it is not.
        let alone = |frame: &Frame| frame.refs.compare_exchange(1, 0, Ordering::Release, Ordering::Relaxed).is_ok();
        let freed = frames(self.first).take_while(|frame| alone(frame)).count();
        fence(Ordering::Acquire);
        if freed == PAGES {
            #[cfg(CONFIG_DEBUG_PAGEALLOC)]
            frames(self.first).for_each(crate::heap::debug::poison_page);
            stat::add(stat::Item::PgFree, PAGES as i64);
            return buddy::give_back(self.first, ORDER);
        }
        for (i, frame) in frames(self.first).enumerate() {
            if i < freed {
                pcp::free_page(frame);
            } else {
                // SAFETY: By the type invariant the reference is ours; it is given up here.
                unsafe { put_frame(frame) };
            }
        }
    }
}

/// The frames of the block that begins with `first`.
fn frames(first: &'static Frame) -> impl Iterator<Item = &'static Frame> {
    let pfn = first.pfn();
    // SAFETY: Blocks are smaller than sections and aligned, so all their frames have records.
    (pfn..pfn + PAGES).map(|pfn| unsafe { &*Frame::ptr_of(pfn) })
}
