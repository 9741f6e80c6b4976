// SPDX-License-Identifier: GPL-2.0
//! `setitimer(2)`, `getitimer(2)`, `alarm(2)`. The real timer is a high-resolution timer. The two that run with the process's CPU
//! time are looked at by delayed work: at the earliest moment at which the process can have used up what is left.

use crate::clock::process_cpu_ns;
use crate::owner;
use crate::user::{from_timeval, timeval};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use errno::Result;
use errno::code::EINVAL;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, WeakArc};
use ktime::{Clock, HrTimer, NSEC_PER_SEC, Restart};
use process::Process;
use process::signal::{SigInfo, send::send_to_process};
use workqueue::DelayedWork;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{get_user, put_user};

const REAL: usize = 0;
const VIRTUAL: usize = 1;
const PROF: usize = 2;
const SIGALRM: u32 = 14;
const SIGVTALRM: u32 = 26;
const SIGPROF: u32 = 27;

/// Interval timers of a process.
pub(crate) struct Itimers {
    real: Arc<HrTimer>,
    real_interval: Arc<AtomicU64>,
    cpu: [Arc<CpuTimer>; 2],
}

/// A timer on CPU time.
struct CpuTimer {
    process: WeakArc<Process>,
    /// Only user time counts (`ITIMER_VIRTUAL`).
    user_only: bool,
    signal: u32,
    /// CPU time at which it expires; 0: off.
    expires: AtomicU64,
    interval: AtomicU64,
    work: locking::SetOnce<DelayedWork>,
}

