// SPDX-License-Identifier: GPL-2.0
//! Transparent huge pages: which faults bring in 2 MB of private memory at once. That they are mapped by one entry only the page
//! tables know (`x86_mm::huge`): everything else sees pages. Source: `Documentation/admin-guide/mm/transhuge.rst` of Linux,
//! `madvise(2)`, `prctl(2)`. No locks of its own.
//!
//! | file | what |
//! |---|---|
//! | `defrag` | where blocks come from |
//! | `khugepaged` | the thread that puts pages together unasked |

mod defrag;
pub mod khugepaged;

pub use defrag::HugeDefrag;

use crate::fault::FaultSignal;
use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use crate::vma::{Area, Backing, Vma};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use defrag::{Effort, block_for_collapse, block_for_fault};
use errno::{Result, code::*};
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
use mm_alloc::stat::{self, Item};
use x86_mm::Joined;
use x86_mm::huge::{ENABLED, Room};

/// Below so much memory there are none until somebody writes to `enabled`, as in Linux, whatever the command line says: 512 MB.
const LEAST_MEMORY: usize = 512 << (20 - 12);

/// Who gets huge pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HugeMode {
    /// Every mapping that does not say otherwise.
    Always,
    /// Mappings with `MADV_HUGEPAGE`.
    Madvise,
    /// None.
    Never,
}

impl HugeMode {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Always, Self::Madvise, Self::Never];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Madvise => "madvise",
            Self::Never => "never",
        }
    }

    /// What is in force.
    pub fn get() -> Self {
        let mask = MASK.load(Ordering::Relaxed);
        Self::ALL.into_iter().find(|mode| mode.mask() == mask).unwrap_or(Self::Never)
    }

    /// Makes it what is in force, for faults from now on; `khugepaged` starts or ends. EAGAIN, ENOMEM: there is no thread. May sleep.
    pub fn set(self) -> Result {
        MASK.store(self.mask(), Ordering::Relaxed);
        khugepaged::start_or_stop()
    }

    const fn mask(self) -> u64 {
        match self {
            Self::Always => VmFlags::NOHUGEPAGE.0,
            Self::Madvise => VmFlags::HUGEPAGE.0,
            Self::Never => 0,
        }
    }
}

/// What the configuration says.
const DEFAULT: HugeMode = if cfg!(CONFIG_TRANSPARENT_HUGEPAGE_ALWAYS) {
    HugeMode::Always
} else if cfg!(CONFIG_TRANSPARENT_HUGEPAGE_MADVISE) {
    HugeMode::Madvise
} else {
    HugeMode::Never
};

/// `use_zero_page`: what programs read where nothing was written needs no memory; else it gets a block at once.
pub static USE_ZEROS: AtomicBool = AtomicBool::new(true);

/// The flag that decides: `HUGEPAGE` if it has to be there, `NOHUGEPAGE` if it has not to be, 0 for never.
static MASK: AtomicU64 = AtomicU64::new(0);

/// Sets what is in force, if there is memory enough: `parameter` of the command line (`transparent_hugepage=`), else what the
/// configuration says. Once, at boot. May sleep.
pub fn init(parameter: Option<&[u8]>) -> Result {
    if !ENABLED {
        return Ok(());
    }
    let asked = HugeMode::ALL.into_iter().find(|mode| parameter == Some(mode.name().as_bytes()));
    if parameter.is_some() && asked.is_none() {
        klog::pr_warn!("transparent_hugepage= is always, madvise or never");
    }
    let enough = mm_alloc::buddy::managed_pages() >= LEAST_MEMORY;
    if enough { asked.unwrap_or(DEFAULT) } else { HugeMode::Never }.set()
}

/// Whether a mapping with these flags may get huge pages at the moment.
#[inline(always)]
pub(crate) fn may(flags: VmFlags) -> bool {
    ENABLED && (flags.0 ^ VmFlags::NOHUGEPAGE.0) & MASK.load(Ordering::Relaxed) != 0
}

