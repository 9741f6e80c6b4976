// SPDX-License-Identifier: GPL-2.0
//! `schedule()`: the choice of the next task and the switch to it.

use crate::entity::{ENTITY, Entity, counted};
use crate::rq::{self, RunQueue, bit};
use crate::{balance, tick};
use core::sync::atomic::Ordering::Relaxed;
use kalloc::Arc;
use locking::SpinGuard;
use task::{State, Task, TaskFlags, current};
use x86_cpu::irqflags::{IrqGuard, irqs_disabled};
use x86_cpu::preempt::{clear_need_resched, need_resched, preempt_count, preempt_disable_no_resched};

/// The current task gives the CPU away (sleeps, if its state says so).
pub(crate) fn schedule() {
    loop {
        {
            let _preempt = preempt_disable_no_resched();
            let _irq = IrqGuard::new();
            schedule_once(false);
        }
        if !need_resched() {
            return;
        }
    }
}

/// The current task is preempted: it stays runnable whatever its state says. Preemption is enabled.
pub(crate) fn preempt_schedule() {
    if preempt_count() != 0 || irqs_disabled() {
        return;
    }
    preempt_schedule_irq();
}

/// As [`preempt_schedule`], also with interrupts off, which they are again when it returns.
pub(crate) fn preempt_schedule_irq() {
    loop {
        {
            let _preempt = preempt_disable_no_resched();
            let _irq = IrqGuard::new();
            schedule_once(true);
        }
        if !need_resched() {
            return;
        }
    }
}

/// One decision. Interrupts and preemption are off.
#[inline]
pub(crate) fn schedule_once(preempted: bool) {
    let prev = current();
    let Some(entity) = ENTITY.get(&prev) else { return };
    #[cfg(CONFIG_DEBUG_ATOMIC_SLEEP)]
    check_atomic(&prev);
    rcu::note_context_switch();
    let mut rq = rq::lock_this();
    clear_need_resched();
    if prev.test_flags(TaskFlags::NEED_RESCHED) {
        prev.clear_flags(TaskFlags::NEED_RESCHED);
    }
    rq.update_curr();
    rq.write_back(entity);
    let state = prev.state();
    let was_idle = rq.curr.class == crate::entity::IDLE_RANK;
    if !preempted && state != State::RUNNING && !was_idle && !stays_for_signal(&prev, state) {
        sleep(&mut rq, &prev, entity, state);
        entity.voluntary.store(entity.voluntary.load(Relaxed) + 1, Relaxed);
    } else if !was_idle {
        if rq.curr_goes_on() {
            (rq.curr.ran, rq.curr.yielded, rq.curr.open) = (0, false, false);
            return;
        }
        // First the choice: one that yields may well be the first in line itself.
        let Some(next) = rq.pick() else { return };
        rq.requeue(&prev, entity);
        entity.involuntary.store(entity.involuntary.load(Relaxed) + 1, Relaxed);
        return switch(rq, &prev, next, false, false);
    }
    let Some((rq, next, idle)) = pick_next(rq) else { return };
    switch(rq, &prev, next, idle, was_idle);
}

/// Whether a signal keeps a task that is about to sleep awake.
#[inline]
fn stays_for_signal(task: &Task, state: State) -> bool {
    if !task.signal_pending() || !state.intersects(State(State::INTERRUPTIBLE.0 | State::WAKEKILL.0)) {
        return false;
    }
    let stays = state.intersects(State::INTERRUPTIBLE)
        || task::hooks::SIGNALS.get().is_some_and(|signals| signals.fatal_pending(task));
    if stays {
        task.set_state(State::RUNNING);
    }
    stays
}

#[inline]
fn sleep(rq: &mut RunQueue, task: &Task, entity: &Entity, state: State) {
    rq.dequeue_curr(entity, state == State::DEAD);
    if state.intersects(State::UNINTERRUPTIBLE) && !state.intersects(State::NOLOAD) {
        let mut counted = counted::LOAD;
        if task.test_flags(TaskFlags::IN_IOWAIT) {
            counted |= counted::IOWAIT;
            rq.begin_iowait();
        }
        entity.counted.store(counted, Relaxed);
        let n = &rq::PUBLIC.this_racy().uninterruptible;
        n.store(n.load(Relaxed) + 1, Relaxed);
    }
}

type Picked = (SpinGuard<'static, RunQueue>, Arc<Task>, bool);

/// The task to run next: the first in line, one pulled from a busy CPU, or idle.
#[inline]
fn pick_next(mut rq: SpinGuard<'static, RunQueue>) -> Option<Picked> {
    if let Some(next) = rq.pick() {
        return Some((rq, next, false));
    }
    if rq::OVERLOADED.load(Relaxed) & !bit(rq.cpu) != 0 {
        // Without our lock: tasks may arrive here meanwhile, also by themselves.
        drop(rq);
        balance::pull_for_idle();
        rq = rq::lock_this();
        if let Some(next) = rq.pick() {
            return Some((rq, next, false));
        }
    }
    let idle = rq.idle.clone()?;
    Some((rq, idle, true))
}

#[inline]
fn switch(mut rq: SpinGuard<'static, RunQueue>, prev: &Task, next: Arc<Task>, idle: bool, was_idle: bool) {
    let Some(entity) = ENTITY.get(&next) else { return };
    rq.set_curr(&next, entity, idle);
    let public = rq::PUBLIC.this_racy();
    public.iowait.change(idle);
    if core::ptr::eq(prev, &*next) {
        return;
    }
    public.switches.store(public.switches.load(Relaxed) + 1, Relaxed);
    drop(rq);
    if was_idle {
        tick::leave_idle();
    }
    task::switch::switch_to(next);
}

/// `sched_yield(2)`: others of the same urgency first.
pub fn sched_yield() {
    {
        let _irq = IrqGuard::new();
        rq::lock_this().curr.yielded = true;
    }
    // The decision takes it back.
    schedule();
}

#[cfg(CONFIG_DEBUG_ATOMIC_SLEEP)]
fn check_atomic(task: &Task) {
    if preempt_count() != 1 && task.tid() != 0 {
        klog::pr_err!("BUG: scheduling while atomic: tid {}, preempt_count {:#x}", task.tid(), preempt_count());
        if let Some(reporter) = task::hooks::DEBUG_REPORT.get() {
            reporter.dump_stack();
        }
    }
}
