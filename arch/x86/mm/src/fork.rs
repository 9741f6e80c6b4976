// SPDX-License-Identifier: GPL-2.0
//! Copying a range of one address space into another: pages are shared, and private ones lose write access in both, so that
//! the first write copies. One pass over the entries; the child's tables are private until it runs and need no lock.

use crate::huge::{Found, is_whole};
use crate::swap::SwapEntry;
use crate::table::{Counts, Kind, PageTable, TableLock, part, scan};
use crate::tlb;
use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::ENOMEM};
use kalloc::flags::{__GFP_MOVABLE, __GFP_NOWARN, GFP_ATOMIC};
use mm_alloc::kpt::bits;
use mm_alloc::layout::TASK_SIZE;
use mm_alloc::page::get_frame;
use mm_alloc::{Frame, Page, PageFlags};
use x86_pte::OWN;

impl PageTable {
    /// Maps in `child` what is mapped here in `[start, end)`. With `cow` writes copy from now on, in both. The caller holds
    /// `mm`'s lock exclusively, nobody uses `child` yet, and [`PageTable::flush_all`] follows after the last range with `cow`.
    /// ENOMEM leaves `child` to be dropped; this table stays valid.
    pub fn fork_range(&self, child: &PageTable, start: usize, end: usize, cow: bool) -> Result {
        let end = end.min(TASK_SIZE);
        let mut result = Ok(());
        let mut counts: Counts = [0; 5];
        self.for_each_found(start.min(end), end, |found, at, stop| {
            if result.is_err() {
                return true;
            }
            let Found::Table(source) = found else {
                if !is_whole(at, stop) {
                    return false;
                }
                return self.fork_huge(child, at, cow, &mut counts).unwrap_or_else(|error| {
                    result = Err(error);
                    true
                });
            };
            let from = part(source, at, stop);
            let mut to: &'static [AtomicU64] = &[];
            let mut made: Option<&'static Frame> = None;
            let mut copied = 0;
            let _lock = TableLock::take(source);
            let lazy = counts[Kind::Lazy as usize];
            scan(from, |i, from, value| {
                if to.is_empty() && result.is_ok() {
                    // The child's table is made when there is something to put in. Its allocation must not sleep.
                    match child.make(at) {
                        Ok(target) => {
                            made = Some(target);
                            to = part(target, at, stop);
                        }
                        Err(error) => result = Err(error),
                    }
                }
                if let Some(to) = to.get(i).filter(|_| result.is_ok()) {
                    match copy_entry(from, to, value, cow, &mut counts) {
                        true => copied += 1,
                        false => result = Err(ENOMEM),
                    }
                }
            });
            if let Some(target) = made {
                target.entries().fetch_add(copied, Ordering::Relaxed);
                if counts[Kind::Lazy as usize] != lazy {
                    target.lazy().store(1, Ordering::Relaxed);
                }
            }
            true
        });
        child.count_all(&counts);
        result
    }

    /// Makes every CPU forget the user half.
    pub fn flush_all(&self) {
        tlb::flush_range(self, 0, TASK_SIZE, false);
    }
}

/// Shares one page with the child. False if it has too many users, or could not be copied.
#[inline(always)]
fn copy_entry(from: &AtomicU64, to: &AtomicU64, mut value: u64, cow: bool, counts: &mut Counts) -> bool {
    if value & bits::SPECIAL == 0 {
        // SAFETY: An entry that is not special holds a reference to a frame, and the table's lock keeps it.
        let frame = unsafe { Frame::of_phys(value & bits::ADDR) };
        if cow && value & OWN != 0 && frame.ref_count() > 1 && Kind::of(frame) == Kind::Anon {
            // SAFETY: As above.
            return unsafe { copy_pinned(frame, to, value, counts) };
        }
        // SAFETY: As above: the parent's entry is a reference.
        unsafe { get_frame(frame) };
        counts[Kind::of(frame) as usize] += 1;
        if value & bits::LAZY != 0 {
            value = copied_lazy(from, cow, counts);
        } else if cow && value & OWN != 0 {
            from.fetch_and(!OWN, Ordering::Relaxed);
            value &= !OWN;
        }
    } else if !copied_special(value, counts) {
        return false;
    }
    to.store(value, Ordering::Relaxed);
    true
}

/// Private memory that can be written, or could be, has one entry: who else has a reference is about to read or write it for the program (a transfer
/// that goes on). So the page stays the parent's, writable, and the child gets a copy at once; were it shared, the parent's next write
/// would leave the page, and what the transfer brings, to the child. False without memory.
///
/// # Safety
/// The frame stays meanwhile.
#[cold]
#[inline(never)]
unsafe fn copy_pinned(frame: &'static Frame, to: &AtomicU64, value: u64, counts: &mut Counts) -> bool {
    // SAFETY: As the caller promises; the reference is added for the handle.
    let from = unsafe {
        get_frame(frame);
        Page::from_frame(frame)
    };
    // Under the table's lock nobody can wait for memory.
    let Ok(copy) = Page::alloc(GFP_ATOMIC | __GFP_NOWARN | __GFP_MOVABLE) else { return false };
    copy.copy_from(&from);
    copy.set(PageFlags::ANON);
    to.store(value & !(bits::ADDR | bits::LAZY) | copy.phys(), Ordering::Relaxed);
    // The entry's reference.
    copy.into_frame();
    counts[Kind::Anon as usize] += 1;
    true
}

/// What the child gets of an entry with the mark of `MADV_FREE`: what was written up to now is in it.
#[cold]
#[inline(never)]
fn copied_lazy(from: &AtomicU64, cow: bool, counts: &mut Counts) -> u64 {
    counts[Kind::Lazy as usize] += 1;
    let taken = if cow { OWN } else { 0 };
    from.fetch_and(!taken, Ordering::AcqRel) & !taken
}

/// Counts a copied entry that has no page. False if its place has too many users.
#[cold]
#[inline(never)]
fn copied_special(value: u64, counts: &mut Counts) -> bool {
    let Some(swap) = SwapEntry::from_bits(value) else { return true };
    let counted = crate::swap::duplicate(swap);
    counts[Kind::Swap as usize] += i64::from(counted);
    counted
}
