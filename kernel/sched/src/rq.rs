// SPDX-License-Identifier: GPL-2.0
//! The run queue of one CPU: the runnable tasks in the order in which they are to run, and what is needed of the one that runs.
//!
//! Real-time tasks come first, by priority and arrival; fair tasks follow by virtual run time, as in CFS: run time weighted by
//! nice, a sleeper is put back no further than half a latency period behind the queue's least. The running task is not in the
//! tree; its figures are in the queue itself and go back to its entity when they are needed there.
//!
//! Lock order: run queues are never nested; a moved task is `MOVING` in between. Interrupts are off while one is held.

use crate::entity::{ENTITY, Entity, FAIR, IDLE_RANK, Key, OFF, ON, policy};
use crate::iowait::IoWaiters;
use crate::weight;
use containers::RBTree;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use kalloc::Arc;
use locking::{SpinGuard, SpinLock};
use task::{Task, TaskFlags, current};
use x86_cpu::percpu::{CpuId, cpu_id};
use x86_cpu::preempt::{SEND_RESCHED, set_need_resched};

/// Period in which every runnable task should run once.
pub(crate) const LATENCY_NS: u64 = 6_000_000;
/// Shortest slice.
pub(crate) const MIN_SLICE_NS: u64 = 750_000;
/// How far behind a woken task must be to preempt.
const WAKEUP_NS: u64 = 1_000_000;

/// Run queue of a CPU.
pub(crate) struct RunQueue {
    pub(crate) cpu: CpuId,
    queue: RBTree<Key, Option<Arc<Task>>>,
    pub(crate) idle: Option<Arc<Task>>,
    /// Order of arrival: back of the line, front of the line.
    tail: i64,
    head: i64,
    min_vruntime: u64,
    /// Sum of the weights of runnable fair tasks, the running one included.
    load: u64,
    pub(crate) nr_running: u32,
    pub(crate) curr: Running,
}

/// The running task's figures.
pub(crate) struct Running {
    /// Address of the task, to recognise it.
    id: usize,
    /// [`IDLE_RANK`], a real-time rank, or [`FAIR`].
    pub(crate) class: u64,
    pub(crate) policy: u8,
    vruntime: u64,
    weight: u32,
    inverse: u32,
    exec_start: u64,
    /// Run time since it was picked and since its figures were last written back.
    pub(crate) ran: u64,
    unwritten: u64,
    /// `sched_yield`: let others go first.
    pub(crate) yielded: bool,
}

/// What others may know of a run queue without its lock.
pub(crate) struct Public {
    pub(crate) nr_running: AtomicU32,
    /// Class of the running task.
    pub(crate) class: AtomicU64,
    pub(crate) switches: AtomicU64,
    /// Sleeps and wakes of uninterruptible tasks; only the sum over all CPUs has a meaning.
    pub(crate) uninterruptible: AtomicI64,
    /// Who waits for devices.
    pub(crate) iowait: IoWaiters,
    /// A reschedule interrupt is on its way.
    ipi_sent: AtomicBool,
}

x86_cpu::percpu! {
    static RQ: SpinLock<RunQueue> = SpinLock::new(RunQueue::new());
    pub(crate) static PUBLIC: Public = Public {
        nr_running: AtomicU32::new(0),
        class: AtomicU64::new(IDLE_RANK),
        switches: AtomicU64::new(0),
        uninterruptible: AtomicI64::new(0),
        iowait: IoWaiters::new(),
        ipi_sent: AtomicBool::new(false),
    };
}

/// CPUs that schedule.
pub(crate) static ONLINE: AtomicU64 = AtomicU64::new(0);
/// CPUs that idle and nobody has claimed.
pub(crate) static IDLE: AtomicU64 = AtomicU64::new(0);
/// CPUs with more than one runnable task.
pub(crate) static OVERLOADED: AtomicU64 = AtomicU64::new(0);

/// The bit of a CPU in a mask.
#[inline(always)]
pub(crate) const fn bit(cpu: CpuId) -> u64 {
    1 << (cpu & 63)
}

impl RunQueue {
    const fn new() -> Self {
        Self {
            cpu: 0,
            queue: RBTree::new(),
            idle: None,
            tail: 0,
            head: -1,
            min_vruntime: 1 << 32,
            load: 0,
            nr_running: 0,
            curr: Running {
                id: 0,
                class: IDLE_RANK,
                policy: policy::NORMAL,
                vruntime: 0,
                weight: weight::NICE_0_WEIGHT,
                inverse: 1 << 22,
                exec_start: 0,
                ran: 0,
                unwritten: 0,
                yielded: false,
            },
        }
    }

