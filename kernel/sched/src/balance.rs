// SPDX-License-Identifier: GPL-2.0
//! Moving runnable tasks between CPUs: an idle CPU pulls from one that has several; a busy one now and then from one that has
//! more; and the per-CPU thread `migration/N` sends away what may not run here any more.
//!
//! A task is moved only while it is queued and its last switch away is complete (`on_cpu` clear). One run queue lock at a time.

use crate::entity::{ENTITY, Entity, MOVING, ON, STOPPER_PRIORITY, policy};
use crate::rq::{self, ONLINE, OVERLOADED, Place, bit};
use crate::wake::{arrive, choose_cpu, cpus, running, runs_rt};
use crate::{params, wake};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use kalloc::Arc;
use sync::WaitQueue;
use task::Task;
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::percpu::{CpuId, cpu_id};

/// This CPU is about to idle: takes one task from a CPU that has several. Interrupts are off, no queue locked.
#[cold]
pub(crate) fn pull_for_idle() {
    let this = cpu_id();
    let busy = OVERLOADED.load(Relaxed) & !bit(this);
    for from in cpus(busy) {
        if pull(from, this) {
            return;
        }
    }
}

/// This CPU is busy: takes a task from the busiest CPU if that has at least two more, unless it would have to wait here for a real-time
/// one. Hard interrupt context.
pub(crate) fn pull_when_busy() {
    let this = cpu_id();
    let busy = OVERLOADED.load(Relaxed) & !bit(this);
    if let Some(from) = cpus(busy).max_by_key(|&cpu| running(cpu))
        && running(from) >= running(this).saturating_add(2)
        && (runs_rt(from) || !runs_rt(this))
    {
        pull(from, this);
    }
}

/// Moves one task that may run here from `from` to `to`. Interrupts are off.
fn pull(from: CpuId, to: CpuId) -> bool {
    let Some(rq) = rq::lock(from) else { return false };
    let may = |task: &Task, entity: &Entity| !task.on_cpu() && entity.allowed.load(Relaxed) & bit(to) != 0;
    match rq.find_queued(may) {
        Some(task) => depart(rq, &task, to),
        None => false,
    }
}

/// Takes a queued task off `rq` and enqueues it at `to`.
fn depart(mut rq: locking::SpinGuard<'static, rq::RunQueue>, task: &Arc<Task>, to: CpuId) -> bool {
    let Some(entity) = ENTITY.get(task) else { return false };
    let Some(in_tree) = rq.dequeue_queued(entity) else { return false };
    entity.on_rq.store(MOVING, Relaxed);
    task.set_cpu(to);
    drop(rq);
    arrive(task, entity, Place::Moved);
    drop(in_tree);
    true
}

struct Stopper {
    wanted: AtomicBool,
    wait: WaitQueue,
    /// The thread runs; without it (early boot) nothing is moved.
    started: AtomicBool,
}

x86_cpu::percpu! {
    static STOPPER: Stopper =
        Stopper { wanted: AtomicBool::new(false), wait: WaitQueue::new(), started: AtomicBool::new(false) };
}

/// Starts `cpu`'s migration thread. Task context.
pub(crate) fn start_stopper(cpu: CpuId) -> errno::Result {
    let mut name = *b"migration/\0\0\0\0\0\0";
    let digits = [b'0' + (cpu / 10 % 10) as u8, b'0' + (cpu % 10) as u8];
    let digits = if cpu >= 10 { digits.as_slice() } else { digits.get(1..).unwrap_or_default() };
    for (to, from) in name.iter_mut().skip(10).zip(digits) {
        *to = *from;
    }
    let name = name.get(..10 + digits.len()).unwrap_or_default();
    let thread = task::kthread_create(name, move || {
        loop {
            let Some(stopper) = STOPPER.on(cpu) else { return };
            stopper.wait.wait_idle(|| stopper.wanted.swap(false, SeqCst));
            send_away(cpu);
        }
    })?;
    bind(&thread, cpu);
    params::set_params_of(&thread, policy::FIFO, 99, 0);
    params::set_boost(&thread, STOPPER_PRIORITY);
    task::kthread::wake_up_new(thread);
    if let Some(stopper) = STOPPER.on(cpu) {
        stopper.started.store(true, Relaxed);
    }
    Ok(())
}

