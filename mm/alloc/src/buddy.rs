// SPDX-License-Identifier: GPL-2.0
//! The buddy allocator: blocks of 2^order pages, order 0 to 10, in three zones (below 16 MB, below 4 GB, above), each with lists by
//! mobility (`mm_base::mobility`). Single pages come through the per-CPU lists of `pcp`, which call here in batches.
//! Lock: one spin lock a zone, with interrupts off.

use crate::frame::Frame;
use crate::layout::{PAGE_SHIFT, PhysAddr};
use crate::page::PageFlags;
use crate::{deferred, stat};
use core::sync::atomic::{AtomicU64, Ordering};
use kalloc::Flags;
use locking::SpinLock;
use mm_base::mobility;
use mm_base::zone::{ORDERS, by_zone, may_take, widen, zones_for};

pub use mm_base::mobility::{BLOCK_ORDER, BLOCK_PAGES, Mobility};
pub(crate) use mm_base::zone::init_watermarks;
pub use mm_base::zone::{
    MAX_ORDER, ZoneId, free_pages_total, managed_pages, min_free_kbytes, protection, reserve_pages,
    set_min_free_kbytes, set_watermark_scale_factor, watermark_scale_factor,
};

pub(crate) struct FreeLists {
    /// First free block of each order, by kind: address of its `Frame`, or 0.
    heads: [[usize; ORDERS]; Mobility::COUNT],
    counts: [[usize; ORDERS]; Mobility::COUNT],
}

static NORMAL: SpinLock<FreeLists> = FreeLists::new();
static DMA32: SpinLock<FreeLists> = FreeLists::new();
static DMA: SpinLock<FreeLists> = FreeLists::new();

/// The free blocks of a zone.
#[inline(always)]
pub(crate) fn lists(id: ZoneId) -> &'static SpinLock<FreeLists> {
    match id {
        ZoneId::Normal => &NORMAL,
        ZoneId::Dma32 => &DMA32,
        ZoneId::Dma => &DMA,
    }
}

impl FreeLists {
    const fn new() -> SpinLock<Self> {
        SpinLock::new(Self { heads: [[0; ORDERS]; Mobility::COUNT], counts: [[0; ORDERS]; Mobility::COUNT] })
    }

    /// First block and number of blocks of a list.
    #[inline(always)]
    fn list(&mut self, order: usize, kind: Mobility) -> Option<(&mut usize, &mut usize)> {
        Some((self.heads.get_mut(kind as usize)?.get_mut(order)?, self.counts.get_mut(kind as usize)?.get_mut(order)?))
    }

    #[inline]
    pub(crate) fn push(&mut self, frame: &'static Frame, order: usize, kind: Mobility) {
        let Some((head, count)) = self.list(order, kind) else { return };
        frame.order.store(order as u32, Ordering::Relaxed);
        frame.list.store(kind as u8, Ordering::Relaxed);
        frame.flags.store(PageFlags::BUDDY.0, Ordering::Relaxed);
        frame.prev.store(0, Ordering::Relaxed);
        frame.next.store(*head, Ordering::Relaxed);
        // SAFETY: List links hold addresses of frames.
        if let Some(next) = unsafe { Frame::from_addr(*head) } {
            next.prev.store(frame.addr(), Ordering::Relaxed);
        }
        *head = frame.addr();
        *count += 1;
    }

    /// Takes a free block out of the list that it is on.
    #[inline]
    pub(crate) fn remove(&mut self, frame: &'static Frame, order: usize) {
        let kind = Mobility::from_raw(frame.list.load(Ordering::Relaxed));
        let Some((head, count)) = self.list(order, kind) else { return };
        let (next, prev) = (frame.next.load(Ordering::Relaxed), frame.prev.load(Ordering::Relaxed));
        // SAFETY: List links hold addresses of frames.
        unsafe {
            match Frame::from_addr(prev) {
                Some(prev) => prev.next.store(next, Ordering::Relaxed),
                None => *head = next,
            }
            if let Some(next) = Frame::from_addr(next) {
                next.prev.store(prev, Ordering::Relaxed);
            }
        }
        frame.flags.store(0, Ordering::Relaxed);
        *count -= 1;
    }

