// SPDX-License-Identifier: GPL-2.0
//! The buddy allocator: blocks of 2^order pages, order 0 to 10, in three zones (below 16 MB, below 4 GB, above). Single pages come through
//! the per-CPU lists of `pcp`, which call here in batches. Lock: one spin lock a zone, with interrupts off.

use crate::frame::Frame;
use crate::layout::{PAGE_SHIFT, PhysAddr};
use crate::page::PageFlags;
use crate::{deferred, stat};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use kalloc::Flags;
use kalloc::flags::{__GFP_DMA, __GFP_DMA32, __GFP_HIGH, __GFP_MEMALLOC};
use locking::SpinLock;

/// Largest order: 4 MB blocks.
pub const MAX_ORDER: usize = 10;
const ORDERS: usize = MAX_ORDER + 1;
const DMA_FRAMES: usize = 1 << (24 - PAGE_SHIFT);
const DMA32_FRAMES: usize = 1 << (32 - PAGE_SHIFT);

/// The zones, in the order in which ordinary allocations try them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ZoneId {
    /// Memory above 4 GB.
    Normal,
    /// Memory below 4 GB, for devices that reach no further.
    Dma32,
    /// Memory below 16 MB, for devices of the ISA bus.
    Dma,
}

impl ZoneId {
    /// All.
    pub const ALL: [ZoneId; 3] = [ZoneId::Normal, ZoneId::Dma32, ZoneId::Dma];

    /// Linux's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Dma32 => "DMA32",
            Self::Dma => "DMA",
        }
    }

    #[inline(always)]
    fn of(frame: &Frame) -> Self {
        match frame.pfn() {
            pfn if pfn >= DMA32_FRAMES => Self::Normal,
            pfn if pfn >= DMA_FRAMES => Self::Dma32,
            _ => Self::Dma,
        }
    }

    /// What counts allocations of the zone.
    #[inline(always)]
    pub(crate) fn pgalloc(frame: &Frame) -> stat::Item {
        match Self::of(frame) {
            Self::Normal => stat::Item::PgAllocNormal,
            Self::Dma32 => stat::Item::PgAllocDma32,
            Self::Dma => stat::Item::PgAllocDma,
        }
    }

    #[inline(always)]
    fn zone(self) -> &'static Zone {
        match self {
            Self::Normal => &NORMAL,
            Self::Dma32 => &DMA32,
            Self::Dma => &DMA,
        }
    }
}

struct FreeLists {
    /// First free block of each order: address of its `Frame`, or 0.
    heads: [usize; ORDERS],
    counts: [usize; ORDERS],
}

struct Zone {
    lists: SpinLock<FreeLists>,
    /// Free pages in the lists; written under the lock.
    free: AtomicUsize,
    /// Free pages of sections without records yet.
    deferred: AtomicUsize,
    /// Pages given to the zone at boot or later, those without records too.
    managed: AtomicUsize,
    /// Ordinary allocations leave this many pages for those that cannot wait.
    min: AtomicUsize,
    /// Below this, memory is to be reclaimed in the background, until there is `high`.
    low: AtomicUsize,
    high: AtomicUsize,
    first_pfn: AtomicUsize,
    end_pfn: AtomicUsize,
}

impl Zone {
    const fn new() -> Self {
        Self {
            lists: SpinLock::new(FreeLists { heads: [0; ORDERS], counts: [0; ORDERS] }),
            free: AtomicUsize::new(0),
            deferred: AtomicUsize::new(0),
            managed: AtomicUsize::new(0),
            min: AtomicUsize::new(0),
            low: AtomicUsize::new(0),
            high: AtomicUsize::new(0),
            first_pfn: AtomicUsize::new(usize::MAX),
            end_pfn: AtomicUsize::new(0),
        }
    }
}

static NORMAL: Zone = Zone::new();
static DMA32: Zone = Zone::new();
static DMA: Zone = Zone::new();

