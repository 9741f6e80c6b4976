// SPDX-License-Identifier: GPL-2.0
//! Deferred drops: what must outlive today's readers waits in a per-CPU list of chunks; the thread `rcu_reclaim` takes all
//! lists, waits for a grace period and drops everything. It gathers for a while first, so that one grace period serves many.

use crate::grace::{now_ns, synchronize};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kalloc::flags::{__GFP_NOWARN, GFP_ATOMIC};
use kalloc::{Arc, KBox};
use locking::SpinLock;
use sync::WaitQueue;
use x86_cpu::percpu::{CpuId, MAX_CPUS};

/// Entries of a chunk: it fills a page.
const CHUNK: usize = 254;
/// How long entries are gathered before a grace period starts.
const GATHER_NS: u64 = 3_000_000;
/// With more than this on one CPU gathering ends early.
const PRESSURE: usize = 8192;

/// # Invariants
/// `drop` is sound to call once with `data`, on any thread.
struct Entry {
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
unsafe impl Send for Queue {}

x86_cpu::percpu! {
    static QUEUE: SpinLock<Queue> = SpinLock::new(Queue { head: None, count: 0 });
}

static WORK: WaitQueue = WaitQueue::new();
/// Something was deferred since the thread last looked.
static PENDING: AtomicBool = AtomicBool::new(false);
static HURRY: AtomicBool = AtomicBool::new(false);
static RUNNING: AtomicBool = AtomicBool::new(false);
/// Entries handed in and entries dropped, for [`barrier`].
static DEFERRED: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);
static DRAINED: WaitQueue = WaitQueue::new();

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

fn defer(entry: Entry) {
    let (result, count) = {
        let guard = x86_cpu::irqflags::IrqGuard::new();
        let mut queue = QUEUE.this_racy().lock_irqsave();
        let result = queue.push(entry);
        let count = queue.count;
        drop(queue);
        drop(guard);
        (result, count)
    };
    match result {
        Ok(()) => {
            DEFERRED.fetch_add(1, Ordering::Relaxed);
            if !PENDING.load(Ordering::Relaxed) && !PENDING.swap(true, Ordering::SeqCst) {
                WORK.wake_up();
            }
            if count > PRESSURE && !HURRY.swap(true, Ordering::SeqCst) {
                WORK.wake_up();
            }
        }
        Err(entry) => without_memory(entry),
    }
}

/// No chunk to be had. A caller that may sleep waits for the readers itself; from atomic context the object is left alone for
/// ever, which is safe and reported.
#[cold]
fn without_memory(entry: Entry) {
    if !x86_cpu::preempt::in_atomic() && !x86_cpu::irqflags::irqs_disabled() {
        synchronize();
        // SAFETY: `Entry`'s invariant; this is the one call.
        unsafe { (entry.drop)(entry.data) };
    } else {
        klog::pr_err!("rcu: out of memory in atomic context, an object is leaked");
    }
}

/// Drops `value` after a grace period. Any context but NMI. For what readers may still hold by plain reference.
pub fn defer_drop<T: Deferrable>(value: T) {
    value.defer();
}

/// What [`defer_drop`] takes: owning pointers of one word.
pub trait Deferrable {
    /// Hands the pointer over.
    fn defer(self);
}

impl<T: Send + Sync + 'static> Deferrable for Arc<T> {
    fn defer(self) {
        /// # Safety
        /// `data` is from `Arc::<T>::into_raw` and is passed once.
        unsafe fn drop_arc<T>(data: *mut ()) {
            // SAFETY: `data` came from `Arc::<T>::into_raw` below, once.
            drop(unsafe { Arc::<T>::from_raw(data.cast_const().cast()) });
        }
        // Others hold the object anyway and free it: only the last reference needs the grace period, but who is last cannot
        // be known here.
        defer(Entry { data: Arc::into_raw(self).cast_mut().cast(), drop: drop_arc::<T> });
    }
}

impl<T: Send + 'static> Deferrable for KBox<T> {
    fn defer(self) {
        /// # Safety
        /// `data` is from `KBox::<T>::into_raw` and is passed once.
        unsafe fn drop_box<T>(data: *mut ()) {
            // SAFETY: `data` came from `KBox::<T>::into_raw` below, once.
            drop(unsafe { KBox::<T>::from_raw(data.cast()) });
        }
        defer(Entry { data: KBox::into_raw(self).cast(), drop: drop_box::<T> });
    }
}

/// Calls `f` after a grace period, from a kernel thread (it may sleep). Any context but NMI (`call_rcu`).
pub fn call<F: FnOnce() + Send + 'static>(f: KBox<F>) {
    /// # Safety
    /// `data` is from `KBox::<F>::into_raw` and is passed once.
    unsafe fn run<F: FnOnce()>(data: *mut ()) {
        // SAFETY: `data` came from `KBox::<F>::into_raw` below, once.
        let f = unsafe { KBox::<F>::from_raw(data.cast()) };
        KBox::into_inner(f)();
    }
    defer(Entry { data: KBox::into_raw(f).cast(), drop: run::<F> });
}

/// Waits until everything deferred before this call is done (`rcu_barrier`). May sleep. Returns at once before
/// [`start_reclaim`].
pub fn barrier() {
    task::might_sleep();
    if !RUNNING.load(Ordering::Relaxed) {
        return;
    }
    let target = DEFERRED.load(Ordering::SeqCst);
    HURRY.store(true, Ordering::SeqCst);
    PENDING.store(true, Ordering::SeqCst);
    WORK.wake_up();
    DRAINED.wait_until(|| DONE.load(Ordering::SeqCst) >= target);
}

/// Starts the reclaiming thread. Once, when threads and timers work. May sleep.
pub fn start_reclaim() -> errno::Result {
    task::kthread_run(b"rcu_reclaim", || {
        RUNNING.store(true, Ordering::Relaxed);
        loop {
            reclaim_once();
        }
    })?;
    Ok(())
}

fn reclaim_once() {
    WORK.wait_idle(|| PENDING.load(Ordering::SeqCst));
    if let Some(now) = now_ns() {
        WORK.wait_idle_exclusive(Some(now.saturating_add(GATHER_NS)), || HURRY.load(Ordering::SeqCst));
    }
    HURRY.store(false, Ordering::SeqCst);
    PENDING.store(false, Ordering::SeqCst);
    let mut batch: [Option<KBox<Chunk>>; MAX_CPUS] = [const { None }; MAX_CPUS];
    for (cpu, slot) in batch.iter_mut().enumerate() {
        if let Some(queue) = QUEUE.on(cpu as CpuId) {
            let mut queue = queue.lock_irqsave();
            *slot = queue.head.take();
            queue.count = 0;
        }
    }
    synchronize();
    let mut done = 0;
    for list in batch {
        let mut list = list;
        while let Some(mut chunk) = list {
            let len = chunk.len;
            for entry in chunk.entries.iter().take(len) {
                // SAFETY: The first `len` entries are initialised, and each is read once: the chunk is freed right after.
                let entry = unsafe { entry.assume_init_read() };
                // SAFETY: `Entry`'s invariant; this is the one call.
                unsafe { (entry.drop)(entry.data) };
                done += 1;
            }
            list = chunk.next.take();
        }
    }
    DONE.fetch_add(done, Ordering::SeqCst);
    DRAINED.wake_up_all();
}
