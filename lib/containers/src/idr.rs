// SPDX-License-Identifier: GPL-2.0
//! `IdPool`: which numbers are in use; `Idr`: numbers with values. Pids, descriptors and minor numbers come from here.
//! Bits in words, with a summary bit for each full word, so that the lowest free number of a full pool of 32768 is found
//! in a few steps. No locks: the owner's lock guards it.

use crate::XArray;
use crate::bitmap::{clear_bit, find_next_bit, find_next_zero_bit, set_bit, test_bit};
use errno::{Result, code::*};
use kalloc::{Flags, KVec};

/// A set of numbers in use.
#[derive(Default)]
pub struct IdPool {
    used: KVec<u64>,
    /// Bit `n`: word `n` of `used` is full.
    full: KVec<u64>,
    count: u32,
}

impl IdPool {
    /// A pool with all numbers free.
    pub const fn new() -> Self {
        Self { used: KVec::new(), full: KVec::new(), count: 0 }
    }

    /// How many numbers are in use.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many numbers there is memory for.
    pub fn room(&self) -> usize {
        self.used.len() * 64
    }

    /// Whether `id` is in use.
    #[inline]
    pub fn is_used(&self, id: u32) -> bool {
        test_bit(&self.used, id as usize)
    }

    /// The lowest free number in `min..end`.
    pub fn first_free(&self, min: u32, end: u32) -> Option<u32> {
        let (min, end) = (min as usize, end as usize);
        if min >= end {
            return None;
        }
        let have = self.used.len() * 64;
        if min >= have {
            return Some(min as u32);
        }
        // The word of `min` itself, then the first word that is not full.
        let word_end = (min / 64 + 1) * 64;
        let found = find_next_zero_bit(&self.used, word_end, min).or_else(|| {
            let word = find_next_zero_bit(&self.full, self.used.len(), word_end / 64)?;
            find_next_zero_bit(&self.used, have, word * 64)
        });
        let id = found.unwrap_or(have);
        (id < end).then_some(id as u32)
    }

    /// Takes the lowest free number in `min..end`. `ENOSPC` if there is none, `ENOMEM`.
    pub fn alloc(&mut self, min: u32, end: u32, flags: Flags) -> Result<u32> {
        let id = self.first_free(min, end).ok_or(ENOSPC)?;
        self.mark(id, flags)?;
        Ok(id)
    }

    /// Takes the next free number at or after `*cursor`, wrapping from `end` to `min`, and moves the cursor behind it:
    /// how pids are given out. `ENOSPC` if there is none, `ENOMEM`.
    pub fn alloc_cyclic(&mut self, cursor: &mut u32, min: u32, end: u32, flags: Flags) -> Result<u32> {
        let start = if (min..end).contains(cursor) { *cursor } else { min };
        let id = self.first_free(start, end).or_else(|| self.first_free(min, start)).ok_or(ENOSPC)?;
        self.mark(id, flags)?;
        *cursor = id.saturating_add(1);
        Ok(id)
    }

    /// Takes exactly `id`. `EBUSY` if it is in use, `ENOMEM`.
    pub fn take(&mut self, id: u32, flags: Flags) -> Result {
        if self.is_used(id) {
            return Err(EBUSY);
        }
        self.mark(id, flags)
    }

    fn mark(&mut self, id: u32, flags: Flags) -> Result {
        let word = id as usize / 64;
        if word >= self.used.len() {
            // `full` first: if the second fails, the sets still agree.
            let words = (word + 1).next_power_of_two();
            self.full.resize(words.div_ceil(64), 0, flags)?;
            self.used.resize(words, 0, flags)?;
        }
        set_bit(&mut self.used, id as usize);
        if self.used.get(word) == Some(&u64::MAX) {
            set_bit(&mut self.full, word);
        }
        self.count += 1;
        Ok(())
    }

    /// Gives a number back; returns whether it was in use.
    pub fn free(&mut self, id: u32) -> bool {
        let was = clear_bit(&mut self.used, id as usize);
        if was {
            clear_bit(&mut self.full, id as usize / 64);
            self.count -= 1;
        }
        was
    }

    /// The first number in use at or after `from`.
    pub fn next_used(&self, from: u32) -> Option<u32> {
        find_next_bit(&self.used, self.used.len() * 64, from as usize).and_then(|id| u32::try_from(id).ok())
    }
}

/// Numbers with values.
#[derive(Default)]
pub struct Idr<T> {
    ids: IdPool,
    values: XArray<T>,
}

impl<T> Idr<T> {
    /// An empty table.
    pub const fn new() -> Self {
        Self { ids: IdPool::new(), values: XArray::new() }
    }