impl CpuTimer {
    fn new(process: &Arc<Process>, user_only: bool, signal: u32) -> Result<Arc<Self>> {
        let timer = Self {
            process: Arc::downgrade(process),
            user_only,
            signal,
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

    fn used(&self, process: &Process) -> u64 {
        if self.user_only { process::times::of_process(process).utime } else { process_cpu_ns(process) }
    }

    fn set(&self, expires: u64) {
        self.expires.store(expires, SeqCst);
        if let Some(work) = self.work.get() {
            if expires == 0 {
                work.cancel();
            } else {
                work.queue_after(1);
            }
        }
    }

    /// Sends the signal if it is time, and looks again when it can be.
    fn look(&self) {
        let (Some(process), Some(work)) = (self.process.upgrade(), self.work.get()) else { return };
        let mut expires = self.expires.load(SeqCst);
        if expires == 0 || process.is_zombie() {
            return;
        }
        let used = self.used(&process);
        if used >= expires {
            // A signal that nobody wants or that is pending already is no error here.
            let _ = send_to_process(&process, SigInfo::kernel(self.signal));
            let interval = self.interval.load(Relaxed);
            expires = if interval == 0 { 0 } else { used.saturating_add(interval) };
            self.expires.store(expires, SeqCst);
        }
        if expires != 0 {
            let threads = u64::from(process.thread_count().max(1));
            work.queue_after(((expires - used) / threads).max(1_000_000));
        }
    }
}

impl Itimers {
    pub(crate) fn new(process: &Arc<Process>) -> Result<Self> {
        let real_interval = Arc::new(AtomicU64::new(0), GFP_KERNEL)?;
        let (interval, target) = (real_interval.clone(), Arc::downgrade(process));
        let real = HrTimer::new(Clock::Monotonic, move |timer: &Arc<HrTimer>| {
            let Some(process) = target.upgrade() else { return Restart::No };
            // As above.
            let _ = send_to_process(&process, SigInfo::kernel(SIGALRM));
            match interval.load(Relaxed) {
                0 => Restart::No,
                ns => {
                    timer.forward_now(ns);
                    Restart::Yes
                }
            }
        })?;
        let cpu = [CpuTimer::new(process, true, SIGVTALRM)?, CpuTimer::new(process, false, SIGPROF)?];
        Ok(Self { real, real_interval, cpu })
    }

    pub(crate) fn stop(&mut self) {
        self.real.cancel();
        self.cpu.iter().for_each(|timer| timer.set(0));
    }

    fn cpu_timer(&self, which: usize) -> Result<&CpuTimer> {
        let [user, all] = &self.cpu;
        match which {
            VIRTUAL => Ok(user),
            PROF => Ok(all),
            _ => Err(EINVAL),
        }
    }

    /// Interval and time left.
    fn get(&self, which: usize, process: &Process) -> Result<(u64, u64)> {
        // A timer that is about to expire has not yet: a microsecond is left.
        let left = |ns: u64| ns.max(1000);
        if which == REAL {
            let value = if self.real.is_active() { left(self.real.remaining()) } else { 0 };
            return Ok((self.real_interval.load(Relaxed), value));
        }
        let timer = self.cpu_timer(which)?;
        let value = match timer.expires.load(SeqCst) {
            0 => 0,
            at => left(at.saturating_sub(timer.used(process))),
        };
        Ok((timer.interval.load(Relaxed), value))
    }

    fn set(&mut self, which: usize, process: &Process, interval: u64, value: u64) -> Result {
        if which == REAL {
            self.real.cancel();
            self.real_interval.store(interval, Relaxed);
            if value != 0 {
                self.real.start_after(value);
            }
            return Ok(());
        }
        let timer = self.cpu_timer(which)?;
        timer.interval.store(interval, Relaxed);
        timer.set(if value == 0 { 0 } else { timer.used(process).saturating_add(value) });
        Ok(())
    }
}

fn get(which: usize) -> Result<(u64, u64)> {
    if which > PROF {
        return Err(EINVAL);
    }
    match owner::existing() {
        Some(timers) => timers.itimers.lock().get(which, &timers.process),
        None => Ok((0, 0)),
    }
}

fn set(which: usize, interval: u64, value: u64) -> Result<(u64, u64)> {
    if which > PROF {
        return Err(EINVAL);
    }
    if value == 0 && interval == 0 && owner::existing().is_none() {
        return Ok((0, 0));
    }
    let timers = owner::timers()?;
    let mut itimers = timers.itimers.lock();
    let old = itimers.get(which, &timers.process)?;
    itimers.set(which, &timers.process, interval, value)?;
    Ok(old)
}

fn put(at: usize, (interval, value): (u64, u64)) -> Result {
    let ([a, b], [c, d]) = (timeval(interval), timeval(value));
    put_user(at, [a, b, c, d])
}

/// `getitimer(2)`.
pub fn sys_getitimer(regs: &PtRegs) -> Result<usize> {
    let now = get(regs.arg0())?;
    put(regs.arg1(), now)?;
    Ok(0)
}

/// `setitimer(2)`. A null new value stops the timer, as Linux still allows.
pub fn sys_setitimer(regs: &PtRegs) -> Result<usize> {
    let (interval, value) = match regs.arg1() {
        0 => (0, 0),
        at => {
            let [isec, iusec, sec, usec] = get_user::<[i64; 4]>(at)?;
            (from_timeval(isec, iusec)?, from_timeval(sec, usec)?)
        }
    };
    let old = set(regs.arg0(), interval, value)?;
    if regs.arg2() != 0 {
        put(regs.arg2(), old)?;
    }
    Ok(0)
}

/// `alarm(2)`: seconds left of the one before, rounded up as Linux does (at least one if there was one).
pub fn sys_alarm(regs: &PtRegs) -> Result<usize> {
    let seconds = u64::from(regs.arg0() as u32);
    let (_, left) = set(REAL, 0, seconds * NSEC_PER_SEC)?;
    let whole = left / NSEC_PER_SEC;
    let rest = left % NSEC_PER_SEC;
    // Half a second or more rounds up; something short of a second is still one.
    Ok((whole + u64::from(rest >= NSEC_PER_SEC / 2 || (whole == 0 && rest > 0))) as usize)
}
