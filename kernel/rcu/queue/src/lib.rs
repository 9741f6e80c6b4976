// SPDX-License-Identifier: GPL-2.0
//! What waits for a grace period: entries that each drop or call something once, in per-CPU lists of chunks. `rcu_defer` fills the
//! lists and takes them. Lock: `QUEUE` (per CPU, interrupts off, innermost).

#![no_std]

use core::mem::MaybeUninit;
use kalloc::flags::{__GFP_NOWARN, GFP_ATOMIC};
use kalloc::{Arc, KBox};
use locking::SpinLock;
use x86_cpu::percpu::{CpuId, MAX_CPUS};

/// Entries of a chunk: it fills a page.
const CHUNK: usize = 254;
/// Something to be done once. It is lost if it is only dropped.
///
/// # Invariants
/// `drop` is sound to call once with `data`, on any thread.
pub struct Entry {
    data: *mut (),
    drop: unsafe fn(*mut ()),
}

struct Chunk {
    next: Option<KBox<Chunk>>,
    len: usize,
    /// The first `len` are initialised.
    entries: [MaybeUninit<Entry>; CHUNK],
}

struct Queue {
    head: Option<KBox<Chunk>>,
    count: usize,
}

// SAFETY: Entries may be dropped on any thread (`Entry`'s invariant).
unsafe impl Send for Entry {}

x86_cpu::percpu! {
    static QUEUE: SpinLock<Queue> = SpinLock::new(Queue { head: None, count: 0 });
}

impl Entry {
    /// Drops a reference.
    pub fn of_arc<T: Send + Sync + 'static>(arc: Arc<T>) -> Self {
        /// # Safety
        /// `data` is from `Arc::<T>::into_raw` and is passed once.
        unsafe fn drop_arc<T>(data: *mut ()) {
            // SAFETY: `data` came from `Arc::<T>::into_raw` below, once.
            drop(unsafe { Arc::<T>::from_raw(data.cast_const().cast()) });
        }
        Self { data: Arc::into_raw(arc).cast_mut().cast(), drop: drop_arc::<T> }
    }

    /// Drops a box.
    pub fn of_box<T: Send + 'static>(value: KBox<T>) -> Self {
        /// # Safety
        /// `data` is from `KBox::<T>::into_raw` and is passed once.
        unsafe fn drop_box<T>(data: *mut ()) {
            // SAFETY: `data` came from `KBox::<T>::into_raw` below, once.
            drop(unsafe { KBox::<T>::from_raw(data.cast()) });
        }
        Self { data: KBox::into_raw(value).cast(), drop: drop_box::<T> }
    }

    /// Calls a function.
    pub fn of_call<F: FnOnce() + Send + 'static>(f: KBox<F>) -> Self {
        /// # Safety
        /// `data` is from `KBox::<F>::into_raw` and is passed once.
        unsafe fn run<F: FnOnce()>(data: *mut ()) {
            // SAFETY: `data` came from `KBox::<F>::into_raw` below, once.
            let f = unsafe { KBox::<F>::from_raw(data.cast()) };
            KBox::into_inner(f)();
        }
        Self { data: KBox::into_raw(f).cast(), drop: run::<F> }
    }

    /// Waits for a grace period, then does it. May sleep.
    pub fn finish(self) {
        rcu_grace::synchronize();
        // SAFETY: A grace period has passed since the entry was made.
        unsafe { self.run() };
    }

    /// Does it.
    ///
    /// # Safety
    /// A grace period has passed since the entry was made: readers may have had what it drops.
    unsafe fn run(self) {
        // SAFETY: `Entry`'s invariant; this is the one call, as it takes the value.
        unsafe { (self.drop)(self.data) };
    }
}

impl Queue {
    /// Room for one entry in the first chunk, or the entry back when there is no memory.
    fn push(&mut self, entry: Entry) -> Result<(), Entry> {
        if self.head.as_ref().is_none_or(|c| c.len == CHUNK) {
            let Ok(mut chunk) = KBox::<Chunk>::new_uninit(GFP_ATOMIC | __GFP_NOWARN) else {
                return Err(entry);
            };
            let fields = chunk.as_mut_ptr();
            // SAFETY: The box is ours and large enough; in place, since a chunk is too large for the stack. The entries need
            // no value (`MaybeUninit`), so with these two the chunk is initialised.
            let chunk = unsafe {
                (&raw mut (*fields).next).write(self.head.take());
                (&raw mut (*fields).len).write(0);
                chunk.assume_init()
            };
            self.head = Some(chunk);
        }
        if let Some(chunk) = self.head.as_deref_mut()
            && let Some(slot) = chunk.entries.get_mut(chunk.len)
        {
            slot.write(entry);
            chunk.len += 1;
            self.count += 1;
        }
        Ok(())
    }
}

/// Puts an entry into this CPU's list: whether that worked (else the entry), and how many are in the list.
#[inline]
pub fn push(entry: Entry) -> (Result<(), Entry>, usize) {
    let guard = x86_cpu::irqflags::IrqGuard::new();
    let mut queue = QUEUE.this_racy().lock_irqsave();
    let result = queue.push(entry);
    let count = queue.count;
    drop(queue);
    drop(guard);
    (result, count)
}

/// All that was in the lists.
pub struct Batch([Option<KBox<Chunk>>; MAX_CPUS]);

/// Empties the lists.
pub fn take_all() -> Batch {
    let mut batch: [Option<KBox<Chunk>>; MAX_CPUS] = [const { None }; MAX_CPUS];
    for (cpu, slot) in batch.iter_mut().enumerate() {
        if let Some(queue) = QUEUE.on(cpu as CpuId) {
            let mut queue = queue.lock_irqsave();
            *slot = queue.head.take();
            queue.count = 0;
        }
    }
    Batch(batch)
}

impl Batch {
    /// Waits for a grace period, then does everything; returns how many entries there were. May sleep.
    pub fn finish(self) -> u64 {
        rcu_grace::synchronize();
        let mut done = 0;
        for mut list in self.0 {
            while let Some(mut chunk) = list {
                let len = chunk.len;
                for entry in chunk.entries.iter().take(len) {
                    // SAFETY: The first `len` entries are initialised, and each is read once: the chunk is freed right after. A
                    // grace period has passed since they were made: `synchronize` began after the lists were taken.
                    unsafe { entry.assume_init_read().run() };
                    done += 1;
                }
                list = chunk.next.take();
            }
        }
        done
    }
}
