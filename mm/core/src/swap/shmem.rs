// SPDX-License-Identifier: GPL-2.0
//! Pages of files in memory (tmpfs, memfds, shared memory) in swap space. The file's tree has a mark for such a page, which is one user of
//! its place. There is no second list of these pages: a hand goes round the files' trees, as another goes round the page tables (`out`).
//!
//! On its way out a page is found by nobody else: it is unmapped everywhere, its references are frozen, and the mark takes its place in
//! one step. On its way back the page takes the mark's place in one step, and gives its place in swap space up.
//!
//! Locks: `REGISTRY` (spin) alone. A page's lock is held over both ways; the file's tree lock and the swap cache's are never held together.

use super::cache::{area_of, place_of};
use super::{Area, area, take_places, total_pages};
use crate::mapping::{MEMORY_FLAGS, Mapping};
use crate::page_lock::{try_lock_page, unlock_page, wait_writeback};
use crate::page_tree::There;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::flags::{__GFP_NOWARN, GFP_ATOMIC};
use kalloc::{Arc, KVec, WeakArc};
use locking::SpinLock;
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags, lru};
use x86_mm::swap::SwapEntry;

type Registry = SpinLock<containers::XArray<WeakArc<Mapping>>>;
const SHARDS: usize = 16;
/// Files in memory, by number.
static REGISTRY: [Registry; SHARDS] = [const { SpinLock::new(containers::XArray::new()) }; SHARDS];

/// Where the hand is.
#[derive(Clone, Copy)]
struct Hand {
    shard: usize,
    file: u64,
    page: u64,
}

static HAND: SpinLock<Hand> = SpinLock::new(Hand { shard: 0, file: 0, page: 0 });

/// Pages looked at in one go.
const BUDGET: usize = 32;

fn registry(id: usize) -> &'static Registry {
    // In bounds: the rest of a division by the length.
    &REGISTRY[id % SHARDS]
}

/// Pages of a new file can leave memory. ENOMEM.
pub(crate) fn register(mapping: &Arc<Mapping>) -> Result {
    let weak = Arc::downgrade(mapping);
    registry(mapping.id()).lock().store((mapping.id() / SHARDS) as u64, weak, GFP_ATOMIC)?;
    Ok(())
}

/// The file is gone.
pub(crate) fn unregister(id: usize) {
    let gone = registry(id).lock().erase((id / SHARDS) as u64);
    drop(gone);
}

/// What a mark says of a place, and back.
fn mark_of(place: SwapEntry) -> u64 {
    u64::from(place.area) << OFFSET_BITS | place.offset
}

fn place_from(mark: u64) -> SwapEntry {
    SwapEntry { area: (mark >> OFFSET_BITS) as u8, offset: mark & ((1 << OFFSET_BITS) - 1) }
}

/// Room for the number of a page of an area.
const OFFSET_BITS: u32 = 40;
const _: () = assert!(super::MAX_PAGES < 1 << OFFSET_BITS);

/// Moves the hand on by one step; false if it came to the end of the list of files. `writes` gets pages that are to be written.
pub(super) fn advance(writes: &mut KVec<Page>) -> bool {
    let hand = *HAND.lock();
    let (next, more) = step(hand, writes);
    *HAND.lock() = next;
    more
}

fn step(hand: Hand, writes: &mut KVec<Page>) -> (Hand, bool) {
    let next_shard = (hand.shard + 1) % SHARDS;
    let found = {
        // In bounds: the hand is below the length.
        let list = REGISTRY[hand.shard % SHARDS].lock();
        list.find(hand.file).map(|(at, weak)| (at, weak.upgrade()))
    };
    let Some((file, mapping)) = found else {
        return (Hand { shard: next_shard, file: 0, page: 0 }, next_shard != 0);
    };
    let first = if file == hand.file { hand.page } else { 0 };
    let rest = mapping.and_then(|mapping| look_through(&mapping, first, writes));
    let next = match rest {
        Some(page) => Hand { file, page, ..hand },
        None => Hand { file: file.saturating_add(1), page: 0, ..hand },
    };
    (next, true)
}