/// Everything that is queued here and may not run here goes where it may. Runs on `cpu`.
fn send_away(cpu: CpuId) {
    loop {
        let _irq = IrqGuard::new();
        let Some(rq) = rq::lock(cpu) else { return };
        let online = ONLINE.load(Relaxed);
        let stranger = rq.find_queued(|task, entity| {
            let allowed = entity.allowed.load(Relaxed) & online;
            !task.on_cpu() && allowed != 0 && allowed & bit(cpu) == 0
        });
        let Some(task) = stranger else { return };
        let to = ENTITY.get(&task).map_or(cpu, |entity| choose_cpu(entity, cpu));
        if !depart(rq, &task, to) {
            return;
        }
    }
}

/// Ties a task that has not run yet to one CPU; programs cannot change that (`kthread_bind`).
pub fn bind(task: &Task, cpu: CpuId) {
    if let Some(entity) = ENTITY.get(task) {
        entity.allowed.store(bit(cpu), Relaxed);
        entity.bound.store(1, Relaxed);
    }
}

/// Ties a task to those CPUs of `mask` for good, and moves it if need be. `EINVAL` if none of them is online.
pub fn bind_to_any(task: &Task, mask: u64) -> errno::Result {
    if mask & ONLINE.load(Relaxed) == 0 {
        return Err(errno::code::EINVAL);
    }
    if let Some(entity) = ENTITY.get(task) {
        entity.bound.store(1, Relaxed);
    }
    set_allowed(task, mask);
    Ok(())
}

/// `sched_setaffinity(2)`: `EINVAL` without an online CPU in the mask, or for a kernel thread that is tied to its CPU.
pub fn set_affinity(task: &Task, mask: u64) -> errno::Result {
    let bound = ENTITY.get(task).is_none_or(|entity| entity.bound.load(Relaxed) != 0);
    if bound || mask & ONLINE.load(Relaxed) == 0 {
        return Err(errno::code::EINVAL);
    }
    set_allowed(task, mask);
    Ok(())
}

/// Sets the CPUs on which `task` may run, and moves it if need be. The caller has checked that some of them are online.
pub(crate) fn set_allowed(task: &Task, mask: u64) {
    let Some(entity) = ENTITY.get(task) else { return };
    let cpu = {
        let _irq = IrqGuard::new();
        let Some(rq) = rq::lock_of(task) else { return };
        entity.allowed.store(mask, Relaxed);
        if mask & bit(rq.cpu) != 0 || entity.on_rq.load(Relaxed) != ON {
            return;
        }
        rq.cpu
    };
    kick_stopper(cpu);
}

/// Lets `cpu`'s migration thread look for tasks that may not run there.
#[cold]
pub(crate) fn kick_stopper(cpu: CpuId) {
    if let Some(stopper) = STOPPER.on(cpu)
        && stopper.started.load(Relaxed)
    {
        // The thread is the most urgent one on that CPU: the task has been put back on the queue when it looks.
        stopper.wanted.store(true, SeqCst);
        stopper.wait.wake_up();
    }
}

/// The CPUs on which `task` may run and that are there.
pub fn allowed_cpus(task: &Task) -> u64 {
    ENTITY.get(task).map_or(0, |entity| entity.allowed.load(Relaxed)) & ONLINE.load(Relaxed)
}

/// CPUs that schedule, as a mask.
pub fn online_cpus() -> u64 {
    ONLINE.load(Relaxed)
}

/// Number of CPUs that schedule.
pub fn online_count() -> u32 {
    wake::cpus(online_cpus()).count() as u32
}