    /// Takes a block of `order` for an allocation of `kind`, splitting a larger one if need be.
    #[inline]
    fn take(&mut self, order: usize, kind: Mobility) -> Option<&'static Frame> {
        match self.take_below(order, ORDERS, kind) {
            Some(frame) => Some(frame),
            None => self.take_from_others(order, kind),
        }
    }

    /// Takes a block of `order` from what `kind` has in blocks smaller than 2^`limit` pages.
    #[inline]
    pub(crate) fn take_below(&mut self, order: usize, limit: usize, kind: Mobility) -> Option<&'static Frame> {
        let heads = self.heads.get(kind as usize)?;
        let from = (order..limit.min(ORDERS)).find(|o| heads.get(*o).is_some_and(|h| *h != 0))?;
        // SAFETY: List heads hold addresses of frames.
        let frame = unsafe { Frame::from_addr(*heads.get(from)?) }?;
        self.remove(frame, from);
        for half in (order..from).rev() {
            // SAFETY: The block has 2^(half + 1) frames, so its second half has records.
            let buddy = unsafe { &*Frame::ptr_of(frame.pfn() + (1 << half)) };
            self.push(buddy, half, kind);
        }
        Some(frame)
    }

    /// As [`FreeLists::take`] when `kind` has none: other kinds' lists give one, and as a rule what else is free around it.
    #[cold]
    #[inline(never)]
    fn take_from_others(&mut self, order: usize, kind: Mobility) -> Option<&'static Frame> {
        let head = |lists: &Self, order: usize, kind: Mobility| {
            lists.heads.get(kind as usize).and_then(|heads| heads.get(order)).copied().unwrap_or(0)
        };
        let found = mobility::find_fallback(order, kind, |order, kind| head(self, order, kind) != 0)?;
        // SAFETY: List heads hold addresses of frames.
        let frame = unsafe { Frame::from_addr(head(self, found.order, found.from)) }?;
        let old = block_kind(frame);
        if found.order >= BLOCK_ORDER {
            for pfn in (frame.pfn()..frame.pfn() + (1 << found.order)).step_by(BLOCK_PAGES) {
                // SAFETY: A frame of the free block.
                set_block_kind(unsafe { &*Frame::ptr_of(pfn) }, kind);
            }
        } else if found.whole && old != Mobility::Isolate {
            let (free, movable) = self.move_block(frame, kind);
            if mobility::changes_hands(kind, old, free, movable) {
                set_block_kind(frame, kind);
            }
        }
        // It goes to the kind's list, if it is not there yet, and comes from there.
        self.remove(frame, found.order);
        self.push(frame, found.order, kind);
        self.take_below(order, ORDERS, kind)
    }

    /// Puts all that is free in the page block of `frame` on the lists of `kind`; how many pages that are, and how many others can be
    /// moved. Blocks that reach beyond the page block stay where they are.
    pub(crate) fn move_block(&mut self, frame: &'static Frame, kind: Mobility) -> (usize, usize) {
        let first = frame.pfn() & !(BLOCK_PAGES - 1);
        let (mut free, mut movable, mut at) = (0, 0, first);
        while at < first + BLOCK_PAGES {
            // SAFETY: Page blocks are smaller than sections and aligned, so all their frames have records.
            let frame = unsafe { &*Frame::ptr_of(at) };
            let flags = frame.flags.load(Ordering::Relaxed);
            let order = frame.order.load(Ordering::Relaxed) as usize;
            if flags & PageFlags::BUDDY.0 != 0 && order <= BLOCK_ORDER {
                self.remove(frame, order);
                self.push(frame, order, kind);
                free += 1 << order;
                at += 1 << order;
                continue;
            }
            movable += usize::from(flags & PageFlags::MOVABLE.0 != 0 && frame.ref_count() != 0);
            at += 1;
        }
        (free, movable)
    }

    /// Gives a block back, merging it with its free buddies. Whether it counts as free: what is in a page block that is being emptied
    /// does not.
    #[inline]
    pub(crate) fn give(&mut self, frame: &'static Frame, mut order: usize) -> bool {
        let mut pfn = frame.pfn();
        let kind = block_kind(frame);
        while order < MAX_ORDER {
            let buddy_pfn = pfn ^ (1 << order);
            // SAFETY: Sections are larger than the largest block and aligned, so a buddy's record is in the same section.
            let buddy = unsafe { &*Frame::ptr_of(buddy_pfn) };
            let free = buddy.flags.load(Ordering::Relaxed) & PageFlags::BUDDY.0 != 0
                && buddy.order.load(Ordering::Relaxed) as usize == order;
            if !free {
                break;
            }
            if order >= BLOCK_ORDER && (kind == Mobility::Isolate || block_kind(buddy) == Mobility::Isolate) {
                break;
            }
            self.remove(buddy, order);
            pfn &= buddy_pfn;
            order += 1;
        }
        // SAFETY: `pfn` is the frame or one of its buddies, all in one section.
        self.push(unsafe { &*Frame::ptr_of(pfn) }, order, kind);
        kind != Mobility::Isolate
    }
}

