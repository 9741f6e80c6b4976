// SPDX-License-Identifier: GPL-2.0
//! The physical memory map: up to 256 regions, sorted, without overlaps. Firmware maps are neither, so `sanitize` makes
//! them so: where regions overlap the more severe kind wins, as in Linux's `e820__update_table`. No locks.

/// Regions a map can hold.
pub const MAX_REGIONS: usize = 256;

/// What a region is for. Ordered by severity: of two overlapping regions the greater kind wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemKind {
    /// Usable memory.
    Ram,
    /// Specific-purpose memory (EFI_MEMORY_SP).
    SoftReserved,
    /// Persistent memory of the pre-standard kind (type 12).
    Pram,
    /// Persistent memory.
    Pmem,
    /// ACPI tables; usable after they were read.
    AcpiReclaim,
    /// ACPI non-volatile storage.
    AcpiNvs,
    /// Not usable.
    Reserved,
    /// Broken memory.
    Unusable,
}

impl MemKind {
    /// From an E820 type (PVH uses the same numbers). Unknown types are reserved.
    pub const fn from_e820(kind: u32) -> Self {
        match kind {
            1 => Self::Ram,
            3 => Self::AcpiReclaim,
            4 => Self::AcpiNvs,
            5 => Self::Unusable,
            7 => Self::Pmem,
            12 => Self::Pram,
            0xefff_ffff => Self::SoftReserved,
            _ => Self::Reserved,
        }
    }

    /// The E820 type.
    pub const fn to_e820(self) -> u32 {
        match self {
            Self::Ram => 1,
            Self::Reserved => 2,
            Self::AcpiReclaim => 3,
            Self::AcpiNvs => 4,
            Self::Unusable => 5,
            Self::Pmem => 7,
            Self::Pram => 12,
            Self::SoftReserved => 0xefff_ffff,
        }
    }

    /// The name in `/proc/iomem`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ram => "System RAM",
            Self::Reserved => "Reserved",
            Self::AcpiReclaim => "ACPI Tables",
            Self::AcpiNvs => "ACPI Non-volatile Storage",
            Self::Unusable => "Unusable memory",
            Self::Pmem => "Persistent Memory",
            Self::Pram => "Persistent Memory (legacy)",
            Self::SoftReserved => "Soft Reserved",
        }
    }

    /// The word in the boot log (`BIOS-e820: [mem ...] usable`).
    pub const fn log_name(self) -> &'static str {
        match self {
            Self::Ram => "usable",
            Self::Reserved => "reserved",
            Self::AcpiReclaim => "ACPI data",
            Self::AcpiNvs => "ACPI NVS",
            Self::Unusable => "unusable",
            Self::Pmem => "persistent (type 7)",
            Self::Pram => "persistent (type 12)",
            Self::SoftReserved => "soft reserved",
        }
    }
}

/// One region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemRegion {
    /// First byte.
    pub start: u64,
    /// Length in bytes; `start + len` does not overflow.
    pub len: u64,
    /// What it is.
    pub kind: MemKind,
}

impl MemRegion {
    const EMPTY: Self = Self { start: 0, len: 0, kind: MemKind::Reserved };

    /// One past the last byte.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// Whether `addr` is inside.
    pub const fn contains(&self, addr: u64) -> bool {
        addr >= self.start && addr - self.start < self.len
    }
}

/// The map.
#[derive(Clone)]
pub struct MemMap {
    regions: [MemRegion; MAX_REGIONS],
    count: usize,
    truncated: bool,
}

impl MemMap {
    /// Empty.
    pub const fn new() -> Self {
        Self { regions: [MemRegion::EMPTY; MAX_REGIONS], count: 0, truncated: false }
    }

    /// The regions: as pushed before `sanitize`, ascending and disjoint after it.
    pub fn regions(&self) -> &[MemRegion] {
        self.regions.get(..self.count).unwrap_or(&[])
    }

    /// Whether regions were lost because the map was full. What is not in the map is not used.
    pub const fn truncated(&self) -> bool {
        self.truncated
    }

