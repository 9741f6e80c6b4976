// SPDX-License-Identifier: GPL-2.0
//! `timer_create(2)` and its kin, for clocks that run (real, monotonic, boot time, TAI) and for CPU time (`cpu_timer`).
//!
//! Expirations while the signal is still pending are counted as overruns; the count is taken when a new expiration finds the
//! signal delivered.

use crate::clock::{ClockId, clock};
use crate::cpu_timer::{CpuTimer, Source};
use crate::owner;
use crate::user::{get_itimerspec, put_itimerspec};
use containers::Idr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use errno::Result;
use errno::code::{EAGAIN, EINVAL, EOPNOTSUPP};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, WeakArc};
use ktime::{HrTimer, Restart};
use process::Process;
use process::signal::{SigInfo, send::send_to_process, send::send_to_thread};
use task::Task;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{get_user, put_user};

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_THREAD_ID: i32 = 4;
const SIGALRM: u32 = 14;
const TIMER_ABSTIME: usize = 1;
const TIMERS_MAX: u32 = 1 << 20;

/// Who is told, and how.
struct Notify {
    signal: u32,
    /// `None`: the timer's id.
    value: Option<u64>,
    process: WeakArc<Process>,
    /// `SIGEV_THREAD_ID`.
    thread: Option<WeakArc<Task>>,
    /// `SIGEV_NONE`.
    silent: bool,
}

struct PosixTimer {
    engine: Engine,
    shared: Arc<Shared>,
}

/// What makes it expire.
enum Engine {
    Clock(Arc<HrTimer>),
    Cpu(Arc<CpuTimer>),
}

impl Engine {
    fn new(clock: &ClockId, shared: &Arc<Shared>) -> Result<Self> {
        let shared = shared.clone();
        let source = match clock {
            ClockId::Process(task) => Source::Process(Arc::downgrade(&process::process_of(task).ok_or(EINVAL)?)),
            ClockId::Thread(task) => Source::Thread(Arc::downgrade(task)),
            other => {
                let clock = other.timer_clock().ok_or(EOPNOTSUPP)?;
                return Ok(Self::Clock(HrTimer::new(clock, move |timer: &Arc<HrTimer>| shared.expire(timer))?));
            }
        };
        Ok(Self::Cpu(CpuTimer::new(source, move |periods| shared.fire(periods))?))
    }

    fn cancel(&self) {
        match self {
            Self::Clock(timer) => {
                timer.cancel();
            }
            Self::Cpu(timer) => timer.stop(),
        }
    }

    fn start(&self, value: u64, absolute: bool, interval: u64) {
        match (self, absolute) {
            (Self::Clock(timer), true) => timer.start(value),
            (Self::Clock(timer), false) => timer.start_after(value),
            (Self::Cpu(timer), true) => timer.start(value, interval),
            (Self::Cpu(timer), false) => timer.start(timer.now().saturating_add(value), interval),
        }
    }

    /// Time left, 0 if it is off: what is about to expire has a nanosecond left.
    fn left(&self) -> u64 {
        match self {
            Self::Clock(timer) if timer.is_active() => timer.remaining().max(1),
            Self::Clock(_) => 0,
            Self::Cpu(timer) => timer.state().1.map_or(0, |left| left.max(1)),
        }
    }
}

struct Shared {
    id: AtomicI32,
    interval: AtomicU64,
    /// Expirations beyond the first at the last signal.
    overrun: AtomicI32,
    /// The signal could not be queued: try with the next expiration.
    missed: AtomicBool,
    notify: Notify,
}

/// POSIX timers of a process.
pub(crate) struct PosixTimers {
    timers: Idr<PosixTimer>,
    next: u32,
}

impl PosixTimers {
    pub(crate) const fn new() -> Self {
        Self { timers: Idr::new(), next: 0 }
    }

    /// Deletes all.
    pub(crate) fn clear(&mut self) {
        while let Some((id, _)) = self.timers.next(0) {
            if let Some(timer) = self.timers.remove(id) {
                timer.engine.cancel();
            }
        }
    }
}

impl Shared {
    fn expire(&self, timer: &HrTimer) -> Restart {
        let interval = self.interval.load(Relaxed);
        let periods = if interval == 0 { 1 } else { timer.forward_now(interval) };
        self.fire(periods);
        if interval == 0 { Restart::No } else { Restart::Yes }
    }

    fn fire(&self, periods: u64) {
        let extra = i32::try_from(periods.saturating_sub(1)).unwrap_or(i32::MAX);
        if self.missed.load(Relaxed) {
            self.overrun.store(self.overrun.load(Relaxed).saturating_add(extra).saturating_add(1), Relaxed);
        } else {
            self.overrun.store(extra, Relaxed);
        }
        self.send();
    }

    fn send(&self) {
        if self.notify.silent {
            return;
        }
        let id = self.id.load(Relaxed);
        let value = self.notify.value.unwrap_or(id as u64);
        let info = SigInfo::timer(self.notify.signal, id, self.overrun.load(Relaxed), value);
        let sent = match &self.notify.thread {
            Some(thread) => thread.upgrade().map(|t| send_to_thread(&t, info)),
            None => self.notify.process.upgrade().map(|p| send_to_process(&p, info)),
        };
        self.missed.store(matches!(sent, Some(Err(_))), Relaxed);
    }
}