/// Looks at pages of a file from `first` on; where to go on, if not at its end.
#[inline(never)]
fn look_through(mapping: &Arc<Mapping>, first: u64, writes: &mut KVec<Page>) -> Option<u64> {
    if mapping.is_unevictable() {
        return None;
    }
    let mut found = [const { None }; BUDGET];
    let mut count = 0;
    mapping.for_each_from(first, |index, page| {
        if let Some(slot) = found.get_mut(count) {
            *slot = Some((index, page.clone()));
            count += 1;
        }
        count < BUDGET
    });
    let mut next = None;
    for (index, page) in found.into_iter().flatten() {
        if writes.len() == writes.capacity() {
            return Some(index);
        }
        if was_not_used(mapping, index, &page)
            && let Some(page) = take_out(mapping, index, page)
        {
            // There is room.
            let _ = writes.push_within_capacity(page);
        }
        next = index.checked_add(1);
    }
    next.filter(|_| count == BUDGET)
}

/// Whether a page was not used since the hand last came. Any that is mapped is unmapped then.
fn was_not_used(mapping: &Mapping, index: u64, page: &Page) -> bool {
    if page.clear(PageFlags(PageFlags::REFERENCED.0 | PageFlags::ACTIVE.0)) {
        return false;
    }
    !is_mapped(page) || !mapping.is_locked_at(index) && !mapping.clear_accessed(index)
}

/// Whether anybody but the file and the caller has the page.
fn is_mapped(page: &Page) -> bool {
    page.ref_count() > 2
}

/// Page `index` of the file is to leave, used or not (`MADV_PAGEOUT`), unless others than the caller's address space have it.
pub(super) fn force_out(mapping: &Arc<Mapping>, index: u64) -> Option<Page> {
    if mapping.is_unevictable() || mapping.is_locked_at(index) {
        return None;
    }
    // The file's, this one, and an entry's.
    let page = mapping.get(index).filter(|page| page.ref_count() <= 3)?;
    page.clear(PageFlags(PageFlags::REFERENCED.0 | PageFlags::ACTIVE.0));
    take_out(mapping, index, page)
}

/// Takes a page out of its file and memory: it is in the swap cache then, locked, to be written. `None` if somebody uses it, or there is
/// no place for it.
fn take_out(mapping: &Arc<Mapping>, index: u64, page: Page) -> Option<Page> {
    let other = PageFlags::TRUNCATED.0 | PageFlags::SWAP_CACHE.0 | PageFlags::WRITEBACK.0;
    // What is only kept for the file, without contents, is not worth a place.
    if !page.has(PageFlags::UPTODATE) || page.frame().flag_bits() & other != 0 {
        return None;
    }
    if is_mapped(&page) {
        mapping.try_unmap(index);
    }
    if is_mapped(&page) || !try_lock_page(&page) {
        return None;
    }
    if move_out(mapping, index, &page) {
        return Some(page);
    }
    unlock_page(&page);
    None
}

fn move_out(mapping: &Arc<Mapping>, index: u64, page: &Page) -> bool {
    let mut offset = 0;
    let Some(area) = take_places(1, |at| offset = at) else { return false };
    page.set(PageFlags::DIRTY);
    if area.add(offset, page, GFP_ATOMIC | __GFP_NOWARN).is_err() {
        area.map.leave_cache(offset);
        page.set_owner(mapping.id(), index);
        return false;
    }
    // The mark's; and counted before anybody can find it.
    area.map.get(offset);
    mapping.swapped.fetch_add(1, Ordering::Relaxed);
    let mark = mark_of(SwapEntry { area: area.number(), offset });
    if exchange(mapping, index, page, mark) {
        lru::add(core::slice::from_ref(page));
        stat::add(Item::FilePages, -1);
        stat::add(Item::Shmem, -1);
        return true;
    }
    mapping.swapped.fetch_sub(1, Ordering::Relaxed);
    area.map.put(offset);
    area.try_remove(page, 2, false);
    page.set_owner(mapping.id(), index);
    false
}

