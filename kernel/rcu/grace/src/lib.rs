// SPDX-License-Identifier: GPL-2.0
//! Grace periods. Each CPU has a counter of context switches and one of idle periods (even while idle or not started). A grace
//! period takes a snapshot of both, and is over when each CPU was idle at the snapshot or has moved one of its counters since.
//! A CPU that does not move by itself (a program that computes, tickless) gets the reschedule interrupt.
//!
//! Order: the snapshot comes after a full barrier, so what the writer took away before is gone for sections that begin later;
//! the counters are moved with full barriers or inside the scheduler's locked section, so sections that ended are done.
//!
//! Lock: `GRACE`, a mutex, held for a grace period.

#![no_std]
#![forbid(unsafe_code)]

mod defer;

pub use defer::{Deferrable, barrier, call, defer_drop, start_reclaim};

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use hook::Hook;
use sync::Mutex;
use task::State;
use x86_cpu::percpu::{CpuId, MAX_CPUS, cpu_id};

#[repr(align(64))]
struct Quiet {
    /// Context switches so far.
    switches: AtomicU64,
    /// Odd while the CPU may have readers; even while it idles, or is not started.
    active: AtomicU32,
}

x86_cpu::percpu! {
    static QUIET: Quiet = Quiet { switches: AtomicU64::new(0), active: AtomicU32::new(0) };
}

/// What grace periods need from the crates above.
pub trait Host: Sync {
    /// Makes `cpu` switch tasks soon (sets need-resched there and interrupts it).
    fn resched_cpu(&self, cpu: CpuId);
    /// The monotonic clock.
    fn now_ns(&self) -> u64;
}

static HOST: Hook<dyn Host> = Hook::new();

/// Registers the host: the scheduler, once it runs. Before, there is one CPU and one thread, and waiting is not needed.
pub fn host(host: &'static &'static dyn Host) {
    HOST.set(host);
}

pub(crate) fn now_ns() -> Option<u64> {
    HOST.get().map(|h| h.now_ns())
}

/// This CPU starts to schedule: from here on it may have readers. Interrupts off.
pub fn cpu_starting() {
    let quiet = QUIET.this_racy();
    if quiet.active.load(Ordering::Relaxed) & 1 == 0 {
        quiet.active.fetch_add(1, Ordering::SeqCst);
    }
}

/// This CPU switches tasks. Called by the scheduler with preemption off.
#[inline(always)]
pub fn note_context_switch() {
    let quiet = QUIET.this_racy();
    // Only this CPU writes it. The scheduler's lock on both sides is the barrier.
    quiet.switches.store(quiet.switches.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
}

/// This CPU is about to wait for interrupts. Preemption off; no reader may follow before [`idle_exit`].
#[inline]
pub fn idle_enter() {
    QUIET.this_racy().active.fetch_add(1, Ordering::SeqCst);
}

/// This CPU goes on after [`idle_enter`].
#[inline]
pub fn idle_exit() {
    QUIET.this_racy().active.fetch_add(1, Ordering::SeqCst);
}

/// A hard interrupt whose handler may be a reader: ends the idleness that it may have interrupted. Returns whether it did, for
/// [`irq_exit`]. Interrupts off.
#[inline(always)]
pub fn irq_enter() -> bool {
    let quiet = QUIET.this_racy();
    let was_idle = quiet.active.load(Ordering::Relaxed) & 1 == 0;
    if was_idle {
        quiet.active.fetch_add(1, Ordering::SeqCst);
    }
    was_idle
}

/// Undoes [`irq_enter`].
#[inline(always)]
pub fn irq_exit(was_idle: bool) {
    if was_idle {
        QUIET.this_racy().active.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sequence of grace periods: odd while one runs.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);
static GRACE: Mutex<()> = Mutex::new(());

/// First wait before CPUs that did not switch by themselves are interrupted.
const PATIENCE_NS: u64 = 1_000_000;

/// Waits until every read section that began before this call has ended. May sleep.
pub fn synchronize() {
    task::might_sleep();
    let Some(host) = HOST.get() else {
        return;
    };
    fence(Ordering::SeqCst);
    // One that runs already may have looked at some CPU before the caller's change: a whole one must follow.
    let seen = SEQUENCE.load(Ordering::SeqCst);
    let needed = (seen + 3) & !1;
    let _one_at_a_time = GRACE.lock();
    if SEQUENCE.load(Ordering::SeqCst) >= needed {
        return;
    }
    SEQUENCE.fetch_add(1, Ordering::SeqCst);
    wait_for_readers(host);
    SEQUENCE.fetch_add(1, Ordering::SeqCst);
}

fn wait_for_readers(host: &dyn Host) {
    fence(Ordering::SeqCst);
    let mut snapshot = [(0u32, 0u64); MAX_CPUS];
    let mut waiting: u64 = 0;
    {
        let _pinned = x86_cpu::preempt_disable();
        let this = cpu_id();
        for cpu in 0..MAX_CPUS as CpuId {
            let Some(quiet) = QUIET.on(cpu) else { continue };
            let active = quiet.active.load(Ordering::SeqCst);
            // The caller may sleep, so the CPU that it is on has no reader right now.
            if cpu == this || active & 1 == 0 {
                continue;
            }
            if let Some(slot) = snapshot.get_mut(cpu as usize) {
                *slot = (active, quiet.switches.load(Ordering::Acquire));
                waiting |= 1 << cpu;
            }
        }
    }
    let mut first = true;
    loop {
        for (cpu, before) in snapshot.iter().enumerate() {
            if waiting >> cpu & 1 != 0
                && let Some(quiet) = QUIET.on(cpu as CpuId)
                && (quiet.active.load(Ordering::SeqCst), quiet.switches.load(Ordering::Acquire)) != *before
            {
                waiting &= !(1 << cpu);
            }
        }
        if waiting == 0 {
            fence(Ordering::SeqCst);
            return;
        }
        if !first {
            for cpu in (0..MAX_CPUS as CpuId).filter(|cpu| waiting >> cpu & 1 != 0) {
                host.resched_cpu(cpu);
            }
        }
        first = false;
        task::set_current_state(State::UNINTERRUPTIBLE);
        sync::wait::sleep_until(host.now_ns().saturating_add(PATIENCE_NS));
        task::set_current_state(State::RUNNING);
    }
}
