// SPDX-License-Identifier: GPL-2.0
//! `BiasedRwSemaphore<T>`: an [`RwSemaphore`] for locks that many CPUs take for reading at once and few for writing (address spaces).
//!
//! A semaphore's readers meet on the cache line of its count. While the semaphore is biased a reader writes its address into a word of
//! its own CPU instead, and nothing that others write. A writer takes the bias away and waits until no CPU has the address any more.
//! The idea is Dice's and Kogan's ("BRAVO", USENIX ATC 2019); there the words are one table, here each CPU has a line of them.
//!
//! The bias comes when readers have met often, so a semaphore that nobody shares pays a load and a test; after a writer took it away
//! they have to meet more often first. A reader may leave on another CPU than it came on, and may sleep in between: its guard knows the
//! word. Where a CPU's words are taken (readers that sleep) the semaphore itself is used, which is always right.
//!
//! Who writes what first: a reader its word, then it looks at the bias; a writer the bias, then it looks at the words. One sees the
//! other. A reader that leaves clears its word, then it looks whether a writer waits; a writer says that it waits, then it looks.

use crate::rwsem::{RwReadGuard, RwSemaphore, RwWriteGuard};
use crate::wait::WaitQueue;
use core::marker::PhantomData;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use x86_cpu::{CpuId, MAX_CPUS};

/// Words of a CPU: a cache line.
const WORDS: usize = 8;

x86_cpu::percpu! {
    /// Addresses of biased semaphores that readers have who came on this CPU; 0 is free.
    static READERS: [AtomicUsize; WORDS] = [const { AtomicUsize::new(0) }; WORDS];
}

/// Readers that must meet before there is a bias, and how many more after a writer took it away.
const WARM: i32 = 16;
const COOL: i32 = -64;
/// What a wait for a writer counts as, for a reader who can do without the semaphore.
const WAITED: i32 = 8;

/// A value with shared and exclusive access; waiters sleep.
///
/// # Invariants
/// `biased` is set only by a holder of shared access through `inner`, and `draining` is not 0 from before it is cleared until no reader
/// is in who came by it. Exclusive access is had with `inner` held for writing, and `biased` false and `draining` 0 or all words looked
/// at since `biased` was false.
pub struct BiasedRwSemaphore<T> {
    inner: RwSemaphore<T>,
    biased: AtomicBool,
    /// Meetings of readers.
    heat: AtomicI32,
    /// Writers that wait for words to be cleared.
    draining: AtomicU32,
    drained: WaitQueue,
}

