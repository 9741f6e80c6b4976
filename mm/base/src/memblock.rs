// SPDX-License-Identifier: GPL-2.0
//! The boot allocator: sorted lists of memory and of what is taken, from the loader's map. Serves until `mm_alloc::init`
//! gives the rest to the buddy allocator. Boot CPU only; a spin lock keeps the types honest.

use crate::layout::{PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, PhysAddr, set_image_delta};
use boot_info::BootInfo;
use core::sync::atomic::{AtomicU64, Ordering};
use locking::SpinLock;

const MAX_RANGES: usize = 320;
/// Frames that one 2 MB page of records describes: a record is 64 bytes.
pub const SECTION_FRAMES: usize = PMD_SIZE / 64;
/// Sections (128 MB each) that are looked after: 1 TB of physical addresses.
pub const MAX_SECTIONS: usize = 8192;
/// Memory above this is not mapped until the final kernel tables are there.
const EARLY_LIMIT: u64 = 1 << 32;

/// Half-open range of physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: PhysAddr,
    /// One past the last byte.
    pub end: PhysAddr,
}

struct RangeList {
    items: [Range; MAX_RANGES],
    count: usize,
}

impl RangeList {
    const fn new() -> Self {
        Self { items: [Range { start: 0, end: 0 }; MAX_RANGES], count: 0 }
    }

    fn as_slice(&self) -> &[Range] {
        self.items.get(..self.count).unwrap_or(&[])
    }

    /// Adds a range, merging it with those that it touches. Fails when the list is full.
    fn add(&mut self, mut start: u64, mut end: u64) -> bool {
        if start >= end {
            return true;
        }
        let mut kept = 0;
        for i in 0..self.count {
            let Some(r) = self.items.get(i).copied() else { break };
            if r.end < start || r.start > end {
                if let Some(slot) = self.items.get_mut(kept) {
                    *slot = r;
                }
                kept += 1;
            } else {
                start = start.min(r.start);
                end = end.max(r.end);
            }
        }
        self.count = kept;
        if kept >= MAX_RANGES {
            return false;
        }
        let at = self.as_slice().iter().position(|r| r.start > start).unwrap_or(kept);
        self.items.copy_within(at..kept, at + 1);
        if let Some(slot) = self.items.get_mut(at) {
            *slot = Range { start, end };
        }
        self.count = kept + 1;
        true
    }
}

struct Memblock {
    memory: RangeList,
    reserved: RangeList,
    /// What of the reserved memory is firmware's, and may be mapped again: the first megabyte, EFI's map.
    firmware: [Range; 2],
    /// Allocations stay below this: what the direct map covers.
    limit: u64,
    closed: bool,
}

static MEMBLOCK: SpinLock<Memblock> = SpinLock::new(Memblock {
    memory: RangeList::new(),
    reserved: RangeList::new(),
    firmware: [Range { start: 0, end: 1 << 20 }, Range { start: 0, end: 0 }],
    limit: EARLY_LIMIT,
    closed: false,
});
static SECTIONS: [AtomicU64; MAX_SECTIONS / 64] = [const { AtomicU64::new(0) }; MAX_SECTIONS / 64];

/// Takes the memory map. Reserves the first megabyte, the kernel image, the initrds and EFI's map. First of all; only the first call
/// counts.
pub fn init(info: &BootInfo) {
    let mut mb = MEMBLOCK.lock();
    if mb.memory.count != 0 {
        return;
    }
    set_image_delta(info.kernel.virt_base.wrapping_sub(info.kernel.phys_base));
    let highest = (MAX_SECTIONS * SECTION_FRAMES * PAGE_SIZE) as u64;
    let page = PAGE_SIZE as u64;
    for r in info.memory.ram() {
        let start = r.start.next_multiple_of(page);
        let end = (r.end() & !(page - 1)).min(highest);
        if start < end {
            mb.memory.add(start, end);
            mark_sections(start, end);
        }
    }
    let mut reserve = |start: u64, end: u64| {
        if !mb.reserved.add(start & !(page - 1), end.next_multiple_of(page)) {
            klog::pr_warn!("memblock: too many reserved ranges, [{start:#x}-{end:#x}] is not protected");
        }
    };
    reserve(0, 1 << 20);
    reserve(info.kernel.phys_base, info.kernel.phys_base + info.kernel.size);
    for r in info.initrds() {
        reserve(r.start, r.end());
    }
    if let Some(efi) = info.efi {
        let end = efi.memmap.saturating_add(u64::from(efi.memmap_size));
        reserve(efi.memmap, end);
        let [_, map] = &mut mb.firmware;
        *map = Range { start: efi.memmap, end };
    }
}

fn mark_sections(start: u64, end: u64) {
    let first = (start >> PAGE_SHIFT) as usize / SECTION_FRAMES;
    let last = ((end - 1) >> PAGE_SHIFT) as usize / SECTION_FRAMES;
    for section in first..=last {
        if let Some(word) = SECTIONS.get(section / 64) {
            word.fetch_or(1 << (section % 64), Ordering::Relaxed);
        }
    }
}