/// The range of 2 MB around `addr`, if all of it is in `[start, end)`.
fn span(addr: usize, start: usize, end: usize) -> Option<usize> {
    let from = addr & !(PMD_SIZE - 1);
    (from >= start && from.checked_add(PMD_SIZE)? <= end).then_some(from)
}

impl Mm {
    /// A fault in private memory of a mapping that [`may`] have huge pages. `None`: a single page is to be brought in.
    #[inline(never)]
    pub(crate) fn huge_fault(
        &self,
        area: Area<'_>,
        addr: usize,
        write: bool,
    ) -> Option<core::result::Result<bool, FaultSignal>> {
        let span = span(addr, area.start, area.end);
        // Another part of a mapping that grows (a heap) may be worth a look already.
        if !self.scanned.load(Ordering::Acquire)
            && (span.is_some() || self.could_be_huge(area.vma, area.start, area.end))
        {
            khugepaged::enter_own(self);
        }
        let from = span?;
        let unwanted = self.no_huge.load(Ordering::Relaxed) || self.dying.load(Ordering::Relaxed);
        let zeros = !write && USE_ZEROS.load(Ordering::Relaxed);
        // Who cannot write needs no memory.
        if unwanted || !zeros && !area.vma.flags.any(VmFlags::WRITE) {
            return None;
        }
        match self.table.room(from) {
            Room::Table => return None,
            // Another thread was first.
            Room::Huge => return Some(Ok(false)),
            Room::Free => {}
        }
        if zeros {
            return self.map_zeros(area.vma.flags, from);
        }
        let Some(block) = block_for_fault(area.vma.flags) else {
            stat::add(Item::ThpFaultFallback, 1);
            return None;
        };
        self.note_anon(area.vma);
        match self.table.map_huge(from, block, area.vma.flags.prot()) {
            Ok(true) => stat::add(Item::ThpFaultAlloc, 1),
            // Another thread was first, and the program faults again if that was not enough.
            Ok(false) => {}
            // The single page needs a table too, and waits for one.
            Err(_) => return None,
        }
        Some(self.check_stable())
    }

    /// The program reads 2 MB where nothing was written. `None` as [`Self::huge_fault`].
    fn map_zeros(&self, flags: VmFlags, from: usize) -> Option<core::result::Result<bool, FaultSignal>> {
        let Some(block) = x86_mm::huge::zeros() else {
            stat::add(Item::ThpFaultFallback, 1);
            return None;
        };
        // Was another thread first, the program faults again if that was not enough.
        self.table.map_huge_zeros(from, block, flags.prot()).ok()?;
        Some(self.check_stable())
    }

    /// `prctl(PR_SET_THP_DISABLE)`: it gets no huge pages from now on, nor do its children and the programs that it starts.
    pub fn disable_huge_pages(&self, off: bool) {
        self.no_huge.store(off, Ordering::Relaxed);
    }

    /// `prctl(PR_GET_THP_DISABLE)`.
    pub fn huge_pages_disabled(&self) -> bool {
        self.no_huge.load(Ordering::Relaxed)
    }

    /// What `THPeligible` of `smaps` says of a mapping of `[start, end)`.
    pub(crate) fn is_huge_eligible(&self, vma: &Vma, start: usize, end: usize) -> bool {
        may(vma.flags) && self.could_be_huge(vma, start, end)
    }

    /// Whether a mapping of `[start, end)` could have huge pages, whatever is in force.
    fn could_be_huge(&self, vma: &Vma, start: usize, end: usize) -> bool {
        let never = VmFlags(VmFlags::IO.0 | VmFlags::DONTEXPAND.0 | VmFlags::PFNMAP.0 | VmFlags::NOHUGEPAGE.0);
        let suitable = end.checked_sub(PMD_SIZE).is_some_and(|last| span(last, start, end).is_some());
        let anon = matches!(vma.backing, Backing::Anon) && !vma.flags.any(never);
        anon && suitable && !self.huge_pages_disabled()
    }

