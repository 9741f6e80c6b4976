// SPDX-License-Identifier: GPL-2.0
//! The thread `khugepaged`: puts pages together unasked. It goes round the address spaces that may have huge pages, some pages at
//! a time, and collapses ranges of 2 MB as `MADV_COLLAPSE` does, if they are worth it. Source:
//! `Documentation/admin-guide/mm/transhuge.rst` of Linux.
//!
//! Who ends is not to wait for it, nor to leave its memory and files to it: whoever gives an address space up as the last takes it off
//! the list, and if the thread is there just now it is told to leave, which it does after the page that it is at ([`leave`]). It
//! holds an address space neither while it sleeps nor while it looks for a block. It gives way to all others, so who waits for it lends
//! it the lowest real-time priority meanwhile.
//!
//! Locks: `LIST`, `THREAD` (spin) alone. `RUNNING` (sleeping) -> what making a thread takes.

use super::defrag::{Effort, block_for_collapse};
use super::{HugeMode, may, span};
use crate::flags::VmFlags;
use crate::mm_struct::{Mm, own_mm};
use crate::vma::Vma;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use errno::Result;
use kalloc::flags::{__GFP_NOWARN, GFP_ATOMIC};
use kalloc::{Arc, KBox, WeakArc};
use locking::SpinLock;
use mm_alloc::buddy;
use mm_alloc::huge::{Block, PAGES};
use mm_alloc::layout::PMD_SIZE;
use mm_alloc::stat::{self, Item};
use range_map::Slot;
use sync::{Mutex, WaitQueue};
use task::Task;
use x86_cpu::preempt_disable;
use x86_mm::{Census, Joined};

/// `khugepaged/defrag`: whether memory is freed for a block.
pub static DEFRAG: AtomicBool = AtomicBool::new(true);
/// `pages_to_scan`: pages looked at between two sleeps.
pub static PAGES_TO_SCAN: AtomicU32 = AtomicU32::new(8 * PAGES as u32);
/// `scan_sleep_millisecs`. Who changes it calls [`wake`].
pub static SCAN_SLEEP: AtomicU32 = AtomicU32::new(10_000);
/// `alloc_sleep_millisecs`: how long to wait once there was no block. Who changes it calls [`wake`].
pub static ALLOC_SLEEP: AtomicU32 = AtomicU32::new(60_000);
/// `max_ptes_none`: most pages of 512 that would be there only because of the collapse.
pub static MAX_NONE: AtomicU32 = AtomicU32::new(PAGES as u32 - 1);
/// `max_ptes_swap`: most pages that would have to be read from swap space.
pub static MAX_SWAP: AtomicU32 = AtomicU32::new(PAGES as u32 / 8);
/// `max_ptes_shared`: most pages that would have to be copied because somebody else has them.
pub static MAX_SHARED: AtomicU32 = AtomicU32::new(PAGES as u32 / 2);
/// `pages_collapsed`: huge mappings that it made.
pub static COLLAPSED: AtomicU64 = AtomicU64::new(0);
/// `full_scans`: times that it came to the end of its list.
pub static FULL_SCANS: AtomicU64 = AtomicU64::new(0);

/// The lowest real-time priority.
const LENT: u8 = 1;

/// Pages to be free beyond the reserve where some are copied: what each CPU may take at once.
const BATCH: usize = 64;

/// Mappings and tables looked at under one hold of an address space's lock.
const MOST_AT_ONCE: usize = 32;

/// Address spaces to look at, by number. [`VISITED`] and [`LEAVE`] belong to it.
static LIST: SpinLock<containers::XArray<WeakArc<Mm>>> = SpinLock::new(containers::XArray::new());
/// The number of the address space that the thread has a reference to; 0 for none.
static VISITED: AtomicU64 = AtomicU64::new(0);
/// Somebody waits for the thread to leave it.
static LEAVE: AtomicBool = AtomicBool::new(false);
/// The thread sleeps here.
static WORK: WaitQueue = WaitQueue::new();
/// Who waits for it to leave.
static LEFT: WaitQueue = WaitQueue::new();
/// A setting was changed: it is to look again how long to sleep.
static CHANGED: AtomicBool = AtomicBool::new(false);
/// Whether there is a thread; and the thread.
static RUNNING: Mutex<bool> = Mutex::new(false);
static THREAD: SpinLock<Option<Arc<Task>>> = SpinLock::new(None);