/// Puts the mark in the page's place if nobody else has the page: the file, the swap cache and the caller do.
fn exchange(mapping: &Mapping, index: u64, page: &Page, mark: u64) -> bool {
    let mut tree = mapping.pages.lock();
    page.freeze(3).is_some_and(|mut frozen| tree.exchange_frozen(index, &mut frozen, mark))
}

impl Mapping {
    /// The page `index` of a file in memory, in whatever state, brought back from swap space if it is there. `None`: the file has none.
    /// ENOMEM, EIO. May sleep.
    pub fn present(&self, index: u64) -> Result<Option<Page>> {
        self.look_up(index).map(|(page, _)| page)
    }

    /// As [`Mapping::present`]; and whether the page was read just now.
    pub(crate) fn look_up(&self, index: u64) -> Result<(Option<Page>, bool)> {
        // In this order: what came back from swap space is in the tree before it is counted as back.
        let swapped = self.swapped.load(Ordering::Acquire) != 0 || is_watching();
        if swapped { self.bring_in(index) } else { Ok((self.find(index), false)) }
    }

    #[cold]
    #[inline(never)]
    fn bring_in(&self, index: u64) -> Result<(Option<Page>, bool)> {
        loop {
            // Under the lock a page is seen as one or the other.
            let there = self.pages.lock().look(index);
            match there {
                None => return Ok((None, false)),
                Some(There::Page(page)) => return Ok((Some(page), false)),
                Some(There::Mark(mark)) => {
                    if let Some((page, read)) = self.bring_back(index, mark)? {
                        return Ok((Some(page), read));
                    }
                }
            }
        }
    }

    /// Brings the page with this mark back, and whether it was read just now. `None`: it is not there any more. ENOMEM, EIO. May sleep.
    fn bring_back(&self, index: u64, mark: u64) -> Result<Option<(Page, bool)>> {
        let place = place_from(mark);
        let Some(area) = area(place.area) else { return Ok(None) };
        let Some((page, read)) = area.bring_in(place.offset, true)? else { return Ok(None) };
        if !read && page.clear(PageFlags::READAHEAD) {
            stat::add(Item::SwapRaHit, 1);
        }
        // Its place must not be given away while it is being written there.
        wait_writeback(&page);
        let result = self.settle(index, mark, &page);
        unlock_page(&page);
        Ok(result?.then_some((page, read)))
    }

    /// Puts a locked page of the swap cache in the place of its mark, and gives its place in swap space up. EIO: it could not be read.
    fn settle(&self, index: u64, mark: u64, page: &Page) -> Result<bool> {
        let place = place_from(mark);
        let Some(area) = area_of(page).filter(|_| place_of(page) == Some(place)) else { return Ok(false) };
        if !page.has(PageFlags::UPTODATE) {
            return Err(EIO);
        }
        // Nobody has it mapped: nobody counted it as anything.
        page.clear(PageFlags::ANON);
        page.set(MEMORY_FLAGS);
        let settled = self.pages.lock().exchange_mark(index, mark, page);
        if settled {
            self.swapped.fetch_sub(1, Ordering::Release);
            stat::add(Item::FilePages, 1);
            stat::add(Item::Shmem, 1);
            area.map.put(place.offset);
        } else {
            page.clear(PageFlags::SWAP_BACKED);
            page.set(PageFlags::ANON);
        }
        // Not if another file's mark, which cannot be, names the place; or if it is gone, with the page.
        area.try_remove(page, 1, false);
        if settled {
            page.private().store(0, Ordering::Relaxed);
            page.set_owner(self.id(), index);
            page.set(PageFlags::REFERENCED);
        }
        Ok(settled)
    }