impl<T> BiasedRwSemaphore<T> {
    /// A free semaphore. The caller's place is its class for the lock-order checker.
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self {
            inner: RwSemaphore::new(value),
            biased: AtomicBool::new(false),
            heat: AtomicI32::new(0),
            draining: AtomicU32::new(0),
            drained: WaitQueue::new(),
        }
    }

    /// Takes it for reading; sleeps while a writer has it or waits for it.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> BiasedReadGuard<'_, T> {
        if let Some(word) = self.enter() {
            task::might_sleep();
            self.inner.notes().acquire();
            return BiasedReadGuard { lock: self, word: Some(word), not_send: PhantomData };
        }
        self.by_count(self.inner.read())
    }

    /// As [`Self::read`], by the count in any case, for who can do without the semaphore if that is worth it: `often` is called, with
    /// the semaphore held, when readers have met often or waited for writers.
    #[inline]
    #[track_caller]
    pub fn read_counted(&self, often: impl FnOnce(&T)) -> BiasedReadGuard<'_, T> {
        let waited = self.inner.read_counted();
        let guard = BiasedReadGuard { lock: self, word: None, not_send: PhantomData };
        if (waited || self.inner.is_shared()) && self.is_often(waited) {
            often(&guard);
        }
        guard
    }

    /// Takes it for reading if that needs no waiting.
    #[inline]
    pub fn try_read(&self) -> Option<BiasedReadGuard<'_, T>> {
        if let Some(word) = self.enter() {
            self.inner.notes().acquired();
            return Some(BiasedReadGuard { lock: self, word: Some(word), not_send: PhantomData });
        }
        self.inner.try_read().map(|guard| self.by_count(guard))
    }

    /// As [`RwSemaphore::try_read_beside`]: writers that wait keep nobody out here.
    pub fn try_read_beside(&self) -> Option<BiasedReadGuard<'_, T>> {
        self.inner.try_read_beside().map(|guard| self.by_count(guard))
    }

    /// Takes it for writing; sleeps while anybody has it.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> RwWriteGuard<'_, T> {
        task::might_sleep();
        self.inner.notes().acquire();
        if self.may_have_biased_readers() {
            // Before the count is taken, so that it stays open to `try_read_beside` while readers are waited for.
            self.take_bias_away();
        }
        let guard = self.inner.write_noted();
        if self.may_have_biased_readers() {
            // A reader was quick; none can set it again now. Or another writer still waits for readers.
            self.take_bias_away();
        }
        guard
    }

    /// The value, through exclusive access.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    /// Whether readers leave the count alone at the moment.
    pub fn is_biased(&self) -> bool {
        self.biased.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Comes in as a reader without the count, if there is a bias and a free word.
    #[inline(always)]
    fn enter(&self) -> Option<&'static AtomicUsize> {
        if self.biased.load(Ordering::Relaxed) { self.enter_biased() } else { None }
    }

    fn enter_biased(&self) -> Option<&'static AtomicUsize> {
        let address = self.address();
        // The caller may be moved to another CPU: then the line is another's for once.
        let words = READERS.this_racy();
        let first = (address >> 6 ^ address >> 12) % WORDS;
        let (low, high) = words.split_at(first);
        for word in high.iter().chain(low).take(3) {
            if word.load(Ordering::Relaxed) != 0
                || word.compare_exchange(0, address, Ordering::SeqCst, Ordering::Relaxed).is_err()
            {
                continue;
            }
            if self.biased.load(Ordering::SeqCst) {
                return Some(word);
            }
            self.leave(word);
            return None;
        }
        None
    }

    #[inline]
    fn leave(&self, word: &'static AtomicUsize) {
        word.store(0, Ordering::SeqCst);
        if self.draining.load(Ordering::SeqCst) != 0 {
            self.drained.wake_up_all();
        }
    }

    /// A reader that is counted: looks whether readers meet.
    #[inline(always)]
    fn by_count<'a>(&'a self, guard: RwReadGuard<'a, T>) -> BiasedReadGuard<'a, T> {
        core::mem::forget(guard);
        if self.inner.is_shared() {
            self.met();
        }
        BiasedReadGuard { lock: self, word: None, not_send: PhantomData }
    }

    /// Shared access is had through the count, and others have it too.
    #[cold]
    #[inline(never)]
    fn met(&self) {
        // Counts that are lost only put it off.
        let heat = self.heat.load(Ordering::Relaxed).saturating_add(1);
        self.heat.store(heat, Ordering::Relaxed);
        if heat >= WARM && !self.inner.is_awaited() && self.draining.load(Ordering::Relaxed) == 0 {
            self.heat.store(0, Ordering::Relaxed);
            self.biased.store(true, Ordering::SeqCst);
        }
    }

    /// As [`Self::met`], for a reader who needs no bias: whether that was often enough.
    #[cold]
    #[inline(never)]
    fn is_often(&self, waited: bool) -> bool {
        let heat = self.heat.load(Ordering::Relaxed).saturating_add(if waited { WAITED } else { 1 });
        let often = heat >= WARM;
        self.heat.store(if often { 0 } else { heat }, Ordering::Relaxed);
        often
    }

    /// Whether readers may be in who came by the bias, which may have gone since. (Who takes it away says that he waits before, so in this
    /// order nothing is missed.)
    #[inline(always)]
    fn may_have_biased_readers(&self) -> bool {
        self.biased.load(Ordering::SeqCst) || self.draining.load(Ordering::SeqCst) != 0
    }

    /// Ends the bias, and waits until no reader is in who came by it.
    #[cold]
    #[inline(never)]
    fn take_bias_away(&self) {
        let address = self.address();
        self.draining.fetch_add(1, Ordering::SeqCst);
        self.biased.store(false, Ordering::SeqCst);
        self.heat.store(COOL, Ordering::Relaxed);
        for word in (0..MAX_CPUS as CpuId).filter_map(|cpu| READERS.on(cpu)).flatten() {
            if word.load(Ordering::SeqCst) == address {
                self.drained.wait_until(|| word.load(Ordering::SeqCst) != address);
            }
        }
        self.draining.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Shared access.
#[must_use]
pub struct BiasedReadGuard<'a, T> {
    lock: &'a BiasedRwSemaphore<T>,
    /// Where the semaphore's address is; `None`: this reader is counted.
    word: Option<&'static AtomicUsize>,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: Sharing a guard shares `&T` only.
unsafe impl<T: Sync> Sync for BiasedReadGuard<'_, T> {}

impl<T> Deref for BiasedReadGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: This reader is counted, or a word says that it is in and it saw the bias after that: by the invariant of the
        // semaphore no writer is in.
        unsafe { self.lock.inner.value() }
    }
}

impl<T> Drop for BiasedReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.inner.notes().release();
        match self.word {
            Some(word) => self.lock.leave(word),
            None => self.lock.inner.put_reader(),
        }
    }
}
