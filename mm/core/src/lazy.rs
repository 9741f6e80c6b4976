// SPDX-License-Identifier: GPL-2.0
//! Private memory that programs do not need any more (`MADV_FREE`): dropped when memory is short, unless it was written since. Which pages
//! those are only their entries say (`x86_mm::lazy`); a hand goes round the address spaces that have any, as for swap space, whether there
//! is any or not.
//!
//! Locks: `HAND` (spin) alone.

use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use crate::swap::ADDRESS_SPACES;
use crate::vma::{Backing, Vma};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use kalloc::Arc;
use locking::SpinLock;
use mm_alloc::stat::{self, Item};
use x86_mm::lazy::Dropped;

/// Entries, or tables without such pages, looked at in one go.
const BUDGET: usize = 256;
/// How long `kswapd` does not look again when there was nothing to be had.
const PAUSE_NS: u64 = 100_000_000;
/// Ends of the list of processes after which there is nothing to be had: a round may begin anywhere, the next one takes the marks of use
/// away, the last one takes the pages.
const MOST_ENDS: usize = 3;

/// Where the hand is: a process, and the address there.
static HAND: SpinLock<(u32, usize)> = SpinLock::new((1, 0));
/// Somebody asked for it since boot.
static ASKED: AtomicBool = AtomicBool::new(false);
/// Not before this time is it worth a look.
static NEXT_LOOK: AtomicU64 = AtomicU64::new(0);

/// Whether there may be such pages.
#[inline]
pub(crate) fn any() -> bool {
    ASKED.load(Relaxed)
}

/// Whether such pages of a mapping may go.
fn may_go(vma: &Vma) -> bool {
    let fixed = VmFlags(VmFlags::LOCKED.0 | VmFlags::PFNMAP.0 | VmFlags::IO.0);
    matches!(vma.backing, Backing::Anon) && !vma.flags.any(fixed)
}

impl Mm {
    /// The program does not need the private memory in `[start, end)`, which is in one mapping. The lock is held, shared is enough.
    pub(crate) fn free_lazily(&self, start: usize, end: usize) {
        if !any() {
            ASKED.store(true, Relaxed);
        }
        self.table.free_lazily(start, end);
    }

    /// `MADV_PAGEOUT`: what is not needed in `[start, end)` of a mapping goes at once, used or not. The lock is held, shared is enough.
    pub(crate) fn drop_lazy(&self, vma: &Vma, start: usize, end: usize) {
        if self.table.has_lazy() && may_go(vma) {
            let (mut budget, mut dropped) = (usize::MAX, Dropped::default());
            self.table.drop_lazy(start, end, &mut budget, true, &mut dropped);
        }
    }

    /// Looks at `[from, ..)`: where to go on, or `None` at the end, or if somebody changes the address space.
    fn drop_some_lazy(&self, from: usize, dropped: &mut Dropped) -> Option<usize> {
        if !self.table.has_lazy() {
            return None;
        }
        // Who holds it for reading may be waiting for what is done here.
        let inner = self.inner.try_read_beside()?;
        if self.dying.load(Relaxed) {
            return None;
        }
        self.note_rss();
        let (mut at, mut budget) = (from, BUDGET);
        while let Some(slot) = inner.areas.find(at) {
            at = at.max(slot.start);
            if budget == 0 {
                return Some(at);
            }
            at = match may_go(&slot.value) {
                true => self.table.drop_lazy(at, slot.end, &mut budget, false, dropped),
                false => slot.end,
            };
        }
        None
    }

    /// Lets the hand go round in this address space once, for tests.
    #[cfg(CONFIG_KUNIT)]
    pub(crate) fn drop_lazy_once(&self) -> Dropped {
        let (mut at, mut dropped) = (Some(0), Dropped::default());
        while let Some(from) = at {
            at = self.drop_some_lazy(from, &mut dropped);
        }
        dropped
    }
}

/// Drops pages until about `wanted` are free. Waits for no lock. `needed`: the caller has nothing else; others come again when there was nothing just before.
pub(crate) fn shrink(wanted: usize, needed: bool) -> Dropped {
    let mut dropped = Dropped::default();
    if !any() || stat::get(Item::LazyFree) == 0 || !needed && ktime::now_ns() < NEXT_LOOK.load(Relaxed) {
        return dropped;
    }
    let mut ends = 0;
    while dropped.freed < wanted && ends < MOST_ENDS {
        if !advance(&mut dropped) {
            ends += 1;
        }
    }
    if dropped.gone == 0 {
        NEXT_LOOK.store(ktime::now_ns().saturating_add(PAUSE_NS), Relaxed);
    }
    dropped
}

/// Moves the hand on by one step; false if it came to the end of the list of address spaces.
fn advance(dropped: &mut Dropped) -> bool {
    let (process, addr) = *HAND.lock();
    let mut next = None;
    let visited = ADDRESS_SPACES.get().and_then(|all| {
        all.visit(process, &mut |found, mm: &Arc<Mm>| {
            // Another process than the hand was at: from its beginning.
            next = mm.drop_some_lazy(if found == process { addr } else { 0 }, dropped);
        })
    });
    *HAND.lock() = match (visited, next) {
        (None, _) => (1, 0),
        (Some(found), Some(at)) => (found, at),
        (Some(found), None) => (found.saturating_add(1), 0),
    };
    visited.is_some()
}
