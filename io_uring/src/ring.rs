// SPDX-License-Identifier: GPL-2.0
//! A ring: where requests are taken from, where results go, who waits for them, and what a task still has to do for it.

use crate::abi::{CQ_EVENTFD_DISABLED, CQE, CQE_MORE, SQ_CQ_OVERFLOW, SQ_TASKRUN, SQE, Sqe, offset, op, setup};
use crate::drain::Deferred;
use crate::iopoll::Polled;
use crate::pending::Pending;
use crate::provided::Groups;
use crate::region::Region;
use crate::register::Buffer;
use crate::request::{Request, Sender, cancel_chain};
use crate::sqpoll::SqPoll;
use crate::workers::Workers;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KBox, KVec, WeakArc};
use locking::{SetOnce, SpinLock};
use mm::MmapRequest;
use mm_alloc::{PAGE_SIZE, Page};
use sync::{Mutex, PollMask, PollTable, WaitQueue};
use task::{Task, TaskFlags, TaskLocal, current};
use vfs::{File, FileOps};
use workqueue::{DelayedWork, Work};

/// Offsets in the rings' memory. Heads and tails lie in lines of their own.
pub(crate) mod at {
    pub(crate) const SQ_HEAD: usize = 0;
    pub(crate) const SQ_TAIL: usize = 64;
    pub(crate) const CQ_HEAD: usize = 128;
    pub(crate) const CQ_TAIL: usize = 192;
    pub(crate) const SQ_MASK: usize = 256;
    pub(crate) const CQ_MASK: usize = 260;
    pub(crate) const SQ_ENTRIES: usize = 264;
    pub(crate) const CQ_ENTRIES: usize = 268;
    pub(crate) const SQ_DROPPED: usize = 272;
    pub(crate) const SQ_FLAGS: usize = 276;
    pub(crate) const CQ_FLAGS: usize = 280;
    pub(crate) const CQ_OVERFLOW: usize = 284;
    pub(crate) const CQES: usize = 320;
}

/// Requests that ended and hold a file are dropped after this, unless a call of the program does it before.
const DROP_AFTER_NS: u64 = 10_000_000;

/// A result that found no room.
type Cqe = [u64; 2];

/// The kernel's side of the results.
struct Cq {
    tail: u32,
    overflow: KVec<Cqe>,
    /// Results so far but those of timeouts, which count them.
    posted: u32,
}

/// A ring.
pub(crate) struct Ring {
    pub(crate) sq_entries: u32,
    pub(crate) cq_entries: u32,
    pub(crate) flags: u32,
    /// The thread that takes requests in, if there is to be one.
    pub(crate) sqpoll: Option<Arc<SqPoll>>,
    /// How long that looks at the ring while it is empty.
    pub(crate) idle_ns: AtomicU64,
    /// Who waits for room in the ring (`IORING_ENTER_SQ_WAIT`).
    pub(crate) sq_room: WaitQueue,
    pub(crate) rings: Region,
    sqes: Region,
    /// Where the next request is taken from.
    sq_head: AtomicU32,
    pub(crate) submit: Mutex<()>,
    pub(crate) enabled: AtomicBool,
    /// Who alone may use it (`SINGLE_ISSUER`).
    issuer: SetOnce<WeakArc<Task>>,
    cq: SpinLock<Cq>,
    /// Tasks in `io_uring_enter`. Woken in any context, so nothing but tasks is on it.
    pub(crate) waiters: WaitQueue,
    /// Who polls the ring. Waking calls back, to who may hold locks that a file's wake-up holds, too.
    pollers: Arc<WaitQueue>,
    /// Somebody hears of the ring by other means than `io_uring_enter`: `pollers`, `event`. Stays.
    pub(crate) heard: AtomicBool,
    /// Tells them where a wake-up must not.
    notice: SetOnce<Arc<Work>>,
    /// Chains that a task is to go on with, last first.
    work: SpinLock<Option<KBox<Request>>>,
    /// Requests that ended where their file could not be dropped.
    spent: SpinLock<Option<KBox<Request>>>,
    armed: AtomicBool,
    later: SetOnce<DelayedWork>,
    pub(crate) pending: Pending,
    pub(crate) workers: Workers,
    pub(crate) deferred: Deferred,
    /// A request was sent whose result is not posted (`IOSQE_CQE_SKIP_SUCCESS`): there is no draining any more.
    pub(crate) drain_disabled: AtomicBool,
    pub(crate) files: SpinLock<KVec<Option<Arc<File>>>>,
    pub(crate) buffers: SpinLock<KVec<Arc<Buffer>>>,
    /// Buffers to choose from.
    pub(crate) groups: Groups,
    pub(crate) event: SpinLock<Option<Arc<File>>>,
    /// Where a ring that polls looks.
    pub(crate) polled: Polled,
    /// Requests without a result yet.
    pub(crate) active: AtomicU32,
    /// Time-outs that were over by themselves: each ends waits, however many results are wanted.
    pub(crate) timeouts: AtomicU32,
    closed: AtomicBool,
}

