// SPDX-License-Identifier: GPL-2.0
//! `timerfd_create(2)`: a timer that is read like a file. Called by the system call table.
//!
//! A timer that has expired stands still until it is read (or asked for the time left); then it is moved on by whole intervals, each
//! of which is an expiration. So a program cannot make more interrupts than it reads.
//!
//! Locks: a timer's `state` (interrupts off), taken by its callback too; inside it `HrTimer`'s. `CANCELABLE` is outside of it.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt::Write;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec, WeakArc};
use ktime::hrtimer::{CLOCK_SET, ClockSet};
use ktime::{Clock, HrTimer, NSEC_PER_SEC, Restart};
use locking::{SpinIrqGuard, SpinLock};
use process::ns::time::{self, Shifted};
use sync::{Mutex, WaitQueue};
use vfs::{AnonKind, File, FileOps, IovIter, OpenFlags, PollMask, PollTable, get_unused_fd};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{get_user, put_user};

const TFD_TIMER_ABSTIME: u32 = 1;
const TFD_TIMER_CANCEL_ON_SET: u32 = 2;
const CLOCK_REALTIME: u32 = 0;
const CLOCK_REALTIME_ALARM: u32 = 8;
const CLOCK_BOOTTIME_ALARM: u32 = 9;
const CLOCK_MONOTONIC: u32 = 1;
const CLOCK_BOOTTIME: u32 = 7;

static KIND: AnonKind = AnonKind::new("[timerfd]");

/// What the callback and the file share.
struct Shared {
    state: SpinLock<State>,
    waiters: Arc<WaitQueue>,
}

#[derive(Default)]
struct State {
    /// Expirations since the last read.
    ticks: u64,
    interval: u64,
    /// It has expired and was not moved on since.
    expired: bool,
    /// Real time was set while the timer asked to be told.
    canceled: bool,
    cancel_on_set: bool,
    /// How it was set, for `fdinfo`.
    settime_flags: u32,
}

struct TimerFd {
    clock_id: u32,
    timer: Arc<HrTimer>,
    shared: Arc<Shared>,
    /// Serialises `timerfd_settime`.
    setting: Mutex<()>,
}

/// Timers that want to know when real time is set; dead ones are dropped at the next look.
static CANCELABLE: Mutex<KVec<WeakArc<Shared>>> = Mutex::new(KVec::new());

struct OnSet;

impl ClockSet for OnSet {
    fn clock_set(&self) {
        let list = CANCELABLE.lock();
        for shared in list.iter().filter_map(WeakArc::upgrade) {
            let told = {
                let mut state = shared.state.lock_irqsave();
                state.canceled |= state.cancel_on_set;
                state.canceled
            };
            if told {
                shared.waiters.wake_up_poll(PollMask::IN);
            }
        }
    }
}

/// Listens for real time being set. Once, at boot.
pub fn init() {
    static ON_SET: &dyn ClockSet = &OnSet;
    CLOCK_SET.set(&ON_SET);
}

impl State {
    /// Moves an expired timer on, to the next period that is still to come.
    fn run_on(&mut self, timer: &Arc<HrTimer>) {
        if core::mem::take(&mut self.expired) && self.interval != 0 {
            let periods = timer.forward_now(self.interval);
            // The first was counted when it expired.
            self.ticks = self.ticks.saturating_add(periods.saturating_sub(1));
            timer.start(timer.expires());
        }
    }
}

impl Shared {
    /// What a read gets: expirations, or `ECANCELED`; `None` if there is nothing yet.
    fn take(&self, timer: &Arc<HrTimer>) -> Option<Result<u64>> {
        let mut state = self.state.lock_irqsave();
        if core::mem::take(&mut state.canceled) {
            // As on Linux, a timer that has expired stays so until it is set again.
            (state.ticks, state.expired) = (0, false);
            return Some(Err(ECANCELED));
        }
        if state.ticks == 0 {
            return None;
        }
        state.run_on(timer);
        Some(Ok(core::mem::take(&mut state.ticks)))
    }

    fn expire(&self) -> Restart {
        {
            let mut state = self.state.lock_irqsave();
            state.expired = true;
            state.ticks = state.ticks.saturating_add(1);
        }
        self.waiters.wake_up_poll(PollMask::IN);
        Restart::No
    }
}

impl TimerFd {
    /// Interval, and time left.
    fn left(&self, state: &State) -> (u64, u64) {
        let left = if self.timer.is_queued() { self.timer.remaining().max(1) } else { 0 };
        (state.interval, left)
    }

    /// As [`Self::left`], of a timer that is moved on if need be.
    fn state(&self) -> (u64, u64) {
        let mut state = self.shared.state.lock_irqsave();
        state.run_on(&self.timer);
        self.left(&state)
    }

    /// Stops it; nothing expires while the guard is held.
    fn stopped(&self) -> SpinIrqGuard<'_, State> {
        loop {
            let state = self.shared.state.lock_irqsave();
            if self.timer.try_cancel().is_some() {
                return state;
            }
            // Its callback waits for the lock.
            drop(state);
            core::hint::spin_loop();
        }
    }

    /// The moment that the current task means by `at`.
    fn meant_ns(&self, at: u64) -> u64 {
        match self.clock_id {
            CLOCK_MONOTONIC => time::meant(Shifted::Monotonic, at),
            CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => time::meant(Shifted::Boottime, at),
            _ => at,
        }
    }

    fn set(&self, flags: u32, interval: u64, value: u64) -> Result<(u64, u64)> {
        let _one_at_a_time = self.setting.lock();
        let cancelable = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
        let cancel_on_set =
            flags & cancelable == cancelable && matches!(self.clock_id, CLOCK_REALTIME | CLOCK_REALTIME_ALARM);
        if cancel_on_set {
            let mut list = CANCELABLE.lock();
            list.retain(|weak| weak.strong_count() > 0);
            list.push(Arc::downgrade(&self.shared), GFP_KERNEL)?;
        }
        let old = self.state();
        let mut state = self.stopped();
        *state = State { interval, cancel_on_set, settime_flags: flags, ..State::default() };
        match (value, flags & TFD_TIMER_ABSTIME != 0) {
            (0, _) => {}
            (at, true) => self.timer.start(self.meant_ns(at)),
            (after, false) => self.timer.start_after(after),
        }
        Ok(old)
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        self.timer.cancel();
    }
}

