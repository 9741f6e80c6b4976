// SPDX-License-Identifier: GPL-2.0
//! Emptying an area (`swapoff`), and the address spaces that may have pages in swap space: entered when the first page leaves, or by
//! `fork` (Linux's `mmlist`).

use super::Area;
use crate::fault::FaultSignal;
use crate::mm_struct::Mm;
use crate::vma::Vma;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Result, code::*};
use kalloc::flags::{__GFP_NOWARN, GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec, WeakArc};
use locking::SpinLock;
use mm_alloc::layout::{PAGE_SHIFT, PMD_SIZE, TASK_SIZE};
use x86_mm::swap::SwapEntry;

static SWAPPED: SpinLock<containers::XArray<WeakArc<Mm>>> = SpinLock::new(containers::XArray::new());

/// The address space may have pages in swap space from now on. False without memory for the note.
pub(crate) fn note(mm: &Arc<Mm>) -> bool {
    if mm.swapped.load(Ordering::Acquire) {
        return true;
    }
    let weak = Arc::downgrade(mm);
    let noted = SWAPPED.lock().store(mm.id(), weak, GFP_ATOMIC | __GFP_NOWARN);
    if noted.is_ok() {
        mm.swapped.store(true, Ordering::Release);
    }
    noted.is_ok()
}

/// The address space is gone.
pub(crate) fn forget(mm: &Mm) {
    if mm.swapped.load(Ordering::Acquire) {
        let gone = SWAPPED.lock().erase(mm.id());
        drop(gone);
    }
}

/// The thread that empties an area; 0 for none. Of several at once the last is known.
static EMPTIER: AtomicU32 = AtomicU32::new(0);

/// Whether a task brings everything back into memory at the moment: should there be too little, it is to end before others.
pub fn is_emptying(task: &task::Task) -> bool {
    let tid = EMPTIER.load(Ordering::Relaxed);
    tid != 0 && task.tid() == tid
}

/// Brings everything back that is in an area, which was closed before. ENOMEM, EIO, and EINTR when a signal waits. May sleep.
pub fn empty(area: &Area) -> Result {
    let tid = task::current().tid();
    EMPTIER.store(tid, Ordering::Relaxed);
    let result = bring_all_back(area);
    let _ = EMPTIER.compare_exchange(tid, 0, Ordering::Relaxed, Ordering::Relaxed);
    result
}

fn bring_all_back(area: &Area) -> Result {
    let mut rounds = 0u32;
    while area.map.used() != 0 {
        let mut from = 0;
        loop {
            let found = {
                let list = SWAPPED.lock();
                list.find(from).map(|(id, weak)| (id, weak.upgrade()))
            };
            let Some((id, mm)) = found else { break };
            from = id.saturating_add(1);
            if let Some(mm) = mm {
                mm.unuse(area)?;
            }
        }
        super::shmem::unuse(area)?;
        area.drop_unused()?;
        if area.map.used() == 0 {
            break;
        }
        // What is left is on its way: a child that `fork` has not finished, a transfer.
        rounds = rounds.saturating_add(1);
        if rounds > 1 {
            ktime::sleep::sleep_ns(1_000_000);
        }
        check_signal()?;
    }
    Ok(())
}

pub(super) fn check_signal() -> Result {
    if task::current().signal_pending() { Err(EINTR) } else { Ok(()) }
}

impl Area {
    /// Drops pages of the cache that no entry names.
    fn drop_unused(&self) -> Result {
        let mut at = 0;
        while let Some(offset) = self.map.next_used(at) {
            at = offset + 1;
            if self.map.count(offset) == 0 {
                self.drop_dead(offset);
            }
            if offset & 1023 == 0 {
                check_signal()?;
            }
        }
        Ok(())
    }
}

/// Entries of one last-level table.
type Found = KVec<(usize, SwapEntry)>;

impl Mm {
    /// Calls `f` with the entries of `[start, end)`, table by table, and their mapping. The lock is held shared meanwhile. May sleep.
    fn for_each_swapped(&self, start: usize, end: usize, mut f: impl FnMut(&Vma, &Found) -> Result) -> Result {
        let mut at = start;
        let mut found: Found = KVec::with_capacity(512, GFP_KERNEL)?;
        while self.table.has_swap() {
            let inner = self.inner.read();
            let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else { break };
            let from = at.max(slot.start);
            if !slot.value.has_anon() {
                at = slot.end;
                continue;
            }
            let to = (from & !(PMD_SIZE - 1)).saturating_add(PMD_SIZE).min(slot.end).min(end);
            found.clear();
            self.table.for_each_swapped(from, to, |addr, entry| {
                // There is room for all entries of a table.
                let _ = found.push_within_capacity((addr, entry));
            });
            f(&slot.value, &found)?;
            if to == end {
                break;
            }
            at = to;
        }
        Ok(())
    }

    /// Brings back the pages that are in `area`.
    fn unuse(&self, area: &Area) -> Result {
        self.for_each_swapped(0, TASK_SIZE, |vma, found| {
            check_signal()?;
            for &(addr, entry) in found.iter().filter(|(_, entry)| entry.area == area.number) {
                match self.swap_fault(vma, addr, entry, false) {
                    Ok(_) => {}
                    Err(FaultSignal::OutOfMemory) => return Err(ENOMEM),
                    // It is being torn down: nothing to bring back.
                    Err(_) if self.dying.load(Ordering::Relaxed) => {}
                    Err(_) => return Err(EIO),
                }
            }
            Ok(())
        })
    }

    /// The part of files in memory that are mapped in `[start, end)`.
    fn read_shared_ahead(&self, start: usize, end: usize) {
        let mut at = start;
        while at < end {
            let (mapping, first, last, next) = {
                let inner = self.inner.read();
                let Some(slot) = inner.areas.find(at).filter(|slot| slot.start < end) else { return };
                let (from, to) = (slot.start.max(at), slot.end.min(end));
                let first = slot.value.pgoff_at(slot.start, from);
                let last = first.saturating_add(((to - from - 1) >> PAGE_SHIFT) as u64);
                let mapping = slot.value.mapping().filter(|mapping| mapping.is_memory()).cloned();
                (mapping, first, last, to)
            };
            if let Some(mapping) = mapping {
                mapping.read_swap_ahead(first, last);
            }
            at = next;
        }
    }

    /// Begins to read what `[start, end)` has in swap space (`MADV_WILLNEED`). ENOMEM. May sleep.
    pub(super) fn read_swap_ahead(&self, start: usize, end: usize) -> Result {
        let _plug = task_io::Plug::start();
        self.read_shared_ahead(start, end);
        self.for_each_swapped(start, end, |_, found| {
            for (_, entry) in found {
                if let Some(area) = super::area(entry.area) {
                    area.read_ahead(entry.offset);
                }
            }
            Ok(())
        })
    }
}
