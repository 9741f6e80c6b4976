// SPDX-License-Identifier: GPL-2.0
//! What real-time tasks leave to others: of each period (`kernel.sched_rt_period_us`) they have on each CPU only so much
//! (`kernel.sched_rt_runtime_us`) while fair tasks wait there. Who programs a real-time task that spins can so still be ended.
//!
//! Counted where run time is, decided at the tick, which runs whenever somebody is kept waiting. With nobody else to run, real-time
//! tasks go on. The migration threads are above this.

use crate::entity::{FAIR, STOPPER_RANK};
use crate::rq::RunQueue;
use crate::tick::TICK_NS;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};
use errno::Result;
use errno::code::EINVAL;

static PERIOD_US: AtomicI32 = AtomicI32::new(1_000_000);
static RUNTIME_US: AtomicI32 = AtomicI32::new(950_000);

/// Of how many microseconds real-time tasks may have how many; -1: all.
pub fn rt_limits_us() -> (i32, i32) {
    (PERIOD_US.load(Relaxed), RUNTIME_US.load(Relaxed))
}

/// Sets both; see [`rt_limits_us`]. `EINVAL` for what is no period and for more than that.
pub fn set_rt_limits_us(period: i32, runtime: i32) -> Result {
    if period <= 0 || runtime < -1 || runtime > period {
        return Err(EINVAL);
    }
    PERIOD_US.store(period, Relaxed);
    RUNTIME_US.store(runtime, Relaxed);
    Ok(())
}

/// Period and run time in nanoseconds, if there is a limit. A run time of 0 is none, as in Linux.
fn limits() -> Option<(u64, u64)> {
    let (period, runtime) = rt_limits_us();
    let ns = |us: i32| u64::from(us.unsigned_abs()) * 1000;
    (runtime > 0 && runtime < period).then(|| (ns(period), ns(runtime)))
}

/// What the real-time tasks of a CPU have used.
pub(crate) struct Budget {
    /// When the period began.
    since: u64,
    used: u64,
    /// It is used up: fair tasks go first.
    pub(crate) spent: bool,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self { since: 0, used: 0, spent: false }
    }

    /// A real-time task ran for so long.
    #[inline]
    pub(crate) fn charge(&mut self, ns: u64) {
        self.used = self.used.saturating_add(ns);
    }

    /// Refills for the periods that are over at `now`.
    fn settle(&mut self, now: u64, limits: Option<(u64, u64)>) {
        let Some((period, runtime)) = limits else {
            (self.since, self.used, self.spent) = (now, 0, false);
            return;
        };
        // While nobody else wanted to run more was used than is to be paid for.
        self.used = self.used.min(runtime.saturating_add(TICK_NS));
        let periods = now.saturating_sub(self.since) / period;
        self.since += periods * period;
        self.used = self.used.saturating_sub(periods.saturating_mul(runtime));
        self.spent = self.used > runtime;
    }
}

impl RunQueue {
    /// Decides anew who goes first. Whether that makes a difference to those who are here.
    pub(crate) fn settle_budget(&mut self) -> bool {
        let was = self.budget.spent;
        self.budget.settle(ktime::sched_clock(), limits());
        was != self.budget.spent
    }

    /// Rank of the first real-time task that is queued.
    #[inline]
    pub(crate) fn first_rt(&self) -> Option<u64> {
        self.rt.first().map(|(key, _)| key.0)
    }

    /// Whether a real-time task is queued that goes before all fair ones.
    #[inline]
    pub(crate) fn rt_goes_first(&self) -> bool {
        self.first_rt().is_some_and(|rank| self.is_within_budget(rank))
    }

    /// Whether a task of that rank goes before fair ones.
    #[inline]
    pub(crate) fn is_within_budget(&self, rank: u64) -> bool {
        rank & FAIR == 0 && (!self.budget.spent || rank == STOPPER_RANK)
    }
}