/// `struct sigevent`: value, signal and kind, thread id.
fn read_event(at: usize, process: &Arc<Process>) -> Result<Notify> {
    let mut notify =
        Notify { signal: SIGALRM, value: None, process: Arc::downgrade(process), thread: None, silent: false };
    if at == 0 {
        return Ok(notify);
    }
    let value = get_user::<u64>(at)?;
    let [signal, kind, tid] = get_user::<[i32; 3]>(at.wrapping_add(8))?;
    notify.value = Some(value);
    match kind {
        SIGEV_NONE => notify.silent = true,
        // The library makes the thread; the kernel sends the signal.
        SIGEV_SIGNAL | SIGEV_THREAD => {}
        SIGEV_THREAD_ID => {
            let task = u32::try_from(tid).ok().and_then(process::pid::find_thread).ok_or(EINVAL)?;
            if !process::process_of(&task).is_some_and(|p| Arc::ptr_eq(&p, process)) {
                return Err(EINVAL);
            }
            notify.thread = Some(Arc::downgrade(&task));
        }
        _ => return Err(EINVAL),
    }
    if !notify.silent {
        notify.signal = u32::try_from(signal).ok().filter(|s| (1..=64).contains(s)).ok_or(EINVAL)?;
    }
    Ok(notify)
}

/// `timer_create(2)`.
pub fn sys_timer_create(regs: &PtRegs) -> Result<usize> {
    let clock = clock(regs.arg0() as i32)?;
    if clock.timer_clock().is_none() && !matches!(clock, ClockId::Process(_) | ClockId::Thread(_)) {
        return Err(EOPNOTSUPP);
    }
    clock.check_alarm()?;
    let timers = owner::timers()?;
    let notify = read_event(regs.arg1(), &timers.process)?;
    let mut set = timers.posix.lock();
    let PosixTimers { timers: table, next } = &mut *set;
    let shared = Shared {
        id: AtomicI32::new(0),
        interval: AtomicU64::new(0),
        overrun: AtomicI32::new(0),
        missed: AtomicBool::new(false),
        notify,
    };
    let shared = Arc::new(shared, GFP_KERNEL)?;
    let timer = PosixTimer { engine: Engine::new(&clock, &shared)?, shared: shared.clone() };
    let id = table.alloc_cyclic(timer, next, 0, TIMERS_MAX, GFP_KERNEL).map_err(|_| EAGAIN)?;
    shared.id.store(id as i32, Relaxed);
    if let Err(error) = put_user(regs.arg2(), id as i32) {
        table.remove(id);
        return Err(error);
    }
    Ok(0)
}

fn with_timer<R>(id: usize, f: impl FnOnce(&PosixTimer) -> Result<R>) -> Result<R> {
    let id = u32::try_from(id as i32).map_err(|_| EINVAL)?;
    let timers = owner::existing().ok_or(EINVAL)?;
    let set = timers.posix.lock();
    f(set.timers.find(id).ok_or(EINVAL)?)
}

/// Interval and time left of a timer.
fn state(timer: &PosixTimer) -> (u64, u64) {
    (timer.shared.interval.load(Relaxed), timer.engine.left())
}

/// `timer_settime(2)`.
pub fn sys_timer_settime(regs: &PtRegs) -> Result<usize> {
    let (interval, value) = get_itimerspec(regs.arg2())?;
    let absolute = regs.arg1() & TIMER_ABSTIME != 0;
    let old = with_timer(regs.arg0(), |timer| {
        let old = state(timer);
        timer.engine.cancel();
        timer.shared.interval.store(interval, Relaxed);
        timer.shared.overrun.store(0, Relaxed);
        timer.shared.missed.store(false, Relaxed);
        if value != 0 {
            timer.engine.start(value, absolute, interval);
        }
        Ok(old)
    })?;
    if regs.arg3() != 0 {
        put_itimerspec(regs.arg3(), old.0, old.1)?;
    }
    Ok(0)
}

/// `timer_gettime(2)`.
pub fn sys_timer_gettime(regs: &PtRegs) -> Result<usize> {
    let (interval, value) = with_timer(regs.arg0(), |timer| Ok(state(timer)))?;
    put_itimerspec(regs.arg1(), interval, value)?;
    Ok(0)
}

/// `timer_getoverrun(2)`.
pub fn sys_timer_getoverrun(regs: &PtRegs) -> Result<usize> {
    with_timer(regs.arg0(), |timer| Ok(timer.shared.overrun.load(Relaxed) as usize))
}

/// `timer_delete(2)`.
pub fn sys_timer_delete(regs: &PtRegs) -> Result<usize> {
    let id = u32::try_from(regs.arg0() as i32).map_err(|_| EINVAL)?;
    let timers = owner::existing().ok_or(EINVAL)?;
    let timer = timers.posix.lock().timers.remove(id).ok_or(EINVAL)?;
    timer.engine.cancel();
    Ok(0)
}