    /// Charges the running task for the time since the last look.
    #[inline]
    pub(crate) fn update_curr(&mut self) {
        let now = ktime::sched_clock();
        let delta = now.saturating_sub(self.curr.exec_start);
        self.curr.exec_start = now;
        self.curr.ran += delta;
        self.curr.unwritten += delta;
        if self.curr.class == FAIR {
            self.curr.vruntime += weight::scale(delta, self.curr.weight, self.curr.inverse);
            self.update_min();
        }
    }

    #[inline]
    fn update_min(&mut self) {
        let mut least = self.curr.vruntime;
        if let Some((key, _)) = self.queue.first()
            && key.0 & FAIR != 0
        {
            let first = key.0 & !FAIR;
            if self.curr.class != FAIR || first < least {
                least = first;
            }
        } else if self.curr.class != FAIR {
            return;
        }
        if least > self.min_vruntime {
            self.min_vruntime = least;
        }
    }

    /// Writes the running task's figures back.
    #[inline]
    pub(crate) fn write_back(&mut self, entity: &Entity) {
        entity.runtime.store(entity.runtime.load(Relaxed).wrapping_add(self.curr.unwritten), Relaxed);
        self.curr.unwritten = 0;
        if self.curr.class == FAIR {
            entity.vruntime.store(self.curr.vruntime, Relaxed);
        }
    }

    /// Whether `task` is the one that runs here.
    pub(crate) fn is_curr(&self, task: &Task) -> bool {
        self.curr.id == core::ptr::from_ref(task).addr()
    }

    /// Makes `task` the running one.
    #[inline]
    pub(crate) fn set_curr(&mut self, task: &Task, entity: &Entity, idle: bool) {
        let rank = entity.rank();
        self.curr.id = core::ptr::from_ref(task).addr();
        self.curr.class = match (idle, rank & FAIR != 0) {
            (true, _) => IDLE_RANK,
            (false, true) => FAIR,
            (false, false) => rank,
        };
        self.curr.policy = entity.policy.load(Relaxed);
        self.curr.vruntime = entity.vruntime.load(Relaxed);
        self.curr.weight = entity.weight.load(Relaxed);
        self.curr.inverse = entity.inverse.load(Relaxed);
        self.curr.ran = 0;
        self.curr.unwritten = 0;
        self.curr.yielded = false;
        self.public().class.store(self.curr.class, Relaxed);
    }