impl Ring {
    /// Rings for so many requests and results, both powers of two. ENOMEM.
    pub(crate) fn new(sq_entries: u32, cq_entries: u32, flags: u32, sqpoll: Option<Arc<SqPoll>>) -> Result<Arc<Self>> {
        let array = at::CQES + cq_entries as usize * CQE;
        let rings = Region::new(array + sq_entries as usize * 4)?;
        for (offset, value) in [
            (at::SQ_MASK, sq_entries - 1),
            (at::CQ_MASK, cq_entries - 1),
            (at::SQ_ENTRIES, sq_entries),
            (at::CQ_ENTRIES, cq_entries),
        ] {
            rings.store(offset, value);
        }
        let ring = Self {
            sq_entries,
            cq_entries,
            flags,
            sqpoll,
            idle_ns: AtomicU64::new(0),
            sq_room: WaitQueue::new(),
            rings,
            sqes: Region::new(sq_entries as usize * SQE)?,
            sq_head: AtomicU32::new(0),
            submit: Mutex::new(()),
            enabled: AtomicBool::new(flags & setup::R_DISABLED == 0),
            issuer: SetOnce::new(),
            cq: SpinLock::new(Cq { tail: 0, overflow: KVec::new(), posted: 0 }),
            waiters: WaitQueue::new(),
            pollers: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
            heard: AtomicBool::new(false),
            notice: SetOnce::new(),
            work: SpinLock::new(None),
            spent: SpinLock::new(None),
            armed: AtomicBool::new(false),
            later: SetOnce::new(),
            pending: Pending::new(),
            workers: Workers::new(),
            deferred: Deferred::new(),
            drain_disabled: AtomicBool::new(false),
            files: SpinLock::new(KVec::new()),
            buffers: SpinLock::new(KVec::new()),
            groups: Groups::new(),
            event: SpinLock::new(None),
            polled: Polled::new(),
            active: AtomicU32::new(0),
            timeouts: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        };
        let ring = Arc::new(ring, GFP_KERNEL)?;
        let weak = Arc::downgrade(&ring);
        let later = DelayedWork::new(move || {
            if let Some(ring) = weak.upgrade() {
                ring.armed.store(false, SeqCst);
                ring.drop_spent();
            }
        })?;
        let weak = Arc::downgrade(&ring);
        let notice = Work::new(move || {
            if let Some(ring) = weak.upgrade() {
                ring.tell_others();
            }
        })?;
        // New, so they are empty.
        drop((ring.later.set(later), ring.notice.set(notice)));
        Ok(ring)
    }

    /// Where the submission array begins.
    pub(crate) fn array(&self) -> usize {
        at::CQES + self.cq_entries as usize * CQE
    }