/// The first frame of a frame's page block.
#[inline(always)]
fn block_of(frame: &'static Frame) -> &'static Frame {
    // SAFETY: Page blocks are smaller than sections and aligned, so all their frames have records.
    unsafe { &*Frame::ptr_of(frame.pfn() & !(BLOCK_PAGES - 1)) }
}

/// Whose a frame's page block is.
#[inline(always)]
pub(crate) fn block_kind(frame: &'static Frame) -> Mobility {
    Mobility::from_raw(block_of(frame).block.load(Ordering::Relaxed))
}

/// Says whose a frame's page block is from now on. Under the zone's lock.
pub(crate) fn set_block_kind(frame: &'static Frame, kind: Mobility) {
    block_of(frame).block.store(kind as u8, Ordering::Relaxed);
}

/// What says in a frame's flags as what it was allocated.
#[inline(always)]
pub(crate) const fn flags_of(kind: Mobility) -> u64 {
    match kind {
        Mobility::Movable => PageFlags::MOVABLE.0,
        Mobility::Reclaimable => PageFlags::RECLAIMABLE.0,
        Mobility::Unmovable | Mobility::Isolate => 0,
    }
}

/// Allocates 2^`order` contiguous, naturally aligned pages with undefined contents. The block has one reference, held in its
/// first frame; [`free_pages`] takes it back.
pub fn alloc_pages(order: usize, flags: Flags) -> Option<&'static Frame> {
    if order > MAX_ORDER {
        return None;
    }
    for id in zones_for(flags) {
        loop {
            if let Some(frame) = take_block(*id, order, flags) {
                return Some(frame);
            }
            if !deferred::populate(*id) {
                break;
            }
        }
    }
    None
}

#[inline]
fn take_block(id: ZoneId, order: usize, flags: Flags) -> Option<&'static Frame> {
    let zone = id.zone();
    if !may_take(id, 1 << order, flags) {
        return None;
    }
    let kind = Mobility::of(flags);
    let mut lists = lists(id).lock_irqsave();
    let frame = lists.take(order, kind)?;
    zone.free.fetch_sub(1 << order, Ordering::Relaxed);
    drop(lists);
    #[cfg(CONFIG_DEBUG_PAGEALLOC)]
    for pfn in frame.pfn()..frame.pfn() + (1 << order) {
        // SAFETY: A frame of the block.
        crate::heap::debug::check_page(unsafe { &*Frame::ptr_of(pfn) });
    }
    frame.flags.store(flags_of(kind) | if order == 0 { 0 } else { PageFlags::HEAD.0 }, Ordering::Relaxed);
    frame.order.store(order as u32, Ordering::Relaxed);
    frame.refs.store(1, Ordering::Relaxed);
    stat::add(ZoneId::of(frame.pfn()).pgalloc(), 1 << order);
    Some(frame)
}