/// Whether section `n` of physical memory has any memory, and so frame records.
#[inline]
pub fn section_present(n: usize) -> bool {
    SECTIONS.get(n / 64).is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (n % 64)) != 0)
}

/// Whether all of `[start, end)` is memory, and nothing of it is taken.
pub fn is_all_free(start: PhysAddr, end: PhysAddr) -> bool {
    let mb = MEMBLOCK.lock();
    mb.memory.as_slice().iter().any(|r| r.start <= start && r.end >= end)
        && !mb.reserved.as_slice().iter().any(|r| r.start < end && r.end > start)
}

/// The whole direct map is there: allocations may come from any memory.
pub fn lift_limit() {
    MEMBLOCK.lock().limit = u64::MAX;
}

/// Allocates `size` bytes aligned to `align` (a power of two), as high as possible, not cleared. `None` when there is no such
/// range, or after `mm_alloc::init`.
pub fn alloc(size: usize, align: usize) -> Option<PhysAddr> {
    let mut mb = MEMBLOCK.lock();
    let limit = mb.limit;
    mb.alloc(size as u64, align as u64, 0, limit)
}

/// Allocates below 1 MB, for the start-up code of other CPUs; memory there is reserved otherwise. May be called at any time:
/// the first megabyte never goes to the buddy allocator. Never freed.
pub fn alloc_low(size: usize, align: usize) -> Option<PhysAddr> {
    static NEXT: AtomicU64 = AtomicU64::new(0x8_0000);
    let (size, align) = (size as u64, align.max(1) as u64);
    let mb = MEMBLOCK.lock();
    let top = NEXT.load(Ordering::Relaxed);
    let start = top.checked_sub(size)? & !(align - 1);
    let usable = mb.memory.as_slice().iter().any(|r| r.start <= start && start + size <= r.end);
    if !usable || start < 0x1000 {
        return None;
    }
    NEXT.store(start, Ordering::Relaxed);
    Some(start)
}

impl Memblock {
    fn alloc(&mut self, size: u64, align: u64, low: u64, high: u64) -> Option<PhysAddr> {
        if self.closed || size == 0 || !align.is_power_of_two() {
            return None;
        }
        let mut found = None;
        'memory: for m in self.memory.as_slice().iter().rev() {
            let mut top = m.end.min(high);
            let floor = m.start.max(low);
            // Down through the holes between reserved ranges.
            let mut holes = self.reserved.as_slice().iter().rev().filter(|r| r.start < m.end && r.end > m.start);
            loop {
                let below = holes.next();
                let bottom = below.map_or(floor, |r| r.end.max(floor));
                if let Some(start) = top.checked_sub(size).map(|s| s & !(align - 1))
                    && start >= bottom
                {
                    found = Some(start);
                    break 'memory;
                }
                match below {
                    Some(r) => top = top.min(r.start),
                    None => break,
                }
            }
        }
        let start = found?;
        self.reserved.add(start, start + size).then_some(start)
    }
}

/// Ranges of memory, in ascending order.
pub fn for_each_memory(mut f: impl FnMut(Range) -> errno::Result) -> errno::Result {
    let mut i = 0;
    loop {
        let item = MEMBLOCK.lock().memory.as_slice().get(i).copied();
        match item {
            Some(r) => f(r)?,
            None => return Ok(()),
        }
        i += 1;
    }
}

/// Whether `[first, last]` touches memory that the kernel has: all but what is firmware's. Its image, what was allocated here and the
/// initrds are the kernel's too.
pub fn is_kernel_memory(first: PhysAddr, last: PhysAddr) -> bool {
    let mb = MEMBLOCK.lock();
    mb.memory.as_slice().iter().any(|r| r.start <= last && r.end > first)
        && !mb.firmware.iter().any(|r| r.start <= first && r.end > last)
}

/// One past the last byte of memory.
pub fn end() -> PhysAddr {
    MEMBLOCK.lock().memory.as_slice().last().map_or(0, |r| r.end)
}

/// Bytes of memory, and how many of them were reserved at boot.
pub fn totals() -> (u64, u64) {
    let mb = MEMBLOCK.lock();
    let total: u64 = mb.memory.as_slice().iter().map(|r| r.end - r.start).sum();
    let mut taken = 0;
    for r in mb.reserved.as_slice() {
        for m in mb.memory.as_slice() {
            taken += r.end.min(m.end).saturating_sub(r.start.max(m.start));
        }
    }
    (total, taken)
}

/// Calls `release` with every range that is not reserved, and closes this allocator, whose lock is held meanwhile. Only the first call
/// does.
pub fn close(mut release: impl FnMut(PhysAddr, PhysAddr)) {
    let mut mb = MEMBLOCK.lock();
    if core::mem::replace(&mut mb.closed, true) {
        return;
    }
    for m in mb.memory.as_slice() {
        let mut at = m.start;
        for r in mb.reserved.as_slice().iter().filter(|r| r.end > m.start && r.start < m.end) {
            if r.start > at {
                release(at, r.start);
            }
            at = at.max(r.end);
        }
        if at < m.end {
            release(at, m.end);
        }
    }
}
