// SPDX-License-Identifier: GPL-2.0
//! Writing back in the background: one queue of dirty things (inodes, block devices) and one thread for each device, which writes
//! what is old, or anything while too much is dirty. Source: `vm.dirty_*` in `proc_sys_vm(5)`, `sync(2)`.
//!
//! Inodes of which only times changed (`lazytime`) wait in a queue of their own, `vm.dirtytime_expire_seconds` long.
//!
//! Locks: `syncing` (sleeping) around a synchronisation of the device; `queue` or `lazy` (spin) alone, inside it an item's link. An
//! item's own lock (`DirtyItem::write_back` takes it) comes after `syncing`.

use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, WeakArc};
use locking::SpinLock;
use mm::throttle::{DIRTYTIME_EXPIRE, EXPIRE_CENTISECS, WRITEBACK_CENTISECS, over_background};
use mm::{BackingDev, Flusher, WakeReason};
use sync::{Mutex, WaitQueue};

const CENTISEC_NS: u64 = 10_000_000;
/// Pages written of one item before the next has its turn (4 MB).
const SHARE: i64 = 1024;
/// Items with times to write that are kept in memory for them; beyond, the oldest are written.
const MOST_LAZY: usize = 8192;
/// The thread looks so often whether times are to be written: the setting may have changed.
const LAZY_LOOK_NS: u64 = 30_000_000_000;

/// Something that can be dirty: an inode of a file system on a device, or the device itself. Always in an `Arc`.
pub trait DirtyItem: Any + Send + Sync {
    /// Its place in the queue.
    fn node(&self) -> &DirtyNode;
    /// The file system it belongs to (its address); 0 for a device.
    fn group(&self) -> usize;
    /// Writes it: with `sync` everything, waiting for it; else up to `budget` pages are started. May sleep.
    fn write_back(&self, sync: bool, budget: i64) -> Result;
    /// Whether something is left to write, but for times that may wait.
    fn is_dirty(&self) -> bool;
    /// Its place in the queue of those with times to write, if it can have some.
    fn lazy_node(&self) -> Option<&DirtyNode> {
        None
    }
    /// Writes its times, if they were not meanwhile. May sleep.
    fn write_times(&self) -> Result {
        Ok(())
    }
}

/// An item's place in its device's queue.
pub struct DirtyNode {
    queued: AtomicBool,
    /// It is queued no more, whatever becomes dirty ([`Writer::remove`]). Changes under the queue's lock.
    gone: AtomicBool,
    since: AtomicU64,
    next: SpinLock<Option<Arc<dyn DirtyItem>>>,
}

impl DirtyNode {
    /// Of a clean item.
    pub const fn new() -> Self {
        Self {
            queued: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            since: AtomicU64::new(0),
            next: SpinLock::new(None),
        }
    }

    /// Whether it is queued: it need not be queued again.
    #[inline]
    pub fn is_queued(&self) -> bool {
        self.queued.load(Acquire)
    }
}

impl Default for DirtyNode {
    fn default() -> Self {
        Self::new()
    }
}

/// First in, first out; linked through the items, so that queueing allocates nothing.
#[derive(Default)]
struct Queue {
    head: Option<Arc<dyn DirtyItem>>,
    tail: Option<Arc<dyn DirtyItem>>,
    len: usize,
    /// What the thread is writing.
    current: Option<Arc<dyn DirtyItem>>,
    /// Somebody is about to write all items of this group (0: all) and waits for them: the thread takes none of them.
    syncing: Option<usize>,
    /// The thread would have taken one.
    refused: bool,
    /// Items are linked through their `lazy_node`.
    lazy: bool,
}