    /// This queue's public side; the queue's CPU exists, so the fall-back is never taken.
    fn public(&self) -> &'static Public {
        PUBLIC.on(self.cpu).unwrap_or(PUBLIC.this_racy())
    }

    /// The running task goes to sleep to wait for a device.
    #[cold]
    pub(crate) fn begin_iowait(&self) {
        self.public().iowait.begin();
    }

    /// One that did so wakes up.
    #[cold]
    pub(crate) fn end_iowait(&self) {
        self.public().iowait.end();
    }

    #[inline]
    fn count(&mut self, more: bool, entity: &Entity) {
        let weight = u64::from(entity.weight.load(Relaxed));
        let fair = !entity.is_rt();
        let before = self.nr_running;
        if more {
            self.nr_running += 1;
            if fair {
                self.load += weight;
            }
        } else {
            self.nr_running = before.saturating_sub(1);
            if fair {
                self.load = self.load.saturating_sub(weight);
            }
        }
        self.public().nr_running.store(self.nr_running, Relaxed);
        if before == 1 && more {
            OVERLOADED.fetch_or(bit(self.cpu), Relaxed);
        } else if before == 2 && !more {
            OVERLOADED.fetch_and(!bit(self.cpu), Relaxed);
        }
    }

    /// Puts the task into the tree. `front`: before others of its rank.
    #[inline]
    fn insert(&mut self, task: &Task, entity: &Entity, front: bool) {
        let Some(mut node) = entity.node.lock().take() else { return };
        let order = if front {
            self.head -= 1;
            self.head
        } else {
            self.tail += 1;
            self.tail
        };
        let key = (entity.rank(), order);
        entity.key.0.store(key.0, Relaxed);
        entity.key.1.store(key.1 as u64, Relaxed);
        let (k, v) = node.key_value_mut();
        *k = key;
        *v = Some(task.to_arc());
        self.queue.insert(node);
    }

    /// Takes the task out of the tree and returns the tree's reference.
    #[inline]
    fn extract(&mut self, entity: &Entity) -> Option<Arc<Task>> {
        let mut node = self.queue.remove_node(&entity.queued_key())?;
        let task = node.key_value_mut().1.take();
        *entity.node.lock() = Some(node);
        task
    }

    /// The next task to run, out of the tree.
    #[inline]
    pub(crate) fn pick(&mut self) -> Option<Arc<Task>> {
        let mut node = self.queue.pop_first_node()?;
        let task = node.key_value_mut().1.take()?;
        if let Some(entity) = ENTITY.get(&task) {
            *entity.node.lock() = Some(node);
        }
        Some(task)
    }

    /// Key of the first in line.
    #[inline]
    pub(crate) fn first(&self) -> Option<u64> {
        self.queue.first().map(|(key, _)| key.0)
    }

    /// Whether the running task (figures up to date and written back) should go on rather than the first in line.
    #[inline]
    pub(crate) fn curr_goes_on(&self) -> bool {
        let Some(first) = self.first() else { return true };
        match self.curr.class {
            // One that yields lets others go first, unless they have had much more than it has.
            FAIR if self.curr.yielded => (FAIR | self.curr.vruntime) + WAKEUP_NS < first,
            FAIR => (FAIR | self.curr.vruntime) <= first,
            IDLE_RANK => false,
            rank => rank < first || (rank == first && !self.curr.yielded),
        }
    }

    /// The running task stays runnable but somebody else, picked already, is next: into the tree.
    #[inline]
    pub(crate) fn requeue(&mut self, task: &Task, entity: &Entity) {
        self.insert(task, entity, !self.curr.yielded);
    }

    /// A task becomes runnable here.
    #[inline]
    pub(crate) fn enqueue(&mut self, task: &Task, entity: &Entity, place: Place) {
        if matches!(place, Place::Wakeup) {
            entity.rt_ticks.store(0, Relaxed);
        }
        if !entity.is_rt() {
            let v = entity.vruntime.load(Relaxed);
            let least = self.min_vruntime;
            let v = match place {
                Place::Wakeup => v.max(least.saturating_sub(LATENCY_NS / 2)),
                Place::New => v.max(least.saturating_add(self.slice_of(entity))),
                // The distance from the old queue's least is signed: after a long sleep it may be more than this queue's
                // whole time line.
                Place::MovedAwake => least.saturating_add_signed(v as i64).max(least.saturating_sub(LATENCY_NS)),
                Place::Moved => least.saturating_add_signed(v as i64).max(least.saturating_sub(LATENCY_NS / 2)),
                Place::Changed => v,
            };
            entity.vruntime.store(v, Relaxed);
        } else if matches!(place, Place::Moved | Place::MovedAwake) {
            // A distance means nothing here; should the task become a fair one, it starts at this queue's least.
            entity.vruntime.store(0, Relaxed);
        }
        entity.on_rq.store(ON, Relaxed);
        self.count(true, entity);
        self.insert(task, entity, false);
    }

    /// The running task stops being runnable.
    #[inline]
    pub(crate) fn dequeue_curr(&mut self, entity: &Entity) {
        entity.on_rq.store(OFF, Relaxed);
        self.count(false, entity);
    }

    /// A queued task leaves the queue, to come back changed or on another CPU.
    pub(crate) fn dequeue_queued(&mut self, entity: &Entity) -> Option<Arc<Task>> {
        let task = self.extract(entity)?;
        self.count(false, entity);
        Some(task)
    }

    /// Makes a task's virtual time independent of this queue (see [`Place::Moved`]).
    pub(crate) fn make_relative(&self, entity: &Entity) {
        let distance = entity.vruntime.load(Relaxed).wrapping_sub(self.min_vruntime);
        // A real-time task has no place in the order of fair ones.
        entity.vruntime.store(if entity.is_rt() { 0 } else { distance }, Relaxed);
    }

    /// The running task's parameters are about to change (`leave`) or have changed.
    pub(crate) fn recount_curr(&mut self, task: &Task, entity: &Entity, leave: bool) {
        if leave {
            self.update_curr();
            self.write_back(entity);
        } else {
            let (ran, vruntime) = (self.curr.ran, entity.vruntime.load(Relaxed).max(self.min_vruntime));
            entity.vruntime.store(vruntime, Relaxed);
            self.set_curr(task, entity, false);
            self.curr.ran = ran;
        }
        self.count(!leave, entity);
    }

    /// Virtual length of a new task's first slice.
    fn slice_of(&self, entity: &Entity) -> u64 {
        weight::scale(MIN_SLICE_NS * 4, entity.weight.load(Relaxed), entity.inverse.load(Relaxed))
    }

    /// Real time that the running task may run before others must.
    pub(crate) fn slice(&self) -> u64 {
        let n = u64::from(self.nr_running);
        let period = LATENCY_NS.max(n * MIN_SLICE_NS);
        (period * u64::from(self.curr.weight) / self.load.max(1)).clamp(MIN_SLICE_NS, LATENCY_NS)
    }

    /// Whether the woken task should run at once; if so asks for it.
    #[inline]
    pub(crate) fn check_preempt(&mut self, entity: &Entity) {
        let rank = entity.rank();
        let preempt = match self.curr.class {
            IDLE_RANK => true,
            FAIR if rank & FAIR == 0 => true,
            FAIR => self.fair_preempt(entity),
            running => rank < running,
        };
        if preempt {
            resched(self.cpu);
        }
    }

    #[inline]
    fn fair_preempt(&mut self, entity: &Entity) -> bool {
        let woken = entity.policy.load(Relaxed);
        if self.curr.policy == policy::IDLE {
            return woken != policy::IDLE;
        }
        if woken != policy::NORMAL {
            return false;
        }
        self.update_curr();
        let ahead = self.curr.vruntime.saturating_sub(entity.vruntime.load(Relaxed));
        ahead > weight::scale(WAKEUP_NS, entity.weight.load(Relaxed), entity.inverse.load(Relaxed))
    }

    /// The first queued task that `wanted` accepts.
    pub(crate) fn find_queued(&self, mut wanted: impl FnMut(&Task, &Entity) -> bool) -> Option<Arc<Task>> {
        for (_, task) in self.queue.iter() {
            if let Some(task) = task
                && let Some(entity) = ENTITY.get(task)
                && wanted(task, entity)
            {
                return Some(task.clone());
            }
        }
        None
    }
}

