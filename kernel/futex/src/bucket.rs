// SPDX-License-Identifier: GPL-2.0
//! The hash table of waiters. A waiter is on at most one bucket; who takes it off (under the bucket's lock) says so in `place`
//! before it wakes the task, so a waiter that finds `place` empty was woken and owes nobody a look at the bucket.
//!
//! A bucket counts its waiters outside of the lock: a wake-up of a futex that nobody waits for takes no lock. The waiter counts
//! itself, then (locked) reads the word; the waker's program changed the word, then the waker reads the count. Both have a
//! full barrier in between, so one of them sees the other.

use crate::pi::Target;
use containers::{RBTree, RBTreeNode};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};
use errno::Result;
use errno::code::EINVAL;
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::{SpinGuard, SpinLock};
use mm::FutexKey;
use task::{State, Task};

const BUCKETS: usize = 1024;

/// One waiting task's entry in a bucket.
pub(crate) struct Entry {
    pub(crate) key: FutexKey,
    bits: u32,
    task: Arc<Task>,
    waiter: Arc<Waiter>,
    /// It waits to be moved to a futex with priority inheritance (`FUTEX_WAIT_REQUEUE_PI`), and nothing else may move it.
    pi: Option<Arc<Target>>,
}

type Node = RBTreeNode<u64, Option<Entry>>;

/// What a task waits with; made at its first wait on a futex and used again.
pub(crate) struct Waiter {
    /// Bucket number + 1; 0: not waiting (any more).
    place: AtomicU32,
    /// Key within the bucket.
    order: AtomicU64,
    /// The node, while it is on no bucket.
    node: SpinLock<Option<Node>>,
}

impl Waiter {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let node = RBTreeNode::new(0, None, GFP_KERNEL)?;
        let waiter = Self { place: AtomicU32::new(0), order: AtomicU64::new(0), node: SpinLock::new(Some(node)) };
        Ok(Arc::new(waiter, GFP_KERNEL)?)
    }

    /// Whether a wake-up took it off.
    #[inline]
    pub(crate) fn woken(&self) -> bool {
        self.place.load(SeqCst) == 0
    }
}

/// A bucket's waiters in the order of their arrival.
pub(crate) struct Queue {
    index: usize,
    /// Number of the next waiter; in a bucket they come in this order.
    order: u64,
    waiters: RBTree<u64, Option<Entry>>,
}

#[repr(align(64))]
struct Bucket {
    count: AtomicU32,
    queue: SpinLock<Queue>,
}

static TABLE: [Bucket; BUCKETS] = [const {
    Bucket { count: AtomicU32::new(0), queue: SpinLock::new(Queue { index: 0, order: 1, waiters: RBTree::new() }) }
}; BUCKETS];

/// The bucket of a key.
#[inline]
pub(crate) fn index_of(key: &FutexKey) -> usize {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let word = match *key {
        FutexKey::Private { mm, addr } => mm.wrapping_mul(MULTIPLIER) ^ addr as u64 >> 2,
        FutexKey::Shared { mapping, index, offset } => {
            (mapping as u64 ^ index.rotate_left(20)).wrapping_mul(MULTIPLIER) ^ offset as u64 >> 2
        }
    };
    (word.wrapping_mul(MULTIPLIER) >> (64 - BUCKETS.trailing_zeros())) as usize
}

#[inline]
fn bucket(index: usize) -> &'static Bucket {
    // The mask keeps it in range, so the check is compiled away.
    &TABLE[index & (BUCKETS - 1)]
}

/// Locks a bucket.
#[inline]
pub(crate) fn lock(index: usize) -> SpinGuard<'static, Queue> {
    let mut queue = bucket(index).queue.lock();
    queue.index = index;
    queue
}

/// Announces a waiter: from here on wake-ups look into the bucket. Undone by [`Queue::take`] or [`retreat`].
#[inline]
pub(crate) fn announce(index: usize) {
    bucket(index).count.fetch_add(1, SeqCst);
}

/// Takes an announcement back.
pub(crate) fn retreat(index: usize) {
    bucket(index).count.fetch_sub(1, Relaxed);
}

impl Queue {
    /// Puts the current task's (announced) waiter in.
    pub(crate) fn insert(
        &mut self,
        waiter: &Arc<Waiter>,
        task: Arc<Task>,
        key: FutexKey,
        bits: u32,
        pi: Option<Arc<Target>>,
    ) {
        if let Some(mut node) = waiter.node.lock().take() {
            *node.key_value_mut().1 = Some(Entry { key, bits, task, waiter: waiter.clone(), pi });
            self.link(node, waiter);
        }
    }

