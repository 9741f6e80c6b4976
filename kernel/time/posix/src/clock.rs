// SPDX-License-Identifier: GPL-2.0
//! The clocks of `clock_gettime(2)`, and the older calls about real time.

use crate::user::{from_timespec, from_timeval, put_timespec, timeval};
use clock_hw::COARSE_NS;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};
use errno::Result;
use errno::code::{EINVAL, EPERM};
use kalloc::Arc;
use ktime::{NSEC_PER_SEC, timekeeper};
use process::ns::time::{self, Shifted};
use task::{Task, current};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{get_user, put_user};

/// A clock that a program named.
#[derive(Clone)]
pub(crate) enum ClockId {
    Realtime,
    Monotonic,
    MonotonicRaw,
    RealtimeCoarse,
    MonotonicCoarse,
    Boottime,
    Tai,
    /// Real time and boot time whose timers wake a machine that sleeps.
    RealtimeAlarm,
    BoottimeAlarm,
    /// CPU time of a process (the task is any of its threads).
    Process(Arc<Task>),
    /// CPU time of a thread.
    Thread(Arc<Task>),
}

/// The clock behind a number; `EINVAL` for numbers that mean nothing.
pub(crate) fn clock(id: i32) -> Result<ClockId> {
    Ok(match id {
        0 => ClockId::Realtime,
        1 => ClockId::Monotonic,
        2 => ClockId::Process(current().to_arc()),
        3 => ClockId::Thread(current().to_arc()),
        4 => ClockId::MonotonicRaw,
        5 => ClockId::RealtimeCoarse,
        6 => ClockId::MonotonicCoarse,
        7 => ClockId::Boottime,
        8 => ClockId::RealtimeAlarm,
        9 => ClockId::BoottimeAlarm,
        11 => ClockId::Tai,
        n if n < 0 => return cpu_clock(n),
        _ => return Err(EINVAL),
    })
}

/// `clock_getcpuclockid(3)`: the process id, inverted, above three bits of kind (2: exact CPU time; bit 2: of one thread).
fn cpu_clock(id: i32) -> Result<ClockId> {
    let pid = !(id >> 3) as u32;
    // Kinds 0 and 1 are the user+system and the user time of a process; 3 is a device's clock.
    let kind = id & 3;
    if kind == 3 {
        return Err(EINVAL);
    }
    let thread = id & 4 != 0;
    let task = if pid == 0 { current().to_arc() } else { process::pid::find_thread_here(pid).ok_or(EINVAL)? };
    let mine = process::process_of(&current());
    let its = process::process_of(&task).ok_or(EINVAL)?;
    if thread {
        if pid != 0 && !mine.is_some_and(|m| Arc::ptr_eq(&m, &its)) {
            return Err(EINVAL);
        }
        return Ok(ClockId::Thread(task));
    }
    if pid != 0 && its.pid() != task.tid() {
        return Err(EINVAL);
    }
    Ok(ClockId::Process(task))
}

/// CPU time of a process, exact.
pub(crate) fn process_cpu_ns(process: &process::Process) -> u64 {
    process::times::cpu_ns(process)
}

impl ClockId {
    pub(crate) fn now_ns(&self) -> u64 {
        match self {
            Self::Realtime | Self::RealtimeAlarm => ktime::real_ns(),
            Self::Monotonic => ktime::now_ns(),
            Self::MonotonicRaw => ktime::raw_ns(),
            Self::RealtimeCoarse => ktime::real_coarse_ns(),
            Self::MonotonicCoarse => timekeeper::coarse(ktime::now_ns()),
            Self::Boottime | Self::BoottimeAlarm => ktime::boottime_ns(),
            Self::Tai => ktime::tai_ns(),
            Self::Process(task) => process::process_of(task).map_or(0, |p| process_cpu_ns(&p)),
            Self::Thread(task) => sched::runtime_ns(task),
        }
    }

    /// The time that the current task's name space has.
    fn shown_ns(&self) -> u64 {
        if let Self::MonotonicCoarse = self {
            // As the vDSO does it: rounded last.
            return timekeeper::coarse(time::shown(Shifted::Monotonic, ktime::now_ns()));
        }
        let now = self.now_ns();
        self.shifted().map_or(now, |clock| time::shown(clock, now))
    }

    /// Which of a name space's offsets counts for it.
    fn shifted(&self) -> Option<Shifted> {
        match self {
            Self::Monotonic | Self::MonotonicRaw | Self::MonotonicCoarse => Some(Shifted::Monotonic),
            Self::Boottime | Self::BoottimeAlarm => Some(Shifted::Boottime),
            _ => None,
        }
    }

    fn resolution(&self) -> u64 {
        match self {
            Self::RealtimeCoarse | Self::MonotonicCoarse => COARSE_NS,
            _ => 1,
        }
    }

    /// `EPERM` if the caller may not have timers that wake the machine, and this is a clock of such.
    pub(crate) fn check_alarm(&self) -> Result {
        match self {
            Self::RealtimeAlarm | Self::BoottimeAlarm if !cred::capable(cred::CAP_WAKE_ALARM) => Err(EPERM),
            _ => Ok(()),
        }
    }

