// SPDX-License-Identifier: GPL-2.0
//! What `/proc/PID/maps`, `smaps`, `stat` and `statm` show of an address space. Source: `proc(5)`.

use crate::file::VmFile;
use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use crate::vma::Backing;
use core::sync::atomic::Ordering;
use kalloc::Arc;
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use mm_alloc::{Frame, PageFlags};
use x86_mm::Kind;

/// One line of `/proc/PID/maps`.
pub struct VmaInfo {
    /// First address.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// Flags.
    pub flags: VmFlags,
    /// Byte offset in the file; 0 for memory without one.
    pub offset: u64,
    /// The file.
    pub file: Option<Arc<dyn VmFile>>,
    /// `[heap]`, `[stack]`, `[vdso]`... where there is no file.
    pub name: Option<&'static str>,
    /// It may have huge pages.
    pub huge: bool,
}

/// The figures of mappings in `/proc/PID/smaps`, in bytes.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "named as in /proc/PID/smaps")]
pub struct SmapsInfo {
    pub rss: u64,
    /// The three parts of `Pss`, in 4096ths of a byte.
    pss_anon: u64,
    pss_file: u64,
    pss_shmem: u64,
    pss_dirty: u64,
    pss_locked: u64,
    pub shared_clean: u64,
    pub shared_dirty: u64,
    pub private_clean: u64,
    pub private_dirty: u64,
    pub referenced: u64,
    pub anonymous: u64,
    pub lazy_free: u64,
    pub anon_huge: u64,
    pub swap: u64,
    swap_pss: u64,
}

/// As Linux's `PSS_SHIFT`: sums of shares lose no more than this part of a byte each.
const PSS_SHIFT: u32 = 12;

#[allow(missing_docs, reason = "named as in /proc/PID/smaps")]
impl SmapsInfo {
    pub fn pss(&self) -> u64 {
        (self.pss_anon + self.pss_file + self.pss_shmem) >> PSS_SHIFT
    }
    pub fn pss_anon(&self) -> u64 {
        self.pss_anon >> PSS_SHIFT
    }
    pub fn pss_file(&self) -> u64 {
        self.pss_file >> PSS_SHIFT
    }
    pub fn pss_shmem(&self) -> u64 {
        self.pss_shmem >> PSS_SHIFT
    }
    pub fn pss_dirty(&self) -> u64 {
        self.pss_dirty >> PSS_SHIFT
    }
    pub fn swap_pss(&self) -> u64 {
        self.swap_pss >> PSS_SHIFT
    }
    pub fn locked(&self) -> u64 {
        self.pss_locked >> PSS_SHIFT
    }

    /// Counts a page in swap space. `users`: entries that name it.
    fn add_swapped(&mut self, users: u32) {
        self.swap += PAGE_SIZE as u64;
        self.swap_pss += ((PAGE_SIZE as u64) << PSS_SHIFT) / u64::from(users.max(1));
    }

    /// Counts one page. `users`: mappings of it.
    fn add(&mut self, kind: Kind, users: u64, dirty: bool, referenced: bool, locked: bool) {
        let bytes = PAGE_SIZE as u64;
        let share = (bytes << PSS_SHIFT) / users.max(1);
        self.rss += bytes;
        match kind {
            Kind::Anon => self.pss_anon += share,
            Kind::File => self.pss_file += share,
            Kind::Shmem => self.pss_shmem += share,
            // Pages that are there are none of these.
            Kind::Swap | Kind::Lazy => {}
        }
        let sum = match (users > 1, dirty) {
            (true, true) => &mut self.shared_dirty,
            (true, false) => &mut self.shared_clean,
            (false, true) => &mut self.private_dirty,
            (false, false) => &mut self.private_clean,
        };
        *sum += bytes;
        self.pss_dirty += if dirty { share } else { 0 };
        self.pss_locked += if locked { share } else { 0 };
        self.referenced += if referenced { bytes } else { 0 };
        self.anonymous += if kind == Kind::Anon { bytes } else { 0 };
    }
}