    /// Gives `value` the lowest free number in `min..end`. `ENOSPC`, `ENOMEM`.
    pub fn alloc(&mut self, value: T, min: u32, end: u32, flags: Flags) -> Result<u32> {
        let id = self.ids.alloc(min, end, flags)?;
        self.fill(id, value, flags)
    }

    /// Gives `value` the next free number (see `IdPool::alloc_cyclic`). `ENOSPC`, `ENOMEM`.
    pub fn alloc_cyclic(&mut self, value: T, cursor: &mut u32, min: u32, end: u32, flags: Flags) -> Result<u32> {
        let id = self.ids.alloc_cyclic(cursor, min, end, flags)?;
        self.fill(id, value, flags)
    }

    /// Gives `value` exactly the number `id`. `EBUSY`, `ENOMEM`.
    pub fn insert(&mut self, id: u32, value: T, flags: Flags) -> Result<u32> {
        self.ids.take(id, flags)?;
        self.fill(id, value, flags)
    }

    fn fill(&mut self, id: u32, value: T, flags: Flags) -> Result<u32> {
        match self.values.store(id.into(), value, flags) {
            Ok(_) => Ok(id),
            Err(e) => {
                self.ids.free(id);
                Err(e.into())
            }
        }
    }

    /// The value of `id`.
    #[inline]
    pub fn find(&self, id: u32) -> Option<&T> {
        self.values.load(id.into())
    }

    /// The value of `id`.
    pub fn find_mut(&mut self, id: u32) -> Option<&mut T> {
        self.values.load_mut(id.into())
    }

    /// Frees `id` and returns its value.
    pub fn remove(&mut self, id: u32) -> Option<T> {
        let value = self.values.erase(id.into())?;
        self.ids.free(id);
        Some(value)
    }

    /// The first number in use at or after `from`, with its value.
    pub fn next(&self, from: u32) -> Option<(u32, &T)> {
        let (id, value) = self.values.find(from.into())?;
        Some((u32::try_from(id).ok()?, value))
    }

    /// How many numbers are in use.
    pub fn count(&self) -> u32 {
        self.ids.count()
    }

    /// All numbers in use with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.values.iter().filter_map(|(id, value)| Some((u32::try_from(id).ok()?, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kalloc::flags::GFP_KERNEL;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn lowest_free(ops in proptest::collection::vec((0u32..3, 0u32..300, 0u32..400), 0..400)) {
            let mut pool = IdPool::new();
            let mut set = BTreeSet::new();
            for (kind, a, b) in ops {
                match kind {
                    0 => {
                        let want = (a..b).find(|i| !set.contains(i));
                        prop_assert_eq!(pool.alloc(a, b, GFP_KERNEL).ok(), want);
                        set.extend(want);
                    }
                    1 => prop_assert_eq!(pool.free(a), set.remove(&a)),
                    _ => prop_assert_eq!(pool.take(b, GFP_KERNEL).is_ok(), set.insert(b)),
                }
                prop_assert_eq!(pool.count() as usize, set.len());
                prop_assert_eq!(pool.next_used(a), set.range(a..).next().copied());
            }
        }
    }

    #[test]
    fn full_then_holes() {
        let mut pool = IdPool::new();
        for i in 0..32768 {
            assert_eq!(pool.alloc(0, 32768, GFP_KERNEL), Ok(i));
        }
        assert_eq!(pool.alloc(0, 32768, GFP_KERNEL), Err(ENOSPC));
        pool.free(20001);
        assert_eq!(pool.alloc(3, 32768, GFP_KERNEL), Ok(20001));
        assert_eq!(pool.first_free(0, u32::MAX), Some(32768));
    }

    #[test]
    fn cyclic_wraps() {
        let mut idr = Idr::new();
        let mut cursor = 0;
        for want in [1, 2, 3, 4] {
            assert_eq!(idr.alloc_cyclic(want, &mut cursor, 1, 5, GFP_KERNEL), Ok(want));
        }
        assert_eq!(idr.alloc_cyclic(0, &mut cursor, 1, 5, GFP_KERNEL), Err(ENOSPC));
        assert_eq!(idr.remove(2), Some(2));
        assert_eq!(idr.remove(2), None);
        assert_eq!(idr.alloc_cyclic(9, &mut cursor, 1, 5, GFP_KERNEL), Ok(2));
        assert_eq!((idr.find(2), idr.count()), (Some(&9), 4));
        assert_eq!(idr.insert(2, 1, GFP_KERNEL), Err(EBUSY));
        assert_eq!(idr.next(3), Some((3, &3)));
        assert!(idr.iter().map(|(id, _)| id).eq(1..5));
    }
}