    /// The clock for timers and sleeps; `None` where there are none (`EOPNOTSUPP`).
    pub(crate) fn timer_clock(&self) -> Option<ktime::Clock> {
        match self {
            Self::Realtime => Some(ktime::Clock::Realtime),
            Self::RealtimeAlarm => Some(ktime::Clock::RealtimeAlarm),
            Self::Monotonic => Some(ktime::Clock::Monotonic),
            Self::Boottime => Some(ktime::Clock::Boottime),
            Self::BoottimeAlarm => Some(ktime::Clock::BoottimeAlarm),
            Self::Tai => Some(ktime::Clock::Tai),
            _ => None,
        }
    }
}

/// `clock_gettime(2)`.
pub fn sys_clock_gettime(regs: &PtRegs) -> Result<usize> {
    let ns = match regs.arg0() as i32 {
        // The two that matter, without a detour.
        1 => time::shown(Shifted::Monotonic, ktime::now_ns()),
        0 => ktime::real_ns(),
        id => clock(id)?.shown_ns(),
    };
    put_timespec(regs.arg1(), ns)?;
    Ok(0)
}

/// `clock_getres(2)`.
pub fn sys_clock_getres(regs: &PtRegs) -> Result<usize> {
    let resolution = clock(regs.arg0() as i32)?.resolution();
    if regs.arg1() != 0 {
        put_timespec(regs.arg1(), resolution)?;
    }
    Ok(0)
}

/// The moment that the current task means by `ns` of the clock with number `id`.
pub(crate) fn meant_by(id: i32, ns: u64) -> u64 {
    match id {
        1 => time::meant(Shifted::Monotonic, ns),
        7 | 9 => time::meant(Shifted::Boottime, ns),
        _ => ns,
    }
}

fn may_set() -> Result {
    if cred::capable(cred::CAP_SYS_TIME) { Ok(()) } else { Err(EPERM) }
}

/// Real time cannot be set so early that boot lies before 1970, nor so late that 30 years do not fit behind it.
fn set_real(ns: u64) -> Result {
    const MAX: u64 = i64::MAX as u64 - 30 * 365 * 86_400 * NSEC_PER_SEC;
    may_set()?;
    if ns < ktime::now_ns() || ns > MAX {
        return Err(EINVAL);
    }
    timekeeper::set_real_ns(ns);
    crate::adjtimex::clear();
    Ok(())
}

/// `clock_settime(2)`: only real time can be set.
pub fn sys_clock_settime(regs: &PtRegs) -> Result<usize> {
    match clock(regs.arg0() as i32)? {
        ClockId::Realtime => {
            let [sec, nsec] = get_user::<[i64; 2]>(regs.arg1())?;
            set_real(from_timespec(sec, nsec)?)?;
            Ok(0)
        }
        ClockId::Process(_) | ClockId::Thread(_) if (regs.arg0() as i32) < 0 => Err(EPERM),
        _ => Err(EINVAL),
    }
}

static TIMEZONE: [AtomicI32; 2] = [AtomicI32::new(0), AtomicI32::new(0)];

/// `gettimeofday(2)`.
pub fn sys_gettimeofday(regs: &PtRegs) -> Result<usize> {
    if regs.arg0() != 0 {
        put_user(regs.arg0(), timeval(ktime::real_ns()))?;
    }
    if regs.arg1() != 0 {
        let [west, dst] = &TIMEZONE;
        put_user(regs.arg1(), [west.load(Relaxed), dst.load(Relaxed)])?;
    }
    Ok(0)
}

/// `settimeofday(2)`.
pub fn sys_settimeofday(regs: &PtRegs) -> Result<usize> {
    let time = match regs.arg0() {
        0 => None,
        at => {
            let [sec, usec] = get_user::<[i64; 2]>(at)?;
            Some(from_timeval(sec, usec)?)
        }
    };
    let zone = match regs.arg1() {
        0 => None,
        at => Some(get_user::<[i32; 2]>(at)?),
    };
    may_set()?;
    if let Some([west, dst]) = zone {
        if !(-15 * 60..=15 * 60).contains(&west) {
            return Err(EINVAL);
        }
        let [w, d] = &TIMEZONE;
        w.store(west, Relaxed);
        d.store(dst, Relaxed);
        x86_vdso::set_timezone(west, dst);
        // The first that comes without a time tells that the machine's clock shows local time.
        static TOLD: AtomicBool = AtomicBool::new(false);
        if !TOLD.swap(true, Relaxed) && time.is_none() && west != 0 {
            let shift = i64::from(west) * 60 * NSEC_PER_SEC as i64;
            set_real(ktime::real_ns().checked_add_signed(shift).ok_or(EINVAL)?)?;
        }
    }
    if let Some(ns) = time {
        set_real(ns)?;
    }
    Ok(0)
}

/// `time(2)`.
pub fn sys_time(regs: &PtRegs) -> Result<usize> {
    let seconds = ktime::real_ns() / NSEC_PER_SEC;
    if regs.arg0() != 0 {
        put_user(regs.arg0(), seconds)?;
    }
    Ok(seconds as usize)
}