/// Frees a block of 2^`order` pages.
///
/// # Safety
/// The block was allocated with this order, and nobody uses it any more.
pub unsafe fn free_pages(frame: &'static Frame, order: usize) {
    stat::add(stat::Item::PgFree, 1 << order);
    if frame.refs.fetch_sub(1, Ordering::AcqRel) == 1 {
        give_back(frame, order);
    } else {
        free_rest(frame, order);
    }
}

/// Frees a block but for its first page, which somebody has a speculative reference to (`PageSlot::get`) and frees himself.
#[cold]
fn free_rest(frame: &'static Frame, order: usize) {
    for part in 0..order {
        // SAFETY: The second half of the first 2^(part + 1) frames of the block, which is ours.
        give_back(unsafe { &*Frame::ptr_of(frame.pfn() + (1 << part)) }, part);
    }
}

/// Puts a block that nobody has into the lists.
pub(crate) fn give_back(frame: &'static Frame, order: usize) {
    let id = ZoneId::of(frame.pfn());
    let mut lists = lists(id).lock_irqsave();
    if lists.give(frame, order) {
        id.zone().free.fetch_add(1 << order, Ordering::Relaxed);
    }
}

/// Takes up to `want` single pages for a per-CPU list of the flags' kind, linked through `next`. Returns the first frame's address (0: none) and
/// how many there are.
pub(crate) fn take_batch(want: usize, flags: Flags) -> (usize, usize) {
    let (mut head, mut got) = (0, 0);
    let kind = Mobility::of(flags);
    for id in zones_for(flags) {
        let zone = id.zone();
        while !may_take(*id, want, flags) && deferred::populate(*id) {}
        if !may_take(*id, want, flags) && !may_take(*id, 1, flags) {
            continue;
        }
        let mut lists = lists(*id).lock_irqsave();
        while got < want && may_take(*id, 1, flags) {
            let Some(frame) = lists.take(0, kind) else { break };
            zone.free.fetch_sub(1, Ordering::Relaxed);
            frame.next.store(head, Ordering::Relaxed);
            head = frame.addr();
            got += 1;
        }
        if got > 0 {
            break;
        }
    }
    (head, got)
}

/// Gives back a chain of single pages.
///
/// # Safety
/// `head` starts a chain of `count` free frames, linked through `next`, that nobody else has.
pub(crate) unsafe fn give_batch(mut head: usize, mut count: usize) {
    while count > 0 {
        // SAFETY: The chain holds addresses of frames.
        let Some(first) = (unsafe { Frame::from_addr(head) }) else { return };
        let id = ZoneId::of(first.pfn());
        let zone = id.zone();
        let mut lists = lists(id).lock_irqsave();
        // SAFETY: As above.
        while let Some(frame) = unsafe { Frame::from_addr(head) } {
            if count == 0 || ZoneId::of(frame.pfn()) != id {
                break;
            }
            head = frame.next.load(Ordering::Relaxed);
            if lists.give(frame, 0) {
                zone.free.fetch_add(1, Ordering::Relaxed);
            }
            count -= 1;
        }
    }
}

/// Gives memory to the allocator: page-aligned physical range whose frames have records.
pub(crate) fn add_range(start: PhysAddr, end: PhysAddr) {
    by_zone(start, end, |id, first, end| {
        widen(id.zone(), first, end);
        free_range(first, end);
    });
}

/// Counts free memory whose frames have no records yet.
pub(crate) fn add_deferred(start: PhysAddr, end: PhysAddr) {
    by_zone(start, end, |id, first, end| {
        widen(id.zone(), first, end);
        id.zone().deferred.fetch_add(end - first, Ordering::Relaxed);
    });
}

