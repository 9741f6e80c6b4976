// SPDX-License-Identifier: GPL-2.0
//! Taking private pages out of memory.
//!
//! They are found in the page tables, as a clock does it: a hand goes round all address spaces, entry by entry; a page that was used
//! since the hand last came is passed over once more, one that was not is unmapped and written. So private memory needs no reverse map
//! and is on no list while it is mapped, and its faults, `fork` and exit cost what they cost without swap space. An entry is exchanged
//! by itself: of a page that several address spaces share, each entry is found by itself (all name the same place), and the page is
//! written when nobody has it any more. See `Documentation/swap.md`.

use super::cache::{Reclaimed, area_of, is_unused, place_of, try_reclaim};
use super::write::IN_FLIGHT;
use super::{has_room, take_places, total_pages, write};
use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use crate::page_lock::{try_lock_page, unlock_page};
use crate::vma::{Backing, Vma};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use errno::{Result, code::ENOMEM};
use hook::Hook;
use kalloc::flags::{__GFP_NOWARN, GFP_ATOMIC};
use kalloc::{Arc, KVec};
use locking::SpinLock;
use mm_alloc::layout::{PAGE_SHIFT, page_align};
use mm_alloc::lru::Which;
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags, lru};
use x86_mm::PageTable;
use x86_mm::swap::{SwapEntry, Victim};

/// `vm.swappiness`: how much rather private memory than files' pages is taken, 0 to 200.
pub static SWAPPINESS: AtomicU8 = AtomicU8::new(60);

/// Pages unmapped in one go (`SWAP_CLUSTER_MAX`).
const BATCH: usize = 32;
/// Entries looked at in one go.
const BUDGET: usize = 1024;
/// Pages under way above which no more are begun: what is written but not free yet does not help.
pub(crate) const MOST_IN_FLIGHT: usize = 512;

/// How long to wait for that number to fall.
const WAIT_NS: u64 = 50_000_000;

/// Who knows all address spaces.
pub trait AddressSpaces: Sync {
    /// Calls `f`, which must not sleep, with the number and the address space of the first process whose number is at least `from`, if
    /// it has one; the number. `None`: there is no such process.
    fn visit(&self, from: u32, f: &mut dyn FnMut(u32, &Arc<Mm>)) -> Option<u32>;
}

/// The registered list.
pub static ADDRESS_SPACES: Hook<dyn AddressSpaces> = Hook::new();

/// Where the clock's hand is: a process, and the address there.
static HAND: SpinLock<(u32, usize)> = SpinLock::new((1, 0));

/// Pages under way to swap space.
pub(crate) fn in_flight() -> usize {
    IN_FLIGHT.load(Ordering::Acquire)
}

/// How many of `wanted` pages are to be private memory, as `vm.swappiness` has it; 0 without room in swap space.
pub(crate) fn pages_for(wanted: usize) -> usize {
    if !has_room() {
        return 0;
    }
    wanted.saturating_mul(usize::from(SWAPPINESS.load(Ordering::Relaxed))) / 200
}

/// What has been gathered.
struct Batch {
    victims: KVec<Victim>,
    /// Locked, dirty, nobody's: to be written.
    writes: KVec<Page>,
    /// Pages that became free without being written.
    freed: usize,
    force: bool,
}

impl Batch {
    fn new(force: bool) -> Option<Self> {
        let victims = KVec::with_capacity(BATCH, GFP_ATOMIC | __GFP_NOWARN).ok()?;
        let writes = KVec::with_capacity(BATCH, GFP_ATOMIC | __GFP_NOWARN).ok()?;
        Some(Self { victims, writes, freed: 0, force })
    }

    /// Sends what is to be written; how many pages are or will be free. May sleep.
    fn finish(&mut self) -> usize {
        let freed = core::mem::take(&mut self.freed);
        if self.writes.is_empty() {
            return freed;
        }
        let room = KVec::with_capacity(BATCH, GFP_ATOMIC | __GFP_NOWARN).unwrap_or_default();
        freed + write::start(core::mem::replace(&mut self.writes, room))
    }