/// Bits of an entry of `/proc/PID/pagemap`. Source: Linux's `Documentation/admin-guide/mm/pagemap.rst`.
mod pagemap {
    pub(super) const PRESENT: u64 = 1 << 63;
    pub(super) const SWAP: u64 = 1 << 62;
    /// Bits of the area's number below the place.
    pub(super) const AREA_BITS: u32 = 5;
    pub(super) const FILE: u64 = 1 << 61;
    pub(super) const EXCLUSIVE: u64 = 1 << 56;
    pub(super) const SOFT_DIRTY: u64 = 1 << 55;
    pub(super) const PFN: u64 = (1 << 55) - 1;
}

/// Mappings of a page: its references but for its cache's (a file's, or the swap cache's) and its list's.
fn users_of(frame: &Frame, kind: Kind) -> u64 {
    let flags = frame.flag_bits();
    let cached = match kind {
        Kind::Anon => flags & PageFlags::SWAP_CACHE.0 != 0,
        // A page that left its file is on its way out of this address space too.
        _ => flags & PageFlags::TRUNCATED.0 == 0,
    };
    let others = u32::from(cached) + u32::from(flags & PageFlags::LRU.0 != 0);
    u64::from(frame.ref_count().saturating_sub(others).max(1))
}

impl Mm {
    /// Whether a file is mapped from `start` to `end` exactly; `None` while mappings change. Does not sleep.
    pub fn maps_file_at(&self, start: usize, end: usize) -> Option<bool> {
        let inner = self.inner.try_read()?;
        let slot = inner.areas.find(start).filter(|slot| slot.start == start && slot.end == end);
        Some(slot.is_some_and(|slot| matches!(slot.value.backing, Backing::File(_))))
    }

    /// The first mapping that ends above `addr`: call again with its end for the next one. May sleep.
    pub fn vma_after(&self, addr: usize) -> Option<VmaInfo> {
        let inner = self.inner.read();
        let slot = inner.areas.find(addr)?;
        let vma = &slot.value;
        let marks = inner.marks;
        let (file, name) = match &vma.backing {
            Backing::File(file) => (Some(file.clone()), None),
            Backing::Special(special) => (None, Some(special.name())),
            Backing::Anon if slot.start < marks.brk.max(marks.start_brk + 1) && slot.end > marks.start_brk => {
                (None, (marks.brk > marks.start_brk).then_some("[heap]"))
            }
            Backing::Anon if slot.contains(marks.start_stack) => (None, Some("[stack]")),
            Backing::Anon => (None, None),
        };
        let offset = if file.is_some() { vma.pgoff << PAGE_SHIFT } else { 0 };
        let written = if vma.soft_clean.load(Ordering::Relaxed) { VmFlags::NONE } else { VmFlags::SOFTDIRTY };
        let huge = self.is_huge_eligible(vma, slot.start, slot.end);
        Some(VmaInfo { start: slot.start, end: slot.end, flags: vma.flags.with(written), offset, file, name, huge })
    }

    /// The first address of the first mapping and the end of the last. May sleep.
    pub fn bounds(&self) -> Option<(usize, usize)> {
        let inner = self.inner.read();
        let areas = &inner.areas;
        Some((areas.get(0)?.start, areas.before(areas.len())?.end))
    }