impl FreeLists {
    #[inline]
    fn push(&mut self, frame: &'static Frame, order: usize) {
        let (Some(head), Some(count)) = (self.heads.get_mut(order), self.counts.get_mut(order)) else { return };
        frame.order.store(order as u32, Ordering::Relaxed);
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

    #[inline]
    fn remove(&mut self, frame: &'static Frame, order: usize) {
        let (Some(head), Some(count)) = (self.heads.get_mut(order), self.counts.get_mut(order)) else { return };
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

    /// Takes a block of `order`, splitting a larger one if need be.
    #[inline]
    fn take(&mut self, order: usize) -> Option<&'static Frame> {
        let from = (order..ORDERS).find(|o| self.heads.get(*o).is_some_and(|h| *h != 0))?;
        // SAFETY: List heads hold addresses of frames.
        let frame = unsafe { Frame::from_addr(*self.heads.get(from)?) }?;
        self.remove(frame, from);
        for half in (order..from).rev() {
            // SAFETY: The block has 2^(half + 1) frames, so its second half has records.
            let buddy = unsafe { &*Frame::ptr_of(frame.pfn() + (1 << half)) };
            self.push(buddy, half);
        }
        Some(frame)
    }

    /// Gives a block back, merging it with its free buddies.
    #[inline]
    fn give(&mut self, frame: &'static Frame, mut order: usize) {
        let mut pfn = frame.pfn();
        while order < MAX_ORDER {
            let buddy_pfn = pfn ^ (1 << order);
            // SAFETY: Sections are larger than the largest block and aligned, so a buddy's record is in the same section.
            let buddy = unsafe { &*Frame::ptr_of(buddy_pfn) };
            let free = buddy.flags.load(Ordering::Relaxed) & PageFlags::BUDDY.0 != 0
                && buddy.order.load(Ordering::Relaxed) as usize == order;
            if !free {
                break;
            }
            self.remove(buddy, order);
            pfn &= buddy_pfn;
            order += 1;
        }
        // SAFETY: `pfn` is the frame or one of its buddies, all in one section.
        self.push(unsafe { &*Frame::ptr_of(pfn) }, order);
    }
}

#[inline(always)]
fn zones_for(flags: Flags) -> &'static [ZoneId] {
    match flags {
        f if f.contains(__GFP_DMA) => &[ZoneId::Dma],
        f if f.contains(__GFP_DMA32) => &[ZoneId::Dma32, ZoneId::Dma],
        _ => &ZoneId::ALL,
    }
}

/// Part of the memory above a zone that the zone keeps for those who can use nothing else (`vm.lowmem_reserve_ratio`).
const RESERVE_RATIO: usize = 256;

/// Pages that allocations which may also use the zones above `id` leave in it.
pub fn protection(id: ZoneId, highest: ZoneId) -> usize {
    let managed = |zone: &Zone| zone.managed.load(Ordering::Relaxed);
    let above = match (id, highest) {
        (ZoneId::Dma, ZoneId::Normal) => managed(&NORMAL) + managed(&DMA32),
        (ZoneId::Dma, ZoneId::Dma32) => managed(&DMA32),
        (ZoneId::Dma32, ZoneId::Normal) => managed(&NORMAL),
        _ => 0,
    };
    above / RESERVE_RATIO
}

fn may_take(id: ZoneId, pages: usize, flags: Flags) -> bool {
    let zone = id.zone();
    let free = zone.free.load(Ordering::Relaxed);
    let min = zone.min.load(Ordering::Relaxed);
    let keep = match flags {
        f if f.contains(__GFP_MEMALLOC) => 0,
        f if f.contains(__GFP_HIGH) => min / 2,
        _ => min,
    };
    let highest = zones_for(flags).first().copied().unwrap_or(id);
    free >= pages + keep + protection(id, highest)
}

/// `vm.min_free_kbytes`.
static MIN_FREE_KBYTES: AtomicUsize = AtomicUsize::new(0);

/// KiB that ordinary allocations leave alone.
pub fn min_free_kbytes() -> usize {
    MIN_FREE_KBYTES.load(Ordering::Relaxed)
}

/// Sets them, and each zone's part.
pub fn set_min_free_kbytes(kbytes: usize) {
    MIN_FREE_KBYTES.store(kbytes, Ordering::Relaxed);
    let total = managed_pages().max(1);
    let pages = (kbytes >> (PAGE_SHIFT - 10)).min(total / 2);
    for id in ZoneId::ALL {
        let zone = id.zone();
        let managed = zone.managed.load(Ordering::Relaxed);
        let min = pages.saturating_mul(managed) / total;
        // As Linux: a quarter more, at least a thousandth of the zone, makes the next mark.
        let step = (min / 4).max(managed / 1000);
        zone.min.store(min, Ordering::Relaxed);
        zone.low.store(min + step, Ordering::Relaxed);
        zone.high.store(min + 2 * step, Ordering::Relaxed);
    }
}

