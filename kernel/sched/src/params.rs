// SPDX-License-Identifier: GPL-2.0
//! A task's policy, priority and nice value: reading and changing them. Permission is the callers' matter.

use crate::entity::{ENTITY, Entity, ON, is_rt, policy};
use crate::rq::{self, Place};
use core::sync::atomic::Ordering::Relaxed;
use errno::Result;
use errno::code::EINVAL;
use task::Task;
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::preempt_disable;

/// What `sched_getattr(2)` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// `SCHED_*`.
    pub policy: u8,
    /// 1 to 99 for real-time policies, else 0.
    pub rt_priority: u8,
    /// -20 to 19.
    pub nice: i32,
    /// `SCHED_RESET_ON_FORK`.
    pub reset_on_fork: bool,
}

/// The parameters of a task.
pub fn params_of(task: &Task) -> Params {
    ENTITY.get(task).map_or(Params { policy: policy::NORMAL, rt_priority: 0, nice: 0, reset_on_fork: false }, |e| {
        Params {
            policy: e.policy.load(Relaxed),
            rt_priority: e.rt_priority.load(Relaxed),
            nice: e.nice.load(Relaxed),
            reset_on_fork: e.reset_on_fork.load(Relaxed) != 0,
        }
    })
}

/// `EINVAL` for combinations that sched(7) forbids.
pub fn check_params(new: &Params) -> Result {
    let valid = match new.policy {
        policy::FIFO | policy::RR => (1..=99).contains(&new.rt_priority),
        policy::NORMAL | policy::BATCH | policy::IDLE => new.rt_priority == 0 && (-20..=19).contains(&new.nice),
        _ => false,
    };
    if valid { Ok(()) } else { Err(EINVAL) }
}

/// Sets a task's parameters; see [`check_params`]. Any context but hard interrupts.
pub fn set_params(task: &Task, new: Params) -> Result {
    check_params(&new)?;
    if let Some(entity) = ENTITY.get(task) {
        entity.reset_on_fork.store(u8::from(new.reset_on_fork), Relaxed);
    }
    set_params_of(task, new.policy, new.rt_priority, new.nice);
    Ok(())
}

/// Sets the nice value, clamped (`setpriority(2)`).
pub fn set_nice(task: &Task, nice: i32) {
    let old = params_of(task);
    set_params_of(task, old.policy, old.rt_priority, nice.clamp(-20, 19));
}

pub(crate) fn set_params_of(task: &Task, policy: u8, rt_priority: u8, nice: i32) {
    change(task, |entity| entity.set_params(policy, rt_priority, nice));
}

/// The real-time priority a task runs with, its own or lent; 0 in the fair class.
pub fn urgency(task: &Task) -> u8 {
    ENTITY.get(task).map_or(0, Entity::urgency)
}

/// Lends a task a real-time priority (0: takes it back): it holds what a task of that priority waits for. Any context but hard
/// interrupts.
pub fn set_boost(task: &Task, priority: u8) {
    if ENTITY.get(task).is_some_and(|entity| entity.boost.load(Relaxed) != priority) {
        change(task, |entity| entity.boost.store(priority, Relaxed));
    }
}

/// Changes what decides a task's place in the queue.
fn change(task: &Task, set: impl FnOnce(&Entity)) {
    let Some(entity) = ENTITY.get(task) else { return };
    let _preempt = preempt_disable();
    let _irq = IrqGuard::new();
    let Some(mut rq) = rq::lock_of(task) else { return };
    if rq.is_curr(task) {
        rq.recount_curr(task, entity, true);
        set(entity);
        rq.recount_curr(task, entity, false);
        rq::resched(rq.cpu);
    } else if entity.on_rq.load(Relaxed) == ON {
        let Some(in_tree) = rq.dequeue_queued(entity) else { return };
        set(entity);
        rq.enqueue(&in_tree, entity, Place::Moved);
        rq.check_preempt(entity);
        rq::resched(rq.cpu);
    } else {
        set(entity);
    }
}

/// The `priority` field of `/proc/PID/stat`: 20 + nice, or -1 - priority for real-time tasks.
pub fn proc_priority(task: &Task) -> i32 {
    let p = params_of(task);
    if is_rt(p.policy) { -1 - i32::from(p.rt_priority) } else { 20 + p.nice }
}

/// The slice that `sched_rr_get_interval(2)` tells, in nanoseconds.
pub fn rr_interval_ns(task: &Task) -> u64 {
    let Some(entity) = ENTITY.get(task) else { return 0 };
    match entity.policy.load(Relaxed) {
        policy::FIFO => 0,
        policy::RR => crate::entity::rr_slice_ns(),
        _ => entity.slice_ns(),
    }
}

/// Shortest and longest slice that a task may ask for.
const SLICES_NS: (u64, u64) = (100_000, 100_000_000);

/// The slice that a fair task asked for, in nanoseconds; 0 if it asked for none.
pub fn slice_ns(task: &Task) -> u64 {
    ENTITY.get(task).map_or(0, |entity| entity.slice.load(Relaxed))
}

/// Sets the slice that a task asks for (0: the usual one). Shorter ones are shorter waits, not more time.
pub fn set_slice_ns(task: &Task, ns: u64) {
    let ns = if ns == 0 { 0 } else { ns.clamp(SLICES_NS.0, SLICES_NS.1) };
    if ENTITY.get(task).is_some_and(|entity| entity.slice.load(Relaxed) != ns) {
        change(task, |entity| entity.slice.store(ns, Relaxed));
    }
}

/// How late the task's timers may be, in nanoseconds. Ours are as exact as the hardware, which is within any slack.
pub fn timer_slack_ns(task: &Task) -> u64 {
    ENTITY.get(task).map_or(0, |entity| entity.slack.load(Relaxed))
}

/// Sets the slack; 0 goes back to what the task started with.
pub fn set_timer_slack_ns(task: &Task, ns: u64) {
    if let Some(entity) = ENTITY.get(task) {
        let ns = if ns == 0 { entity.default_slack.load(Relaxed) } else { ns };
        entity.slack.store(ns, Relaxed);
    }
}
