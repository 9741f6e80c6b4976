// SPDX-License-Identifier: GPL-2.0
//! `setitimer(2)`, `getitimer(2)`, `alarm(2)`. The real timer is a high-resolution timer. The two that run with the process's CPU
//! time are `cpu_timer`'s.
//!
//! The real timer stands still from its expiration until a `SIGALRM` is taken, and then is moved on to its next period: a program
//! cannot make more interrupts than it takes signals. While `SIGALRM` is ignored it stays expired, as on Linux.

use crate::cpu_timer::{CpuTimer, Source};
use crate::owner;
use crate::user::{from_timeval, timeval};
use errno::Result;
use errno::code::EINVAL;
use kalloc::Arc;
use ktime::{Clock, HrTimer, NSEC_PER_SEC, Restart};
use process::Process;
use process::signal::{SigInfo, send::send_to_process};
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
    real_interval: u64,
    cpu: [Arc<CpuTimer>; 2],
}

/// A signal that nobody wants or that is pending already is no error.
fn cpu_timer(process: &Arc<Process>, source: Source, signal: u32) -> Result<Arc<CpuTimer>> {
    let process = Arc::downgrade(process);
    CpuTimer::new(source, move |_| {
        if let Some(process) = process.upgrade() {
            let _ = send_to_process(&process, SigInfo::kernel(signal));
        }
    })
}

impl Itimers {
    pub(crate) fn new(process: &Arc<Process>) -> Result<Self> {
        let target = Arc::downgrade(process);
        let real = HrTimer::new(Clock::Monotonic, move |_: &Arc<HrTimer>| {
            if let Some(process) = target.upgrade() {
                // As above.
                let _ = send_to_process(&process, SigInfo::kernel(SIGALRM));
            }
            Restart::No
        })?;
        let cpu = [
            cpu_timer(process, Source::User(Arc::downgrade(process)), SIGVTALRM)?,
            cpu_timer(process, Source::Process(Arc::downgrade(process)), SIGPROF)?,
        ];
        Ok(Self { real, real_interval: 0, cpu })
    }

    pub(crate) fn stop(&mut self) {
        self.real.cancel();
        self.cpu.iter().for_each(|timer| timer.stop());
    }

    /// A `SIGALRM` was taken.
    pub(crate) fn alarm_taken(&mut self) {
        if self.real_interval != 0 && !self.real.is_queued() {
            self.real.forward_now(self.real_interval);
            self.real.start(self.real.expires());
        }
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
    fn get(&self, which: usize) -> Result<(u64, u64)> {
        // A timer that is about to expire has not yet: a microsecond is left.
        let left = |ns: u64| ns.max(1000);
        if which == REAL {
            let value = if self.real.is_active() { left(self.real.remaining()) } else { 0 };
            return Ok((self.real_interval, value));
        }
        let (interval, value) = self.cpu_timer(which)?.state();
        Ok((interval, value.map_or(0, left)))
    }

    fn set(&mut self, which: usize, interval: u64, value: u64) -> Result {
        if which == REAL {
            self.real.cancel();
            // Without a value it is off, and has no interval either.
            self.real_interval = if value == 0 { 0 } else { interval };
            if value != 0 {
                self.real.start_after(value);
            }
            return Ok(());
        }
        let timer = self.cpu_timer(which)?;
        if value == 0 {
            timer.stop_with(interval)
        } else {
            timer.start_after(value, interval)
        }
        Ok(())
    }
}

fn get(which: usize) -> Result<(u64, u64)> {
    if which > PROF {
        return Err(EINVAL);
    }
    match owner::existing() {
        Some(timers) => timers.itimers.lock().get(which),
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
    let old = itimers.get(which)?;
    itimers.set(which, interval, value)?;
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