    fn is_full(&self) -> bool {
        self.writes.len() == self.writes.capacity()
    }
}

/// Unmaps and begins to write about `wanted` private pages; how many are free or will soon be. Waits for no lock; may sleep for the
/// device. Not while anything is held that a transfer needs.
#[inline(never)]
pub fn page_out(wanted: usize) -> usize {
    if wanted == 0 || !has_room() || in_flight() > MOST_IN_FLIGHT {
        return 0;
    }
    let Some(mut batch) = Batch::new(false) else { return 0 };
    let mut done = 0;
    // Two rounds of each hand are enough: the first takes the marks of use away.
    let (mut private, mut shared) = (0, 0);
    while done < wanted && (private < 2 || shared < 2) && in_flight() <= MOST_IN_FLIGHT {
        if private < 2 && !advance(&mut batch) {
            private += 1;
        }
        if stat::get(Item::Shmem) == 0 {
            shared = 2;
        } else if shared < 2 && !super::shmem::advance(&mut batch.writes) {
            shared += 1;
        }
        done += batch.finish();
        if batch.writes.capacity() == 0 || !has_room() {
            break;
        }
    }
    done
}

/// Moves the hand on by one step; false if it came to the end of the list of address spaces.
fn advance(batch: &mut Batch) -> bool {
    let (process, addr) = *HAND.lock();
    let mut next = None;
    let visited = ADDRESS_SPACES.get().and_then(|all| {
        all.visit(process, &mut |found, mm| {
            // Another process than the hand was at: from its beginning.
            let from = if found == process { addr } else { 0 };
            next = step(mm, from, batch);
        })
    });
    let place = match (visited, next) {
        (None, _) => (1, 0),
        (Some(found), Some(at)) => (found, at),
        (Some(found), None) => (found.saturating_add(1), 0),
    };
    *HAND.lock() = place;
    visited.is_some()
}

/// Looks at an address space from `from` on; where to go on, or `None` at its end or if somebody changes it.
fn step(mm: &Arc<Mm>, from: usize, batch: &mut Batch) -> Option<usize> {
    let mut budget = BUDGET;
    // Who holds it for reading may be waiting for what is done here.
    let inner = mm.inner.try_read_beside()?;
    if mm.dying.load(Ordering::Relaxed) || !super::off::note(mm) {
        return None;
    }
    mm.note_rss();
    let mut at = from;
    while let Some(slot) = inner.areas.find(at) {
        at = at.max(slot.start);
        if !may_go(&slot.value) {
            at = slot.end;
            continue;
        }
        at = mm.table.collect_idle(at, slot.end, &mut budget, batch.force, &mut batch.victims);
        unmap(&mm.table, batch);
        if budget == 0 || batch.is_full() {
            return Some(at);
        }
    }
    None
}

/// Lets the hand go round in one address space, for tests.
#[cfg(CONFIG_KUNIT)]
pub(super) fn go_round(mm: &Arc<Mm>, rounds: usize) {
    let Some(mut batch) = Batch::new(false) else { return };
    for _ in 0..rounds {
        let mut at = Some(0);
        while let Some(from) = at.filter(|_| batch.writes.capacity() != 0) {
            at = step(mm, from, &mut batch);
            batch.finish();
        }
    }
}

/// Whether pages of a mapping may leave memory.
fn may_go(vma: &Vma) -> bool {
    let fixed = VmFlags(VmFlags::LOCKED.0 | VmFlags::PFNMAP.0 | VmFlags::IO.0);
    !vma.flags.any(fixed) && vma.has_anon() && !matches!(vma.backing, Backing::Special(_))
}

