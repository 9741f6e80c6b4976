// SPDX-License-Identifier: GPL-2.0
//! The tick of a busy CPU: ends slices, samples user and system time, balances now and then, keeps the load average. A timer
//! like others: it starts when a CPU leaves idle, and does not restart when it finds the CPU idle. An idle CPU has none.

use crate::entity::{ENTITY, FAIR, IDLE_RANK, policy, rr_slice_ns};
use crate::{balance, load, rq, stats, throttle};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use kalloc::Arc;
use ktime::{Clock, HrTimer, Restart};
use locking::SetOnce;
use task::current;
use x86_cpu::percpu::CpuId;
use x86_cpu::preempt::irq_from_user;

/// Period of the tick (Linux's with `HZ=250`).
pub(crate) const TICK_NS: u64 = 4_000_000;
/// A busy CPU looks for work elsewhere every so many ticks.
const BALANCE_TICKS: u32 = 8;

struct Tick {
    timer: SetOnce<Arc<HrTimer>>,
    active: AtomicBool,
    count: AtomicU32,
}

x86_cpu::percpu! {
    static TICK: Tick =
        Tick { timer: SetOnce::new(), active: AtomicBool::new(false), count: AtomicU32::new(0) };
}

/// Makes `cpu`'s tick timer. Task context, before that CPU starts.
pub(crate) fn prepare(cpu: CpuId) -> errno::Result {
    let timer = HrTimer::new(Clock::Monotonic, |timer: &Arc<HrTimer>| tick(timer))?;
    if let Some(tick) = TICK.on(cpu) {
        // Made once a CPU.
        let _ = tick.timer.set(timer);
    }
    Ok(())
}

/// This CPU goes from idle to a task. Interrupts are off, no lock held.
#[inline]
pub(crate) fn leave_idle() {
    let tick = TICK.this_racy();
    if !tick.active.load(Relaxed)
        && let Some(timer) = tick.timer.get()
    {
        tick.active.store(true, Relaxed);
        // At a multiple of the period, as Linux does: a task that always wakes at the same distance before a tick that started
        // with it would never be seen.
        let now = ktime::now_ns();
        timer.start(now.saturating_sub(now % TICK_NS).saturating_add(TICK_NS));
    }
}

/// Who keeps `RLIMIT_RTTIME`.
pub trait RtWatch: Sync {
    /// `task`, which runs, has done so under a real-time policy for `ns` without sleeping. Hard interrupt context.
    fn ran(&self, task: &task::Task, ns: u64);
}

/// The keeper (`kernel/process`).
pub static RT_WATCH: hook::Hook<dyn RtWatch> = hook::Hook::new();

fn tick(timer: &Arc<HrTimer>) -> Restart {
    let state = TICK.this_racy();
    let (idle, rt_ticks, spent) = charge();
    if spent {
        throttle::tell();
    }
    if rt_ticks != 0
        && let Some(watch) = RT_WATCH.get()
    {
        watch.ran(&current(), u64::from(rt_ticks) * TICK_NS);
    }
    load::tick();
    if idle {
        state.active.store(false, Relaxed);
        return Restart::No;
    }
    let count = state.count.load(Relaxed).wrapping_add(1);
    state.count.store(count, Relaxed);
    if count.is_multiple_of(BALANCE_TICKS) {
        balance::pull_when_busy();
    }
    timer.forward_now(TICK_NS);
    Restart::Yes
}

/// Charges the running task and ends its slice if it is used up. Whether the CPU idles, the ticks under a real-time policy, and whether
/// real-time tasks have used up their part just now.
fn charge() -> (bool, u32, bool) {
    let task = current();
    let Some(entity) = ENTITY.get(&task) else { return (true, 0, false) };
    let mut rq = rq::lock_this();
    rq.update_curr();
    if rq.curr.class == IDLE_RANK {
        return (true, 0, false);
    }
    rq.write_back(entity);
    stats::sample(entity, &task, irq_from_user());
    let changed = rq.settle_budget();
    let over = match rq.curr.class {
        FAIR => rq.nr_running > 1 && rq.curr.open,
        rank if rq.curr.policy == policy::RR => {
            let left = entity.rr_left.load(Relaxed).saturating_sub(TICK_NS);
            entity.rr_left.store(if left == 0 { rr_slice_ns() } else { left }, Relaxed);
            let over = left == 0 && rq.first_rt() == Some(rank);
            rq.curr.yielded |= over;
            over
        }
        _ => false,
    };
    if over || changed {
        rq::resched_this();
    }
    let mut rt_ticks = 0;
    // The task's own policy, not one that was lent to it.
    if matches!(rq.curr.policy, policy::FIFO | policy::RR) {
        rt_ticks = entity.rt_ticks.load(Relaxed).saturating_add(1);
        entity.rt_ticks.store(rt_ticks, Relaxed);
    }
    (false, rt_ticks, changed && rq.budget.spent)
}
