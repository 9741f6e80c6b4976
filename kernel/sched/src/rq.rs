// SPDX-License-Identifier: GPL-2.0
//! The run queue of one CPU: the runnable tasks in the order in which they are to run, and what is needed of the one that runs.
//!
//! Real-time tasks come first, by priority and arrival (until their part is used up, `throttle`); fair tasks follow as EEVDF orders
//! them (`fair`, crate `eevdf`): those that are owed time by their deadlines. Fair tasks that have had more than their share are in a
//! second tree, by virtual run time, until the mean reaches them; who is in the wrong tree is moved when it comes to be first
//! ([`RunQueue::settle`]). The running task is in no tree; its figures are in the queue itself and go back to its entity when they are
//! needed there.
//!
//! Lock order: run queues are never nested; a moved task is `MOVING` in between. Interrupts are off while one is held.

mod fair;

pub(crate) use fair::SLICE_NS;

use crate::entity::{ENTITY, Entity, FAIR, IDLE_RANK, Key, Node, OFF, ON, policy, tree};
use crate::iowait::IoWaiters;
use crate::throttle::Budget;
use crate::weight;
use containers::RBTree;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use eevdf::Mean;
use fair::virtual_slice;
use kalloc::Arc;
use locking::{SpinGuard, SpinLock};
use task::{Task, TaskFlags, current};
use x86_cpu::percpu::{CpuId, cpu_id};
use x86_cpu::preempt::{SEND_RESCHED, set_need_resched};

/// Class of a running task that sleeps already, until the next one is chosen.
const GONE: u64 = u64::MAX - 1;

/// Run queue of a CPU.
pub(crate) struct RunQueue {
    pub(crate) cpu: CpuId,
    pub(crate) rt: RBTree<Key, Option<Arc<Task>>>,
    pub(crate) budget: Budget,
    /// Fair tasks that are eligible, by deadline.
    queue: RBTree<Key, Option<Arc<Task>>>,
    /// Fair tasks that are not eligible, by virtual run time.
    later: RBTree<Key, Option<Arc<Task>>>,
    pub(crate) idle: Option<Arc<Task>>,
    /// Order of arrival: back of the line, front of the line.
    tail: i64,
    head: i64,
    /// Of the runnable fair tasks, the running one included.
    mean: Mean,
    pub(crate) nr_running: u32,
    pub(crate) curr: Running,
}