/// Enters an address space that may have huge pages, if it is not there yet.
#[inline]
pub(crate) fn enter(mm: &Arc<Mm>) {
    if !mm.scanned.load(Ordering::Acquire) && HugeMode::get() != HugeMode::Never {
        enter_new(mm);
    }
}

#[cold]
fn enter_new(mm: &Arc<Mm>) {
    let weak = Arc::downgrade(mm);
    let mut list = LIST.lock();
    let first = list.is_empty();
    // Without memory for the note: at another fault.
    let stored = list.store(mm.id(), weak, GFP_ATOMIC | __GFP_NOWARN).is_ok();
    drop(list);
    if stored {
        mm.scanned.store(true, Ordering::Release);
        if first {
            WORK.wake_up();
        }
    }
}

/// As [`enter`], for a fault of the current task's own.
#[cold]
#[inline(never)]
pub(super) fn enter_own(mm: &Mm) {
    if let Some(own) = own_mm().filter(|own| own.id() == mm.id()) {
        enter(&own);
    }
}

/// The address space is gone.
pub(crate) fn forget(mm: &Mm) {
    if mm.scanned.load(Ordering::Acquire) {
        let gone = LIST.lock().erase(mm.id());
        drop(gone);
    }
}

/// A task is about to drop `mm`. If nobody else has it but the thread, that is to be gone first. May sleep, for a moment.
pub(crate) fn leave(mm: &Arc<Mm>) {
    if !mm.scanned.load(Ordering::Acquire) {
        return;
    }
    let mut list = LIST.lock();
    let visited = VISITED.load(Ordering::Relaxed) == mm.id();
    if Arc::strong_count(mm) > 1 + usize::from(visited) {
        return;
    }
    // Should there be another user after all, its next fault enters it again.
    mm.scanned.store(false, Ordering::Release);
    let gone = list.erase(mm.id());
    if visited {
        LEAVE.store(true, Ordering::Relaxed);
    }
    drop(list);
    drop(gone);
    if visited {
        let thread = THREAD.lock().clone();
        let lend = |priority| thread.iter().for_each(|thread| sched::set_boost(thread, priority));
        lend(LENT);
        LEFT.wait_until(|| VISITED.load(Ordering::Acquire) != mm.id());
        lend(0);
    }
}

/// The thread's reference to an address space.
struct Visit(Option<Arc<Mm>>);

impl Visit {
    /// To the first with at least this number: the number, and the reference, if it is not gone already.
    fn begin(from: u64) -> Option<(u64, Option<Self>)> {
        let list = LIST.lock();
        let (id, weak) = list.find(from)?;
        let mm = weak.upgrade();
        if mm.is_some() {
            VISITED.store(id, Ordering::Relaxed);
        }
        Some((id, mm.map(|mm| Self(Some(mm)))))
    }

    fn mm(&self) -> Option<&Arc<Mm>> {
        self.0.as_ref().filter(|_| !LEAVE.load(Ordering::Relaxed))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        drop(self.0.take());
        let list = LIST.lock();
        VISITED.store(0, Ordering::Release);
        LEAVE.store(false, Ordering::Relaxed);
        drop(list);
        LEFT.wake_up_all();
    }
}

/// What is worth a block.
#[derive(Clone, Copy)]
struct Limits {
    none: usize,
    swapped: usize,
    shared: usize,
}

impl Limits {
    fn get() -> Self {
        let value = |limit: &AtomicU32| limit.load(Ordering::Relaxed) as usize;
        Self { none: value(&MAX_NONE), swapped: value(&MAX_SWAP), shared: value(&MAX_SHARED) }
    }

    /// Whether pages are worth it, as Linux decides; counts why not.
    fn allow(self, census: &Census) -> bool {
        let over = if census.swapped > self.swapped {
            Some(Item::ThpScanExceedSwap)
        } else if census.none > self.none {
            Some(Item::ThpScanExceedNone)
        } else if census.shared > self.shared {
            Some(Item::ThpScanExceedShare)
        } else {
            None
        };
        if let Some(item) = over {
            stat::add(item, 1);
            return false;
        }
        // Nobody reads from swap space what is not in use.
        let used = census.used != 0 && (census.swapped == 0 || census.used >= PAGES / 2);
        census.unfit == 0 && census.busy == 0 && census.writable != 0 && used
    }
}

