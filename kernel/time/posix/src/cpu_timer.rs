// SPDX-License-Identifier: GPL-2.0
//! Timers on CPU time: of a process, of its user time alone, of a thread. CPU time cannot pass faster than one second a second for
//! each thread, so delayed work looks at the earliest moment at which what is left can be used up, and again if it was not.
//!
//! No locks: the expiry is an atomic. `fire` is called in a worker, or by who starts a timer whose time is over.

use crate::clock::process_cpu_ns;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, WeakArc};
use process::Process;
use task::Task;
use workqueue::DelayedWork;

/// Whose time counts.
pub(crate) enum Source {
    /// All of a process's time.
    Process(WeakArc<Process>),
    /// A process's time in user mode (`ITIMER_VIRTUAL`).
    User(WeakArc<Process>),
    /// A thread's time.
    Thread(WeakArc<Task>),
}

/// Told how many periods have passed.
type Fire = dyn Fn(u64) + Send + Sync;

/// A timer on CPU time.
pub(crate) struct CpuTimer {
    source: Source,
    fire: KBox<Fire>,
    /// CPU time at which it expires; 0: off.
    expires: AtomicU64,
    interval: AtomicU64,
    work: locking::SetOnce<DelayedWork>,
}

/// Least time between two looks.
const MIN_DELAY_NS: u64 = 1_000_000;

impl Source {
    /// CPU time so far, and how many threads can use it at once. `None` once nobody does.
    fn used(&self) -> Option<(u64, u64)> {
        match self {
            Self::Process(process) => {
                let process = process.upgrade().filter(|p| !p.is_zombie())?;
                Some((process_cpu_ns(&process), u64::from(process.thread_count().max(1))))
            }
            Self::User(process) => {
                let process = process.upgrade().filter(|p| !p.is_zombie())?;
                Some((process::times::of_process(&process).utime, u64::from(process.thread_count().max(1))))
            }
            Self::Thread(task) => {
                let task = task.upgrade().filter(|t| process::thread_of(t).is_some_and(|t| !t.is_exiting()))?;
                Some((sched::runtime_ns(&task), 1))
            }
        }
    }
}

impl CpuTimer {
    /// A timer that is off. May sleep.
    pub(crate) fn new(source: Source, fire: impl Fn(u64) + Send + Sync + 'static) -> Result<Arc<Self>> {
        let fire: KBox<Fire> = KBox::new(fire, GFP_KERNEL)?;
        let timer = Self {
            source,
            fire,
            expires: AtomicU64::new(0),
            interval: AtomicU64::new(0),
            work: locking::SetOnce::new(),
        };
        let timer = Arc::new(timer, GFP_KERNEL)?;
        let weak = Arc::downgrade(&timer);
        let work = DelayedWork::new(move || {
            if let Some(timer) = weak.upgrade() {
                timer.look();
            }
        })?;
        // Fresh, so nobody has set it.
        drop(timer.work.set(work));
        Ok(timer)
    }

    /// CPU time so far.
    pub(crate) fn now(&self) -> u64 {
        self.source.used().map_or(0, |(used, _)| used)
    }

    fn set(&self, expires: u64, interval: u64) {
        self.interval.store(interval, Relaxed);
        self.expires.store(expires, SeqCst);
    }

    /// It expires at CPU time `at`, which is not 0: here and now if that is over.
    pub(crate) fn start_at(&self, at: u64, interval: u64) {
        self.set(at, interval);
        self.look();
    }

    /// It expires when so much more has been used, but not before it is looked at for the first time.
    pub(crate) fn start_after(&self, left: u64, interval: u64) {
        let (used, threads) = self.source.used().unwrap_or((0, 1));
        self.set(used.saturating_add(left).max(1), interval);
        if let Some(work) = self.work.get() {
            work.queue_after((left / threads).max(MIN_DELAY_NS));
        }
    }

    /// Stops it; the interval is shown from then on.
    pub(crate) fn stop_with(&self, interval: u64) {
        self.interval.store(interval, Relaxed);
        self.stop();
    }

    /// Stops it; the interval stays.
    pub(crate) fn stop(&self) {
        self.expires.store(0, SeqCst);
        if let Some(work) = self.work.get() {
            work.cancel();
        }
    }

    /// Interval, and time left if it runs.
    pub(crate) fn state(&self) -> (u64, Option<u64>) {
        let left = match self.expires.load(SeqCst) {
            0 => None,
            at => Some(at.saturating_sub(self.now())),
        };
        (self.interval.load(Relaxed), left)
    }

    /// Time left as `timer_settime` tells of what it replaces: of one whose time is over and that nobody looked at yet, until its next
    /// `interval` ends (a silent timer has none itself).
    pub(crate) fn left_of_replaced(&self, interval: u64) -> Option<u64> {
        let expires = Some(self.expires.load(SeqCst)).filter(|at| *at != 0)?;
        let now = self.now();
        if now < expires {
            return Some(expires - now);
        }
        Some((now - expires).checked_rem(interval).map_or(0, |over| interval - over))
    }

    /// Fires if it is time, and looks again when it can be.
    fn look(&self) {
        let (Some((used, threads)), Some(work)) = (self.source.used(), self.work.get()) else { return };
        let mut expires = self.expires.load(SeqCst);
        if expires == 0 {
            return;
        }
        if used >= expires {
            let interval = self.interval.load(Relaxed);
            let periods = used.wrapping_sub(expires).checked_div(interval).map_or(1, |n| n.saturating_add(1));
            let next = if interval == 0 { 0 } else { expires.saturating_add(periods.saturating_mul(interval)) };
            // Somebody may have set it meanwhile: then that counts.
            if self.expires.compare_exchange(expires, next, SeqCst, SeqCst).is_err() {
                return;
            }
            (self.fire)(periods);
            expires = next;
        }
        if expires != 0 {
            work.queue_after((expires.saturating_sub(used) / threads).max(MIN_DELAY_NS));
        }
    }
}
