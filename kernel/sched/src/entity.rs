// SPDX-License-Identifier: GPL-2.0
//! What the scheduler knows about a task. Changed only under the run queue lock of the CPU that `Task::cpu` names; atomics, so
//! that anybody may look (relaxed loads and stores are plain moves).

use crate::weight;
use containers::RBTreeNode;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use task::{Task, TaskLocal};

/// Queue order: class and urgency, then order of arrival. See [`Entity::rank`].
pub(crate) type Key = (u64, i64);
pub(crate) type Node = RBTreeNode<Key, Option<Arc<Task>>>;

/// Scheduling policies (sched(7)).
pub mod policy {
    /// `SCHED_OTHER`.
    pub const NORMAL: u8 = 0;
    /// `SCHED_FIFO`.
    pub const FIFO: u8 = 1;
    /// `SCHED_RR`.
    pub const RR: u8 = 2;
    /// `SCHED_BATCH`.
    pub const BATCH: u8 = 3;
    /// `SCHED_IDLE`.
    pub const IDLE: u8 = 5;
}

/// First rank of the fair class: its ranks are this plus the virtual run time, or the deadline for who is eligible. Real-time ranks
/// are 1 (priority 99) to 99.
pub(crate) const FAIR: u64 = 1 << 63;
/// Rank and lent priority of the migration threads: above all that programs can have.
pub(crate) const STOPPER_RANK: u64 = 0;
pub(crate) const STOPPER_PRIORITY: u8 = 100;
/// Rank of a CPU's idle task.
pub(crate) const IDLE_RANK: u64 = u64::MAX;

/// Not on a run queue.
pub(crate) const OFF: u8 = 0;
/// Running or queued.
pub(crate) const ON: u8 = 1;
/// On the way to another CPU's queue.
pub(crate) const MOVING: u8 = 2;

/// The trees of a run queue.
pub(crate) mod tree {
    /// Real-time tasks.
    pub(crate) const RT: u8 = 0;
    /// Fair tasks that are eligible.
    pub(crate) const FAIR: u8 = 1;
    /// Other fair tasks.
    pub(crate) const LATER: u8 = 2;
}

/// What a sleeper is counted as.
pub(crate) mod counted {
    /// Uninterruptible, in the load average.
    pub(crate) const LOAD: u8 = 1;
    /// Waiting for a device, on the CPU whose queue it left.
    pub(crate) const IOWAIT: u8 = 2;
}

/// A task's scheduling data.
pub struct Entity {
    pub(crate) policy: AtomicU8,
    /// Children start with the default policy (`SCHED_RESET_ON_FORK`).
    pub(crate) reset_on_fork: AtomicU8,
    pub(crate) on_rq: AtomicU8,
    /// Which of the queue's trees it is in ([`tree`]).
    pub(crate) tree: AtomicU8,
    /// What it is counted as while it sleeps (bits of [`counted`]).
    pub(crate) counted: AtomicU8,
    /// May not be moved by programs (`PF_NO_SETAFFINITY`).
    pub(crate) bound: AtomicU8,
    pub(crate) rt_priority: AtomicU8,
    /// Real-time priority lent by those who wait for a lock that the task holds; 0: none.
    pub(crate) boost: AtomicU8,
    pub(crate) nice: AtomicI32,
    pub(crate) weight: AtomicU32,
    pub(crate) inverse: AtomicU32,
    /// Virtual run time, and that at which the slice it asks for is over; both of the queue it was on last.
    pub(crate) vruntime: AtomicU64,
    pub(crate) deadline: AtomicU64,
    /// What it was owed when it left its queue, in nanoseconds of run time; below 0 it owes.
    pub(crate) lag: AtomicI64,
    /// The slice it asks for in nanoseconds; 0: the usual one.
    pub(crate) slice: AtomicU64,
    /// What is left of a round-robin slice.
    pub(crate) rr_left: AtomicU64,
    /// CPUs the task may run on, one bit each.
    pub(crate) allowed: AtomicU64,
    /// The key while queued.
    pub(crate) key: (AtomicU64, AtomicU64),
    /// Ticks under a real-time policy since the task slept last (`RLIMIT_RTTIME`).
    pub(crate) rt_ticks: AtomicU32,
    /// CPU time used, in nanoseconds.
    pub(crate) runtime: AtomicU64,
    /// Samples of the tick: nanoseconds found in user mode, in the kernel.
    pub(crate) sampled_user: AtomicU64,
    pub(crate) sampled_system: AtomicU64,
    /// What was last reported, so that neither goes backwards.
    pub(crate) reported_user: AtomicU64,
    pub(crate) reported_system: AtomicU64,
    /// Switches because it slept, and because it was preempted.
    pub(crate) voluntary: AtomicU64,
    pub(crate) involuntary: AtomicU64,
    /// How late timers of this task may be, in nanoseconds (`PR_SET_TIMERSLACK`), and what a reset goes back to.
    pub(crate) slack: AtomicU64,
    pub(crate) default_slack: AtomicU64,
    /// The queue node, while the task is not in the tree.
    pub(crate) node: SpinLock<Option<Node>>,
}

/// Every task's entity.
pub static ENTITY: TaskLocal<Entity> = TaskLocal::new();

/// Length of a round-robin slice (`kernel.sched_rr_timeslice_ms`), and what it is by default.
pub static RR_SLICE_MS: AtomicI32 = AtomicI32::new(RR_SLICE_MS_DEFAULT);
/// See [`RR_SLICE_MS`].
pub const RR_SLICE_MS_DEFAULT: i32 = 100;

