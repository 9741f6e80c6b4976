// SPDX-License-Identifier: GPL-2.0
//! `ArcSlot`: a shared place that holds an `Arc` or nothing, from which any CPU may take a copy.
//!
//! One word; its lowest bit is a spin lock held only while a count is raised or the pointer exchanged, with preemption off. So
//! two CPUs meet on it only when they use the same slot at the same moment, and what is taken out is dropped by whoever took
//! it, at once (a file's release must happen in `close`, not a grace period later). Callers: the table of open files, credentials.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicUsize, Ordering};
use kalloc::Arc;
use x86_cpu::asm::cpu_relax;
use x86_cpu::preempt::{PreemptGuard, preempt_disable};

const LOCKED: usize = 1;

/// A place for an `Option<Arc<T>>`. Any context but NMI; a slot that hard interrupts use must be used with them off elsewhere.
///
/// # Invariants
/// Without its lowest bit the word is 0 or came from `Arc::into_raw`, and the slot owns that reference. The lowest bit of a
/// value's address is 0 (checked at compile time), and it is set only by the CPU that is inside `with_lock`.
pub struct ArcSlot<T> {
    word: AtomicUsize,
    owns: PhantomData<Arc<T>>,
}

// SAFETY: The slot hands `Arc<T>`s between threads, so it needs what `Arc<T>` needs for that.
unsafe impl<T: Send + Sync> Send for ArcSlot<T> {}
// SAFETY: As above; access to the word is serialised by its lock bit.
unsafe impl<T: Send + Sync> Sync for ArcSlot<T> {}

impl<T> ArcSlot<T> {
    const ALIGNED: () = assert!(align_of::<T>() > 1, "the lowest address bit is the lock");

    /// An empty slot.
    pub const fn empty() -> Self {
        let () = Self::ALIGNED;
        Self { word: AtomicUsize::new(0), owns: PhantomData }
    }

    /// A slot that holds `value`.
    pub fn new(value: Option<Arc<T>>) -> Self {
        let () = Self::ALIGNED;
        Self { word: AtomicUsize::new(into_word(value)), owns: PhantomData }
    }

    /// Whether nothing is there at this moment.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.word.load(Ordering::Relaxed) & !LOCKED == 0
    }

    /// A copy of what is there. An empty slot is found without writing to memory.
    #[inline(always)]
    pub fn get(&self) -> Option<Arc<T>> {
        self.get_pinned(&preempt_disable())
    }

    /// As [`Self::get`], for a caller that has preemption off already.
    #[inline(always)]
    pub fn get_pinned(&self, _pinned: &PreemptGuard) -> Option<Arc<T>> {
        let mut word = self.word.load(Ordering::Relaxed) & !LOCKED;
        if word == 0 {
            return None;
        }
        if self.word.compare_exchange(word, word | LOCKED, Ordering::Acquire, Ordering::Relaxed).is_err() {
            word = self.lock_slow();
            if word == 0 {
                self.word.store(word, Ordering::Release);
                return None;
            }
        }
        // SAFETY: By the type invariant the word is a reference the slot owns, and it stays while the lock bit is held.
        let copy = Arc::from(unsafe { Arc::borrow_raw(core::ptr::with_exposed_provenance(word)) });
        self.word.store(word, Ordering::Release);
        Some(copy)
    }

    /// Puts `value` there and gives back what was there.
    #[inline]
    pub fn swap(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        let new = into_word(value);
        let _preempt = preempt_disable();
        let old = self.lock_slow();
        self.word.store(new, Ordering::Release);
        // SAFETY: The slot owned `old`, and gave it up under the lock bit.
        unsafe { from_word(old) }
    }

    /// Puts `value` into an empty slot; gives it back if the slot is in use.
    pub fn set_if_empty(&self, value: Arc<T>) -> Result<(), Arc<T>> {
        let _preempt = preempt_disable();
        let old = self.lock_slow();
        if old != 0 {
            self.word.store(old, Ordering::Release);
            return Err(value);
        }
        self.word.store(into_word(Some(value)), Ordering::Release);
        Ok(())
    }

    /// Empties the slot.
    #[inline]
    pub fn take(&self) -> Option<Arc<T>> {
        self.swap(None)
    }

    /// Sets the lock bit and returns the word without it.
    #[cold]
    #[inline(never)]
    fn lock_slow(&self) -> usize {
        loop {
            let word = self.word.load(Ordering::Relaxed) & !LOCKED;
            if self.word.compare_exchange_weak(word, word | LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return word;
            }
            cpu_relax();
        }
    }
}

fn into_word<T>(value: Option<Arc<T>>) -> usize {
    value.map_or(0, |arc| Arc::into_raw(arc).expose_provenance())
}

/// # Safety
/// `word` is 0 or came from `into_word`, and the reference is given up by its former owner.
unsafe fn from_word<T>(word: usize) -> Option<Arc<T>> {
    // SAFETY: By the contract.
    (word != 0).then(|| unsafe { Arc::from_raw(core::ptr::with_exposed_provenance(word)) })
}

impl<T> Drop for ArcSlot<T> {
    fn drop(&mut self) {
        // SAFETY: The slot owns the word, nobody else has the slot any more.
        drop(unsafe { from_word::<T>(*self.word.get_mut()) });
    }
}

impl<T> Default for ArcSlot<T> {
    fn default() -> Self {
        Self::empty()
    }
}
