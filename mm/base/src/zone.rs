// SPDX-License-Identifier: GPL-2.0
//! The zones of memory and their figures: how much they have, how much is free, and the marks below which allocations go elsewhere or
//! memory is reclaimed. The lists of free blocks are `mm_alloc::buddy`. No locks.

use crate::layout::{PAGE_SHIFT, PhysAddr};
use crate::stat::Item;
use core::sync::atomic::{AtomicUsize, Ordering};
use kalloc::Flags;
use kalloc::flags::{__GFP_DMA, __GFP_DMA32, __GFP_HIGH, __GFP_MEMALLOC};

/// Largest order: 4 MB blocks.
pub const MAX_ORDER: usize = 10;
/// Orders that there are.
pub const ORDERS: usize = MAX_ORDER + 1;
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

    /// The zone of a frame.
    #[inline(always)]
    pub fn of(pfn: usize) -> Self {
        match pfn {
            pfn if pfn >= DMA32_FRAMES => Self::Normal,
            pfn if pfn >= DMA_FRAMES => Self::Dma32,
            _ => Self::Dma,
        }
    }

    /// What counts allocations of the zone.
    #[inline(always)]
    pub fn pgalloc(self) -> Item {
        match self {
            Self::Normal => Item::PgAllocNormal,
            Self::Dma32 => Item::PgAllocDma32,
            Self::Dma => Item::PgAllocDma,
        }
    }

    /// Its figures.
    #[inline(always)]
    pub fn zone(self) -> &'static Zone {
        match self {
            Self::Normal => &NORMAL,
            Self::Dma32 => &DMA32,
            Self::Dma => &DMA,
        }
    }
}

/// Figures of a zone, in a cache line of their own.
#[repr(align(64))]
pub struct Zone {
    /// Free pages in the lists; written under the lists' lock.
    pub free: AtomicUsize,
    /// Free pages of sections without records yet.
    pub deferred: AtomicUsize,
    /// Pages given to the zone at boot or later, those without records too.
    pub managed: AtomicUsize,
    /// Ordinary allocations leave this many pages for those that cannot wait.
    pub min: AtomicUsize,
    /// Below this, memory is to be reclaimed in the background, until there is `high`.
    pub low: AtomicUsize,
    /// See `low`.
    pub high: AtomicUsize,
    /// First frame number.
    pub first_pfn: AtomicUsize,
    /// One past the last.
    pub end_pfn: AtomicUsize,
}

impl Zone {
    const fn new() -> Self {
        Self {
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

/// The zones that an allocation may use, in order.
#[inline(always)]
pub fn zones_for(flags: Flags) -> &'static [ZoneId] {
    match flags {
        f if f.contains(__GFP_DMA) => &[ZoneId::Dma],
        f if f.contains(__GFP_DMA32) => &[ZoneId::Dma32, ZoneId::Dma],
        _ => &ZoneId::ALL,
    }
}

/// Part of the memory above a zone that the zone keeps for those who can use nothing else (`vm.lowmem_reserve_ratio`).
const RESERVE_RATIO: usize = 256;

/// Pages that allocations which may also use the zones above `id` leave in it.
#[inline]
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

/// Whether an allocation of `pages` may come from zone `id`, by its marks.
#[inline]
pub fn may_take(id: ZoneId, pages: usize, flags: Flags) -> bool {
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

/// `vm.watermark_scale_factor`: the least distance between two marks, in ten-thousandths of a zone.
static WATERMARK_SCALE_FACTOR: AtomicUsize = AtomicUsize::new(10);

/// The least distance between two marks, in ten-thousandths of a zone.
pub fn watermark_scale_factor() -> usize {
    WATERMARK_SCALE_FACTOR.load(Ordering::Relaxed)
}

/// Sets it, and each zone's marks.
pub fn set_watermark_scale_factor(parts: usize) {
    WATERMARK_SCALE_FACTOR.store(parts, Ordering::Relaxed);
    set_min_free_kbytes(min_free_kbytes());
}

/// KiB that ordinary allocations leave alone.
pub fn min_free_kbytes() -> usize {
    MIN_FREE_KBYTES.load(Ordering::Relaxed)
}

/// Sets them, and each zone's part.
pub fn set_min_free_kbytes(kbytes: usize) {
    MIN_FREE_KBYTES.store(kbytes, Ordering::Relaxed);
    let total = managed_pages().max(1);
    let pages = (kbytes >> (PAGE_SHIFT - 10)).min(total / 2);
    let scale = WATERMARK_SCALE_FACTOR.load(Ordering::Relaxed);
    for id in ZoneId::ALL {
        let zone = id.zone();
        let managed = zone.managed.load(Ordering::Relaxed);
        let min = pages.saturating_mul(managed) / total;
        // As Linux: a quarter more, at least a part of the zone (a thousandth by default), makes the next mark.
        let step = (min / 4).max(managed.saturating_mul(scale) / 10_000);
        zone.min.store(min, Ordering::Relaxed);
        zone.low.store(min + step, Ordering::Relaxed);
        zone.high.store(min + 2 * step, Ordering::Relaxed);
    }
}

/// Sets the marks by the memory there is: the reserve grows with its square root.
pub fn init_watermarks() {
    let kbytes = managed_pages() << (PAGE_SHIFT - 10);
    set_min_free_kbytes(kbytes.saturating_mul(16).isqrt().clamp(128, 262_144));
}

/// Splits `[start, end)` at the zones' boundaries.
pub fn by_zone(start: PhysAddr, end: PhysAddr, mut f: impl FnMut(ZoneId, usize, usize)) {
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

/// The zone has these frames too.
pub fn widen(zone: &Zone, first: usize, end: usize) {
    zone.first_pfn.fetch_min(first, Ordering::Relaxed);
    zone.end_pfn.fetch_max(end, Ordering::Relaxed);
    zone.managed.fetch_add(end - first, Ordering::Relaxed);
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
