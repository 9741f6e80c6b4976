// SPDX-License-Identifier: GPL-2.0
//! Numbers that are in use, as bits: `kernel::id_pool`. Growing is done by the caller, who can allocate outside of locks.
//!
//! ```
//! use kernel::id_pool::IdPool;
//!
//! let mut pool = IdPool::with_capacity(64, GFP_KERNEL)?;
//! let first = pool.find_unused_id(0).ok_or(ENOSPC)?.acquire();
//! let second = pool.find_unused_id(0).ok_or(ENOSPC)?.acquire();
//! assert_eq!((first, second), (0, 1));
//! pool.release_id(first);
//! assert_eq!(pool.find_unused_id(0).map(|id| id.as_usize()), Some(0));
//! # Ok::<(), Error>(())
//! ```

use kalloc::{AllocError, Flags};
use kernel_raw::bitmap::BitmapVec;

/// A pool of numbers.
pub struct IdPool {
    map: BitmapVec,
}

/// Memory for a pool that grows or shrinks.
pub struct PoolResizer {
    new: BitmapVec,
}

/// A number that is free, and may be taken.
#[must_use]
pub struct UnusedId<'pool> {
    id: usize,
    pool: &'pool mut IdPool,
}

impl IdPool {
    /// A pool of as many numbers as need no memory.
    pub fn new() -> Self {
        Self { map: BitmapVec::new_inline() }
    }

    /// A pool of at least `num_ids` numbers.
    pub fn with_capacity(num_ids: usize, flags: Flags) -> Result<Self, AllocError> {
        Ok(Self { map: BitmapVec::new(num_ids.max(BitmapVec::MAX_INLINE_LEN), flags)? })
    }

    /// How many numbers it has.
    pub fn capacity(&self) -> usize {
        self.map.len()
    }

    /// How many would do, if that is much less.
    #[must_use]
    pub fn shrink_request(&self) -> Option<ReallocRequest> {
        let capacity = self.capacity();
        if capacity <= BitmapVec::MAX_INLINE_LEN {
            return None;
        }
        let used = self.map.last_bit().map_or(0, |last| last + 1);
        if used >= capacity / 4 {
            return None;
        }
        Some(ReallocRequest { num_ids: (capacity / 2).max(BitmapVec::MAX_INLINE_LEN) })
    }

    /// Moves into less memory, if what is used fits.
    pub fn shrink(&mut self, mut resizer: PoolResizer) {
        if self.map.last_bit().is_some_and(|last| last >= resizer.new.len()) {
            return;
        }
        resizer.new.copy_and_extend(&self.map);
        self.map = resizer.new;
    }

    /// Twice as many; `None` at the end.
    #[must_use]
    pub fn grow_request(&self) -> Option<ReallocRequest> {
        let num_ids = self.capacity().checked_mul(2).filter(|n| *n <= BitmapVec::MAX_LEN)?;
        Some(ReallocRequest { num_ids })
    }

    /// Moves into more memory.
    pub fn grow(&mut self, mut resizer: PoolResizer) {
        if resizer.new.len() > self.capacity() {
            resizer.new.copy_and_extend(&self.map);
            self.map = resizer.new;
        }
    }

    /// The lowest free number at or after `offset`.
    #[must_use]
    pub fn find_unused_id(&mut self, offset: usize) -> Option<UnusedId<'_>> {
        let id = self.map.next_zero_bit(offset)?;
        Some(UnusedId { id, pool: self })
    }

    /// Gives a number back.
    pub fn release_id(&mut self, id: usize) {
        self.map.clear_bit(id);
    }
}

impl Default for IdPool {
    fn default() -> Self {
        Self::new()
    }
}

impl UnusedId<'_> {
    /// Takes it.
    pub fn acquire(self) -> usize {
        self.pool.map.set_bit(self.id);
        self.id
    }

    /// The number.
    pub fn as_usize(&self) -> usize {
        self.id
    }

    /// The number.
    pub fn as_u32(&self) -> u32 {
        // A bitmap has no more than an `i32` counts.
        self.id as u32
    }
}

/// How much memory a pool wants.
pub struct ReallocRequest {
    num_ids: usize,
}

impl ReallocRequest {
    /// Allocates it.
    pub fn realloc(&self, flags: Flags) -> Result<PoolResizer, AllocError> {
        Ok(PoolResizer { new: BitmapVec::new(self.num_ids, flags)? })
    }
}