impl Queue {
    /// An item's place in this queue.
    fn place<'a>(&self, item: &'a Arc<dyn DirtyItem>) -> &'a DirtyNode {
        item.lazy_node().filter(|_| self.lazy).unwrap_or_else(|| item.node())
    }

    fn push(&mut self, item: Arc<dyn DirtyItem>) {
        match self.tail.replace(item.clone()) {
            Some(last) => *self.place(&last).next.lock_irqsave() = Some(item),
            None => self.head = Some(item),
        }
        self.len += 1;
    }

    fn pop(&mut self) -> Option<Arc<dyn DirtyItem>> {
        let first = self.head.take()?;
        self.head = self.place(&first).next.lock_irqsave().take();
        if self.head.is_none() {
            // Another reference to the same item.
            drop(self.tail.take());
        }
        self.len -= 1;
        Some(first)
    }

    /// The next item for the thread, if it is older than `before`, or (`many`) whatever its age.
    fn take(&mut self, before: u64, many: bool) -> Option<Arc<dyn DirtyItem>> {
        let first = self.head.as_ref()?;
        if !many && self.place(first).since.load(Relaxed) > before {
            return None;
        }
        if self.syncing.is_some_and(|group| group == 0 || group == first.group()) {
            self.refused = true;
            return None;
        }
        let item = self.pop()?;
        self.current = Some(item.clone());
        // From here on it can be queued again.
        self.place(&item).queued.store(false, Release);
        Some(item)
    }
}

/// Takes the first item off, if it is one of `group` (0: any); another goes to the end. `None`: there is nothing.
fn take_of(queue: &SpinLock<Queue>, group: usize) -> Option<Option<Arc<dyn DirtyItem>>> {
    let mut queue = queue.lock();
    let item = queue.pop()?;
    if group != 0 && item.group() != group {
        queue.push(item);
        return Some(None);
    }
    queue.place(&item).queued.store(false, Release);
    Some(Some(item))
}

/// A device's queue and thread.
pub struct Writer {
    queue: SpinLock<Queue>,
    /// Those of which only times are to be written.
    lazy: SpinLock<Queue>,
    syncing: Mutex<()>,
    wait: WaitQueue,
    /// Bits of what was asked for.
    asked: AtomicU32,
    stop: AtomicBool,
    bdi: WeakArc<BackingDev>,
}

const ASKED_LOOK: u32 = 1;
const ASKED_BACKGROUND: u32 = 2;
const ASKED_ALL: u32 = 4;

struct Handle(Arc<Writer>);

impl Flusher for Handle {
    fn wake(&self, reason: WakeReason) {
        self.0.ask(match reason {
            WakeReason::Dirtied => ASKED_LOOK,
            WakeReason::Background => ASKED_BACKGROUND,
            WakeReason::Now => ASKED_ALL,
        });
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The writer of `bdi`, whose thread is started at the first call. `name` is the device's. ENOMEM. May sleep.
pub fn writer_of(bdi: &Arc<BackingDev>, name: &str) -> Result<Arc<Writer>> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock();
    if let Some(writer) = existing(bdi) {
        return Ok(writer);
    }
    let writer = Writer {
        queue: SpinLock::new(Queue::default()),
        lazy: SpinLock::new(Queue { lazy: true, ..Queue::default() }),
        syncing: Mutex::new(()),
        wait: WaitQueue::new(),
        asked: AtomicU32::new(0),
        stop: AtomicBool::new(false),
        bdi: Arc::downgrade(bdi),
    };
    let writer = Arc::new(writer, GFP_KERNEL)?;
    let handle = KBox::new(Handle(writer.clone()), GFP_KERNEL)?;
    let thread = writer.clone();
    let title = kalloc::KString::from_fmt(format_args!("flush-{name}"), GFP_KERNEL)?;
    task::kthread_run(title.as_bytes(), move || thread.run())?;
    bdi.set_flusher(handle);
    Ok(writer)
}

/// The writer of `bdi`, if it has one.
pub fn existing(bdi: &BackingDev) -> Option<Arc<Writer>> {
    bdi.flusher()?.as_any().downcast_ref::<Handle>().map(|handle| handle.0.clone())
}

impl Writer {
    fn ask(&self, what: u32) {
        let old = self.asked.fetch_or(what, AcqRel);
        // Looking can wait for the thread's own time, once it knows that there is something to look at.
        if old & what != what {
            self.wait.wake_up();
        }
    }

