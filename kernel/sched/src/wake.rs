// SPDX-License-Identifier: GPL-2.0
//! Wake-ups.
//!
//! A waker looks at the task's state under the lock of the queue that the task belongs to, and the sleeper leaves the queue
//! under the same lock; so of a sleep and a wake-up one sees the other. A task that is still switching away (`on_cpu`) can only
//! go back to the CPU that it leaves; any other may be sent where there is room.

use crate::balance;
use crate::entity::{ENTITY, Entity, FAIR, MOVING, OFF, STOPPER_RANK, counted};
use crate::rq::{self, IDLE, ONLINE, PUBLIC, Place, bit};
use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst, fence};
use kalloc::Arc;
use task::{State, Task};
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::percpu::{CpuId, cpu_id};
use x86_cpu::preempt_disable;

/// Wakes `task` if its state is among `mask`. Any context but NMI.
pub(crate) fn try_to_wake_up(task: &Task, mask: State) -> bool {
    // What the caller made true is visible before the state is looked at; pairs with the sleeper's `set_state`.
    fence(SeqCst);
    if !task.state().intersects(mask) {
        return false;
    }
    // Released last, with interrupts back on, so that a preemption that became due happens here.
    let _preempt = preempt_disable();
    let _irq = IrqGuard::new();
    let Some(mut rq) = rq::lock_of(task) else { return false };
    if !task.state().intersects(mask) {
        return false;
    }
    let Some(entity) = ENTITY.get(task) else { return false };
    task.set_state(State::RUNNING);
    if entity.on_rq.load(Relaxed) != OFF {
        return true;
    }
    let sleeps_as = entity.counted.load(Relaxed);
    if sleeps_as != 0 {
        if sleeps_as & counted::IOWAIT != 0 {
            rq.end_iowait();
        }
        entity.counted.store(0, Relaxed);
        let n = &PUBLIC.this_racy().uninterruptible;
        n.store(n.load(Relaxed) - 1, Relaxed);
    }
    if task.on_cpu() {
        rq.enqueue(task, entity, Place::Wakeup);
        rq.check_preempt(entity);
        if entity.allowed.load(Relaxed) & bit(rq.cpu) == 0 {
            let cpu = rq.cpu;
            drop(rq);
            balance::kick_stopper(cpu);
        }
        return true;
    }
    let target = choose_cpu(entity, rq.cpu);
    if target == rq.cpu {
        rq.enqueue(task, entity, Place::Wakeup);
        rq.check_preempt(entity);
    } else {
        entity.rt_ticks.store(0, Relaxed);
        rq.settle_debt(entity);
        entity.on_rq.store(MOVING, Relaxed);
        task.set_cpu(target);
        drop(rq);
        arrive(task, entity, Place::Moved);
    }
    true
}

/// Enqueues a task that is `MOVING` (its `cpu` names the destination) and not on any queue. Interrupts are off.
pub(crate) fn arrive(task: &Task, entity: &Entity, place: Place) {
    while let Some(mut rq) = rq::lock_of(task) {
        // The allowed set may have changed on the way.
        let allowed = entity.allowed.load(Relaxed) & ONLINE.load(Relaxed);
        if allowed & bit(rq.cpu) != 0 || allowed == 0 {
            rq.enqueue(task, entity, place);
            rq.check_preempt(entity);
            return;
        }
        task.set_cpu(choose_cpu(entity, rq.cpu));
    }
}

/// The CPU on which a task that last ran on `prev` should run: `prev` if it idles, else another idle one, else one that a
/// real-time task may take over, else the less busy of `prev` and this one.
#[inline]
pub(crate) fn choose_cpu(entity: &Entity, prev: CpuId) -> CpuId {
    let online = ONLINE.load(Relaxed);
    if online & online.wrapping_sub(1) == 0 {
        return prev;
    }
    choose_of_many(entity, prev, online)
}