/// Sets the marks by the memory there is: the reserve grows with its square root.
pub(crate) fn init_watermarks() {
    let kbytes = managed_pages() << (PAGE_SHIFT - 10);
    set_min_free_kbytes(kbytes.saturating_mul(16).isqrt().clamp(128, 262_144));
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
    let mut lists = zone.lists.lock_irqsave();
    let frame = lists.take(order)?;
    zone.free.fetch_sub(1 << order, Ordering::Relaxed);
    drop(lists);
    #[cfg(CONFIG_DEBUG_PAGEALLOC)]
    for pfn in frame.pfn()..frame.pfn() + (1 << order) {
        // SAFETY: A frame of the block.
        crate::heap::debug::check_page(unsafe { &*Frame::ptr_of(pfn) });
    }
    frame.flags.store(if order == 0 { 0 } else { PageFlags::HEAD.0 }, Ordering::Relaxed);
    frame.order.store(order as u32, Ordering::Relaxed);
    frame.refs.store(1, Ordering::Relaxed);
    stat::add(ZoneId::pgalloc(frame), 1 << order);
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

fn give_back(frame: &'static Frame, order: usize) {
    let zone = ZoneId::of(frame).zone();
    let mut lists = zone.lists.lock_irqsave();
    lists.give(frame, order);
    zone.free.fetch_add(1 << order, Ordering::Relaxed);
}

/// Takes up to `want` single pages for a per-CPU list, linked through `next`. Returns the first frame's address (0: none) and
/// how many there are.
pub(crate) fn take_batch(want: usize, flags: Flags) -> (usize, usize) {
    let (mut head, mut got) = (0, 0);
    for id in zones_for(flags) {
        let zone = id.zone();
        while !may_take(*id, want, flags) && deferred::populate(*id) {}
        if !may_take(*id, want, flags) && !may_take(*id, 1, flags) {
            continue;
        }
        let mut lists = zone.lists.lock_irqsave();
        while got < want && may_take(*id, 1, flags) {
            let Some(frame) = lists.take(0) else { break };
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
        let id = ZoneId::of(first);
        let zone = id.zone();
        let mut lists = zone.lists.lock_irqsave();
        // SAFETY: As above.
        while let Some(frame) = unsafe { Frame::from_addr(head) } {
            if count == 0 || ZoneId::of(frame) != id {
                break;
            }
            head = frame.next.load(Ordering::Relaxed);
            lists.give(frame, 0);
            zone.free.fetch_add(1, Ordering::Relaxed);
            count -= 1;
        }
    }
}

/// Splits `[start, end)` at the zones' boundaries.
fn by_zone(start: PhysAddr, end: PhysAddr, mut f: impl FnMut(ZoneId, usize, usize)) {
    let (first, last) = ((start >> PAGE_SHIFT) as usize, (end >> PAGE_SHIFT) as usize);
    let zones = [
        (ZoneId::Dma, 0, DMA_FRAMES),
        (ZoneId::Dma32, DMA_FRAMES, DMA32_FRAMES),
        (ZoneId::Normal, DMA32_FRAMES, usize::MAX),
    ];
    for (id, low, high) in zones {
        let (from, to) = (first.max(low), last.min(high));
        if from < to {
            f(id, from, to);
        }
    }
}

fn widen(zone: &Zone, first: usize, end: usize) {
    zone.first_pfn.fetch_min(first, Ordering::Relaxed);
    zone.end_pfn.fetch_max(end, Ordering::Relaxed);
    zone.managed.fetch_add(end - first, Ordering::Relaxed);
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
}

/// The zones that have memory.
pub fn zone_stats() -> impl Iterator<Item = ZoneStat> {
    [ZoneId::Dma, ZoneId::Dma32, ZoneId::Normal].into_iter().filter_map(|id| {
        let zone = id.zone();
        let managed = zone.managed.load(Ordering::Relaxed);
        (managed != 0).then(|| ZoneStat {
            id,
            free: zone.free.load(Ordering::Relaxed) + zone.deferred.load(Ordering::Relaxed),
            managed,
            min: zone.min.load(Ordering::Relaxed),
            low: zone.low.load(Ordering::Relaxed),
            high: zone.high.load(Ordering::Relaxed),
            span: (zone.first_pfn.load(Ordering::Relaxed), zone.end_pfn.load(Ordering::Relaxed)),
            blocks: {
                let mut blocks = zone.lists.lock_irqsave().counts;
                // What has no records yet is free in the largest blocks.
                if let Some(largest) = blocks.last_mut() {
                    *largest += zone.deferred.load(Ordering::Relaxed) >> MAX_ORDER;
                }
                blocks
            },
        })
    })
}

/// Free pages in all zones, without those in per-CPU lists.
pub fn free_pages_total() -> usize {
    let free = |zone: &Zone| zone.free.load(Ordering::Relaxed) + zone.deferred.load(Ordering::Relaxed);
    free(&NORMAL) + free(&DMA32) + free(&DMA)
}

/// Pages that the zones were given.
pub fn managed_pages() -> usize {
    ZoneId::ALL.iter().map(|id| id.zone().managed.load(Ordering::Relaxed)).sum()
}

/// The sum of what ordinary allocations leave alone.
pub fn reserve_pages() -> usize {
    let of = |id: ZoneId| id.zone().high.load(Ordering::Relaxed) + protection(id, ZoneId::Normal);
    ZoneId::ALL.iter().map(|id| of(*id).min(id.zone().managed.load(Ordering::Relaxed))).sum()
}

/// Allocations that failed since boot.
pub static FAILURES: AtomicU64 = AtomicU64::new(0);
