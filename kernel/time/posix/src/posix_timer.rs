// SPDX-License-Identifier: GPL-2.0
//! `timer_create(2)` and its kin, for clocks that run (real, monotonic, boot time, TAI) and for CPU time (`cpu_timer`).
//!
//! A timer on a clock that has expired stands still until its signal is taken; then it is moved on by whole intervals to the first
//! that is still to come, and those it passes are the overruns. So a program cannot make more interrupts than it takes signals.
//! Where nobody takes the signal (it is ignored) the timer runs on, but not faster than the tick.
//!
//! Locks: `Shared::state` (interrupts off), which the callbacks take too; inside it those of signals and of `HrTimer`.

use crate::clock::{ClockId, clock, meant_by};
use crate::cpu_timer::{CpuTimer, Source};
use crate::owner;
use crate::user::{get_itimerspec, put_itimerspec};
use containers::Idr;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};
use errno::Result;
use errno::code::{EAGAIN, EINVAL, EOPNOTSUPP, ESRCH};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec, WeakArc};
use ktime::{HrTimer, Restart};
use locking::{SpinIrqGuard, SpinLock};
use process::Process;
use process::signal::SigInfo;
use process::signal::quota::{Charge, charge_timer};
use process::signal::send::{Sent, send_timer};
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
/// A period of the tick.
const TICK_NS: u64 = 4_000_000;

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
    /// `SIGEV_*` and the thread's number, as the program gave them.
    asked: (i32, u32),
}

struct PosixTimer {
    engine: Engine,
    shared: Arc<Shared>,
    clock: i32,
}

/// What `/proc/PID/timers` shows of a timer.
pub struct ShownTimer {
    /// Its number.
    pub id: u32,
    /// The signal and its value.
    pub signal: u32,
    /// The value that comes with the signal.
    pub value: u64,
    /// `SIGEV_*`.
    pub kind: i32,
    /// The thread that is told with `SIGEV_THREAD_ID`.
    pub tid: u32,
    /// `CLOCK_*`.
    pub clock: i32,
}

/// The timers of `task`'s process in the order of their numbers. May sleep.
pub fn timers_of(task: &Task) -> Result<KVec<ShownTimer>> {
    let mut all = KVec::new();
    let Some(timers) = owner::of(task) else { return Ok(all) };
    let set = timers.posix.lock();
    let mut at = 0;
    while let Some((id, timer)) = set.timers.next(at) {
        let notify = &timer.shared.notify;
        let shown = ShownTimer {
            id,
            signal: notify.signal,
            value: notify.value.unwrap_or(id.into()),
            kind: notify.asked.0,
            tid: notify.asked.1,
            // As Linux shows the process's and the thread's own clock: of nobody in particular.
            clock: match timer.clock {
                2 => -6,
                3 => -2,
                other => other,
            },
        };
        all.push(shown, GFP_KERNEL)?;
        at = id.saturating_add(1);
    }
    Ok(all)
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
}

struct Shared {
    id: AtomicI32,
    state: SpinLock<State>,
    notify: Notify,
    /// Its one signal, counted for `RLIMIT_SIGPENDING` all the time.
    _charge: Charge,
}

/// Overruns before the first expiration of a signal, which is none.
const NO_OVERRUN: i64 = -1;

struct State {
    interval: u64,
    /// It was set and not stopped since.
    armed: bool,
    /// Expirations beyond the one that the next signal stands for.
    overrun: i64,
    /// Those of the signal taken last.
    overrun_last: i64,
    /// Its signal is on its way, and when it is taken the timer runs on.
    requeue: bool,
    /// Number of the arming; a signal of an older one changes nothing. Never 0.
    sequence: u32,
}

impl State {
    const fn new() -> Self {
        Self { interval: 0, armed: false, overrun: NO_OVERRUN, overrun_last: 0, requeue: false, sequence: 1 }
    }

    fn next_arming(&mut self, requeue: bool) {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.requeue = requeue;
    }

    fn add_overruns(&mut self, periods: u64) {
        self.overrun = self.overrun.saturating_add_unsigned(periods);
    }
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

/// What became of an expiration.
enum Told {
    /// Its signal is pending, or there is nobody left to tell.
    Done,
    Ignored,
    /// No memory to queue it.
    NoRoom,
}

impl Shared {
    /// A clock's timer expired. Hard interrupt context.
    fn expire(&self, timer: &HrTimer) -> Restart {
        let mut state = self.state.lock_irqsave();
        let interval = state.interval;
        state.next_arming(interval != 0);
        match (self.tell(&state), interval) {
            (Told::Done, _) | (Told::Ignored, 0) => return Restart::No,
            // Its only signal must not get lost.
            (Told::NoRoom, 0) => timer.set_expires(timer.clock().now_ns().saturating_add(TICK_NS)),
            (Told::Ignored | Told::NoRoom, _) => {
                let pause = if interval < TICK_NS { TICK_NS } else { 0 };
                let passed = timer.forward(timer.clock().now_ns().saturating_add(pause), interval);
                state.add_overruns(passed);
            }
        }
        state.next_arming(false);
        Restart::Yes
    }

