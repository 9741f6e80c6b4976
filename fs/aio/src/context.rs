// SPDX-License-Identifier: GPL-2.0
//! A context: its ring, how many requests it has, who waits.

use crate::poll::Polls;
use crate::request::Request;
use crate::ring::{EVENT, Event, Ring};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::{SetOnce, SpinLock};
use mm::{MmapRequest, VmFile};
use mm_alloc::Page;
use sync::{Mutex, WaitQueue};
use vfs::{AnonKind, File, FileOps, OpenFlags};
use workqueue::DelayedWork;
use x86_mm::uaccess::copy_to_user;

/// Requests that all contexts together were made for.
static NR: AtomicU64 = AtomicU64::new(0);
static MAX_NR: AtomicU64 = AtomicU64::new(0x10000);

/// `fs.aio-nr`.
pub fn aio_nr() -> u64 {
    NR.load(Relaxed)
}

/// `fs.aio-max-nr`.
pub fn aio_max_nr() -> &'static AtomicU64 {
    &MAX_NR
}

/// Requests that ended and hold a file are dropped after this, unless a call of the program does it before.
const DROP_AFTER_NS: u64 = 10_000_000;

/// A context.
pub(crate) struct Context {
    /// The address space it belongs to.
    mm: u64,
    /// What was asked for: counts in `NR`.
    asked: u32,
    pub(crate) ring: Ring,
    /// Where the next event goes.
    tail: SpinLock<u32>,
    /// Requests whose event is not in the ring yet.
    active: AtomicU32,
    /// Requests that are not in `spent` yet.
    alive: AtomicU32,
    reaping: Mutex<()>,
    pub(crate) waiters: WaitQueue,
    dead: AtomicBool,
    /// Requests that ended.
    spent: SpinLock<Option<KBox<Request>>>,
    armed: AtomicBool,
    later: SetOnce<DelayedWork>,
    pub(crate) polls: Polls,
}

impl Context {
    /// A context for `asked` requests. EINVAL, EAGAIN (too many in the system), ENOMEM.
    pub(crate) fn new(mm: u64, asked: u32) -> Result<Arc<Self>> {
        if asked == 0 || asked as usize > 0x1000_0000 / EVENT {
            return Err(EINVAL);
        }
        if u64::from(asked) > MAX_NR.load(Relaxed) {
            return Err(EAGAIN);
        }
        // As Linux: some for each CPU, twice, and two more.
        let cpus = x86_cpus() * 4;
        let ring = Ring::new((asked.max(cpus) as usize) * 2 + 2)?;
        let counted = NR.fetch_update(Relaxed, Relaxed, |nr| {
            let sum = nr + u64::from(asked);
            (sum <= MAX_NR.load(Relaxed)).then_some(sum)
        });
        counted.map_err(|_| EAGAIN)?;
        let context = Self {
            mm,
            asked,
            ring,
            tail: SpinLock::new(0),
            active: AtomicU32::new(0),
            alive: AtomicU32::new(0),
            reaping: Mutex::new(()),
            waiters: WaitQueue::new(),
            dead: AtomicBool::new(false),
            spent: SpinLock::new(None),
            armed: AtomicBool::new(false),
            later: SetOnce::new(),
            polls: Polls::default(),
        };
        let context = Arc::new(context, GFP_KERNEL)?;
        let weak = Arc::downgrade(&context);
        let later = DelayedWork::new(move || {
            if let Some(context) = weak.upgrade() {
                context.armed.store(false, SeqCst);
                context.drop_spent();
            }
        })?;
        // New, so it is empty.
        drop(context.later.set(later));
        Ok(context)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Acquire)
    }

    /// Events in the ring.
    fn ready(&self) -> u32 {
        let (head, tail, nr) = (self.ring.head(), *self.tail.lock_irqsave(), self.ring.nr());
        if tail >= head { tail - head } else { tail + nr - head }
    }

    /// A new request counts from here on: its event will have a place. EAGAIN if there is none.
    pub(crate) fn take_place(&self) -> Result {
        let most = self.ring.nr().saturating_sub(1);
        let taken = self
            .active
            .fetch_update(AcqRel, Relaxed, |active| (active.saturating_add(self.ready()) < most).then_some(active + 1));
        taken.map_err(|_| EAGAIN)?;
        self.alive.fetch_add(1, AcqRel);
        Ok(())
    }

    /// A request that was counted never began.
    pub(crate) fn give_place(&self) {
        self.active.fetch_sub(1, AcqRel);
        self.alive.fetch_sub(1, AcqRel);
        self.waiters.wake_up_all();
    }

    /// A request is over: its event goes to the ring. Any context.
    pub(crate) fn complete(&self, event: &Event, mut request: KBox<Request>) {
        {
            let mut tail = self.tail.lock_irqsave();
            self.ring.publish(*tail, event);
            *tail = self.ring.after(*tail);
            // Under the lock: who counts sees it here or there.
            self.active.fetch_sub(1, AcqRel);
        }
        request.signal();
        {
            let mut spent = self.spent.lock_irqsave();
            request.next = spent.take();
            *spent = Some(request);
        }
        self.alive.fetch_sub(1, SeqCst);
        if self.waiters.is_active() {
            self.waiters.wake_up_all();
        }
        if !self.armed.swap(true, SeqCst)
            && let Some(later) = self.later.get()
        {
            later.queue_after(DROP_AFTER_NS);
        }
    }

    /// Drops requests that ended. May sleep.
    pub(crate) fn drop_spent(&self) {
        let mut list = self.spent.lock_irqsave().take();
        // One by one, not one within the other.
        while let Some(mut request) = list {
            list = request.next.take();
        }
    }

    /// Copies at most `most` events to the program's `to`; how many.
    pub(crate) fn reap(&self, most: usize, to: usize) -> Result<usize> {
        let _reaping = self.reaping.lock();
        let tail = *self.tail.lock_irqsave();
        let mut head = self.ring.head();
        let (mut done, mut result) = (0, Ok(()));
        while done < most && head != tail {
            let bytes = self.ring.event(head);
            result = copy_to_user(to.wrapping_add(done * EVENT), zerocopy::IntoBytes::as_bytes(&bytes));
            if result.is_err() {
                break;
            }
            head = self.ring.after(head);
            done += 1;
        }
        self.ring.set_head(head);
        if done == 0 { result.map(|()| 0) } else { Ok(done) }
    }

    /// Whether an event is there, or never will be.
    pub(crate) fn has_events(&self) -> bool {
        self.is_dead() || self.ring.head() != *self.tail.lock_irqsave()
    }

    /// No request begins any more; waits for those on their way. EINVAL if somebody else did it, ERESTARTSYS for who is killed. May sleep.
    pub(crate) fn kill(&self) -> Result {
        if self.dead.swap(true, AcqRel) {
            return Err(EINVAL);
        }
        self.finish()
    }

    /// It is dead: waits for the requests on their way, and lets go of their files. Who is killed meanwhile does not wait: another
    /// process with the same memory may be inside `io_submit` for as long as it likes. May sleep.
    fn finish(&self) -> Result {
        self.waiters.wake_up_all();
        self.polls.cancel_all();
        let waited = self.waiters.wait_killable(|| self.alive.load(SeqCst) == 0);
        self.drop_spent();
        waited
    }
}

