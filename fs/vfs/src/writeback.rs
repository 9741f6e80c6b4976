// SPDX-License-Identifier: GPL-2.0
//! Writing back in the background: one queue of dirty things (inodes, block devices) and one thread for each device, which writes
//! what is old, or anything while too much is dirty. Source: `vm.dirty_*` in `proc_sys_vm(5)`, `sync(2)`.
//!
//! Locks: `syncing` (sleeping) around a synchronisation of the device; `queue` (spin) alone, inside it an item's link. An item's own
//! lock (`DirtyItem::write_back` takes it) comes after `syncing`.

use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use mm::throttle::{EXPIRE_CENTISECS, WRITEBACK_CENTISECS, thresholds};
use mm::{BackingDev, Flusher, WakeReason};
use mm_alloc::stat::{self, Item};
use sync::{Mutex, WaitQueue};

const CENTISEC_NS: u64 = 10_000_000;
/// Pages written of one item before the next has its turn (4 MB).
const SHARE: i64 = 1024;

/// Something that can be dirty: an inode of a file system on a device, or the device itself. Always in an `Arc`.
pub trait DirtyItem: Any + Send + Sync {
    /// Its place in the queue.
    fn node(&self) -> &DirtyNode;
    /// The file system it belongs to (its address); 0 for a device.
    fn group(&self) -> usize;
    /// Writes it: with `sync` everything, waiting for it; else up to `budget` pages are started. May sleep.
    fn write_back(&self, sync: bool, budget: i64) -> Result;
    /// Whether something is left to write.
    fn is_dirty(&self) -> bool;
}

/// An item's place in its device's queue.
pub struct DirtyNode {
    queued: AtomicBool,
    since: AtomicU64,
    next: SpinLock<Option<Arc<dyn DirtyItem>>>,
}

impl DirtyNode {
    /// Of a clean item.
    pub const fn new() -> Self {
        Self { queued: AtomicBool::new(false), since: AtomicU64::new(0), next: SpinLock::new(None) }
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
}

impl Queue {
    fn push(&mut self, item: Arc<dyn DirtyItem>) {
        match self.tail.replace(item.clone()) {
            Some(last) => *last.node().next.lock_irqsave() = Some(item),
            None => self.head = Some(item),
        }
        self.len += 1;
    }

    fn pop(&mut self) -> Option<Arc<dyn DirtyItem>> {
        let first = self.head.take()?;
        self.head = first.node().next.lock_irqsave().take();
        if self.head.is_none() {
            // Another reference to the same item.
            drop(self.tail.take());
        }
        self.len -= 1;
        Some(first)
    }
}

/// A device's queue and thread.
pub struct Writer {
    queue: SpinLock<Queue>,
    syncing: Mutex<()>,
    wait: WaitQueue,
    /// Bits of what was asked for.
    asked: AtomicU32,
    stop: AtomicBool,
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
        syncing: Mutex::new(()),
        wait: WaitQueue::new(),
        asked: AtomicU32::new(0),
        stop: AtomicBool::new(false),
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
        self.queue.lock().push(item.clone());
        self.ask(ASKED_LOOK);
    }

    /// Items that wait to be written.
    pub fn pending(&self) -> usize {
        self.queue.lock().len
    }

    /// Takes the next item off for the thread, if it is older than `before`.
    fn take(&self, before: u64) -> Option<Arc<dyn DirtyItem>> {
        let mut queue = self.queue.lock();
        if queue.head.as_ref()?.node().since.load(Relaxed) > before {
            return None;
        }
        let item = queue.pop()?;
        queue.current = Some(item.clone());
        // From here on it can be queued again.
        item.node().queued.store(false, Release);
        Some(item)
    }

    /// The thread: until the device is gone.
    fn run(&self) {
        while !self.stop.load(Acquire) {
            let interval = u64::from(WRITEBACK_CENTISECS.load(Relaxed)) * CENTISEC_NS;
            let idle = self.queue.lock().head.is_none();
            let deadline = (!idle && interval != 0).then(|| ktime::now_ns().saturating_add(interval));
            let wanted = || self.asked.load(Acquire) & (ASKED_BACKGROUND | ASKED_ALL) != 0 || self.stop.load(Acquire);
            if idle {
                self.wait.wait_idle(|| wanted() || self.asked.load(Acquire) != 0);
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
        }
    }

    /// Writes items that were queued before `before`; with `background` only while too much is dirty.
    fn write_older(&self, before: u64, background: bool) {
        let _plug = task_io::Plug::start();
        let most = self.pending();
        // What is queued again meanwhile has its turn next time.
        for _ in 0..most.saturating_mul(2) {
            if background && stat::get(Item::Dirty) <= thresholds().background {
                return;
            }
            let Some(item) = self.take(before) else { return };
            // Errors are remembered by the item for those who ask.
            let _ = item.write_back(false, SHARE);
            self.queue.lock().current = None;
            if item.is_dirty() {
                self.requeue(&item);
            }
        }
    }

    /// Queues an item that is still dirty; its age stays.
    fn requeue(&self, item: &Arc<dyn DirtyItem>) {
        if !item.node().queued.swap(true, AcqRel) {
            self.queue.lock().push(item.clone());
        }
    }

    /// Writes all items of `group` (0: of all) and waits until everything that was dirty before is on the device. The first error.
    /// May sleep.
    pub fn sync(&self, bdi: &BackingDev, group: usize) -> Result {
        let _one = self.syncing.lock();
        let mut result = Ok(());
        let current = self.queue.lock().current.clone();
        let mut left = self.pending();
        while left != 0 {
            left -= 1;
            let item = {
                let mut queue = self.queue.lock();
                let Some(item) = queue.pop() else { break };
                if group != 0 && item.group() != group {
                    queue.push(item);
                    continue;
                }
                item.node().queued.store(false, Release);
                item
            };
            result = result.and(item.write_back(true, i64::MAX));
            if item.is_dirty() {
                self.requeue(&item);
            }
        }
        if let Some(item) = current.filter(|item| group == 0 || item.group() == group) {
            result = result.and(item.write_back(true, i64::MAX));
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
        let mut left = self.pending();
        while left != 0 {
            left -= 1;
            let mut queue = self.queue.lock();
            let Some(item) = queue.pop() else { return };
            if item.group() == group {
                drop(queue);
                item.node().queued.store(false, Release);
            } else {
                queue.push(item);
            }
        }
    }

    /// The device is gone: the thread ends.
    pub fn stop(&self) {
        self.stop.store(true, Release);
        self.wait.wake_up_all();
    }
}
