// SPDX-License-Identifier: GPL-2.0
//! `Ida`: the numbers in the names of devices of a kind (Linux's `ida`). The lowest free one is given out, as an [`Id`] that gives it
//! back when it is dropped. The last one gives the memory back, too: a static of a module is never dropped. Lock: its own (sleeping),
//! innermost.

use containers::IdPool;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use sync::Mutex;

/// The numbers of a kind of devices: a static of its driver.
pub struct Ida(Mutex<IdPool>);

impl Ida {
    /// All numbers are free.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "the lock's class is its place")]
    pub const fn new() -> Self {
        Self(Mutex::new(IdPool::new()))
    }

    /// Takes the lowest free number below `end`. `ENOSPC`, `ENOMEM`. May sleep.
    pub fn alloc(&'static self, end: u32) -> Result<Id> {
        Ok(Id { number: self.0.lock().alloc(0, end, GFP_KERNEL)?, ida: self })
    }
}

/// A number that is taken. Dropping it gives the number back, and may sleep.
pub struct Id {
    number: u32,
    ida: &'static Ida,
}

impl Id {
    /// The number.
    pub fn get(&self) -> u32 {
        self.number
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        let mut pool = self.ida.0.lock();
        pool.free(self.number);
        let unused = (pool.count() == 0).then(|| core::mem::take(&mut *pool));
        drop(pool);
        drop(unused);
    }
}

#[macros::kunit_tests(device_ida)]
mod tests {
    use super::*;
    use errno::code::ENOSPC;

    static NUMBERS: Ida = Ida::new();

    #[test]
    fn lowest_first() -> Result {
        let first = NUMBERS.alloc(3)?;
        let second = NUMBERS.alloc(3)?;
        let third = NUMBERS.alloc(3)?;
        assert_eq!((first.get(), second.get(), third.get()), (0, 1, 2));
        assert_eq!(NUMBERS.alloc(3).map(|id| id.get()), Err(ENOSPC));
        drop(second);
        assert_eq!(NUMBERS.alloc(3).map(|id| id.get()), Ok(1));
        assert_eq!(NUMBERS.alloc(u32::MAX).map(|id| id.get()), Ok(1));
        Ok(())
    }

    #[test]
    fn the_last_gives_the_memory_back() -> Result {
        static NUMBERS: Ida = Ida::new();
        let (first, second) = (NUMBERS.alloc(9)?, NUMBERS.alloc(9)?);
        drop(first);
        assert_ne!(NUMBERS.0.lock().room(), 0);
        drop(second);
        assert_eq!(NUMBERS.0.lock().room(), 0);
        assert_eq!(NUMBERS.alloc(9)?.get(), 0);
        Ok(())
    }
}