fn choose_of_many(entity: &Entity, prev: CpuId, online: u64) -> CpuId {
    let allowed = match entity.allowed.load(Relaxed) & online {
        // Every allowed CPU is gone: any will do.
        0 => online,
        some => some,
    };
    if let Some(cpu) = claim_idle(allowed, prev) {
        return cpu;
    }
    if entity.is_rt()
        && let Some(cpu) = lower_urgency(entity.rank(), allowed, prev)
    {
        return cpu;
    }
    let this = cpu_id();
    let (can_stay, can_come) = (allowed & bit(prev) != 0, allowed & bit(this) != 0);
    match (can_stay, can_come) {
        (true, true) if running(this) < running(prev) => this,
        (true, _) => prev,
        (false, true) => this,
        (false, false) => least_busy(allowed),
    }
}

/// Takes an idle CPU out of the idle set, so that two wakers do not choose the same. It puts itself back when it idles again.
fn claim_idle(allowed: u64, prev: CpuId) -> Option<CpuId> {
    loop {
        let idle = IDLE.load(Relaxed) & allowed;
        if idle == 0 {
            return None;
        }
        let cpu = if idle & bit(prev) != 0 {
            prev
        } else {
            // The next one up, around the end.
            prev.wrapping_add(idle.rotate_right(prev & 63).trailing_zeros()) & 63
        };
        if IDLE.fetch_and(!bit(cpu), SeqCst) & bit(cpu) != 0 {
            return Some(cpu);
        }
    }
}

/// A CPU that runs something less urgent than `rank`, `prev` first.
fn lower_urgency(rank: u64, allowed: u64, prev: CpuId) -> Option<CpuId> {
    let class = |cpu: CpuId| PUBLIC.on(cpu).map_or(0, |p| p.class.load(Relaxed));
    if allowed & bit(prev) != 0 && class(prev) > rank {
        return Some(prev);
    }
    cpus(allowed).max_by_key(|&cpu| class(cpu)).filter(|&cpu| class(cpu) > rank.min(FAIR))
}

/// How busy a CPU is: its runnable tasks; one of the real-time class that runs counts twice, since it leaves little to others.
pub(crate) fn running(cpu: CpuId) -> u32 {
    PUBLIC.on(cpu).map_or(u32::MAX, |p| p.nr_running.load(Relaxed).saturating_add(u32::from(runs_rt(cpu))))
}

/// Whether a real-time task of a program's runs on a CPU.
pub(crate) fn runs_rt(cpu: CpuId) -> bool {
    PUBLIC.on(cpu).is_some_and(|p| (STOPPER_RANK + 1..FAIR).contains(&p.class.load(Relaxed)))
}

fn least_busy(allowed: u64) -> CpuId {
    cpus(allowed).min_by_key(|&cpu| running(cpu)).unwrap_or(0)
}

/// The CPUs of a mask.
pub(crate) fn cpus(mask: u64) -> impl Iterator<Item = CpuId> {
    (0..64).filter(move |&cpu| mask & bit(cpu) != 0)
}

/// The first wake-up of a new task: to the least busy CPU.
pub(crate) fn wake_up_new(task: Arc<Task>) {
    let Some(entity) = ENTITY.get(&task) else { return };
    let _preempt = preempt_disable();
    let _irq = IrqGuard::new();
    let online = ONLINE.load(Relaxed);
    let allowed = match entity.allowed.load(Relaxed) & online {
        0 => online,
        some => some,
    };
    let here = task.cpu();
    let cpu = if allowed == bit(here) {
        here
    } else {
        match claim_idle(allowed, here) {
            Some(idle) => idle,
            None if allowed & bit(here) != 0 && running(here) <= running(least_busy(allowed)) => here,
            None => least_busy(allowed),
        }
    };
    // Nobody else can find the task before it runs, except through the pid table, by its state.
    task.set_cpu(cpu);
    if let Some(mut rq) = rq::lock_of(&task) {
        task.set_state(State::RUNNING);
        rq.enqueue(&task, entity, Place::New);
        rq.check_preempt(entity);
    }
}