    /// A timer on CPU time passed `periods` expirations, and runs on by itself. Task context.
    fn fire(&self, periods: u64) {
        let mut state = self.state.lock_irqsave();
        state.add_overruns(periods);
        let requeue = state.interval != 0;
        state.next_arming(requeue);
        if !matches!(self.tell(&state), Told::Done) {
            state.next_arming(false);
        }
    }

    fn tell(&self, state: &State) -> Told {
        if self.notify.silent {
            return Told::Done;
        }
        let Some(process) = self.notify.process.upgrade() else { return Told::Done };
        let id = self.id.load(Relaxed);
        let value = self.notify.value.unwrap_or(id as u64);
        let info = SigInfo::timer(self.notify.signal, id, value, state.sequence);
        let sent = match &self.notify.thread {
            Some(thread) => match thread.upgrade() {
                Some(thread) => send_timer(&process, Some(&thread), info),
                None => Err(ESRCH),
            },
            None => send_timer(&process, None, info),
        };
        match sent {
            Ok(Sent::Pending) | Err(ESRCH) => Told::Done,
            Ok(Sent::Ignored) => Told::Ignored,
            Err(_) => Told::NoRoom,
        }
    }
}

impl PosixTimer {
    /// The signal of arming `sequence` (`None`: whichever) is no longer pending: the timer runs on. The overruns if it was taken.
    fn run_on(&self, sequence: Option<u32>) -> Option<i32> {
        let mut state = self.shared.state.lock_irqsave();
        if !state.requeue || sequence.is_some_and(|sequence| sequence != state.sequence) {
            return None;
        }
        if let Engine::Clock(timer) = &self.engine {
            let passed = timer.forward_now(state.interval);
            state.add_overruns(passed);
            timer.start(timer.expires());
        }
        state.next_arming(false);
        sequence?;
        state.overrun_last = core::mem::replace(&mut state.overrun, NO_OVERRUN);
        Some(shown(state.overrun_last))
    }

    /// Interval and time left, as `timer_gettime` shows them: what is about to expire has a nanosecond left.
    fn left(&self) -> (u64, u64) {
        let timer = match &self.engine {
            Engine::Cpu(timer) => {
                let left = timer.state().1.map_or(0, |left| left.max(1));
                return (self.shared.state.lock_irqsave().interval, left);
            }
            Engine::Clock(timer) => timer,
        };
        let mut state = self.shared.state.lock_irqsave();
        let (interval, silent) = (state.interval, self.shared.notify.silent);
        // One that tells nobody is never queued, so Linux shows what is left of its last arming even when it is off.
        if !silent && (!state.armed || (interval == 0 && !timer.is_active())) {
            return (interval, 0);
        }
        if interval != 0 && (state.requeue || silent) {
            let passed = timer.forward_now(interval);
            state.add_overruns(passed);
        }
        // One that tells nobody and expires once is over when it is.
        (interval, timer.remaining().max(u64::from(!silent || interval != 0)))
    }

    /// As `left`, for who sets it now.
    fn left_of_replaced(&self) -> (u64, u64) {
        match &self.engine {
            Engine::Cpu(timer) => {
                let interval = self.shared.state.lock_irqsave().interval;
                (interval, timer.left_of_replaced(interval).map_or(0, |left| left.max(1)))
            }
            Engine::Clock(_) => self.left(),
        }
    }

    /// Stops it; nothing expires while the guard is held.
    fn stopped(&self) -> SpinIrqGuard<'_, State> {
        loop {
            let state = self.shared.state.lock_irqsave();
            match &self.engine {
                Engine::Clock(timer) if timer.try_cancel().is_none() => {}
                _ => return state,
            }
            // Its callback waits for the lock.
            drop(state);
            core::hint::spin_loop();
        }
    }

    fn set(&self, interval: u64, value: u64, absolute: bool) {
        if let Engine::Cpu(timer) = &self.engine {
            timer.stop();
        }
        let (armed, silent) = (value != 0, self.shared.notify.silent);
        let mut state = self.stopped();
        // As in Linux a timer on a CPU clock keeps its interval while it is off.
        let keeps = armed || matches!(self.engine, Engine::Cpu(_));
        state.interval = if keeps { interval } else { 0 };
        state.armed = armed;
        (state.overrun, state.overrun_last) = (NO_OVERRUN, 0);
        state.next_arming(false);
        if let Engine::Clock(timer) = &self.engine
            && armed
        {
            let at = if absolute { value } else { timer.clock().now_ns().saturating_add(value) };
            // One that tells nobody is never queued: it only knows when it would expire.
            if silent { timer.set_expires(at) } else { timer.start(at) }
        }
        drop(state);
        if let Engine::Cpu(timer) = &self.engine
            && armed
        {
            // As in Linux 6.1 one that tells nobody expires once, whatever its interval.
            let interval = if silent { 0 } else { interval };
            if absolute { timer.start_at(value, interval) } else { timer.start_after(value, interval) }
        }
    }
}

/// An overrun count as programs see it.
fn shown(overrun: i64) -> i32 {
    i32::try_from(overrun).unwrap_or(i32::MAX)
}

