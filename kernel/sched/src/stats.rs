// SPDX-License-Identifier: GPL-2.0
//! Who used how much: per task and per CPU, for `/proc`, `times(2)`, `getrusage(2)` and the CPU-time clocks.
//!
//! A task's total is exact (charged at each switch); its division into user and system time follows the tick's samples, as in
//! Linux without virtual CPU accounting.

use crate::entity::{ENTITY, Entity, policy};
use crate::rq::{self, PUBLIC};
use crate::tick::TICK_NS;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use task::Task;
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::percpu::{CpuId, MAX_CPUS};

x86_cpu::percpu! {
    static CPU: CpuSamples = CpuSamples {
        user: AtomicU64::new(0),
        nice: AtomicU64::new(0),
        system: AtomicU64::new(0),
    };
}

struct CpuSamples {
    user: AtomicU64,
    nice: AtomicU64,
    system: AtomicU64,
}

fn add(to: &AtomicU64, amount: u64) {
    to.store(to.load(Relaxed).wrapping_add(amount), Relaxed);
}

/// The tick found `task` running.
pub(crate) fn sample(entity: &Entity, task: &Task, user: bool) {
    let cpu = CPU.this_racy();
    if user && !task.is_kthread() {
        add(&entity.sampled_user, TICK_NS);
        let niced = entity.nice.load(Relaxed) > 0 || entity.policy.load(Relaxed) == policy::IDLE;
        add(if niced { &cpu.nice } else { &cpu.user }, TICK_NS);
    } else {
        add(&entity.sampled_system, TICK_NS);
        add(&cpu.system, TICK_NS);
    }
}

/// What a task has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskTimes {
    /// Nanoseconds in user mode.
    pub user: u64,
    /// Nanoseconds in the kernel.
    pub system: u64,
    /// Nanoseconds in all, exact (`CLOCK_THREAD_CPUTIME_ID`).
    pub runtime: u64,
    /// Switches because it waited.
    pub voluntary_switches: u64,
    /// Switches because others were due.
    pub involuntary_switches: u64,
}

/// CPU time that `task` has used, in nanoseconds, up to this moment.
pub fn runtime_ns(task: &Task) -> u64 {
    let Some(entity) = ENTITY.get(task) else { return 0 };
    let _irq = IrqGuard::new();
    if let Some(mut rq) = rq::lock_of(task)
        && rq.is_curr(task)
    {
        rq.update_curr();
        rq.write_back(entity);
    }
    entity.runtime.load(Relaxed)
}

/// All of a task's figures up to this moment.
pub fn task_times(task: &Task) -> TaskTimes {
    let runtime = runtime_ns(task);
    let Some(entity) = ENTITY.get(task) else { return TaskTimes::default() };
    let (user, system) = (entity.sampled_user.load(Relaxed), entity.sampled_system.load(Relaxed));
    let system = match (user, system) {
        _ if task.is_kthread() => runtime,
        (_, 0) => 0,
        (0, _) => runtime,
        (u, s) => (u128::from(runtime) * u128::from(s) / (u128::from(u) + u128::from(s))) as u64,
    };
    // Neither may go backwards when the ratio of the samples changes; the sum stays the run time.
    let system = system.max(entity.reported_system.load(Relaxed)).min(runtime);
    let user = (runtime - system).max(entity.reported_user.load(Relaxed)).min(runtime);
    let system = runtime - user;
    entity.reported_user.fetch_max(user, Relaxed);
    entity.reported_system.fetch_max(system, Relaxed);
    TaskTimes {
        user,
        system,
        runtime,
        voluntary_switches: entity.voluntary.load(Relaxed),
        involuntary_switches: entity.involuntary.load(Relaxed),
    }
}

/// What a CPU has done, in nanoseconds, for `/proc/stat`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTimes {
    /// User mode, nice 0 or less.
    pub user: u64,
    /// User mode, positive nice.
    pub nice: u64,
    /// Kernel.
    pub system: u64,
    /// Idle, exact, while nobody waited for a device.
    pub idle: u64,
    /// Idle, exact, while some task that went to sleep there waited for a device.
    pub iowait: u64,
}

/// A CPU's figures up to this moment; `None` for one that is not there.
pub fn cpu_times(cpu: CpuId) -> Option<CpuTimes> {
    if rq::ONLINE.load(Relaxed) & rq::bit(cpu) == 0 {
        return None;
    }
    let idle_task = {
        let _irq = IrqGuard::new();
        rq::lock(cpu)?.idle.clone()?
    };
    let samples = CPU.on(cpu)?;
    let (idle, iowait) = (runtime_ns(&idle_task), PUBLIC.on(cpu)?.iowait.idle_ns());
    Some(CpuTimes {
        user: samples.user.load(Relaxed),
        nice: samples.nice.load(Relaxed),
        system: samples.system.load(Relaxed),
        idle: idle.saturating_sub(iowait),
        iowait,
    })
}

/// Context switches on all CPUs since boot.
pub fn context_switches() -> u64 {
    (0..MAX_CPUS as CpuId).filter_map(|cpu| PUBLIC.on(cpu)).map(|p| p.switches.load(Relaxed)).sum()
}

/// Tasks that wait for devices (`procs_blocked`).
pub fn nr_iowait() -> u32 {
    (0..MAX_CPUS as CpuId).filter_map(|cpu| PUBLIC.on(cpu)).map(|p| p.iowait.count()).sum()
}

/// Runnable tasks, running ones included.
pub fn nr_running() -> u32 {
    (0..MAX_CPUS as CpuId).filter_map(|cpu| PUBLIC.on(cpu)).map(|p| p.nr_running.load(Relaxed)).sum()
}