    /// Queues an item that became dirty. Nothing if it is queued. Must not be called with an item's own spin locks held.
    pub fn queue(&self, item: &Arc<dyn DirtyItem>) {
        if item.node().queued.swap(true, AcqRel) {
            return;
        }
        item.node().since.store(ktime::now_ns(), Relaxed);
        self.put(item);
        self.ask(ASKED_LOOK);
    }

    /// Queues an item of which only times are to be written. Nothing if it is queued for that.
    pub fn queue_times(&self, item: &Arc<dyn DirtyItem>) {
        let Some(node) = item.lazy_node() else { return };
        if node.queued.swap(true, AcqRel) {
            return;
        }
        node.since.store(ktime::now_ns(), Relaxed);
        let mut lazy = self.lazy.lock();
        lazy.push(item.clone());
        let look = lazy.len == 1 || lazy.len > MOST_LAZY;
        drop(lazy);
        if look {
            self.ask(ASKED_LOOK);
        }
    }

    /// Takes the next item off whose times are older than `before`, or that there is no room for.
    fn take_lazy(&self, before: u64) -> Option<Arc<dyn DirtyItem>> {
        let mut lazy = self.lazy.lock();
        let many = lazy.len > MOST_LAZY;
        lazy.take(before, many)
    }

    /// Writes times that have waited long enough.
    fn write_times(&self) {
        let before = match DIRTYTIME_EXPIRE.load(Relaxed) {
            0 => 0,
            seconds => ktime::now_ns().saturating_sub(u64::from(seconds) * 1_000_000_000),
        };
        while let Some(item) = self.take_lazy(before) {
            // The file system has noted the error.
            let _ = item.write_times();
            let done = self.lazy.lock().current.take();
            drop(done);
        }
    }

    /// Items that wait to be written.
    pub fn pending(&self) -> usize {
        self.queue.lock().len
    }

    /// Takes the next item off for the thread, if it is older than `before`.
    fn take(&self, before: u64) -> Option<Arc<dyn DirtyItem>> {
        self.queue.lock().take(before, false)
    }

    /// The thread: until the device is gone.
    fn run(&self) {
        while !self.stop.load(Acquire) {
            let interval = u64::from(WRITEBACK_CENTISECS.load(Relaxed)) * CENTISEC_NS;
            let idle = self.queue.lock().head.is_none();
            let lazy = self.lazy.lock().head.is_some();
            let wait = if idle || interval == 0 { lazy.then_some(LAZY_LOOK_NS) } else { Some(interval) };
            let deadline = wait.map(|wait| ktime::now_ns().saturating_add(wait));
            let wanted = || self.asked.load(Acquire) & (ASKED_BACKGROUND | ASKED_ALL) != 0 || self.stop.load(Acquire);
            if idle && !lazy {
                self.wait.wait_idle(|| wanted() || self.asked.load(Acquire) != 0);
            } else if idle {
                self.wait.wait_idle_exclusive(deadline, || wanted() || self.asked.load(Acquire) != 0);
            } else {
                self.wait.wait_idle_exclusive(deadline, wanted);
            }
            let asked = self.asked.swap(0, AcqRel);
            if asked & ASKED_ALL != 0 {
                self.write_older(u64::MAX, false);
            }
            if asked & ASKED_BACKGROUND != 0 {
                self.write_older(u64::MAX, true);
            }
            if interval != 0 {
                let age = u64::from(EXPIRE_CENTISECS.load(Relaxed)) * CENTISEC_NS;
                self.write_older(ktime::now_ns().saturating_sub(age), false);
            }
            self.write_times();
        }
    }