    fn link(&mut self, mut node: Node, waiter: &Waiter) {
        let order = self.order;
        self.order = order.wrapping_add(1);
        *node.key_value_mut().0 = order;
        waiter.order.store(order, Relaxed);
        waiter.place.store(self.index as u32 + 1, SeqCst);
        self.waiters.insert(node);
    }

    /// The order number of the next waiter from `from` on that `key` and `bits` mean.
    fn next(&self, from: u64, key: &FutexKey, bits: u32) -> Option<u64> {
        self.waiters
            .iter_from(&from)
            .find(|(_, entry)| entry.as_ref().is_some_and(|e| e.key == *key && e.bits & bits != 0))
            .map(|(order, _)| *order)
    }

    /// The first waiter of `key`: its order number, and where it wants to be moved.
    pub(crate) fn first_target(&self, key: &FutexKey) -> Option<(u64, Option<Arc<Target>>)> {
        let order = self.next(0, key, MATCH)?;
        Some((order, self.target(order)))
    }

    fn target(&self, order: u64) -> Option<Arc<Target>> {
        self.waiters.get(&order).and_then(|entry| entry.as_ref()).and_then(|entry| entry.pi.clone())
    }

    /// Takes a waiter off and marks it as woken; its task is still to be woken.
    pub(crate) fn take(&mut self, order: u64) -> Option<Arc<Task>> {
        let mut node = self.waiters.remove_node(&order)?;
        let Entry { task, waiter, .. } = node.key_value_mut().1.take()?;
        *waiter.node.lock() = Some(node);
        retreat(self.index);
        waiter.place.store(0, SeqCst);
        Some(task)
    }

    /// Wakes up to `count` waiters. `EINVAL` at one that waits for priority inheritance.
    pub(crate) fn wake(&mut self, key: &FutexKey, count: usize, bits: u32) -> Result<usize> {
        let (mut woken, mut from) = (0, 0);
        while woken < count
            && let Some(order) = self.next(from, key, bits)
        {
            from = order;
            if self.target(order).is_some() {
                return Err(EINVAL);
            }
            if let Some(task) = self.take(order) {
                task.wake(State::NORMAL);
                woken += 1;
            }
        }
        Ok(woken)
    }

    /// Moves up to `count` waiters of `from` over to `to`, which is in `other` (or here, if `None`). `EINVAL` as for `wake`.
    pub(crate) fn requeue(
        &mut self,
        from: &FutexKey,
        to: FutexKey,
        mut other: Option<&mut Queue>,
        count: usize,
    ) -> Result<usize> {
        let (mut moved, mut at) = (0, 0);
        // Waiters that went to this same bucket come later and are not met again.
        let end = self.order;
        while moved < count
            && let Some(order) = self.next(at, from, MATCH)
            && order < end
        {
            at = order;
            if self.target(order).is_some() {
                return Err(EINVAL);
            }
            let Some(mut node) = self.waiters.remove_node(&order) else { continue };
            let Some(entry) = node.key_value_mut().1.as_mut() else { continue };
            entry.key = to;
            let waiter = entry.waiter.clone();
            match &mut other {
                Some(queue) => {
                    announce(queue.index);
                    queue.link(node, &waiter);
                    retreat(self.index);
                }
                None => self.link(node, &waiter),
            }
            moved += 1;
        }
        Ok(moved)
    }
}

const MATCH: u32 = crate::MATCH_ANY;

/// Wakes up to `count` waiters of `key` whose bits meet `bits`.
#[inline]
pub(crate) fn wake(key: &FutexKey, count: usize, bits: u32) -> Result<usize> {
    let index = index_of(key);
    fence(SeqCst);
    if bucket(index).count.load(Relaxed) == 0 {
        return Ok(0);
    }
    lock(index).wake(key, count, bits)
}

/// The waiter gives up waiting. False if a wake-up was faster.
pub(crate) fn cancel(waiter: &Waiter) -> bool {
    loop {
        let place = waiter.place.load(SeqCst);
        let Some(index) = (place as usize).checked_sub(1) else { return false };
        let mut queue = lock(index);
        // It may have been requeued before the lock was ours.
        if waiter.place.load(SeqCst) == place {
            return queue.take(waiter.order.load(Relaxed)).is_some();
        }
    }
}

/// Locks the buckets of two keys in order; the second is `None` if both are in one.
pub(crate) fn lock_two(a: usize, b: usize) -> (SpinGuard<'static, Queue>, Option<SpinGuard<'static, Queue>>) {
    if a == b {
        return (lock(a), None);
    }
    if a < b {
        let first = lock(a);
        let second = lock(b);
        (first, Some(second))
    } else {
        let second = lock(b);
        let first = lock(a);
        (first, Some(second))
    }
}