/// While it lives the current task, which gives way to all others, does not: others' faults wait for what it does.
struct Hurry;

impl Hurry {
    fn new() -> Self {
        sched::set_boost(&task::current(), LENT);
        Self
    }
}

impl Drop for Hurry {
    fn drop(&mut self) {
        sched::set_boost(&task::current(), 0);
    }
}

/// What a look at an address space came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    /// 2 MB that are worth it.
    Worth(usize),
    /// Enough for now; where to go on.
    Enough(usize),
    /// Its end, or somebody changes it.
    End,
}

impl Mm {
    /// Looks for pages worth a block from `from` on, at `budget` pages at most. Waits for nobody.
    fn find_worth(&self, from: usize, limits: Limits, budget: &mut usize) -> Found {
        // Who wants to change the address space is not to wait until nobody else wants this CPU.
        let _stays = preempt_disable();
        let Some(inner) = self.inner.try_read() else { return Found::End };
        let (mut at, mut looks) = (from, 0);
        while let Some(slot) = inner.areas.find(at) {
            if self.dying.load(Ordering::Relaxed) || LEAVE.load(Ordering::Relaxed) {
                return Found::End;
            }
            if *budget == 0 || looks >= MOST_AT_ONCE {
                return Found::Enough(at);
            }
            at = at.max(slot.start);
            let fits = self.is_collapsible(slot);
            let first = at.checked_next_multiple_of(PMD_SIZE).filter(|_| fits).unwrap_or(slot.end);
            for place in (first..slot.end & !(PMD_SIZE - 1)).step_by(PMD_SIZE) {
                if *budget == 0 || looks >= MOST_AT_ONCE {
                    return Found::Enough(place);
                }
                *budget = budget.saturating_sub(PAGES);
                looks += 1;
                if self.table.census(place).is_some_and(|census| limits.allow(&census)) {
                    return Found::Worth(place);
                }
            }
            // For the mapping itself.
            *budget = budget.saturating_sub(1);
            looks += 1;
            at = slot.end;
        }
        Found::End
    }

    /// Whether there may be something to be done in a mapping. Where the program may not write now, no page can be written.
    fn is_collapsible(&self, slot: &Slot<KBox<Vma>>) -> bool {
        let flags = slot.value.flags;
        flags.any(VmFlags::WRITE) && may(flags) && self.could_be_huge(&slot.value, slot.start, slot.end)
    }

    /// Puts the pages of the 2 MB at `at` together in `block`, if they are still worth it; whether it did.
    fn collapse_quietly(&self, at: usize, block: Block, limits: Limits) -> bool {
        // Nor is a process to be ended for the copies: then it might wait for us to leave.
        let stops = || {
            LEAVE.load(Ordering::Relaxed) || buddy::free_pages_total() < buddy::reserve_pages().saturating_add(BATCH)
        };
        if stops() || self.make_own(at, stops).is_err() || stops() {
            return false;
        }
        let _hurry = Hurry::new();
        let inner = self.inner.write();
        let Some(slot) = inner.areas.containing(at) else { return false };
        // It is not what it was when it was looked at; what was shared and in swap space then is the program's own.
        let worth = self.table.census(at).is_some_and(|census| limits.allow(&census));
        if !self.is_collapsible(slot)
            || !worth
            || span(at, slot.start, slot.end).is_none()
            || self.dying.load(Ordering::Relaxed)
        {
            return false;
        }
        self.table.join_huge(at, block, slot.value.flags.prot()) == Joined::Done
    }
}

/// Where the thread is: in the address space with this number (0: before the first), at this address.
#[derive(Clone, Copy, Default)]
struct Hand {
    id: u64,
    at: usize,
}

/// What one step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Done,
    /// There was no block.
    NoBlock,
}

impl Hand {
    /// Goes on through one address space, until a collapse or its end.
    fn step(&mut self, budget: &mut usize) -> Step {
        let Some((id, visit)) = Visit::begin(self.id) else {
            *self = Self::default();
            FULL_SCANS.fetch_add(1, Ordering::Relaxed);
            return Step::Done;
        };
        if id != self.id {
            *self = Self { id, at: 0 };
        }
        let limits = Limits::get();
        let found = match visit.as_ref().and_then(Visit::mm) {
            Some(mm) => mm.find_worth(self.at, limits, budget),
            None => Found::End,
        };
        drop(visit);
        match found {
            Found::Enough(at) => self.at = at,
            Found::End => {
                *self = Self { id: id.saturating_add(1), at: 0 };
                *budget = budget.saturating_sub(1);
            }
            Found::Worth(at) => {
                self.at = at.saturating_add(PMD_SIZE);
                return collapse(id, at, limits);
            }
        }
        Step::Done
    }