    /// Adds the pages of `[start, end)` to figures for `smaps`. May sleep.
    pub fn smaps(&self, start: usize, end: usize, info: &mut SmapsInfo) {
        let inner = self.inner.read();
        for slot in inner.areas.overlapping(start, end) {
            let locked = slot.value.flags.any(VmFlags::LOCKED);
            if let Some(mapping) = slot.value.mapping().filter(|mapping| mapping.is_memory())
                && (slot.value.flags.any(VmFlags::SHARED) || !slot.value.flags.any(VmFlags::WRITE))
            {
                let (from, to) = (slot.start.max(start), slot.end.min(end));
                let first = slot.value.pgoff_at(slot.start, from);
                let pages = ((to - from) >> PAGE_SHIFT) as u64;
                info.swap += mapping.swapped_in_range(first, first.saturating_add(pages - 1)) * PAGE_SIZE as u64;
            }
            self.table.for_each_entry(slot.start.max(start), slot.end.min(end), |_, entry, frame| {
                let Some(frame) = frame else {
                    if let Some(place) = entry.swap() {
                        info.add_swapped(crate::swap::users_of(place));
                    }
                    return;
                };
                let kind = Kind::of(frame);
                // Memory without a file behind it is clean only if it is not needed.
                let lazy = entry.is_lazy();
                info.lazy_free += if lazy { PAGE_SIZE as u64 } else { 0 };
                let dirty =
                    entry.is_dirty() || kind == Kind::Anon && !lazy || frame.flag_bits() & PageFlags::DIRTY.0 != 0;
                info.add(kind, users_of(frame, kind), dirty, entry.is_accessed(), locked);
                if entry.is_huge() {
                    info.anon_huge += PAGE_SIZE as u64;
                }
            });
        }
    }

    /// Entries of `pagemap` for the pages from `start`. With `show_pfn` frame numbers too. May sleep.
    pub fn pagemap(&self, start: usize, out: &mut [u64], show_pfn: bool) {
        out.fill(0);
        let Some(end) = out.len().checked_mul(PAGE_SIZE).and_then(|len| start.checked_add(len)) else { return };
        let inner = self.inner.read();
        for slot in inner.areas.overlapping(start, end) {
            // As long as nobody has cleared the bits, all counts as written, pages that are not there too.
            let all = !slot.value.soft_clean.load(Ordering::Relaxed);
            let (from, to) = (slot.start.max(start), slot.end.min(end));
            let pages = out.get_mut((from - start) / PAGE_SIZE..(to - start) / PAGE_SIZE);
            if let Some(pages) = pages.filter(|_| all) {
                pages.fill(pagemap::SOFT_DIRTY);
            }
            self.table.for_each_entry(from, to, |addr, entry, frame| {
                let mut value = pagemap::PRESENT;
                if let Some(place) = entry.swap() {
                    let what = u64::from(place.area) | place.offset << pagemap::AREA_BITS;
                    value = pagemap::SWAP | if show_pfn { what & pagemap::PFN } else { 0 };
                } else if show_pfn {
                    value |= entry.phys() >> PAGE_SHIFT & pagemap::PFN;
                }
                if all || entry.is_soft_dirty() {
                    value |= pagemap::SOFT_DIRTY;
                }
                if let Some(frame) = frame {
                    let kind = Kind::of(frame);
                    value |= if kind == Kind::Anon { 0 } else { pagemap::FILE };
                    value |= if users_of(frame, kind) == 1 { pagemap::EXCLUSIVE } else { 0 };
                }
                if let Some(slot) = out.get_mut((addr - start) / PAGE_SIZE) {
                    *slot = value;
                }
            });
        }
    }

    /// Begins anew to note which pages are written (`/proc/PID/clear_refs` 4). May sleep.
    pub fn clear_soft_dirty(&self) {
        let inner = self.inner.write();
        for slot in inner.areas.iter() {
            slot.value.soft_clean.store(true, Ordering::Relaxed);
            self.table.clear_soft_dirty(slot.start, slot.end);
        }
    }

    /// Forgets that pages were used (`/proc/PID/clear_refs`): of private memory, of files, or both. May sleep.
    pub fn clear_refs(&self, anon: bool, file: bool) {
        let inner = self.inner.read();
        for slot in inner.areas.iter() {
            let has_file = matches!(slot.value.backing, Backing::File(_));
            if if has_file { file } else { anon } {
                self.table.clear_accessed(slot.start, slot.end);
            }
        }
    }
}
