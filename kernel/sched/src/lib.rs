// SPDX-License-Identifier: GPL-2.0
//! The scheduler: per-CPU run queues with a real-time class (FIFO and RR) and a fair one, preemption, wake-ups, balancing,
//! idling, and the figures that `/proc` shows. It implements `task::hooks::Scheduler`; everybody reaches it through `task` and
//! the sleeping locks, `process` and the system call table also directly.
//!
//! | file | what |
//! |---|---|
//! | `core` | `schedule()`: choose and switch |
//! | `wake` | wake-ups and where the woken run |
//! | `rq` | the run queue of one CPU, its order (the fair class's arithmetic is in crate `eevdf`) |
//! | `entity` | a task's scheduling data |
//! | `balance` | pulling, affinity, the migration threads |
//! | `throttle` | what real-time tasks leave to others |
//! | `tick`, `load`, `stats` | slices, load average, accounting |
//! | `idle` | the idle task |
//! | `params` | policy, priority, nice |
//!
//! Locks: a CPU's run queue, interrupts off, innermost of all but a timer queue and a task's node; never two run queues.
//!
//! Start-up: [`init`] on the boot CPU once memory works (the caller becomes its idle task), [`prepare_cpu`] for each further
//! CPU before it starts, [`secondary_start`] there, [`start_threads`] when threads can run, [`idle`] as the last act of each.

#![no_std]
#![forbid(unsafe_code)]

pub mod balance;
mod core;
pub mod entity;
mod idle;
mod iowait;
pub use idle::{kick_all, poll as idle_poll};
pub mod load;
pub mod params;
mod rq;
pub mod stats;
#[cfg(any(test, CONFIG_KUNIT = "y"))]
mod tests;
pub mod throttle;
mod tick;
mod wake;
pub mod weight;

pub use crate::core::sched_yield;
pub use balance::{allowed_cpus, bind, bind_to_any, online_count, online_cpus, set_affinity};
pub use entity::policy;
pub use params::{
    Params, check_params, params_of, proc_priority, rr_interval_ns, set_boost, set_nice, set_params, set_slice_ns,
    set_timer_slack_ns, slice_ns, timer_slack_ns, urgency,
};
pub use stats::{CpuTimes, TaskTimes, context_switches, cpu_times, nr_iowait, nr_running, runtime_ns, task_times};
pub use tick::{RT_WATCH, RtWatch};

use ::core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use entity::Entity;
use errno::Result;
use kalloc::Arc;
use task::{State, Task, hooks};
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::percpu::{CpuId, cpu_id};
use x86_cpu::preempt::{PREEMPT, Preempt};

struct Sched;

impl hooks::Scheduler for Sched {
    fn schedule(&self) {
        core::schedule();
    }
    fn try_to_wake_up(&self, task: &Task, mask: State) -> bool {
        wake::try_to_wake_up(task, mask)
    }
    fn wake_up_new(&self, task: Arc<Task>) {
        wake::wake_up_new(task);
    }
    fn fork(&self, task: &Task, parent: &Task) -> Result {
        entity::fork(task, parent)
    }
}

impl Preempt for Sched {
    fn preempt_schedule(&self) {
        core::preempt_schedule();
    }
    fn preempt_schedule_irq(&self) {
        core::preempt_schedule_irq();
    }
    fn resched_ipi(&self) {
        rq::resched_interrupt();
    }
}

impl rcu::Host for Sched {
    fn resched_cpu(&self, cpu: CpuId) {
        let _irq = IrqGuard::new();
        rq::resched(cpu);
    }
    fn now_ns(&self) -> u64 {
        ktime::now_ns()
    }
}

/// Makes the caller the boot CPU's idle task and registers the scheduler. Once, on the boot CPU, when the heap works; no other
/// CPU runs yet. Interrupts may be off.
pub fn init() -> Result {
    static SCHED: &dyn hooks::Scheduler = &Sched;
    static PREEMPTION: &dyn Preempt = &Sched;
    static RCU: &dyn rcu::Host = &Sched;
    prepare_cpu(cpu_id())?;
    adopt()?;
    hooks::SCHEDULER.set(&SCHED);
    PREEMPT.set(&PREEMPTION);
    rcu::host(&RCU);
    Ok(())
}

/// Allocates what CPU `cpu` needs, after its per-CPU area is there and before it starts. Task context.
pub fn prepare_cpu(cpu: CpuId) -> Result {
    tick::prepare(cpu)?;
    PREPARED.fetch_or(rq::bit(cpu), SeqCst);
    Ok(())
}

/// CPUs that are expected to join.
static PREPARED: AtomicU64 = AtomicU64::new(0);

/// A further CPU joins: the caller becomes its idle task. Interrupts off; per-CPU data and timers are set up. Then [`idle`].
pub fn secondary_start() -> Result {
    adopt()
}

fn adopt() -> Result {
    let cpu = cpu_id();
    let mut name = *b"swapper/\0\0\0";
    let digits = if cpu >= 10 { [b'0' + (cpu / 10) as u8, b'0' + (cpu % 10) as u8] } else { [b'0' + cpu as u8, 0] };
    for (to, from) in name.iter_mut().skip(8).zip(digits) {
        *to = from;
    }
    let task = Task::adopt_idle(&name)?;
    let entity = Entity::new()?;
    entity.allowed.store(rq::bit(cpu), ::core::sync::atomic::Ordering::Relaxed);
    entity.bound.store(1, ::core::sync::atomic::Ordering::Relaxed);
    entity::attach(&task, entity)?;
    let _irq = IrqGuard::new();
    rcu::cpu_starting();
    let mut rq = rq::lock_this();
    rq.cpu = cpu;
    if let Some(entity) = entity::ENTITY.get(&task) {
        rq.set_curr(&task, entity, true);
        rq.update_curr();
        rq.write_back(entity);
    }
    rq.idle = Some(task);
    drop(rq);
    rq::ONLINE.fetch_or(rq::bit(cpu), SeqCst);
    Ok(())
}

/// Starts the threads that the scheduler and RCU need, for all CPUs that are online. Task context, once, when kernel threads
/// can be made.
pub fn start_threads() -> Result {
    // A CPU that has just been brought up needs a moment to join; one that failed to start never will.
    let patience = ktime::now_ns() + ktime::NSEC_PER_SEC;
    while online_cpus() != PREPARED.load(SeqCst) && ktime::now_ns() < patience {
        ktime::sleep_ns(100_000);
    }
    for cpu in wake::cpus(online_cpus()) {
        balance::start_stopper(cpu)?;
    }
    rcu::start_reclaim()
}

/// Makes a task that runs in user mode notice its work flags: interrupts the CPU it runs on. Any context.
pub fn kick(task: &Task) {
    if task.on_cpu() && task.cpu() != cpu_id() {
        let _irq = IrqGuard::new();
        if let Some(sender) = x86_cpu::preempt::SEND_RESCHED.get() {
            sender.send(task.cpu());
        }
    }
}

/// The calling context is done starting up: it idles from now on.
pub fn idle() -> ! {
    idle::run()
}