    /// Writes items that were queued before `before`; with `background` only while too much is dirty.
    fn write_older(&self, before: u64, background: bool) {
        let _plug = task_io::Plug::start();
        let most = self.pending();
        // What is queued again meanwhile has its turn next time.
        for _ in 0..most.saturating_mul(2) {
            if background && !self.bdi.upgrade().is_some_and(|bdi| over_background(&bdi)) {
                return;
            }
            let Some(item) = self.take(before) else { return };
            // Errors are remembered by the item for those who ask.
            let _ = item.write_back(false, SHARE);
            if item.is_dirty() {
                self.requeue(&item);
            }
            // Not before: who syncs finds it in one place or the other.
            let done = self.queue.lock().current.take();
            drop(done);
        }
    }

    /// Queues an item that is still dirty; its age stays.
    fn requeue(&self, item: &Arc<dyn DirtyItem>) {
        if !item.node().queued.swap(true, AcqRel) {
            self.put(item);
        }
    }

    /// Puts an item that is marked as queued at the end, if it is not gone.
    fn put(&self, item: &Arc<dyn DirtyItem>) {
        let mut queue = self.queue.lock();
        if item.node().gone.load(Relaxed) {
            item.node().queued.store(false, Release);
        } else {
            queue.push(item.clone());
        }
    }

    /// Takes a device's item off for good: the device is gone, and who is in the queue has a reference to it, as it has to the queue.
    /// May sleep.
    pub fn remove(&self, item: &Arc<dyn DirtyItem>) {
        let mut left = {
            let queue = self.queue.lock();
            item.node().gone.store(true, Relaxed);
            queue.len
        };
        // All the way round, so that the others keep their order.
        while left != 0 {
            left -= 1;
            let mut queue = self.queue.lock();
            let Some(first) = queue.pop() else { return };
            if Arc::ptr_eq(&first, item) {
                first.node().queued.store(false, Release);
                drop(queue);
                drop(first);
            } else {
                queue.push(first);
            }
        }
    }

    /// Writes all items of `group` (0: of all) and waits until everything that was dirty before is on the device. The first error.
    /// May sleep.
    pub fn sync(&self, bdi: &BackingDev, group: usize) -> Result {
        let _one = self.syncing.lock();
        let mut result = Ok(());
        // What the thread is writing is in no queue; nothing else goes there from here on.
        let current = [&self.queue, &self.lazy].map(|queue| {
            let mut queue = queue.lock();
            queue.syncing = Some(group);
            queue.current.clone()
        });
        for queue in [&self.queue, &self.lazy] {
            let mut left = queue.lock().len;
            while left != 0 {
                left -= 1;
                let Some(found) = take_of(queue, group) else { break };
                let Some(item) = found else { continue };
                result = result.and(item.write_back(true, i64::MAX));
                if item.is_dirty() {
                    self.requeue(&item);
                }
            }
        }
        for item in current.into_iter().flatten().filter(|item| group == 0 || item.group() == group) {
            result = result.and(item.write_back(true, i64::MAX));
        }
        let mut refused = false;
        for queue in [&self.queue, &self.lazy] {
            let mut queue = queue.lock();
            queue.syncing = None;
            refused |= core::mem::take(&mut queue.refused);
        }
        if refused {
            self.ask(ASKED_BACKGROUND);
        }
        // What the thread began earlier.
        bdi.wait_started();
        result
    }

    /// Starts writing all items of `group` without waiting.
    pub fn start_all(&self) {
        self.ask(ASKED_ALL);
    }

    /// Takes the items of `group` off: their file system is gone. May sleep.
    pub fn forget(&self, group: usize) {
        for queue in [&self.queue, &self.lazy] {
            let mut left = queue.lock().len;
            while left != 0 {
                left -= 1;
                let Some(found) = take_of(queue, group) else { break };
                drop(found);
            }
        }
    }

    /// The device is gone: the thread ends.
    pub fn stop(&self) {
        self.stop.store(true, Release);
        self.wait.wake_up_all();
    }
}