/// What `process` tells when signals are taken.
struct TimerSignals;

impl process::hooks::TimerSignals for TimerSignals {
    fn taken(&self, info: &mut SigInfo) {
        let Some((id, sequence)) = info.timer_id() else { return };
        let (Some(timers), Ok(id)) = (owner::existing(), u32::try_from(id)) else { return };
        if let Some(overrun) = timers.posix.lock().timers.find(id).and_then(|timer| timer.run_on(Some(sequence))) {
            info.set_overrun(overrun);
        }
    }

    fn alarm(&self) {
        if let Some(timers) = owner::existing() {
            timers.itimers.lock().alarm_taken();
        }
    }

    fn flushed(&self, signal: u32) {
        let Some(timers) = owner::existing() else { return };
        let set = timers.posix.lock();
        let mut at = 0;
        while let Some((id, timer)) = set.timers.next(at) {
            if timer.shared.notify.signal == signal {
                timer.run_on(None);
            }
            at = id.saturating_add(1);
        }
    }
}

/// Hears of signals that were taken. Once, at boot.
pub(crate) fn init() {
    static TIMER_SIGNALS: &dyn process::hooks::TimerSignals = &TimerSignals;
    process::hooks::TIMER_SIGNALS.set(&TIMER_SIGNALS);
}

/// `struct sigevent`: value, signal and kind, thread id.
fn read_event(at: usize, process: &Arc<Process>) -> Result<Notify> {
    let mut notify = Notify {
        signal: SIGALRM,
        value: None,
        process: Arc::downgrade(process),
        thread: None,
        silent: false,
        asked: (SIGEV_SIGNAL, 0),
    };
    if at == 0 {
        return Ok(notify);
    }
    let value = get_user::<u64>(at)?;
    let [signal, kind, tid] = get_user::<[i32; 3]>(at.wrapping_add(8))?;
    notify.value = Some(value);
    notify.asked.0 = kind;
    // Shown, also if nothing is sent.
    notify.signal = signal.cast_unsigned();
    match kind {
        SIGEV_NONE => notify.silent = true,
        // The library makes the thread; the kernel sends the signal.
        SIGEV_SIGNAL | SIGEV_THREAD => {}
        SIGEV_THREAD_ID => {
            let task = u32::try_from(tid).ok().and_then(process::pid::find_thread_here).ok_or(EINVAL)?;
            if !process::process_of(&task).is_some_and(|p| Arc::ptr_eq(&p, process)) {
                return Err(EINVAL);
            }
            notify.thread = Some(Arc::downgrade(&task));
            notify.asked.1 = task.tid();
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
    let number = regs.arg0() as i32;
    let clock = clock(number)?;
    if clock.timer_clock().is_none() && !matches!(clock, ClockId::Process(_) | ClockId::Thread(_)) {
        return Err(EOPNOTSUPP);
    }
    clock.check_alarm()?;
    let timers = owner::timers()?;
    let notify = read_event(regs.arg1(), &timers.process)?;
    let mut set = timers.posix.lock();
    let PosixTimers { timers: table, next } = &mut *set;
    let shared = Shared { id: AtomicI32::new(0), state: SpinLock::new(State::new()), notify, _charge: charge_timer()? };
    let shared = Arc::new(shared, GFP_KERNEL)?;
    let timer = PosixTimer { engine: Engine::new(&clock, &shared)?, shared: shared.clone(), clock: number };
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

/// `timer_settime(2)`.
pub fn sys_timer_settime(regs: &PtRegs) -> Result<usize> {
    let (interval, value) = get_itimerspec(regs.arg2())?;
    let absolute = regs.arg1() & TIMER_ABSTIME != 0;
    let old = with_timer(regs.arg0(), |timer| {
        let old = timer.left_of_replaced();
        // Zero disarms; a moment before a shifted clock began is over.
        let value = match absolute && value != 0 {
            true => meant_by(timer.clock, value).max(1),
            false => value,
        };
        timer.set(interval, value, absolute);
        Ok(old)
    })?;
    if regs.arg3() != 0 {
        put_itimerspec(regs.arg3(), old.0, old.1)?;
    }
    Ok(0)
}

/// `timer_gettime(2)`.
pub fn sys_timer_gettime(regs: &PtRegs) -> Result<usize> {
    let (interval, value) = with_timer(regs.arg0(), |timer| Ok(timer.left()))?;
    put_itimerspec(regs.arg1(), interval, value)?;
    Ok(0)
}

/// `timer_getoverrun(2)`.
pub fn sys_timer_getoverrun(regs: &PtRegs) -> Result<usize> {
    with_timer(regs.arg0(), |timer| Ok(shown(timer.shared.state.lock_irqsave().overrun_last) as usize))
}

/// `timer_delete(2)`.
pub fn sys_timer_delete(regs: &PtRegs) -> Result<usize> {
    let id = u32::try_from(regs.arg0() as i32).map_err(|_| EINVAL)?;
    let timers = owner::existing().ok_or(EINVAL)?;
    let timer = timers.posix.lock().timers.remove(id).ok_or(EINVAL)?;
    timer.engine.cancel();
    Ok(0)
}