/// Unmaps the victims. The address space's lock is held.
#[inline(never)]
fn unmap(table: &PageTable, batch: &mut Batch) {
    // No more than there is room to write.
    let room = batch.writes.capacity() - batch.writes.len();
    batch.victims.truncate(room);
    if batch.victims.is_empty() {
        return;
    }
    let mut places = [None; BATCH];
    enter(&batch.victims, &mut places);
    table.unmap_to_swap(&mut batch.victims, batch.force, |i, page, writable| {
        let place = places.get(i).copied().flatten()?;
        // Somebody besides the entry, us, the cache and its list may be about to write to it.
        if writable && !is_unused(page, 2) {
            return None;
        }
        super::area(place.area).filter(|area| area.map.get(place.offset)).map(|_| place)
    });
    for (i, victim) in batch.victims.drain_all().enumerate() {
        if places.get(i).copied().flatten().is_none() {
            continue;
        }
        let others = if victim.is_unmapped() { 1 } else { 2 };
        let page = victim.into_page();
        let Some(area) = area_of(&page) else {
            unlock_page(&page);
            continue;
        };
        if area.try_remove(&page, others, others == 1) {
            // It went as it was; or it was used again, and gives its place back.
            batch.freed += usize::from(others == 1);
        } else if others == 1 && page.has(PageFlags::DIRTY) && is_unused(&page, 1) {
            // There is room: no more were taken. The lock stays.
            let _ = batch.writes.push_within_capacity(page);
            continue;
        }
        unlock_page(&page);
    }
}

/// Locks victims and gives them places; `places` says which have one (they are locked then).
#[inline(never)]
fn enter(victims: &[Victim], places: &mut [Option<SwapEntry>; BATCH]) {
    let mut fresh = 0;
    for (victim, place) in victims.iter().zip(places.iter_mut()) {
        let page = victim.page();
        if !try_lock_page(page) {
            continue;
        }
        *place = match place_of(page) {
            // An area that is being emptied gets no more.
            Some(there) if super::area(there.area).is_none_or(|area| area.is_closing()) => {
                unlock_page(page);
                continue;
            }
            Some(there) => Some(there),
            // The area's number is no area's yet.
            None => {
                fresh += 1;
                Some(SwapEntry { area: u8::MAX, offset: 0 })
            }
        };
    }
    let wanting = |(_, place): &(&Victim, &mut Option<SwapEntry>)| place.is_some_and(|place| place.area == u8::MAX);
    let mut offsets = [0u64; BATCH];
    while fresh != 0 {
        let mut count = 0;
        let area = take_places(fresh, |offset| {
            if let Some(slot) = offsets.get_mut(count) {
                *slot = offset;
                count += 1;
            }
        });
        let Some(area) = area else { break };
        let pairs = victims.iter().zip(places.iter_mut()).filter(wanting);
        for ((victim, place), &offset) in pairs.zip(offsets.iter().take(count)) {
            let page = victim.page();
            // What it holds is nowhere else.
            page.set(PageFlags(PageFlags::UPTODATE.0 | PageFlags::DIRTY.0));
            *place = match area.add(offset, page, GFP_ATOMIC | __GFP_NOWARN) {
                Ok(()) => Some(SwapEntry { area: area.number(), offset }),
                Err(_) => {
                    page.clear(PageFlags(PageFlags::UPTODATE.0 | PageFlags::DIRTY.0));
                    area.map.leave_cache(offset);
                    unlock_page(page);
                    None
                }
            };
        }
        fresh -= count.min(fresh);
    }
    // Those that there was no place for.
    for (victim, place) in victims.iter().zip(places.iter_mut()).filter(wanting) {
        unlock_page(victim.page());
        *place = None;
    }
}

/// Looks at a page of private memory that reclaim took off its list: if it is free to go it goes, if it is dirty and `writes` has room it
/// is to be written ([`write_reclaimed`]).
pub(crate) fn reclaim_cached(page: Page, writes: &mut KVec<Page>) -> Fate {
    match try_reclaim(&page) {
        Reclaimed::Gone => Fate::Gone,
        Reclaimed::Freed => Fate::Freed,
        Reclaimed::Kept => Fate::Keep(page),
        Reclaimed::Writable => {
            if writes.push_within_capacity(page.clone()).is_err() {
                unlock_page(&page);
            }
            Fate::Keep(page)
        }
    }
}

