// SPDX-License-Identifier: GPL-2.0
//! `Bias`: for semaphores that many CPUs take for reading at once and few for writing (address spaces).
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

use crate::rwsem::RawRwSemaphore;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use wait_queue::WaitQueue;
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

/// What a semaphore has besides if it is one of these. Each method is given the same semaphore every time.
///
/// # Invariants
/// `biased` is set only by who has shared access through the semaphore, and `draining` is not 0 from before it is cleared until no reader
/// is in who came by it. Exclusive access is had with the semaphore had for writing, and `biased` false and `draining` 0 or all words
/// looked at since `biased` was false.
pub struct Bias {
    biased: AtomicBool,
    /// Meetings of readers.
    heat: AtomicI32,
    /// Writers that wait for words to be cleared.
    draining: AtomicU32,
    drained: WaitQueue,
}

/// How a reader came in: by a word that has the bias's address, or, `None`, it is counted.
#[derive(Clone, Copy)]
pub struct Ticket(Option<&'static AtomicUsize>);

impl Bias {
    /// None yet.
    #[expect(clippy::new_without_default, reason = "made in constants, with a place")]
    #[track_caller]
    pub const fn new() -> Self {
        Self {
            biased: AtomicBool::new(false),
            heat: AtomicI32::new(0),
            draining: AtomicU32::new(0),
            drained: WaitQueue::new(),
        }
    }

    /// Takes the semaphore for reading; sleeps while a writer has it or waits for it.
    #[inline]
    #[track_caller]
    pub fn read(&self, semaphore: &RawRwSemaphore) -> Ticket {
        if let Some(word) = self.enter() {
            task::might_sleep();
            semaphore.notes().acquire();
            return Ticket(Some(word));
        }
        semaphore.read();
        self.by_count(semaphore)
    }

    /// As [`Self::read`], by the count in any case, for who can do without the semaphore if that is worth it. Whether it is, since readers
    /// have met often or waited for writers.
    #[inline]
    #[track_caller]
    pub fn read_counted(&self, semaphore: &RawRwSemaphore) -> (Ticket, bool) {
        let waited = semaphore.read_counted();
        (Ticket(None), (waited || semaphore.is_shared()) && self.is_often(waited))
    }

    /// Takes it for reading if that needs no waiting.
    #[inline]
    pub fn try_read(&self, semaphore: &RawRwSemaphore) -> Option<Ticket> {
        if let Some(word) = self.enter() {
            semaphore.notes().acquired();
            return Some(Ticket(Some(word)));
        }
        semaphore.try_read().then(|| self.by_count(semaphore))
    }

    /// As [`RawRwSemaphore::try_read_beside`]: writers that wait keep nobody out here.
    pub fn try_read_beside(&self, semaphore: &RawRwSemaphore) -> Option<Ticket> {
        semaphore.try_read_beside().then(|| self.by_count(semaphore))
    }

    /// Gives shared access back. By the reader that came so.
    #[inline]
    pub fn read_done(&self, semaphore: &RawRwSemaphore, Ticket(word): Ticket) {
        semaphore.notes().release();
        match word {
            Some(word) => self.leave(word),
            None => semaphore.put_reader(),
        }
    }

    /// Takes it for writing; sleeps while anybody has it.
    #[inline]
    #[track_caller]
    pub fn write(&self, semaphore: &RawRwSemaphore) {
        task::might_sleep();
        semaphore.notes().acquire();
        if self.may_have_biased_readers() {
            // Before the count is taken, so that it stays open to `try_read_beside` while readers are waited for.
            self.take_bias_away();
        }
        semaphore.write_noted();
        if self.may_have_biased_readers() {
            // A reader was quick; none can set it again now. Or another writer still waits for readers.
            self.take_bias_away();
        }
    }

    /// Whether readers leave the count alone at the moment.
    #[inline(always)]
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
        if self.is_biased() { self.enter_biased() } else { None }
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
    fn by_count(&self, semaphore: &RawRwSemaphore) -> Ticket {
        if semaphore.is_shared() {
            self.met(semaphore);
        }
        Ticket(None)
    }

    /// Shared access is had through the count, and others have it too.
    #[cold]
    #[inline(never)]
    fn met(&self, semaphore: &RawRwSemaphore) {
        // Counts that are lost only put it off.
        let heat = self.heat.load(Ordering::Relaxed).saturating_add(1);
        self.heat.store(heat, Ordering::Relaxed);
        if heat >= WARM && !semaphore.is_awaited() && self.draining.load(Ordering::Relaxed) == 0 {
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
