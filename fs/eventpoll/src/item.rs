// SPDX-License-Identifier: GPL-2.0
//! One watched file, and the list of items that may be ready.
//!
//! An item is queued at most once (`queued`), and the list has room for every item of the epoll, so queueing in a wake-up
//! allocates nothing. An item does not keep its file open: a file that was closed is found gone and the item is dropped.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec, WeakArc};
use locking::SpinLock;
use sync::wait::WaitQueue;
use sync::{PollMask, PollTable, WakeCallback};
use uapi::{EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP};
use vfs::File;

/// Bits of the wanted events that are no events.
pub(crate) const PRIVATE: u32 = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;

/// What an epoll and its items share.
pub(crate) struct Shared {
    ready: SpinLock<KVec<Arc<Item>>>,
    /// Whether `ready` holds something; changed with its lock held, read without it.
    nonempty: AtomicBool,
    /// Tasks in `epoll_wait`.
    pub(crate) waiters: WaitQueue,
    /// Those who poll the epoll file itself.
    pub(crate) pollers: Arc<WaitQueue>,
}

/// A watched file.
pub(crate) struct Item {
    me: WeakArc<Item>,
    shared: Arc<Shared>,
    pub(crate) file: WeakArc<File>,
    pub(crate) fd: u32,
    /// Wanted events, with the private bits; without events the item is asleep (after `EPOLLONESHOT`).
    pub(crate) events: AtomicU32,
    pub(crate) data: AtomicU64,
    queued: AtomicBool,
}

impl Shared {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let shared = Self {
            ready: SpinLock::new(KVec::new()),
            nonempty: AtomicBool::new(false),
            waiters: WaitQueue::new(),
            pollers: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
        };
        Ok(Arc::new(shared, GFP_KERNEL)?)
    }

    /// Whether something may be ready. A waiter is on its queue before it asks, and who queues an item wakes afterwards.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.nonempty.load(Ordering::Acquire)
    }

    /// Runs `change` on the list with its lock held.
    #[inline(always)]
    fn with_ready<R>(&self, change: impl FnOnce(&mut KVec<Arc<Item>>) -> R) -> R {
        let mut ready = self.ready.lock_irqsave();
        let result = change(&mut ready);
        self.nonempty.store(!ready.is_empty(), Ordering::Release);
        result
    }

    /// Makes room for `n` items. May sleep.
    pub(crate) fn reserve(&self, n: usize) -> Result {
        loop {
            if self.ready.lock_irqsave().capacity() >= n {
                return Ok(());
            }
            let mut room = KVec::with_capacity(n.next_power_of_two(), GFP_KERNEL)?;
            let mut ready = self.ready.lock_irqsave();
            if ready.capacity() < n {
                move_items(&mut ready, &mut room);
                core::mem::swap(&mut *ready, &mut room);
            }
            drop(ready);
        }
    }

    /// Takes all queued items; `into` (empty, with room for every item) takes their place.
    pub(crate) fn take(&self, into: &mut KVec<Arc<Item>>) {
        self.with_ready(|ready| core::mem::swap(ready, into));
    }

    /// Puts `rest` back in front of what was queued since. `rest` is empty afterwards.
    pub(crate) fn put_back(&self, rest: &mut KVec<Arc<Item>>) {
        self.with_ready(|ready| {
            move_items(ready, rest);
            core::mem::swap(ready, rest);
        });
    }

    /// Up to `max` queued items, for looking at.
    pub(crate) fn peek(&self, max: usize) -> Result<KVec<Arc<Item>>> {
        let mut out = KVec::with_capacity(max, GFP_KERNEL)?;
        for item in self.ready.lock_irqsave().iter().take(max) {
            // There is room for `max`.
            let _ = out.push_within_capacity(item.clone());
        }
        Ok(out)
    }

    /// Forgets queued items that `keep` does not want. The caller holds the epoll's `scan`, so that none is on its way back.
    pub(crate) fn retain(&self, keep: impl Fn(&Item) -> bool) {
        self.with_ready(|ready| ready.retain(|item| keep(item)));
    }

    /// Forgets all queued items.
    pub(crate) fn clear(&self) {
        let gone = self.with_ready(core::mem::take);
        drop(gone);
    }

    /// Wakes who waits for the epoll.
    pub(crate) fn wake(&self) {
        self.waiters.wake_up();
        self.pollers.wake_up_poll(PollMask::IN | PollMask::RDNORM);
    }
}

/// Moves all of `from` behind `to`, which has the room.
fn move_items(from: &mut KVec<Arc<Item>>, to: &mut KVec<Arc<Item>>) {
    for item in from.drain(..) {
        // The room is there: both lists can hold every item of the epoll, and each item is in one of them at most.
        let _ = to.push_within_capacity(item);
    }
}

impl Item {
    pub(crate) fn new(shared: &Arc<Shared>, file: &Arc<File>, fd: u32, events: u32, data: u64) -> Result<Arc<Self>> {
        let file = Arc::downgrade(file);
        let item = Arc::new_cyclic(
            |me| Self {
                me: me.clone(),
                shared: shared.clone(),
                file,
                fd,
                events: AtomicU32::new(events),
                data: AtomicU64::new(data),
                queued: AtomicBool::new(false),
            },
            GFP_KERNEL,
        )?;
        Ok(item)
    }

    /// Queues the item unless it is queued already. Room is there.
    pub(crate) fn queue(&self) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(me) = self.me.upgrade() {
            // See the module's text.
            let _ = self.shared.with_ready(|ready| ready.push_within_capacity(me));
        }
    }

    /// The item was taken off the list: wake-ups queue it again from now on.
    pub(crate) fn taken(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// The wanted events that are ready now.
    pub(crate) fn poll(&self, file: &File) -> u32 {
        let wanted = self.events.load(Ordering::Acquire) & !PRIVATE;
        if wanted == 0 {
            return 0;
        }
        file.poll(&mut PollTable::query()).0 & wanted
    }
}

impl WakeCallback for Item {
    fn wake(&self, events: PollMask) -> bool {
        let wanted = self.events.load(Ordering::Acquire);
        if wanted & !PRIVATE == 0 || events.0 & wanted & !PRIVATE == 0 {
            return false;
        }
        self.queue();
        self.shared.wake();
        // An exclusive watcher takes the wake-up for itself.
        true
    }
}