/// What becomes of a page.
pub(crate) enum Fate {
    /// It is on no list, and was no page of the cache any more.
    Gone,
    /// It is free.
    Freed,
    /// It goes back to its list.
    Keep(Page),
}

/// Puts a page that reclaim took off its list back, unless it left the cache meanwhile: then it would stay there for nothing, and its
/// program would copy it at the next write.
pub(crate) fn keep_on_list(page: Page) {
    lru::put_back(page.clone(), Which::Inactive);
    // Who takes it out of the cache clears the mark first.
    if !page.has(PageFlags::SWAP_CACHE) {
        lru::remove(&page);
    }
}

/// Begins to write pages that [`reclaim_cached`] gathered; how many. May sleep for the device.
pub(crate) fn write_reclaimed(writes: KVec<Page>) -> usize {
    if writes.is_empty() { 0 } else { write::start(writes) }
}

/// Whether pages still leave for swap space: then there is no need to end a process yet.
pub fn makes_progress() -> bool {
    static LAST: AtomicU64 = AtomicU64::new(0);
    if total_pages() == 0 {
        return false;
    }
    let written = stat::get(Item::PswpOut);
    LAST.swap(written, Ordering::Relaxed) != written || in_flight() != 0
}

/// [`Mm::madvise`], and for `MADV_PAGEOUT`, `MADV_WILLNEED` and `MADV_HUGEPAGE` what that leaves to be done here. Errors are those of `madvise(2)`. May sleep.
pub fn madvise(mm: &Arc<Mm>, start: usize, len: usize, advice: u32) -> Result {
    let result = mm.madvise(start, len, advice);
    let end = start.saturating_add(page_align(len));
    match advice {
        // Also around holes, which are an error.
        uapi::MADV_PAGEOUT if matches!(result, Ok(()) | Err(ENOMEM)) => page_out_range(mm, start, end),
        uapi::MADV_HUGEPAGE if result.is_ok() => crate::huge::khugepaged::enter(mm),
        uapi::MADV_WILLNEED if result.is_ok() && total_pages() != 0 => mm.read_swap_ahead(start, end)?,
        _ => {}
    }
    result
}

/// `MADV_PAGEOUT`: private pages of `[start, end)` that nobody else has go, used or not. May sleep.
fn page_out_range(mm: &Arc<Mm>, start: usize, end: usize) {
    let Some(mut batch) = Batch::new(true) else { return };
    mm.note_rss();
    let mut at = start;
    while at < end && has_room() && batch.writes.capacity() != 0 && super::off::note(mm) {
        {
            let inner = mm.inner.read();
            let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else { return };
            let (from, to) = (slot.start.max(at), slot.end.min(end));
            at = to;
            if let Some(mapping) = slot.value.mapping().filter(|mapping| mapping.is_memory())
                && slot.value.flags.any(VmFlags::SHARED)
            {
                let first = slot.value.pgoff_at(slot.start, from);
                let pages = ((to - from) >> PAGE_SHIFT) as u64;
                let room = (batch.writes.capacity() - batch.writes.len()) as u64;
                for index in first..first.saturating_add(pages.min(room)) {
                    if let Some(page) = super::shmem::force_out(mapping, index) {
                        // There is room.
                        let _ = batch.writes.push_within_capacity(page);
                    }
                }
                at = from.saturating_add(usize::try_from(room).unwrap_or(0) << PAGE_SHIFT).min(to);
            } else if may_go(&slot.value) {
                let mut budget = BUDGET;
                at = mm.table.collect_idle(from, to, &mut budget, true, &mut batch.victims);
                batch.victims.retain(|victim| {
                    let page = victim.page();
                    is_unused(page, if page.has(PageFlags::SWAP_CACHE) { 2 } else { 1 })
                });
                unmap(&mm.table, &mut batch);
            }
        }
        batch.finish();
        if in_flight() > MOST_IN_FLIGHT {
            let deadline = ktime::now_ns().saturating_add(WAIT_NS);
            crate::throttle::wait_written(deadline, || in_flight() <= MOST_IN_FLIGHT);
        }
    }
}
