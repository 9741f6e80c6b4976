// SPDX-License-Identifier: GPL-2.0
//! The swap cache: pages that have a place in swap space, by place. Whoever finds an entry of a page that is still here need not read;
//! and two that share a page get the same one.
//!
//! A page here is private memory (`ANON`), or was a file's in memory (`SWAP_BACKED`), with `SWAP_CACHE`; its owner is the area, its index the place. It comes and goes under its
//! lock. The cache has one reference, the LRU list another while it is there. `DIRTY`: the bytes in swap space are not its own.

use super::{Area, area};
use crate::page_lock::{lock_page, try_lock_page, unlock_page, wait_writeback};
use errno::Result;
use kalloc::{Arc, Flags};
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags, lru};
use x86_mm::swap::SwapEntry;

/// The place of a page of the cache. Its lock is held, else it may be wrong.
pub(super) fn place_of(page: &Page) -> Option<SwapEntry> {
    if !page.has(PageFlags::SWAP_CACHE) {
        return None;
    }
    Some(SwapEntry { area: u8::try_from(page.owner()).ok()?, offset: page.index() })
}

/// The area of a page of the cache.
pub(super) fn area_of(page: &Page) -> Option<Arc<Area>> {
    area(place_of(page)?.area)
}

/// References to a page that only the cache and `others` have.
fn refs_of_cache(page: &Page, others: u32) -> u32 {
    others + 1 + u32::from(page.has(PageFlags::LRU))
}

impl Area {
    /// Puts a locked page in at `offset`, of which the cache's mark is the caller's. ENOMEM: the caller takes the mark back.
    pub(super) fn add(&self, offset: u64, page: &Page, flags: Flags) -> Result {
        page.set_owner(usize::from(self.number), offset);
        // A page of a file in memory stays what it is until nobody can find it there, and is on no list meanwhile.
        let shared = page.has(PageFlags::SWAP_BACKED);
        page.set(if shared { PageFlags::SWAP_CACHE } else { PageFlags(PageFlags::ANON.0 | PageFlags::SWAP_CACHE.0) });
        // Nobody else can put one there: the mark keeps them out.
        if let Err(error) = self.cache.insert(offset, page, flags, || true) {
            page.clear(PageFlags::SWAP_CACHE);
            page.set_owner(0, 0);
            return Err(error);
        }
        stat::add(Item::SwapCached, 1);
        if !shared {
            lru::add(core::slice::from_ref(page));
        }
        Ok(())
    }

    /// The page at `offset`, in whatever state.
    pub(super) fn find(&self, offset: u64) -> Option<Page> {
        self.cache.get(offset)
    }

    /// Takes a locked page out if nothing is lost: either no entry names its place (programs that have it mapped keep it), or, with
    /// `drop_clean`, its bytes are there and nobody has it but the cache and `others`. Not while it is being written: its place must not
    /// be given away meanwhile. Any context.
    pub(super) fn try_remove(&self, page: &Page, others: u32, drop_clean: bool) -> bool {
        let offset = page.index();
        if page.has(PageFlags::WRITEBACK) {
            return false;
        }
        let goes = drop_clean && !page.has(PageFlags::DIRTY) && page.ref_count() == refs_of_cache(page, others);
        if self.map.count(offset) != 0 && !goes {
            return false;
        }
        let gone = self.cache.lock().erase(offset);
        page.clear(PageFlags(PageFlags::SWAP_CACHE.0 | PageFlags::DIRTY.0 | PageFlags::RECLAIM.0));
        page.set_owner(0, 0);
        drop(gone);
        lru::remove(page);
        self.map.leave_cache(offset);
        stat::add(Item::SwapCached, -1);
        true
    }

    /// No entry names `offset` any more: its page goes, if nobody has it just now. Any context.
    pub(super) fn drop_dead(&self, offset: u64) {
        let Some(page) = self.find(offset).filter(try_lock_page) else { return };
        if place_of(&page) == Some(SwapEntry { area: self.number, offset }) {
            self.try_remove(&page, 1, false);
        }
        unlock_page(&page);
    }
}

/// An entry that mapped a page of the cache is gone; `page` was its reference. Any context.
pub(super) fn unmapped(page: Page) {
    if try_lock_page(&page) {
        if let Some(area) = area_of(&page) {
            area.try_remove(&page, 1, false);
        }
        unlock_page(&page);
    }
}

/// Takes a page out if no entry names its place, so that a program that has it mapped may find itself its only user. May sleep.
pub(crate) fn make_private(page: &Page) {
    lock_page(page);
    wait_writeback(page);
    if let Some(area) = area_of(page) {
        area.try_remove(page, 2, false);
    }
    unlock_page(page);
}

/// Looks at a page that the caller took off the inactive list.
pub(super) fn try_reclaim(page: &Page) -> Reclaimed {
    if !page.has(PageFlags::SWAP_CACHE) {
        return Reclaimed::Gone;
    }
    if !try_lock_page(page) {
        return Reclaimed::Kept;
    }
    let result = match area_of(page) {
        None => Reclaimed::Gone,
        Some(area) => match (is_unused(page, 1), area.try_remove(page, 1, true)) {
            (true, true) => Reclaimed::Freed,
            (false, true) => Reclaimed::Gone,
            // Nobody has it, and it is not written yet: the lock stays.
            (true, false) if page.has(PageFlags::DIRTY) => return Reclaimed::Writable,
            _ => Reclaimed::Kept,
        },
    };
    unlock_page(page);
    result
}

/// What [`try_reclaim`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reclaimed {
    /// It is no page of the cache.
    Gone,
    /// It is free when the caller drops it.
    Freed,
    /// It is to be written, and is locked.
    Writable,
    /// Somebody has it.
    Kept,
}

/// Whether only the cache and `others` have the page, and it is not being written.
pub(super) fn is_unused(page: &Page, others: u32) -> bool {
    !page.has(PageFlags::WRITEBACK) && page.ref_count() == refs_of_cache(page, others)
}

/// Whether the page at a place is in memory, for `mincore`.
pub(crate) fn is_cached(entry: SwapEntry) -> bool {
    area(entry.area).is_some_and(|area| area.find(entry.offset).is_some_and(|page| page.has(PageFlags::UPTODATE)))
}

/// Entries that name a place.
pub(crate) fn users_of(entry: SwapEntry) -> u32 {
    area(entry.area).map_or(0, |area| area.map.count(entry.offset))
}