    /// Begins to read what pages `[first, last]` have in swap space (`MADV_WILLNEED`). May sleep.
    pub(super) fn read_swap_ahead(&self, first: u64, last: u64) {
        for_each_mark(self, first, last, |_, mark| {
            let place = place_from(mark);
            if let Some(area) = area(place.area) {
                area.read_ahead(place.offset);
            }
            Ok(())
        })
        .unwrap_or(())
    }

    /// Pages of `[first, last]` that are in swap space.
    pub fn swapped_in_range(&self, first: u64, last: u64) -> u64 {
        let mut count = 0;
        if self.swapped_count() != 0 {
            self.pages.each_there(first, last, |_, there| {
                count += u64::from(matches!(there, There::Mark(_)));
                true
            });
        }
        count
    }

    /// Whether the page `index` is in memory: in the file or in the swap cache, for `mincore`.
    pub(crate) fn is_resident(&self, index: u64) -> bool {
        if self.get(index).is_some() {
            return true;
        }
        let swapped = self.swapped_count() != 0;
        swapped
            && matches!(self.pages.lock().look(index), Some(There::Mark(mark)) if super::is_cached(place_from(mark)))
    }

    /// Calls `f` with the numbers of the pages that have contents, from `first` on, and whether each has (pages that are only kept have
    /// none), until it says false. `f` must not sleep.
    pub fn for_each_used(&self, first: u64, mut f: impl FnMut(u64, bool) -> bool) {
        self.pages.each_there(first, u64::MAX, |index, there| match there {
            There::Page(page) => f(index, page.has(PageFlags::UPTODATE)),
            There::Mark(_) => f(index, true),
        });
    }

    /// The page `index` is dropped while it is in swap space, if it still is.
    pub(crate) fn forget_swapped(&self, index: u64, mark: u64) {
        if !self.pages.lock().erase_mark(index, mark) {
            return;
        }
        self.swapped.fetch_sub(1, Ordering::Relaxed);
        self.forgot_swapped(1);
        super::free(place_from(mark));
    }

    /// The file is gone.
    pub(crate) fn forget_all_swapped(&self) {
        for_each_mark(self, 0, u64::MAX, |index, mark| {
            self.forget_swapped(index, mark);
            Ok(())
        })
        .unwrap_or(())
    }
}

/// Calls `f`, which may sleep, with the marks of `[first, last]`.
fn for_each_mark(mapping: &Mapping, first: u64, last: u64, mut f: impl FnMut(u64, u64) -> Result) -> Result {
    let mut from = first;
    while mapping.swapped_count() != 0 {
        let mut found = [None; 32];
        let mut count = 0;
        mapping.pages.each_there(from, last, |index, there| {
            if let (There::Mark(mark), Some(slot)) = (there, found.get_mut(count)) {
                *slot = Some((index, mark));
                count += 1;
            }
            count < found.len()
        });
        for (index, mark) in found.into_iter().flatten() {
            f(index, mark)?;
            from = index.saturating_add(1);
        }
        if count < found.len() {
            break;
        }
    }
    Ok(())
}

/// Brings back what files have in `area`. ENOMEM, EIO, and EINTR when a signal waits. May sleep.
pub(super) fn unuse(area: &Area) -> Result {
    for shard in &REGISTRY {
        let mut from = 0;
        loop {
            let found = {
                let list = shard.lock();
                list.find(from).map(|(at, weak)| (at, weak.upgrade()))
            };
            let Some((at, mapping)) = found else { break };
            from = at.saturating_add(1);
            let Some(mapping) = mapping else { continue };
            for_each_mark(&mapping, 0, u64::MAX, |index, mark| {
                super::off::check_signal()?;
                if place_from(mark).area == area.number() {
                    mapping.bring_back(index, mark)?;
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Whether it is worth noting when pages of files in memory are used.
#[inline(always)]
pub fn is_watching() -> bool {
    total_pages() != 0
}