impl FileOps for TimerFd {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        if to.count() < 8 {
            return Err(EINVAL);
        }
        let mut taken = self.shared.take(&self.timer);
        if taken.is_none() {
            if file.nonblock() {
                return Err(EAGAIN);
            }
            self.shared.waiters.wait_interruptible(|| {
                taken = self.shared.take(&self.timer);
                taken.is_some()
            })?;
        }
        let ticks = taken.ok_or(EAGAIN)??;
        if to.copy_to_iter(&ticks.to_le_bytes()) == 8 { Ok(8) } else { Err(EFAULT) }
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        table.add(&self.shared.waiters);
        let state = self.shared.state.lock_irqsave();
        if state.ticks > 0 || state.canceled { PollMask::IN } else { PollMask::NONE }
    }

    fn show_fdinfo(&self, _: &File, out: &mut dyn Write) -> core::fmt::Result {
        let ((interval, left), ticks, flags) = {
            let state = self.shared.state.lock_irqsave();
            (self.left(&state), state.ticks, state.settime_flags)
        };
        writeln!(out, "clockid: {}", self.clock_id)?;
        writeln!(out, "ticks: {ticks}")?;
        writeln!(out, "settime flags: 0{flags:o}")?;
        writeln!(out, "it_value: ({}, {})", left / NSEC_PER_SEC, left % NSEC_PER_SEC)?;
        writeln!(out, "it_interval: ({}, {})", interval / NSEC_PER_SEC, interval % NSEC_PER_SEC)
    }
}

/// `timerfd_create(2)`. Alarm clocks take a right of their own: their timers wake the machine.
pub fn sys_timerfd_create(regs: &PtRegs) -> Result<usize> {
    let (clock_id, flags) = (regs.arg0() as u32, regs.arg1() as u32);
    if flags & !(uapi::O_CLOEXEC | uapi::O_NONBLOCK) != 0 {
        return Err(EINVAL);
    }
    let clock = match clock_id {
        CLOCK_REALTIME => Clock::Realtime,
        CLOCK_MONOTONIC => Clock::Monotonic,
        CLOCK_BOOTTIME => Clock::Boottime,
        CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM if !cred::capable(cred::CAP_WAKE_ALARM) => return Err(EPERM),
        CLOCK_REALTIME_ALARM => Clock::RealtimeAlarm,
        CLOCK_BOOTTIME_ALARM => Clock::BoottimeAlarm,
        _ => return Err(EINVAL),
    };
    let fd = get_unused_fd(flags & uapi::O_CLOEXEC != 0)?;
    let shared = Shared { state: SpinLock::new(State::default()), waiters: Arc::new(WaitQueue::new(), GFP_KERNEL)? };
    let shared = Arc::new(shared, GFP_KERNEL)?;
    let callback = shared.clone();
    let timer = HrTimer::new(clock, move |_: &Arc<HrTimer>| callback.expire())?;
    let timer = TimerFd { clock_id, timer, shared, setting: Mutex::new(()) };
    let flags = OpenFlags(uapi::O_RDWR | flags & uapi::O_NONBLOCK);
    Ok(fd.install(KIND.open(flags, KBox::new(timer, GFP_KERNEL)?)?) as usize)
}

fn with_timer<R>(fd: usize, f: impl FnOnce(&TimerFd) -> Result<R>) -> Result<R> {
    let file = vfs::fdget(fd as u32 as usize)?;
    f(file.private::<TimerFd>().ok_or(EINVAL)?)
}

fn read_spec(sec: i64, nsec: i64) -> Result<u64> {
    if sec < 0 || !(0..NSEC_PER_SEC as i64).contains(&nsec) {
        return Err(EINVAL);
    }
    Ok((sec as u64).saturating_mul(NSEC_PER_SEC).saturating_add(nsec as u64).min(i64::MAX as u64))
}

fn write_spec(at: usize, (interval, value): (u64, u64)) -> Result {
    let words = [interval / NSEC_PER_SEC, interval % NSEC_PER_SEC, value / NSEC_PER_SEC, value % NSEC_PER_SEC];
    put_user(at, words)
}

/// `timerfd_settime(2)`.
pub fn sys_timerfd_settime(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg1() as u32;
    let [isec, insec, sec, nsec] = get_user::<[i64; 4]>(regs.arg2())?;
    let (interval, value) = (read_spec(isec, insec)?, read_spec(sec, nsec)?);
    if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(EINVAL);
    }
    let old = with_timer(regs.arg0(), |timer| timer.set(flags, interval, value))?;
    if regs.arg3() != 0 {
        write_spec(regs.arg3(), old)?;
    }
    Ok(0)
}

/// `timerfd_gettime(2)`.
pub fn sys_timerfd_gettime(regs: &PtRegs) -> Result<usize> {
    let now = with_timer(regs.arg0(), |timer| Ok(timer.state()))?;
    write_spec(regs.arg1(), now)?;
    Ok(0)
}
