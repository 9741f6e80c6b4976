// SPDX-License-Identifier: GPL-2.0
//! A processor's accesses. Source: Intel SDM volume 3, 4.5 and 4.10.

use crate::table::PageTable;
use crate::tlb::{self, Key, Translation};
use mm_alloc::kpt::bits;
use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
use mm_alloc::phys_to_virt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why an access cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Miss {
    /// Nothing is there.
    Absent,
    /// It cannot be written.
    ReadOnly,
}

/// The word at `phys`.
fn word(phys: u64) -> &'static AtomicU64 {
    // SAFETY: Memory is there for ever, and the address is aligned.
    unsafe { &*phys_to_virt(phys).cast() }
}

/// Calls `f` with the first word of the page at `addr`, and with the protection key by which the program's rights would be looked
/// up.
pub fn access<T>(table: &PageTable, addr: usize, write: bool, f: impl FnOnce(&AtomicU64, u8) -> T) -> Result<T, Miss> {
    let mut tlb = tlb::lock();
    let known = [false, true].into_iter().find_map(|huge| {
        tlb.get(Key::of(table, addr, huge))
            .filter(|found| !write || found.write && found.dirty)
            .map(|found| (found, huge))
    });
    let (found, huge) = match known {
        Some(known) => known,
        None => {
            let (found, huge) = walk(table, addr, write)?;
            tlb.insert(Key::of(table, addr, huge), found);
            (found, huge)
        }
    };
    let offset = addr & if huge { PMD_SIZE - PAGE_SIZE } else { 0 };
    Ok(f(word(found.phys + offset as u64), found.key))
}

/// Walks the tables, and marks what it uses.
fn walk(table: &PageTable, addr: usize, write: bool) -> Result<(Translation, bool), Miss> {
    let (mut phys, mut writable) = (table.pgd.phys(), true);
    for level in [3, 2, 1, 0] {
        let entry = word(phys + (addr >> (12 + 9 * level) & 511) as u64 * 8);
        loop {
            let value = entry.load(Ordering::SeqCst);
            if value & bits::PRESENT == 0 {
                return Err(Miss::Absent);
            }
            let leaf = level == 0 || value & bits::HUGE != 0;
            assert!(value & bits::USER != 0 && (!leaf || level == usize::from(value & bits::HUGE != 0)));
            let may = writable && value & bits::WRITE != 0;
            if leaf && write && !may {
                return Err(Miss::ReadOnly);
            }
            let marks = bits::ACCESSED | if leaf && write { bits::DIRTY } else { 0 };
            let marked = value | marks;
            if marked != value && entry.compare_exchange(value, marked, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                // It changed meanwhile: again.
                continue;
            }
            (phys, writable) = (value & bits::ADDR, may);
            if leaf {
                assert!(level == 0 || phys.is_multiple_of(PMD_SIZE as u64));
                let key = (value >> 59 & 15) as u8;
                let dirty = marked & bits::DIRTY != 0;
                return Ok((Translation { phys, write: may, dirty, key }, level == 1));
            }
            break;
        }
    }
    unreachable!("the last level is a leaf")
}