/// [`RR_SLICE_MS`] in nanoseconds.
pub(crate) fn rr_slice_ns() -> u64 {
    u64::from(RR_SLICE_MS.load(Relaxed).max(1).unsigned_abs()) * 1_000_000
}

/// Timer slack of the first task.
const SLACK_NS: u64 = 50_000;

impl Entity {
    /// Default scheduling: `SCHED_OTHER`, nice 0, every CPU.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            policy: AtomicU8::new(policy::NORMAL),
            reset_on_fork: AtomicU8::new(0),
            on_rq: AtomicU8::new(OFF),
            tree: AtomicU8::new(tree::FAIR),
            counted: AtomicU8::new(0),
            bound: AtomicU8::new(0),
            rt_priority: AtomicU8::new(0),
            boost: AtomicU8::new(0),
            nice: AtomicI32::new(0),
            weight: AtomicU32::new(weight::NICE_0_WEIGHT),
            inverse: AtomicU32::new(weight::inverse(weight::NICE_0_WEIGHT)),
            vruntime: AtomicU64::new(0),
            deadline: AtomicU64::new(0),
            lag: AtomicI64::new(0),
            slice: AtomicU64::new(0),
            rr_left: AtomicU64::new(rr_slice_ns()),
            allowed: AtomicU64::new(u64::MAX),
            key: (AtomicU64::new(0), AtomicU64::new(0)),
            rt_ticks: AtomicU32::new(0),
            runtime: AtomicU64::new(0),
            sampled_user: AtomicU64::new(0),
            sampled_system: AtomicU64::new(0),
            reported_user: AtomicU64::new(0),
            reported_system: AtomicU64::new(0),
            voluntary: AtomicU64::new(0),
            involuntary: AtomicU64::new(0),
            slack: AtomicU64::new(SLACK_NS),
            default_slack: AtomicU64::new(SLACK_NS),
            node: SpinLock::new(Some(RBTreeNode::new((0, 0), None, GFP_KERNEL)?)),
        })
    }

    /// A child's data: its parent's, unless the parent asked for a reset.
    pub(crate) fn inherit(parent: &Entity) -> Result<Self> {
        let child = Self::new()?;
        child.allowed.store(parent.allowed.load(Relaxed), Relaxed);
        let (mut policy, mut nice) = (parent.policy.load(Relaxed), parent.nice.load(Relaxed));
        let mut priority = parent.rt_priority.load(Relaxed);
        if parent.reset_on_fork.load(Relaxed) != 0 {
            if is_rt(policy) {
                (policy, priority) = (policy::NORMAL, 0);
                nice = 0;
            }
            nice = nice.max(0);
        } else {
            child.slice.store(parent.slice.load(Relaxed), Relaxed);
        }
        child.set_params(policy, priority, nice);
        let slack = parent.slack.load(Relaxed);
        child.slack.store(slack, Relaxed);
        child.default_slack.store(slack, Relaxed);
        Ok(child)
    }

    pub(crate) fn set_params(&self, policy: u8, rt_priority: u8, nice: i32) {
        self.policy.store(policy, Relaxed);
        self.rt_priority.store(rt_priority, Relaxed);
        self.nice.store(nice, Relaxed);
        let weight = if policy == policy::IDLE { weight::IDLE_WEIGHT } else { weight::of_nice(nice) };
        self.weight.store(weight, Relaxed);
        self.inverse.store(weight::inverse(weight), Relaxed);
    }

    /// The slice it asks for, in nanoseconds.
    #[inline(always)]
    pub(crate) fn slice_ns(&self) -> u64 {
        match self.slice.load(Relaxed) {
            0 => crate::rq::SLICE_NS,
            ns => ns,
        }
    }

    /// Real-time class, by itself or by what it was lent.
    #[inline(always)]
    pub(crate) fn is_rt(&self) -> bool {
        is_rt(self.policy.load(Relaxed)) || self.boost.load(Relaxed) != 0
    }

    /// The real-time priority it runs with: its own or the one lent, 0 in the fair class.
    pub(crate) fn urgency(&self) -> u8 {
        self.rt_priority.load(Relaxed).max(self.boost.load(Relaxed))
    }

    /// First half of the queue key: lower runs first.
    #[inline(always)]
    pub(crate) fn rank(&self) -> u64 {
        if self.is_rt() {
            u64::from(STOPPER_PRIORITY.saturating_sub(self.urgency()))
        } else {
            FAIR | self.vruntime.load(Relaxed)
        }
    }

    pub(crate) fn queued_key(&self) -> Key {
        (self.key.0.load(Relaxed), self.key.1.load(Relaxed) as i64)
    }
}

/// Whether a policy is of the real-time class.
pub(crate) fn is_rt(policy: u8) -> bool {
    policy == policy::FIFO || policy == policy::RR
}

/// Gives a new task its data (`Scheduler::fork`). Kernel threads start with defaults.
pub(crate) fn fork(task: &Task, parent: &Task) -> Result {
    let entity = match ENTITY.get(parent) {
        Some(p) if !task.is_kthread() => Entity::inherit(p)?,
        _ => Entity::new()?,
    };
    attach(task, entity)
}

pub(crate) fn attach(task: &Task, entity: Entity) -> Result {
    ENTITY.set(task, KBox::new(entity, GFP_KERNEL)?).map_err(|_| errno::code::EBUSY)
}