/// The running task's figures.
pub(crate) struct Running {
    /// Address of the task, to recognise it.
    id: usize,
    /// [`IDLE_RANK`], [`GONE`], a real-time rank, or [`FAIR`].
    pub(crate) class: u64,
    pub(crate) policy: u8,
    vruntime: u64,
    deadline: u64,
    slice: u64,
    weight: u32,
    inverse: u32,
    exec_start: u64,
    /// Run time since it was picked and since its figures were last written back.
    pub(crate) ran: u64,
    unwritten: u64,
    /// `sched_yield`: let others go first.
    pub(crate) yielded: bool,
    /// It had its slice, or somebody woke who may run at once: whoever is first runs.
    pub(crate) open: bool,
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
            rt: RBTree::new(),
            budget: Budget::new(),
            queue: RBTree::new(),
            later: RBTree::new(),
            idle: None,
            tail: 0,
            head: -1,
            mean: Mean::new(1 << 32),
            nr_running: 0,
            curr: Running {
                id: 0,
                class: IDLE_RANK,
                policy: policy::NORMAL,
                vruntime: 0,
                deadline: 0,
                slice: SLICE_NS,
                weight: weight::NICE_0_WEIGHT,
                inverse: 1 << 22,
                exec_start: 0,
                ran: 0,
                unwritten: 0,
                yielded: false,
                open: false,
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
            let virtual_delta = weight::scale(delta, self.curr.weight, self.curr.inverse);
            self.curr.vruntime += virtual_delta;
            self.mean.ran(virtual_delta, self.curr.weight);
            if self.curr.vruntime >= self.curr.deadline {
                // It asks for another slice, and others may be due before.
                self.curr.deadline = self.curr.vruntime + virtual_slice(self.curr.slice, self.curr.weight);
                self.curr.open = true;
            }
        } else if self.curr.class < FAIR {
            self.budget.charge(delta);
        }
    }

    /// Writes the running task's figures back.
    #[inline]
    pub(crate) fn write_back(&mut self, entity: &Entity) {
        entity.runtime.store(entity.runtime.load(Relaxed).wrapping_add(self.curr.unwritten), Relaxed);
        self.curr.unwritten = 0;
        if self.curr.class == FAIR {
            entity.vruntime.store(self.curr.vruntime, Relaxed);
            entity.deadline.store(self.curr.deadline, Relaxed);
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
        self.curr.deadline = entity.deadline.load(Relaxed);
        self.curr.slice = entity.slice_ns();
        self.curr.weight = entity.weight.load(Relaxed);
        self.curr.inverse = entity.inverse.load(Relaxed);
        self.curr.ran = 0;
        self.curr.unwritten = 0;
        self.curr.yielded = false;
        self.curr.open = false;
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
        let (vruntime, weight) = (entity.vruntime.load(Relaxed), entity.weight.load(Relaxed));
        let fair = !entity.is_rt();
        let before = self.nr_running;
        if more {
            self.nr_running += 1;
            if fair {
                self.mean.join(vruntime, weight);
            }
        } else {
            self.nr_running = before.saturating_sub(1);
            if fair {
                self.mean.leave(vruntime, weight);
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
        let rank = entity.rank();
        let (tree, rank) = match rank & FAIR != 0 {
            false => (tree::RT, rank),
            true if self.mean.is_eligible(rank & !FAIR) => (tree::FAIR, FAIR | entity.deadline.load(Relaxed)),
            true => (tree::LATER, rank),
        };
        let (k, v) = node.key_value_mut();
        *k = (rank, order);
        *v = Some(task.to_arc());
        self.put(entity, node, tree);
    }

    /// Puts a node with its key into one of the trees.
    #[inline]
    fn put(&mut self, entity: &Entity, node: Node, tree: u8) {
        let key = node.key();
        entity.key.0.store(key.0, Relaxed);
        entity.key.1.store(key.1 as u64, Relaxed);
        entity.tree.store(tree, Relaxed);
        self.tree(tree).insert(node);
    }

    #[inline(always)]
    fn tree(&mut self, tree: u8) -> &mut RBTree<Key, Option<Arc<Task>>> {
        match tree {
            tree::RT => &mut self.rt,
            tree::LATER => &mut self.later,
            _ => &mut self.queue,
        }
    }

    /// Takes the task out of its tree and returns the tree's reference.
    #[inline]
    fn extract(&mut self, entity: &Entity) -> Option<Arc<Task>> {
        let mut node = self.tree(entity.tree.load(Relaxed)).remove_node(&entity.queued_key())?;
        let task = node.key_value_mut().1.take();
        *entity.node.lock() = Some(node);
        task
    }

    /// The next task to run, out of its tree.
    #[inline]
    pub(crate) fn pick(&mut self) -> Option<Arc<Task>> {
        let mut node = if self.rt_goes_first() {
            self.rt.pop_first_node()?
        } else {
            self.settle();
            // The second: for one that yields, though the others have had more. The third: they used up their part, but nobody
            // else is here.
            let fair = self.queue.pop_first_node().or_else(|| self.later.pop_first_node());
            fair.or_else(|| self.rt.pop_first_node())?
        };
        let task = node.key_value_mut().1.take()?;
        if let Some(entity) = ENTITY.get(&task) {
            *entity.node.lock() = Some(node);
        }
        Some(task)
    }

    /// Whether the running task (figures up to date and written back) should go on rather than the first in line.
    #[inline]
    pub(crate) fn curr_goes_on(&mut self) -> bool {
        match self.curr.class {
            FAIR => self.fair_goes_on(),
            IDLE_RANK => self.rt.is_empty() && self.is_nobody_fair(),
            rank if !self.is_within_budget(rank) && !self.is_nobody_fair() => false,
            rank => self.first_rt().is_none_or(|first| rank < first || (rank == first && !self.curr.yielded)),
        }
    }

    /// The running task stays runnable but somebody else, picked already, is next: into the tree.
    #[inline]
    pub(crate) fn requeue(&mut self, task: &Task, entity: &Entity) {
        if self.curr.yielded && self.curr.class == FAIR {
            // As if it had woken now: those who asked before go first.
            let slice = virtual_slice(self.curr.slice, self.curr.weight);
            entity.deadline.store(self.curr.vruntime + slice, Relaxed);
        }
        self.insert(task, entity, !self.curr.yielded);
    }

    /// A task becomes runnable here.
    #[inline]
    pub(crate) fn enqueue(&mut self, task: &Task, entity: &Entity, place: Place) {
        let fair = !entity.is_rt();
        if fair && self.curr.class == FAIR {
            // The mean is to be that of now.
            self.update_curr();
        }
        if matches!(place, Place::Wakeup) {
            entity.rt_ticks.store(0, Relaxed);
            self.settle_debt(entity);
        }
        if fair {
            self.place(entity, matches!(place, Place::New));
        } else if self.budget.spent {
            self.settle_budget();
        }
        entity.on_rq.store(ON, Relaxed);
        self.count(true, entity);
        self.insert(task, entity, false);
    }

    /// The running task stops being runnable, for good if it is `dead`.
    #[inline]
    pub(crate) fn dequeue_curr(&mut self, entity: &Entity, dead: bool) {
        self.keep_lag(entity);
        entity.on_rq.store(OFF, Relaxed);
        self.count(false, entity);
        if dead && !entity.is_rt() {
            self.mean.ended(entity.lag.load(Relaxed), entity.vruntime.load(Relaxed), entity.weight.load(Relaxed));
        }
        // Nobody charges it any more or takes it for running, should the lock be given away before the next one is chosen.
        (self.curr.id, self.curr.class) = (0, GONE);
    }

    /// A queued task leaves the queue, to come back changed or on another CPU.
    pub(crate) fn dequeue_queued(&mut self, entity: &Entity) -> Option<Arc<Task>> {
        let task = self.extract(entity)?;
        self.keep_lag(entity);
        self.count(false, entity);
        Some(task)
    }

    /// The running task's parameters are about to change (`leave`) or have changed.
    pub(crate) fn recount_curr(&mut self, task: &Task, entity: &Entity, leave: bool) {
        if leave {
            self.update_curr();
            self.write_back(entity);
            self.keep_lag(entity);
        } else {
            if !entity.is_rt() {
                self.place(entity, false);
            }
            let ran = self.curr.ran;
            self.set_curr(task, entity, false);
            self.curr.ran = ran;
        }
        self.count(!leave, entity);
    }

    /// Whether the task that was just enqueued should run at once; if so asks for it.
    #[inline]
    pub(crate) fn check_preempt(&mut self, entity: &Entity) {
        let rank = entity.rank();
        let preempt = match self.curr.class {
            IDLE_RANK => true,
            // The choice is still to come.
            GONE => false,
            FAIR if rank & FAIR == 0 => self.is_within_budget(rank),
            FAIR => self.fair_preempt(entity),
            running => rank < running || (rank & FAIR != 0 && !self.is_within_budget(running)),
        };
        if preempt {
            resched(self.cpu);
        }
    }

    /// The first queued task that `wanted` accepts.
    pub(crate) fn find_queued(&self, mut wanted: impl FnMut(&Task, &Entity) -> bool) -> Option<Arc<Task>> {
        for (_, task) in self.rt.iter().chain(self.queue.iter()).chain(self.later.iter()) {
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

/// How a task becomes runnable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It slept on this CPU.
    Wakeup,
    /// It is new: it takes over what the one that ended last was owed or owes.
    New,
    /// It comes from another CPU or back with other parameters; what it is owed is known.
    Moved,
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