/// Where a task's virtual time goes when it becomes runnable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It slept: not too far behind the others.
    Wakeup,
    /// It is new: it owes its first slice.
    New,
    /// It comes from another CPU, asleep until now; its virtual time is relative.
    Moved,
    /// It comes from another CPU, where it was runnable; its virtual time is relative.
    MovedAwake,
    /// Only its parameters changed.
    Changed,
}

/// A CPU's run queue, locked. Interrupts are off.
#[inline(always)]
pub(crate) fn lock(cpu: CpuId) -> Option<SpinGuard<'static, RunQueue>> {
    Some(RQ.on(cpu)?.lock())
}

/// This CPU's run queue, locked. Interrupts are off.
#[inline(always)]
pub(crate) fn lock_this() -> SpinGuard<'static, RunQueue> {
    RQ.this_racy().lock()
}

/// The run queue that `task` belongs to, locked. Interrupts are off.
#[inline]
pub(crate) fn lock_of(task: &Task) -> Option<SpinGuard<'static, RunQueue>> {
    loop {
        let cpu = task.cpu();
        let guard = lock(cpu)?;
        if task.cpu() == cpu {
            return Some(guard);
        }
    }
}

/// Asks `cpu` to reschedule. Interrupts are off.
#[inline]
pub(crate) fn resched(cpu: CpuId) {
    if cpu == cpu_id() {
        resched_this();
    } else if let Some(public) = PUBLIC.on(cpu)
        && !public.ipi_sent.swap(true, SeqCst)
        && let Some(sender) = SEND_RESCHED.get()
    {
        sender.send(cpu);
    }
}

/// Marks a reschedule as due on this CPU. Interrupts are off.
#[inline]
pub(crate) fn resched_this() {
    set_need_resched();
    let task = current();
    if !task.test_flags(TaskFlags::NEED_RESCHED) {
        task.set_flags(TaskFlags::NEED_RESCHED);
    }
}

/// The reschedule interrupt arrived.
pub(crate) fn resched_interrupt() {
    PUBLIC.this_racy().ipi_sent.store(false, SeqCst);
    resched_this();
    ktime::hrtimer::resched_ipi();
}