/// Says once that it happened.
#[cold]
pub(crate) fn tell() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Relaxed) {
        klog::pr_warn!("sched: RT throttling activated");
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[macros::kunit_tests(sched_rt_budget)]
mod tests {
    use super::{Budget, set_rt_limits_us};
    use crate::tick::TICK_NS;
    use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use kalloc::{Arc, flags::GFP_KERNEL};
    use sync::Completion;

    const MS: u64 = 1_000_000;

    /// Who spins beside a fair task has its part of the time, no less and no more, in the long run.
    #[test]
    fn shares() {
        for (period, runtime) in [(1000 * MS, 950 * MS), (100 * MS, 30 * MS), (MS, MS / 2)] {
            let (mut budget, mut now, mut had) = (Budget::new(), 77 * MS, 0);
            budget.settle(now, Some((period, runtime)));
            let begin = now;
            while now < begin + 20 * period.max(100 * MS) {
                if !budget.spent {
                    budget.charge(TICK_NS);
                    had += TICK_NS;
                }
                now += TICK_NS;
                budget.settle(now, Some((period, runtime)));
            }
            let due = (now - begin) / period * runtime;
            assert!(had + runtime + 2 * TICK_NS >= due && had <= due + runtime + 2 * TICK_NS);
        }
    }

    /// Time that nobody else wanted is not paid for later.
    #[test]
    fn alone() {
        let limits = Some((1000 * MS, 950 * MS));
        let (mut budget, mut now) = (Budget::new(), 0);
        for _ in 0..5000 {
            budget.charge(TICK_NS);
            now += TICK_NS;
            budget.settle(now, limits);
        }
        now = now.next_multiple_of(1000 * MS);
        budget.settle(now, limits);
        assert!(!budget.spent);
        budget.charge(2000 * MS);
        budget.settle(now + MS, None);
        assert!(!budget.spent);
    }

    /// A real-time thread that spins leaves a fair one on its CPU some time.
    #[test]
    fn fair_tasks_run_beside_a_spinner() {
        let Ok(shared) = Arc::new((AtomicU32::new(0), Completion::new()), GFP_KERNEL) else { return assert!(false) };
        let (cpu, before) = (x86_cpu::cpu_id(), super::rt_limits_us());
        assert!(set_rt_limits_us(100_000, 50_000).is_ok());
        let s = shared.clone();
        let spinner = task::kthread_create(b"spinner", move || {
            let end = ktime::now_ns() + 5 * ktime::NSEC_PER_SEC;
            while s.0.load(SeqCst) == 0 && ktime::now_ns() < end {
                core::hint::spin_loop();
            }
            s.0.fetch_or(u32::from(ktime::now_ns() >= end) << 1, SeqCst);
            s.1.complete();
        });
        let s = shared.clone();
        let fair = task::kthread_create(b"fair", move || {
            s.0.fetch_or(1, SeqCst);
            s.1.complete();
        });
        let (Ok(spinner), Ok(fair)) = (spinner, fair) else { return assert!(false) };
        crate::bind(&spinner, cpu);
        crate::bind(&fair, cpu);
        let fifo = crate::Params { policy: crate::policy::FIFO, rt_priority: 99, nice: 0, reset_on_fork: false };
        assert!(crate::set_params(&spinner, fifo).is_ok());
        task::kthread::wake_up_new(spinner);
        task::kthread::wake_up_new(fair);
        shared.1.wait();
        shared.1.wait();
        assert_eq!(shared.0.load(SeqCst), 1);
        assert!(set_rt_limits_us(before.0, before.1).is_ok());
    }

    #[test]
    fn bounds() {
        for (period, runtime) in [(0, 0), (-1, -1), (1000, 1001), (1000, -2)] {
            assert_eq!(set_rt_limits_us(period, runtime), Err(errno::code::EINVAL));
        }
        let (period, runtime) = super::rt_limits_us();
        assert!(set_rt_limits_us(1000, 1000).is_ok() && set_rt_limits_us(period, runtime).is_ok());
    }
}
