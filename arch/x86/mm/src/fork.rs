// SPDX-License-Identifier: GPL-2.0
//! Copying a range of one address space into another: pages are shared, and private ones lose write access in both, so that
//! the first write copies. One pass over the entries; the child's tables are private until it runs and need no lock.

use crate::huge::{Found, is_whole};
use crate::swap::SwapEntry;
use crate::table::{Counts, Kind, PageTable, TableLock, part, scan};
use crate::tlb;
use core::sync::atomic::{AtomicU64, Ordering};
use errno::Result;
use mm_alloc::Frame;
use mm_alloc::kpt::bits;
use mm_alloc::layout::TASK_SIZE;
use mm_alloc::page::get_frame;

impl PageTable {
    /// Maps in `child` what is mapped here in `[start, end)`. With `cow` writes copy from now on, in both. The caller holds
    /// `mm`'s lock exclusively, nobody uses `child` yet, and [`PageTable::flush_all`] follows after the last range with `cow`.
    /// ENOMEM leaves `child` to be dropped; this table stays valid.
    pub fn fork_range(&self, child: &PageTable, start: usize, end: usize, cow: bool) -> Result {
        let end = end.min(TASK_SIZE);
        let mut result = Ok(());
        let mut counts: Counts = [0; 4];
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
                if let Some(to) = to.get(i) {
                    copied += 1;
                    copy_entry(from, to, value, cow, &mut counts);
                }
            });
            if let Some(target) = made {
                target.entries().fetch_add(copied, Ordering::Relaxed);
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

/// Shares one page with the child.
#[inline(always)]
fn copy_entry(from: &AtomicU64, to: &AtomicU64, mut value: u64, cow: bool, counts: &mut Counts) {
    if value & bits::SPECIAL == 0 {
        // SAFETY: An entry that is not special holds a reference to a frame, and the table's lock keeps it.
        let frame = unsafe { Frame::of_phys(value & bits::ADDR) };
        // SAFETY: As above: the parent's entry is a reference.
        unsafe { get_frame(frame) };
        counts[Kind::of(frame) as usize] += 1;
        if cow && value & bits::WRITE != 0 {
            from.fetch_and(!bits::WRITE, Ordering::Relaxed);
            value &= !bits::WRITE;
        }
    } else {
        copied_special(value, counts);
    }
    to.store(value, Ordering::Relaxed);
}

/// Counts a copied entry that has no page.
#[cold]
#[inline(never)]
fn copied_special(value: u64, counts: &mut Counts) {
    if let Some(swap) = SwapEntry::from_bits(value) {
        crate::swap::duplicate(swap);
        counts[Kind::Swap as usize] += 1;
    }
}
