// SPDX-License-Identifier: GPL-2.0
//! Where blocks of 2 MB come from, and how much is done for one: the file `defrag`. There is no compaction, so what can be done is to
//! put together what CPUs keep for themselves, and to free cached pages of files where little memory is free. Source:
//! `Documentation/admin-guide/mm/transhuge.rst` of Linux. No locks.

use crate::flags::VmFlags;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use kalloc::flags::{__GFP_IO, GFP_HIGHUSER_MOVABLE};
use mm_alloc::buddy;
use mm_alloc::huge::{Block, PAGES};
use mm_alloc::reclaim::RECLAIM;

/// For which mappings a fault does more than to take a block that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum HugeDefrag {
    /// For all a fault frees memory itself.
    Always,
    /// For all `kswapd` is woken.
    Defer,
    /// For mappings with `MADV_HUGEPAGE` a fault frees memory itself, for others `kswapd` is woken.
    DeferMadvise,
    /// For mappings with `MADV_HUGEPAGE` a fault frees memory itself.
    Madvise,
    /// For none.
    Never,
}

static MODE: AtomicU8 = AtomicU8::new(HugeDefrag::Madvise as u8);

impl HugeDefrag {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Always, Self::Defer, Self::DeferMadvise, Self::Madvise, Self::Never];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Defer => "defer",
            Self::DeferMadvise => "defer+madvise",
            Self::Madvise => "madvise",
            Self::Never => "never",
        }
    }

    /// What is in force.
    pub fn get() -> Self {
        let mode = MODE.load(Ordering::Relaxed);
        Self::ALL.into_iter().find(|other| *other as u8 == mode).unwrap_or(Self::Never)
    }

    /// Makes it what is in force, for faults from now on.
    pub fn set(self) {
        MODE.store(self as u8, Ordering::Relaxed);
    }

    /// What a fault in a mapping with these flags does.
    fn effort(self, flags: VmFlags) -> Effort {
        match (self, flags.any(VmFlags::HUGEPAGE)) {
            (Self::Always, _) | (Self::DeferMadvise | Self::Madvise, true) => Effort::Direct,
            (Self::Defer, _) | (Self::DeferMadvise, false) => Effort::Wake,
            (Self::Madvise, false) | (Self::Never, _) => Effort::Light,
        }
    }
}

/// What is done for a block if there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effort {
    /// Nothing.
    Light,
    /// `kswapd` is woken, for the next one.
    Wake,
    /// The caller frees memory, and waits for that.
    Direct,
}

/// A block for a fault in a mapping with these flags.
pub(super) fn block_for_fault(flags: VmFlags) -> Option<Block> {
    Block::alloc_zeroed(GFP_HIGHUSER_MOVABLE).or_else(|| block_after(HugeDefrag::get().effort(flags), true))
}

/// A block for pages that are put together, whose program does not wait for it.
pub(super) fn block_for_collapse(effort: Effort) -> Option<Block> {
    Block::alloc_zeroed(GFP_HIGHUSER_MOVABLE).or_else(|| block_after(effort, false))
}

/// Times that faults went without freeing memory since that was last of no use, and the binary logarithm of how many are to: what
/// was of no use just now is of none for the next fault, and costs the caches each time.
static SKIPPED: AtomicU32 = AtomicU32::new(0);
static SKIPS: AtomicU32 = AtomicU32::new(0);
/// As many as 64.
const MOST_SKIPS: u32 = 6;

/// There was no block. `defers`: not now either if it was of no use lately.
#[cold]
#[inline(never)]
fn block_after(effort: Effort, defers: bool) -> Option<Block> {
    match effort {
        Effort::Light => return None,
        Effort::Wake => {
            crate::reclaim::wake_kswapd();
            return None;
        }
        Effort::Direct => {}
    }
    let skips = SKIPS.load(Ordering::Relaxed).min(MOST_SKIPS);
    if defers && skips != 0 && SKIPPED.fetch_add(1, Ordering::Relaxed) < 1 << skips {
        return None;
    }
    SKIPPED.store(0, Ordering::Relaxed);
    let block = free_some().then(|| Block::alloc_zeroed(GFP_HIGHUSER_MOVABLE)).flatten();
    SKIPS.store(if block.is_some() { 0 } else { (skips + 1).min(MOST_SKIPS) }, Ordering::Relaxed);
    block
}

/// Puts together what CPUs keep of pages, and if little memory is free takes a block's worth of pages of files; whether it did. What
/// other programs have in memory is not sent to swap space for a block. May sleep.
fn free_some() -> bool {
    let short = buddy::free_pages_total() < buddy::reserve_pages().saturating_add(2 * PAGES);
    let flags = GFP_HIGHUSER_MOVABLE & !__GFP_IO;
    // However little is asked for, what CPUs keep is put together first.
    RECLAIM.get().is_some_and(|reclaimer| {
        reclaimer.reclaim(if short { PAGES } else { 0 }, flags);
        true
    })
}

#[cfg(CONFIG_KUNIT)]
#[macros::kunit_tests(mm_huge_defrag)]
mod tests {
    use super::*;

    #[test]
    fn who_waits() {
        let efforts = |mode: HugeDefrag| (mode.effort(VmFlags::HUGEPAGE), mode.effort(VmFlags::NONE));
        assert_eq!(efforts(HugeDefrag::Always), (Effort::Direct, Effort::Direct));
        assert_eq!(efforts(HugeDefrag::Defer), (Effort::Wake, Effort::Wake));
        assert_eq!(efforts(HugeDefrag::DeferMadvise), (Effort::Direct, Effort::Wake));
        assert_eq!(efforts(HugeDefrag::Madvise), (Effort::Direct, Effort::Light));
        assert_eq!(efforts(HugeDefrag::Never), (Effort::Light, Effort::Light));
    }
}