/// Frames `[first, end)` of one zone, which [`add_deferred`] counted, have records now, for which the first `taken` frames were
/// used.
pub(crate) fn add_populated(id: ZoneId, first: usize, end: usize, taken: usize) {
    let zone = id.zone();
    zone.managed.fetch_sub(taken, Ordering::Relaxed);
    free_range(first + taken, end);
    zone.deferred.fetch_sub(end - first, Ordering::Relaxed);
}

fn free_range(mut pfn: usize, end: usize) {
    while pfn < end {
        let order = (pfn.trailing_zeros() as usize).min(MAX_ORDER).min((end - pfn).ilog2() as usize);
        // SAFETY: The range is memory whose frames have records.
        let frame = unsafe { &*Frame::ptr_of(pfn) };
        frame.refs.store(0, Ordering::Relaxed);
        give_back(frame, order);
        pfn += 1 << order;
    }
}

/// Figures of a zone for `/proc/zoneinfo` and `/proc/buddyinfo`.
#[derive(Clone, Copy, Debug)]
pub struct ZoneStat {
    /// Which zone.
    pub id: ZoneId,
    /// Free pages, without those in per-CPU lists.
    pub free: usize,
    /// Pages the zone was given.
    pub managed: usize,
    /// Pages kept for allocations that cannot wait.
    pub min: usize,
    /// Where background reclaim begins, and where it ends.
    pub low: usize,
    /// See `low`.
    pub high: usize,
    /// First frame number and one past the last.
    pub span: (usize, usize),
    /// Free blocks by order.
    pub blocks: [usize; ORDERS],
    /// The same by `Mobility`.
    pub kinds: [[usize; ORDERS]; Mobility::COUNT],
}

/// The zones that have memory.
pub fn zone_stats() -> impl Iterator<Item = ZoneStat> {
    [ZoneId::Dma, ZoneId::Dma32, ZoneId::Normal].into_iter().filter_map(|id| {
        let zone = id.zone();
        let managed = zone.managed.load(Ordering::Relaxed);
        if managed == 0 {
            return None;
        }
        let mut kinds = lists(id).lock_irqsave().counts;
        // What has no records yet is free in the largest blocks.
        if let Some(largest) = kinds.get_mut(Mobility::Movable as usize).and_then(|blocks| blocks.last_mut()) {
            *largest += zone.deferred.load(Ordering::Relaxed) >> MAX_ORDER;
        }
        Some(ZoneStat {
            id,
            free: zone.free.load(Ordering::Relaxed) + zone.deferred.load(Ordering::Relaxed),
            managed,
            min: zone.min.load(Ordering::Relaxed),
            low: zone.low.load(Ordering::Relaxed),
            high: zone.high.load(Ordering::Relaxed),
            span: (zone.first_pfn.load(Ordering::Relaxed), zone.end_pfn.load(Ordering::Relaxed)),
            blocks: core::array::from_fn(|order| kinds.iter().filter_map(|counts| counts.get(order)).sum()),
            kinds,
        })
    })
}

/// Page blocks of a zone by `Mobility`.
pub fn block_kinds(id: ZoneId) -> [usize; Mobility::COUNT] {
    let zone = id.zone();
    let mut kinds = [0; Mobility::COUNT];
    let first = zone.first_pfn.load(Ordering::Relaxed) & !(BLOCK_PAGES - 1);
    for pfn in (first..zone.end_pfn.load(Ordering::Relaxed)).step_by(BLOCK_PAGES) {
        let section = pfn / crate::frame::SECTION_FRAMES;
        // What has no records yet is movable.
        let kind = match (Frame::lookup((pfn << PAGE_SHIFT) as PhysAddr), deferred::is_deferred(section)) {
            (Some(frame), _) => block_kind(frame),
            (None, true) => Mobility::Movable,
            (None, false) => continue,
        };
        if let Some(count) = kinds.get_mut(kind as usize) {
            *count += 1;
        }
    }
    kinds
}

/// Allocations that failed since boot.
pub static FAILURES: AtomicU64 = AtomicU64::new(0);
