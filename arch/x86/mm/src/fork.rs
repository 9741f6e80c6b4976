// SPDX-License-Identifier: GPL-2.0
//! Copying a range of one address space into another: pages are shared, and private ones lose write access in both, so that
//! the first write copies. One pass over the entries; the child's tables are private until it runs and need no lock.

use crate::table::{Counts, Kind, PageTable, Table, TableLock, index, table_at};
use crate::tlb;
use core::sync::atomic::Ordering;
use errno::Result;
use mm_alloc::Frame;
use mm_alloc::kpt::bits;
use mm_alloc::layout::{PAGE_SIZE, TASK_SIZE};
use mm_alloc::page::get_frame;

impl PageTable {
    /// Maps in `child` what is mapped here in `[start, end)`. With `cow` writes copy from now on, in both. The caller holds
    /// `mm`'s lock exclusively, nobody uses `child` yet, and [`PageTable::flush_all`] follows after the last range with `cow`.
    /// ENOMEM leaves `child` to be dropped; this table stays valid.
    pub fn fork_range(&self, child: &PageTable, start: usize, end: usize, cow: bool) -> Result {
        let end = end.min(TASK_SIZE);
        let mut result = Ok(());
        let mut counts: Counts = [0; 3];
        self.for_each_table(start.min(end), end, |source, at, stop| {
            if result.is_err() {
                return;
            }
            // SAFETY: A last-level table of ours.
            let from = unsafe { table_at(source.phys()) };
            if from.iter().skip(index(at, 0)).take((stop - at) / PAGE_SIZE).all(|e| e.load(Ordering::Relaxed) == 0) {
                return;
            }
            match child.make(at) {
                Ok(target) => {
                    let _lock = TableLock::take(source);
                    // SAFETY: A last-level table of the child.
                    let to = unsafe { table_at(target.phys()) };
                    copy_entries(from, to, index(at, 0), (stop - at) / PAGE_SIZE, cow, &mut counts);
                }
                Err(error) => result = Err(error),
            }
        });
        child.count_all(&counts);
        result
    }

    /// Makes every CPU forget the user half.
    pub fn flush_all(&self) {
        tlb::flush_range(self, 0, TASK_SIZE, false);
    }
}

#[inline]
fn copy_entries(from: &'static Table, to: &'static Table, first: usize, count: usize, cow: bool, counts: &mut Counts) {
    for (from, to) in from.iter().zip(to).skip(first).take(count) {
        let mut value = from.load(Ordering::Relaxed);
        if value == 0 {
            continue;
        }
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
        }
        to.store(value, Ordering::Relaxed);
    }
}
