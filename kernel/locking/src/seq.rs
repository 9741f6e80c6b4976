// SPDX-License-Identifier: GPL-2.0
//! Sequence counters: readers that never write shared memory and retry when a writer was there.

use core::sync::atomic::{AtomicU32, Ordering, fence};
use spin_locks::{SpinIrqGuard, SpinLock};
use x86_cpu::asm::cpu_relax;

/// A bare sequence counter. Writers are serialised by the caller, with preemption off; what it guards is made of atomics.
pub struct SeqCount(AtomicU32);

impl SeqCount {
    /// A counter at rest.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Begins a read: spins while a writer is inside.
    #[inline(always)]
    pub fn read_begin(&self) -> u32 {
        loop {
            let s = self.0.load(Ordering::Acquire);
            if s & 1 == 0 {
                return s;
            }
            cpu_relax();
        }
    }

    /// Whether a writer came in since `start`, so that what was read must be thrown away.
    #[inline(always)]
    pub fn read_retry(&self, start: u32) -> bool {
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) != start
    }

    /// The counter's value now, even inside a write (for RCU walks that only compare).
    #[inline(always)]
    pub fn raw(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// A writer enters.
    #[inline(always)]
    pub fn write_begin(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
    }

    /// A writer leaves.
    #[inline(always)]
    pub fn write_end(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

impl Default for SeqCount {
    fn default() -> Self {
        Self::new()
    }
}

/// A sequence counter whose writers are serialised by its own spin lock (taken with interrupts off). `T` is made of atomics.
pub struct SeqLock<T> {
    seq: SeqCount,
    writers: SpinLock<()>,
    value: T,
}

impl<T: Sync> SeqLock<T> {
    /// A lock at rest.
    pub const fn new(value: T) -> Self {
        Self { seq: SeqCount::new(), writers: SpinLock::new(()), value }
    }

    /// Runs `f` until it ran without a writer in between.
    #[inline(always)]
    pub fn read<R>(&self, mut f: impl FnMut(&T) -> R) -> R {
        loop {
            let start = self.seq.read_begin();
            let result = f(&self.value);
            if !self.seq.read_retry(start) {
                return result;
            }
        }
    }

    /// Enters as the only writer; readers retry until the guard drops.
    pub fn write(&self) -> SeqWriteGuard<'_, T> {
        let guard = self.writers.lock_irqsave();
        self.seq.write_begin();
        SeqWriteGuard { lock: self, _guard: guard }
    }
}

/// The writer's access to a [`SeqLock`].
pub struct SeqWriteGuard<'a, T> {
    lock: &'a SeqLock<T>,
    _guard: SpinIrqGuard<'a, ()>,
}

impl<T> core::ops::Deref for SeqWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.lock.value
    }
}

impl<T> Drop for SeqWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.seq.write_end();
    }
}
