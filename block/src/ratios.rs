// SPDX-License-Identifier: GPL-2.0
//! `DirtyRatios`: what a disk has of the memory that may be dirty, in percent (`/sys/class/bdi/*/{min,max}_ratio`). The page cache asks
//! for it. Lock: `ALL` (sleeping), alone.

use core::sync::atomic::{AtomicU32, Ordering::*};
use errno::{Result, code::EINVAL};
use sync::Mutex;

/// A disk's part.
pub struct DirtyRatios {
    min: AtomicU32,
    max: AtomicU32,
}

/// Serialises changes.
static ALL: Mutex<()> = Mutex::new(());
/// Sum of all that is promised.
static ALL_MIN: AtomicU32 = AtomicU32::new(0);

impl DirtyRatios {
    pub(crate) const fn new() -> Self {
        Self { min: AtomicU32::new(0), max: AtomicU32::new(100) }
    }

    /// What it has for sure, and at most.
    pub fn get(&self) -> (u32, u32) {
        (self.min.load(Relaxed), self.max.load(Relaxed))
    }

    /// What all disks have for sure.
    pub fn all_min() -> u32 {
        ALL_MIN.load(Relaxed)
    }

    /// Promises it `percent`. EINVAL: more than its most, or everything would be promised. May sleep.
    pub fn set_min(&self, percent: u32) -> Result {
        let _one = ALL.lock();
        let (old, max) = self.get();
        let others = Self::all_min().saturating_sub(old);
        if percent > max || others.saturating_add(percent) >= 100 {
            return Err(EINVAL);
        }
        self.min.store(percent, Relaxed);
        ALL_MIN.fetch_add(percent.wrapping_sub(old), Relaxed);
        Ok(())
    }

    /// Lets it have `percent` at most. EINVAL: more than 100, or less than it was promised. May sleep.
    pub fn set_max(&self, percent: u32) -> Result {
        let _one = ALL.lock();
        if percent > 100 || percent < self.get().0 {
            return Err(EINVAL);
        }
        self.max.store(percent, Relaxed);
        Ok(())
    }
}

impl Drop for DirtyRatios {
    fn drop(&mut self) {
        // Without the lock, as this may be anywhere: a promise that fails meanwhile may be asked for again.
        ALL_MIN.fetch_sub(*self.min.get_mut(), Relaxed);
    }
}

#[macros::kunit_tests(block_ratios)]
mod tests {
    use super::DirtyRatios;
    use errno::code::EINVAL;

    #[test]
    fn promises_are_kept_and_given_back() {
        let before = DirtyRatios::all_min();
        let (one, other) = (DirtyRatios::new(), DirtyRatios::new());
        assert_eq!(one.get(), (0, 100));
        assert_eq!(one.set_max(101), Err(EINVAL));
        assert_eq!((one.set_max(50), one.set_min(51), one.set_min(20)), (Ok(()), Err(EINVAL), Ok(())));
        assert_eq!((one.set_max(19), one.get()), (Err(EINVAL), (20, 50)));
        // Not everything can be promised.
        assert_eq!(other.set_min(80), Err(EINVAL));
        assert_eq!(DirtyRatios::all_min(), before + 20);
        assert_eq!((one.set_min(5), DirtyRatios::all_min()), (Ok(()), before + 5));
        drop(one);
        assert_eq!(DirtyRatios::all_min(), before);
    }
}