    /// Looks at `pages_to_scan` pages, but at none twice.
    fn scan(&mut self) {
        let mut budget = PAGES_TO_SCAN.load(Ordering::Relaxed) as usize;
        let (mut rounds, mut patient) = (0, true);
        while budget != 0 && !is_unwanted() {
            if self.id == 0 {
                rounds += 1;
            }
            if rounds > 1 || LIST.lock().is_empty() {
                break;
            }
            if self.step(&mut budget) == Step::NoBlock {
                if !patient {
                    break;
                }
                patient = false;
                sleep(ALLOC_SLEEP.load(Ordering::Relaxed));
            }
        }
    }
}

/// Puts 2 MB of an address space together.
fn collapse(id: u64, at: usize, limits: Limits) -> Step {
    let effort = if DEFRAG.load(Ordering::Relaxed) { Effort::Direct } else { Effort::Light };
    let Some(block) = block_for_collapse(effort) else {
        stat::add(Item::ThpCollapseFailed, 1);
        return Step::NoBlock;
    };
    stat::add(Item::ThpCollapseAlloc, 1);
    if let Some((found, Some(visit))) = Visit::begin(id)
        && found == id
        && visit.mm().is_some_and(|mm| mm.collapse_quietly(at, block, limits))
    {
        COLLAPSED.fetch_add(1, Ordering::Relaxed);
    }
    Step::Done
}

fn is_unwanted() -> bool {
    HugeMode::get() == HugeMode::Never
}

/// Sleeps so long, or until a setting is changed.
fn sleep(millisecs: u32) {
    let deadline = ktime::now_ns().saturating_add(u64::from(millisecs) * 1_000_000);
    WORK.wait_idle_exclusive(Some(deadline), || CHANGED.swap(false, Ordering::AcqRel) || is_unwanted());
}

/// A setting was changed.
pub fn wake() {
    CHANGED.store(true, Ordering::Release);
    WORK.wake_up();
}

/// Starts the thread, or lets it end, as the mode wants it: at boot and when that is changed. EAGAIN, ENOMEM. May sleep.
pub fn start_or_stop() -> Result {
    let mut running = RUNNING.lock();
    if !is_unwanted() && !*running {
        let thread = task::kthread_run(b"khugepaged", run)?;
        sched::set_nice(&thread, 19);
        *running = true;
        let none = THREAD.lock().replace(thread);
        drop(none);
    }
    drop(running);
    WORK.wake_up();
    Ok(())
}

fn run() {
    let mut hand = Hand::default();
    freezer::set_freezable();
    loop {
        if is_unwanted() {
            let mut running = RUNNING.lock();
            // Else somebody wants it again already.
            if is_unwanted() {
                *running = false;
                let itself = THREAD.lock().take();
                drop(itself);
                return;
            }
        }
        hand.scan();
        if LIST.lock().is_empty() {
            freezer::freezable(|| WORK.wait_idle(|| is_unwanted() || !LIST.lock().is_empty()));
        } else {
            freezer::freezable(|| sleep(SCAN_SLEEP.load(Ordering::Relaxed)));
        }
    }
}

/// Looks at all of `mm` once, as the thread would; the huge mappings that were made. For tests.
#[cfg(all(CONFIG_KUNIT, CONFIG_TRANSPARENT_HUGEPAGE))]
pub(crate) fn look_at(mm: &Arc<Mm>) -> Result<usize> {
    let limits = Limits::get();
    let (mut at, mut done) = (0, 0);
    loop {
        let mut budget = PAGES;
        match mm.find_worth(at, limits, &mut budget) {
            Found::End => return Ok(done),
            Found::Enough(next) => at = next,
            Found::Worth(place) => {
                let block = block_for_collapse(Effort::Light).ok_or(errno::code::ENOMEM)?;
                done += usize::from(mm.collapse_quietly(place, block, limits));
                at = place + PMD_SIZE;
            }
        }
    }
}
