// SPDX-License-Identifier: GPL-2.0
//! `munmap`, and what `mmap(MAP_FIXED)`, `mremap` and `brk` need of it. Source: `munmap(2)`.

use crate::account;
use crate::flags::VmFlags;
use crate::mm_struct::{Inner, Mm};
use crate::mmap::max_map_count;
use crate::vma::{Vma, split_uncounted};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KBox, KVec};
use mm_alloc::layout::{PAGE_MASK, TASK_SIZE, page_align};
use range_map::Slot;

/// Mappings taken out of an address space. They are dropped after its lock: a file's last reference may go with them.
pub(crate) struct Removed {
    first: Option<Slot<KBox<Vma>>>,
    more: KVec<Slot<KBox<Vma>>>,
}

impl Removed {
    pub(crate) const fn new() -> Self {
        Self { first: None, more: KVec::new() }
    }

    fn reserve(&mut self, n: usize) -> Result {
        if n > 1 || self.first.is_some() {
            self.more.reserve(n, GFP_KERNEL)?;
        }
        Ok(())
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    fn iter(&self) -> impl Iterator<Item = &Slot<KBox<Vma>>> {
        self.first.iter().chain(self.more.iter())
    }

    fn push(&mut self, slot: Slot<KBox<Vma>>) {
        if self.first.is_none() {
            self.first = Some(slot);
        } else {
            // `reserve` made room.
            let _ = self.more.push_within_capacity(slot);
        }
    }
}

impl Mm {
    /// `munmap(2)`. EINVAL, ENOMEM. May sleep.
    pub fn munmap(&self, addr: usize, len: usize) -> Result {
        let bytes = page_align(len);
        if addr & !PAGE_MASK != 0 || addr > TASK_SIZE || bytes > TASK_SIZE - addr || bytes == 0 {
            return Err(EINVAL);
        }
        let mut removed = Removed::new();
        let mut inner = self.inner.write_range(addr, addr + bytes);
        let result = self.unmap_locked(&mut inner, addr, addr + bytes, &mut removed);
        drop(inner);
        drop(removed);
        result
    }

    /// Takes `[start, end)` out of the map and the page tables. On error nothing but splits has happened.
    pub(crate) fn unmap_locked(&self, inner: &mut Inner, start: usize, end: usize, removed: &mut Removed) -> Result {
        if inner.areas.is_free(start, end) {
            return Ok(());
        }
        // As Linux: only a hole in the middle of a mapping makes one more.
        let hole = inner.areas.containing(start).is_some_and(|slot| slot.start < start && slot.end > end);
        if hole && inner.areas.len() >= max_map_count() {
            return Err(ENOMEM);
        }
        split_uncounted(&mut inner.areas, &self.table, start)?;
        split_uncounted(&mut inner.areas, &self.table, end)?;
        let index = inner.areas.index(start);
        let count = inner.areas.overlapping(start, end).count();
        removed.reserve(count)?;
        self.note_rss();
        let before = removed.len();
        inner.areas.remove_many(index, count, |slot| removed.push(slot));
        for slot in removed.iter().skip(before) {
            if slot.value.flags.any(VmFlags::ACCOUNT) {
                account::uncharge(slot.len());
            }
            self.count(inner, slot.value.flags, slot.len(), false);
        }
        // What is left and right of it is as it will be.
        inner.areas.keep_claimed(start, end);
        let floor = inner.areas.before(index).map_or(0, |slot| slot.end);
        let ceiling = inner.areas.get(index).map_or(1 << 47, |slot| slot.start);
        self.table.unmap(start, end, floor, ceiling);
        Ok(())
    }
}