fn x86_cpus() -> u32 {
    64 - x86::smp::possible().leading_zeros().min(63)
}

impl Drop for Context {
    fn drop(&mut self) {
        NR.fetch_sub(self.asked.into(), Relaxed);
    }
}

/// The file whose mapping is the ring.
pub(crate) struct RingFile(Arc<Context>);

impl FileOps for RingFile {
    fn mmap(&self, _: &File, request: &MmapRequest) -> Result {
        if request.shared { Ok(()) } else { Err(EINVAL) }
    }

    fn release(&self, _: &File) {
        // The mapping is gone: nobody hears any more. When the program is gone its files are not in use either, as on Linux.
        self.0.dead.store(true, Release);
        // What is on its way still lets go of its file later.
        let _ = self.0.finish();
    }

    fn fault(&self, _: &File, pgoff: u64, _: bool) -> Result<Page> {
        self.0.ring.page(pgoff).cloned().ok_or(EFAULT)
    }
}

static KIND: AnonKind = AnonKind::new("[aio]");

/// Maps the context's ring: its number.
pub(crate) fn map(context: &Arc<Context>) -> Result<usize> {
    let file = KIND.open(OpenFlags(uapi::O_RDWR), KBox::new(RingFile(context.clone()), GFP_KERNEL)?)?;
    let len = context.ring.bytes();
    mm::current_mm().ok_or(EINVAL)?.map_shared(file, len)
}

/// The context with this number. EINVAL.
pub(crate) fn find(number: usize) -> Result<Arc<Context>> {
    let mm = mm::current_mm().ok_or(EINVAL)?;
    let mapped: Arc<dyn VmFile> = mm.file_mapped_at(number).ok_or(EINVAL)?;
    let file = mapped.as_any().downcast_ref::<File>().ok_or(EINVAL)?;
    let context = &file.private::<RingFile>().ok_or(EINVAL)?.0;
    if context.mm != mm.id() || context.is_dead() { Err(EINVAL) } else { Ok(context.clone()) }
}
