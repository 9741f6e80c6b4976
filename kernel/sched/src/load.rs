// SPDX-License-Identifier: GPL-2.0
//! The load average: the number of runnable and uninterruptible tasks, averaged exponentially over 1, 5 and 15 minutes, looked
//! at every five seconds (proc(5), `/proc/loadavg`). There is no tick on idle CPUs: whoever comes first after five seconds
//! folds in the periods that passed, so the averages decay the same.

use crate::rq::PUBLIC;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use locking::SpinLock;
use x86_cpu::percpu::{CpuId, MAX_CPUS};

/// Bits after the point.
pub const SHIFT: u32 = 11;
const ONE: u64 = 1 << SHIFT;
const PERIOD_NS: u64 = 5_004_000_000;
/// `2^11 / exp(5 s / T)` for one, five and fifteen minutes.
const DECAY: [u64; 3] = [1884, 2014, 2037];

static AVERAGES: SpinLock<[u64; 3]> = SpinLock::new([0; 3]);
static NEXT: AtomicU64 = AtomicU64::new(0);

fn active() -> u64 {
    let mut sum: i64 = 0;
    for cpu in 0..MAX_CPUS as CpuId {
        if let Some(public) = PUBLIC.on(cpu) {
            sum += i64::from(public.nr_running.load(Relaxed)) + public.uninterruptible.load(Relaxed);
        }
    }
    u64::try_from(sum).unwrap_or(0)
}

/// Folds in what is due. Any context but NMI.
#[inline]
pub(crate) fn tick() {
    let now = ktime::now_ns();
    let next = NEXT.load(Relaxed);
    if now >= next {
        fold(now, next);
    }
}

#[cold]
fn fold(now: u64, next: u64) {
    // Who moves the time on does the work.
    let periods = if next == 0 { 1 } else { (now - next) / PERIOD_NS + 1 };
    let then = if next == 0 { now + PERIOD_NS } else { next + periods * PERIOD_NS };
    if NEXT.compare_exchange(next, then, Relaxed, Relaxed).is_err() || next == 0 {
        return;
    }
    let active = active() << SHIFT;
    let mut averages = AVERAGES.lock_irqsave();
    for (average, decay) in averages.iter_mut().zip(DECAY) {
        // After this many periods nothing of the old value is left.
        for _ in 0..periods.min(4096) {
            let mut new = *average * decay + active * (ONE - decay);
            if active >= *average {
                new += ONE - 1;
            }
            *average = new >> SHIFT;
        }
    }
}

/// The three averages with [`SHIFT`] bits after the point.
pub fn averages() -> [u64; 3] {
    tick();
    *AVERAGES.lock_irqsave()
}