    /// The current task is the one that uses it, if it is to be one alone.
    pub(crate) fn set_issuer(&self) {
        if self.flags & setup::SINGLE_ISSUER != 0 {
            // The first one stays.
            let _ = self.issuer.set(Arc::downgrade(&current().to_arc()));
        }
    }

    /// Whether the current task may use it.
    pub(crate) fn is_issuer(&self) -> bool {
        self.issuer.get().is_none_or(|task| task.is(&current().to_arc()))
    }

    /// How many requests the program has put in that were not taken yet, as it says.
    pub(crate) fn entries(&self) -> u32 {
        self.rings.load(at::SQ_TAIL).wrapping_sub(self.sq_head.load(Relaxed))
    }

    /// Whether there are requests to take in.
    pub(crate) fn has_requests(&self) -> bool {
        self.entries() != 0 && crate::register::is_enabled(self)
    }

    /// Takes the next request the program has put in, whose place is the program's again after [`Self::taken`]. One whose place in the
    /// array is nonsense is passed over, and ends the taking.
    pub(crate) fn next_sqe(&self) -> Option<Sqe> {
        let head = self.sq_head.load(Relaxed);
        if head == self.rings.load(at::SQ_TAIL) {
            return None;
        }
        let slot = (head & (self.sq_entries - 1)) as usize;
        let index = self.rings.load(self.array() + slot * 4);
        self.sq_head.store(head.wrapping_add(1), Relaxed);
        if index >= self.sq_entries {
            self.taken();
            self.rings.add(at::SQ_DROPPED, 1);
            return None;
        }
        let start = index as usize * SQE;
        Some(Sqe::new([0, 8, 16, 24, 32, 40, 48, 56].map(|offset| self.sqes.load_long(start + offset))))
    }

    /// The program can use the place of the request that was taken last. `submit` is held.
    pub(crate) fn taken(&self) {
        self.rings.store(at::SQ_HEAD, self.sq_head.load(Relaxed));
    }

