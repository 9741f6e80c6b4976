// SPDX-License-Identifier: GPL-2.0
//! Transparent huge pages: which faults bring in 2 MB of private memory at once. That they are mapped by one entry only the page tables
//! know (`x86_mm::huge`): everything else sees pages. Source: `Documentation/admin-guide/mm/transhuge.rst` of Linux, `madvise(2)`,
//! `prctl(2)`. No locks of its own.

use crate::fault::FaultSignal;
use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use crate::vma::{Backing, Vma};
use core::sync::atomic::{AtomicU32, Ordering};
use kalloc::KBox;
use kalloc::flags::GFP_HIGHUSER;
use mm_alloc::huge::Block;
use mm_alloc::layout::PMD_SIZE;
use mm_alloc::stat::{self, Item};
use range_map::Slot;
use x86_mm::huge::{ENABLED, Room};

/// Below so much memory there are none unless somebody asks for them, as in Linux: 512 MB.
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

    /// Makes it what is in force, for faults from now on.
    pub fn set(self) {
        MASK.store(self.mask(), Ordering::Relaxed);
    }

    const fn mask(self) -> u32 {
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

/// The flag that decides: `HUGEPAGE` if it has to be there, `NOHUGEPAGE` if it has not to be, 0 for never.
static MASK: AtomicU32 = AtomicU32::new(0);

/// Sets what is in force: `parameter` of the command line (`transparent_hugepage=`), else what the configuration says, if there is
/// memory enough. Once, at boot.
pub fn init(parameter: Option<&[u8]>) {
    if !ENABLED {
        return;
    }
    let asked = HugeMode::ALL.into_iter().find(|mode| parameter == Some(mode.name().as_bytes()));
    if parameter.is_some() && asked.is_none() {
        klog::pr_warn!("transparent_hugepage= is always, madvise or never");
    }
    let enough = mm_alloc::buddy::managed_pages() >= LEAST_MEMORY;
    asked.unwrap_or(if enough { DEFAULT } else { HugeMode::Never }).set();
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
        slot: &Slot<KBox<Vma>>,
        addr: usize,
    ) -> Option<core::result::Result<bool, FaultSignal>> {
        let from = span(addr, slot.start, slot.end)?;
        // Who cannot write reads zeros, which need no memory.
        if self.no_huge.load(Ordering::Relaxed) || !slot.value.flags.any(VmFlags::WRITE) {
            return None;
        }
        match self.table.room(from) {
            Room::Table => return None,
            // Another thread was first.
            Room::Huge => return Some(Ok(false)),
            Room::Free => {}
        }
        let Some(block) = Block::alloc_zeroed(GFP_HIGHUSER) else {
            stat::add(Item::ThpFaultFallback, 1);
            return None;
        };
        slot.value.note_anon();
        match self.table.map_huge(from, block, slot.value.flags.prot()) {
            Ok(true) => stat::add(Item::ThpFaultAlloc, 1),
            // Another thread was first, and the program faults again if that was not enough.
            Ok(false) => {}
            // The single page needs a table too, and waits for one.
            Err(_) => return None,
        }
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
        let special = VmFlags(VmFlags::IO.0 | VmFlags::DONTEXPAND.0 | VmFlags::PFNMAP.0);
        let suitable = end.checked_sub(PMD_SIZE).is_some_and(|last| span(last, start, end).is_some());
        let anon = matches!(vma.backing, Backing::Anon) && !vma.flags.any(special);
        anon && suitable && may(vma.flags) && !vma.flags.any(VmFlags::NOHUGEPAGE) && !self.huge_pages_disabled()
    }
}