    /// `MADV_COLLAPSE`: puts the pages of each aligned 2 MB of `[start, end)` together. EINVAL where there are none or what
    /// cannot be, EAGAIN if somebody has one of them just now, ENOMEM for want of blocks, and at holes once the rest is done. May
    /// sleep.
    pub(crate) fn collapse(&self, start: usize, end: usize) -> Result {
        let (mut at, mut holes) = (start, false);
        while at < end {
            let (from, to) = {
                let inner = self.inner.read();
                let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else { return Err(ENOMEM) };
                if !self.could_be_huge(&slot.value, slot.start, slot.end) {
                    return Err(EINVAL);
                }
                (slot.start.max(at), slot.end.min(end))
            };
            holes |= from > at;
            self.collapse_part(from, to)?;
            at = to;
        }
        if holes { Err(ENOMEM) } else { Ok(()) }
    }

    /// [`Self::collapse`] within one mapping.
    fn collapse_part(&self, from: usize, to: usize) -> Result {
        let (first, last) = (from.checked_next_multiple_of(PMD_SIZE).ok_or(EINVAL)?, to & !(PMD_SIZE - 1));
        // As Linux: less than would have a whole one in it.
        if first > last {
            return Err(EINVAL);
        }
        let mut result = Ok(());
        for at in (first..last).step_by(PMD_SIZE) {
            match self.collapse_one(at) {
                Ok(()) => {}
                Err(error @ (ENOMEM | EINTR)) => return Err(error),
                failed => result = failed,
            }
        }
        result
    }

    fn collapse_one(&self, at: usize) -> Result {
        let room = {
            let _inner = self.inner.read();
            self.table.room(at)
        };
        match room {
            Room::Huge => return Ok(()),
            Room::Free => return Err(EINVAL),
            Room::Table => {}
        }
        let Some(block) = block_for_collapse(Effort::Direct) else {
            stat::add(Item::ThpCollapseFailed, 1);
            return Err(ENOMEM);
        };
        stat::add(Item::ThpCollapseAlloc, 1);
        self.make_own(at, crate::throttle::dies)?;
        let inner = self.inner.write();
        let slot = inner.areas.containing(at).ok_or(EINVAL)?;
        // It may be another mapping by now.
        if !self.could_be_huge(&slot.value, slot.start, slot.end) || span(at, slot.start, slot.end).is_none() {
            return Err(EINVAL);
        }
        match self.table.join_huge(at, block, slot.value.flags.prot()) {
            Joined::Done => Ok(()),
            Joined::Busy => Err(EAGAIN),
            Joined::Unfit => Err(EINVAL),
        }
    }

    /// Makes the pages of the 2 MB at `at` that the program cannot write at once its own, as its writes would: what is in swap
    /// space comes back, what it shares with a child is copied. EINVAL if it may not write there, ENOMEM; EINTR if `stops` says so.
    fn make_own(&self, at: usize, stops: impl Fn() -> bool) -> Result {
        for addr in (at..at + PMD_SIZE).step_by(PAGE_SIZE) {
            // What comes back from swap space may have to be copied still.
            for _ in 0..8 {
                if self.make_one_own(addr)? {
                    break;
                }
                if stops() {
                    return Err(EINTR);
                }
            }
        }
        Ok(())
    }

    /// One step of [`Self::make_own`] for one page; whether there is nothing more to be done.
    fn make_one_own(&self, addr: usize) -> Result<bool> {
        let inner = self.inner.read();
        let entry = self.table.query(addr);
        if entry.swap().is_none() && (!entry.is_present() || entry.is_special() || entry.is_writable()) {
            return Ok(true);
        }
        let slot = inner.areas.containing(addr).ok_or(EINVAL)?;
        if !self.could_be_huge(&slot.value, slot.start, slot.end) || !slot.value.flags.any(VmFlags::WRITE) {
            return Err(EINVAL);
        }
        match self.resolve(Area::of(slot), addr, true, entry.is_present()) {
            Ok(_) => Ok(false),
            Err(FaultSignal::OutOfMemory) => Err(ENOMEM),
            Err(_) => Err(EINVAL),
        }
    }
}