    /// Instead of [`Self::taken`]: it is the next again. `submit` is held.
    pub(crate) fn put_back(&self) {
        self.sq_head.store(self.sq_head.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    /// Posts a result of a request of which more come, if there is room. Any context.
    pub(crate) fn post_more(&self, sqe: &Sqe, result: i32, flags: u32) -> bool {
        let cqe = [sqe.user_data, u64::from(result.cast_unsigned()) | u64::from(flags | CQE_MORE) << 32];
        let posted = {
            let mut cq = self.cq.lock_irqsave();
            if !cq.overflow.is_empty() || !self.put(&mut cq, &cqe) {
                return false;
            }
            cq.posted = cq.posted.wrapping_add(1);
            cq.posted
        };
        self.tell(Some(posted));
        true
    }

    /// Posts the result of a request. Any context.
    pub(crate) fn post(&self, sqe: &Sqe, result: i32, flags: u32) {
        let cqe = [sqe.user_data, u64::from(result.cast_unsigned()) | u64::from(flags) << 32];
        // Timeouts count results, but not each other's: so ending them here ends no more of them.
        let counts = sqe.opcode != op::TIMEOUT;
        let posted = {
            let mut cq = self.cq.lock_irqsave();
            if !cq.overflow.is_empty() || !self.put(&mut cq, &cqe) {
                if cq.overflow.push(cqe, GFP_ATOMIC).is_ok() {
                    self.rings.change(at::SQ_FLAGS, SQ_CQ_OVERFLOW, 0);
                } else {
                    self.rings.add(at::CQ_OVERFLOW, 1);
                }
            }
            cq.posted = cq.posted.wrapping_add(counts.into());
            cq.posted
        };
        self.tell(counts.then_some(posted));
    }

    /// Tells who waits for results that there is one; `counted`: how many there were, for timeouts.
    fn tell(&self, counted: Option<u32>) {
        if self.waiters.is_active() {
            self.waiters.wake_up_all();
        }
        if self.is_closed() {
            // Perhaps what a file's wake-up found too late.
            self.tell_others_later();
        } else {
            self.tell_others();
        }
        if let Some(posted) = counted {
            self.pending.counted(posted);
        }
    }

    /// Tells who polls the ring, and its event descriptor. Any context but in a wake-up.
    fn tell_others(&self) {
        if !self.heard.load(Acquire) {
            return;
        }
        if self.pollers.is_active() {
            self.pollers.wake_up_poll(PollMask(PollMask::IN.0 | PollMask::RDNORM.0));
        }
        if self.rings.load(at::CQ_FLAGS) & CQ_EVENTFD_DISABLED == 0 {
            let event = self.event.lock_irqsave();
            if let Some(file) = &*event {
                // It was one when it was registered.
                let _ = eventpoll::eventfd_signal(file);
            }
        }
    }

    /// The same, soon. In a file's wake-up its queue is locked, which may be the event descriptor's, or of what polls this ring.
    fn tell_others_later(&self) {
        if self.heard.load(Acquire)
            && let Some(notice) = self.notice.get()
        {
            notice.queue();
        }
    }

    /// Whether requests go on only when their task waits for results (`DEFER_TASKRUN`).
    pub(crate) fn is_deferred(&self) -> bool {
        self.flags & setup::DEFER_TASKRUN != 0
    }

    /// Puts a result into the ring, if there is room.
    fn put(&self, cq: &mut Cq, cqe: &Cqe) -> bool {
        if cq.tail.wrapping_sub(self.rings.load(at::CQ_HEAD)) >= self.cq_entries {
            return false;
        }
        let start = at::CQES + (cq.tail & (self.cq_entries - 1)) as usize * CQE;
        let [data, rest] = *cqe;
        self.rings.store_long(start, data);
        self.rings.store_long(start + 8, rest);
        cq.tail = cq.tail.wrapping_add(1);
        self.rings.store(at::CQ_TAIL, cq.tail);
        true
    }

    /// Puts those that waited into the ring, as far as there is room now.
    pub(crate) fn flush_overflow(&self) {
        if self.rings.load(at::SQ_FLAGS) & SQ_CQ_OVERFLOW == 0 {
            return;
        }
        let mut cq = self.cq.lock_irqsave();
        let mut done = 0;
        while let Some(cqe) = cq.overflow.get(done).copied() {
            if !self.put(&mut cq, &cqe) {
                break;
            }
            done += 1;
        }
        drop(cq.overflow.drain(..done));
        if cq.overflow.is_empty() {
            self.rings.change(at::SQ_FLAGS, 0, SQ_CQ_OVERFLOW);
        }
    }

    /// Results that the program has not taken.
    pub(crate) fn ready(&self) -> u32 {
        let cq = self.cq.lock_irqsave();
        cq.tail.wrapping_sub(self.rings.load(at::CQ_HEAD))
    }

    /// Results posted so far, but those of timeouts.
    pub(crate) fn posted(&self) -> u32 {
        self.cq.lock_irqsave().posted
    }

    /// Room for what ends without being able to sleep: a request is put here and dropped by a task. Any context.
    pub(crate) fn drop_later(&self, request: KBox<Request>) {
        push(&mut self.spent.lock_irqsave(), request);
        // Nobody calls for a closed ring any more, and its files are to be free soon.
        let closed = self.is_closed();
        if (!self.armed.swap(true, SeqCst) || closed)
            && let Some(later) = self.later.get()
        {
            later.queue_after(if closed { 0 } else { DROP_AFTER_NS });
        }
    }

    /// Whether who waits for results looks for them (`IOPOLL`).
    pub(crate) fn polls(&self) -> bool {
        self.flags & setup::IOPOLL != 0
    }

    /// Drops what ended. May sleep.
    pub(crate) fn drop_spent(&self) {
        self.polled.forget(&self.active);
        let mut list = self.spent.lock_irqsave().take();
        // One by one, not one within the other.
        while let Some(mut request) = list {
            list = request.next.take();
        }
    }

    /// The task of `request` is to go on with it, as soon as it can; it is given up if nobody has the ring open. Any context.
    pub(crate) fn go_on_later(self: &Arc<Self>, request: KBox<Request>) {
        let task = request.sender.task.clone();
        {
            let mut work = self.work.lock_irqsave();
            // `close` looks at the list after it has said so.
            if self.is_closed() {
                drop(work);
                return cancel_chain(request);
            }
            push(&mut work, request);
        }
        if let Some(poll) = &self.sqpoll {
            return poll.wake();
        }
        if self.flags & setup::TASKRUN_FLAG != 0 {
            self.rings.change(at::SQ_FLAGS, SQ_TASKRUN, 0);
        }
        if self.is_deferred() {
            // Who waits for the ring by other means is to come and wait for results.
            self.tell_others_later();
        } else if let Some(task) = task.upgrade() {
            task.set_flags(TaskFlags::TASK_WORK);
            if self.flags & setup::COOP_TASKRUN == 0 {
                sched::kick(&task);
            }
        }
        self.waiters.wake_up_all();
    }

    /// Whether there is something to go on with in the address space `space`.
    pub(crate) fn has_work(&self, space: u64) -> bool {
        let work = self.work.lock_irqsave();
        core::iter::successors(work.as_ref(), |request| request.next.as_ref())
            .any(|request| request.sender.space == space)
    }

    /// Whether there is something to go on with.
    pub(crate) fn has_any_work(&self) -> bool {
        self.work.lock_irqsave().is_some()
    }

    /// Goes on with what tasks of the current address space have sent: to others the memory of a request means something else. May
    /// sleep.
    pub(crate) fn run_work(self: &Arc<Self>) {
        let Ok(space) = Sender::space() else { return };
        if self.flags & setup::TASKRUN_FLAG != 0 {
            // Before the list is taken: what comes after says so again.
            self.rings.change(at::SQ_FLAGS, 0, SQ_TASKRUN);
        }
        // First in, first out.
        let mut first: Option<KBox<Request>> = None;
        {
            let mut work = self.work.lock_irqsave();
            let (mut list, mut others) = (work.take(), None);
            while let Some(mut request) = list {
                list = request.next.take();
                push(if request.sender.space == space { &mut first } else { &mut others }, request);
            }
            // Last first again.
            while let Some(mut request) = others {
                others = request.next.take();
                push(&mut work, request);
            }
        }
        while let Some(mut request) = first {
            first = request.next.take();
            crate::ops::go_on(request);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    /// Nobody has it open any more: what waits is given up. May sleep.
    pub(crate) fn close(self: &Arc<Self>) {
        self.closed.store(true, Release);
        if let Some(poll) = &self.sqpoll {
            poll.wake();
        }
        self.pending.cancel_all();
        self.deferred.cancel_all();
        self.workers.cancel_all();
        let mut list = self.work.lock_irqsave().take();
        while let Some(mut request) = list {
            list = request.next.take();
            request.end(Err(ECANCELED));
        }
        self.reap();
        self.drop_spent();
    }

    /// The region and page that the program's offset names.
    fn region(&self, pgoff: u64) -> Option<(&Region, u64)> {
        let start = pgoff.checked_mul(PAGE_SIZE as u64)?;
        let index = (start & !offset::MASK) / PAGE_SIZE as u64;
        match start & offset::MASK {
            offset::SQ_RING | offset::CQ_RING => Some((&self.rings, index)),
            offset::SQES => Some((&self.sqes, index)),
            _ => None,
        }
    }
}

/// Puts a request at the front of a list.
pub(crate) fn push(list: &mut Option<KBox<Request>>, mut request: KBox<Request>) {
    request.next = list.take();
    *list = Some(request);
}

/// The open ring.
pub(crate) struct RingFile(pub(crate) Arc<Ring>);

impl FileOps for RingFile {
    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        table.add(&self.0.pollers);
        if table.is_waiting() {
            // Before the ring is looked at: what comes later is told.
            self.0.heard.store(true, SeqCst);
        }
        let mut mask = PollMask::NONE;
        let (head, tail) = (self.0.rings.load(at::SQ_HEAD), self.0.rings.load(at::SQ_TAIL));
        if tail.wrapping_sub(head) < self.0.sq_entries {
            mask |= PollMask(PollMask::OUT.0 | PollMask::WRNORM.0);
        }
        if self.0.ready() != 0 || self.0.is_deferred() && self.0.has_any_work() {
            mask |= PollMask(PollMask::IN.0 | PollMask::RDNORM.0);
        }
        mask
    }

    fn mmap(&self, _: &File, request: &MmapRequest) -> Result {
        let (region, first) = self.0.region(request.pgoff).ok_or(EINVAL)?;
        let end = first.checked_mul(PAGE_SIZE as u64).and_then(|start| start.checked_add(request.len as u64));
        if end.is_some_and(|end| end <= region.bytes() as u64) { Ok(()) } else { Err(EINVAL) }
    }

    fn fault(&self, _: &File, pgoff: u64, _: bool) -> Result<Page> {
        let (region, index) = self.0.region(pgoff).ok_or(EFAULT)?;
        region.page(index).cloned().ok_or(EFAULT)
    }

    fn show_fdinfo(&self, _: &File, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        // Linux shows -1 for both where there is no thread.
        match self.0.sqpoll.as_ref().and_then(|poll| poll.shown()) {
            Some((tid, cpu)) => write!(out, "SqThread:\t{tid}\nSqThreadCpu:\t{cpu}\n"),
            None => out.write_str("SqThread:\t-1\nSqThreadCpu:\t-1\n"),
        }
    }

    fn release(&self, _: &File) {
        self.0.close();
    }
}

/// Rings that a task has sent requests to.
#[derive(Default)]
struct Mine(SpinLock<KVec<WeakArc<Ring>>>);

static MINE: TaskLocal<Mine> = TaskLocal::new();

/// The current task may have to go on with requests of `ring`. ENOMEM. May sleep.
pub(crate) fn note_ring(ring: &Arc<Ring>) -> Result {
    if ring.is_deferred() {
        // Not on its way to user mode.
        return Ok(());
    }
    let task = current();
    if MINE.get(&task).is_none() {
        // Only this task sets its slot.
        let _ = MINE.set(&task, KBox::new(Mine::default(), GFP_KERNEL)?);
    }
    let Some(mine) = MINE.get(&task) else { return Err(ENOMEM) };
    if mine.0.lock().iter().any(|weak| weak.is(ring)) {
        return Ok(());
    }
    let needed = mine.0.lock().len() + 1;
    let mut list = KVec::with_capacity(needed, GFP_KERNEL)?;
    let mut old = mine.0.lock();
    for weak in old.iter().filter(|weak| weak.upgrade().is_some()) {
        // The list is this task's alone: it has not grown.
        let _ = list.push_within_capacity(weak.clone());
    }
    let _ = list.push_within_capacity(Arc::downgrade(ring));
    core::mem::swap(&mut *old, &mut list);
    drop(old);
    Ok(())
}

struct Hook;

impl task::hooks::TaskWork for Hook {
    fn run(&self) {
        let task = current();
        let Some(mine) = MINE.get(&task) else { return };
        let mut index = 0;
        loop {
            let ring = {
                let list = mine.0.lock();
                match list.get(index) {
                    Some(weak) => weak.upgrade(),
                    None => return,
                }
            };
            if let Some(ring) = ring {
                ring.run_work();
            }
            index += 1;
        }
    }
}

/// Lets tasks go on with their requests on the way to user mode. Once, at boot.
pub fn init() {
    static HOOK: &dyn task::hooks::TaskWork = &Hook;
    task::hooks::TASK_WORK.set(&HOOK);
}