    /// Whether there is no region.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends a region as the firmware gave it. An empty one is ignored, one that wraps is cut at the end of the address
    /// space, and one too many sets `truncated`.
    pub fn push(&mut self, start: u64, len: u64, kind: MemKind) {
        let len = len.min(u64::MAX - start);
        if len == 0 {
            return;
        }
        if let Some(last) = self.count.checked_sub(1).and_then(|i| self.regions.get_mut(i))
            && last.kind == kind
            && last.end() == start
        {
            last.len = last.len.saturating_add(len);
            return;
        }
        match self.regions.get_mut(self.count) {
            Some(slot) => {
                *slot = MemRegion { start, len, kind };
                self.count += 1;
            }
            None => self.truncated = true,
        }
    }

    /// Sorts, resolves overlaps in favour of the more severe kind and merges neighbours of one kind.
    pub fn sanitize(&mut self) {
        if let Some(used) = self.regions.get_mut(..self.count) {
            used.sort_unstable_by_key(|r| (r.start, r.len));
        }
        let overlaps = self.regions().windows(2).any(|w| matches!(w, [a, b] if a.end() > b.start));
        let old = self.clone_regions();
        let old = old.get(..self.count).unwrap_or(&[]);
        self.count = 0;
        if overlaps {
            self.sweep(old);
        } else {
            old.iter().for_each(|r| self.push(r.start, r.len, r.kind));
        }
    }

    fn clone_regions(&self) -> [MemRegion; MAX_REGIONS] {
        self.regions
    }

    /// Walks the boundaries of `old` (sorted by start) upward; each piece between two gets the most severe kind that covers it.
    fn sweep(&mut self, old: &[MemRegion]) {
        let mut at = old.first().map_or(0, |r| r.start);
        loop {
            let covering = old.iter().filter(|r| r.contains(at)).map(|r| r.kind).max();
            let next = old.iter().flat_map(|r| [r.start, r.end()]).filter(|edge| *edge > at).min();
            let Some(next) = next else { return };
            if let Some(kind) = covering {
                self.push(at, next - at, kind);
            }
            at = next;
        }
    }

    /// Makes `[start, start + len)` of kind `kind`, whatever it was (also where the map had nothing). Needs a sanitized map
    /// and leaves one.
    pub fn overlay(&mut self, start: u64, len: u64, kind: MemKind) {
        let len = len.min(u64::MAX - start);
        if len == 0 {
            return;
        }
        self.carve(start, len, Some(kind));
    }

    /// Takes `[start, start + len)` out of the map. Needs a sanitized map and leaves one.
    pub fn remove(&mut self, start: u64, len: u64) {
        let len = len.min(u64::MAX - start);
        if len != 0 {
            self.carve(start, len, None);
        }
    }

    fn carve(&mut self, start: u64, len: u64, kind: Option<MemKind>) {
        let end = start.saturating_add(len);
        let old = self.clone_regions();
        let old = old.get(..self.count).unwrap_or(&[]);
        self.count = 0;
        let mut placed = kind.is_none();
        for region in old {
            if region.start < start {
                self.push(region.start, region.end().min(start) - region.start, region.kind);
            }
            if !placed && region.end() > start {
                placed = true;
                if let Some(kind) = kind {
                    self.push(start, len, kind);
                }
            }
            if region.end() > end {
                let from = region.start.max(end);
                self.push(from, region.end() - from, region.kind);
            }
        }
        if !placed && let Some(kind) = kind {
            self.push(start, len, kind);
        }
    }

    /// Applies `mem=limit`: usable memory at and above `limit` disappears from the map.
    pub fn limit_ram(&mut self, limit: u64) {
        let old = self.clone_regions();
        let old = old.get(..self.count).unwrap_or(&[]);
        self.count = 0;
        for region in old {
            let end = if region.kind == MemKind::Ram { region.end().min(limit) } else { region.end() };
            if end > region.start {
                self.push(region.start, end - region.start, region.kind);
            }
        }
    }

    /// The region with `addr` inside (any order of regions).
    pub fn find(&self, addr: u64) -> Option<&MemRegion> {
        self.regions().iter().find(|r| r.contains(addr))
    }

    /// The usable regions.
    pub fn ram(&self) -> impl Iterator<Item = &MemRegion> {
        self.regions().iter().filter(|r| r.kind == MemKind::Ram)
    }

    /// Bytes of usable memory.
    pub fn total_ram(&self) -> u64 {
        self.ram().fold(0, |sum, r| sum.saturating_add(r.len))
    }

    /// One past the last byte of usable memory.
    pub fn ram_end(&self) -> u64 {
        self.ram().map(MemRegion::end).max().unwrap_or(0)
    }
}

impl Default for MemMap {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for MemMap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.regions()).finish()
    }
}
