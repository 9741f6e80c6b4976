// SPDX-License-Identifier: GPL-2.0
//! What waits for a clock's one alarm: the alarm that programs set, and the next full second while interrupts with each second are on.
//! The earlier one is in the clock. Everything here is under the clock's `state`.

use crate::RtcOps;
use errno::{Result, code::*};
use kalloc::Arc;
use klog::pr_err;
use rtc_lib::{Alarm, Time};

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The alarm of programs (`AIE`).
    Alarm,
    /// The next second (`UIE`).
    Second,
}

/// One that waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timer {
    /// Seconds since 1970.
    pub(crate) expires: i64,
    /// It waits.
    pub(crate) enabled: bool,
}

/// How often a clock that refuses an alarm is asked.
const TRIES: u32 = 3;

/// A clock's driver and what waits for it.
pub(crate) struct State {
    /// `None` once the driver is gone.
    pub(crate) ops: Option<Arc<dyn RtcOps>>,
    pub(crate) alarm: Timer,
    pub(crate) second: Timer,
}

impl State {
    pub(crate) fn new(ops: Arc<dyn RtcOps>) -> Self {
        Self { ops: Some(ops), alarm: Timer::default(), second: Timer::default() }
    }

    /// The driver. `ENODEV`.
    pub(crate) fn ops(&self) -> Result<&dyn RtcOps> {
        self.ops.as_deref().ok_or(ENODEV)
    }

    /// The driver, if it has an alarm. `EINVAL`.
    pub(crate) fn alarm_ops(&self) -> Result<&dyn RtcOps> {
        let ops = self.ops()?;
        if ops.has_alarm() { Ok(ops) } else { Err(EINVAL) }
    }

    /// The time, which is valid (`EINVAL` else).
    pub(crate) fn read_time(&self) -> Result<Time> {
        let time = self.ops()?.read_time()?;
        if time.is_valid() { Ok(time) } else { Err(EINVAL) }
    }

    fn timer(&mut self, which: Which) -> &mut Timer {
        match which {
            Which::Alarm => &mut self.alarm,
            Which::Second => &mut self.second,
        }
    }

    /// The first that waits, and for when.
    fn next(&self) -> Option<(Which, i64)> {
        let all = [(Which::Alarm, self.alarm), (Which::Second, self.second)];
        let waiting = all.into_iter().filter(|(_, timer)| timer.enabled);
        waiting.map(|(which, timer)| (which, timer.expires)).min_by_key(|(_, expires)| *expires)
    }

    /// Puts an alarm into the clock. `ETIME`: it is not after now.
    fn program(&self, expires: i64) -> Result {
        let is_over = || self.read_time().map(|now| expires <= now.to_seconds());
        if is_over()? {
            return Err(ETIME);
        }
        self.alarm_ops()?.set_alarm(&Alarm { enabled: true, time: Time::from_seconds(expires) })?;
        // The second may have come before the alarm was set: it would ring the next day.
        if is_over()? { Err(ETIME) } else { Ok(()) }
    }

    fn switch_off(&self) {
        if let Ok(ops) = self.alarm_ops()
            && let Err(error) = ops.enable_alarm(false)
        {
            pr_err!("rtc: alarm not switched off: {error}");
        }
    }

    /// Lets `which`, which does not wait, wait for its time. `Ok(true)`: that, or another's, is now, and [`Self::run`] is wanted.
    pub(crate) fn enqueue(&mut self, which: Which) -> Result<bool> {
        // As in Linux a clock that cannot be read now is not asked about what is over.
        let now = self.read_time().map_or(i64::MIN, |time| time.to_seconds());
        let others = [self.alarm, self.second];
        let first = others.iter().filter(|t| t.enabled && t.expires >= now).map(|t| t.expires).min();
        // Setting the alarm may take its interrupt back.
        let is_late = others.iter().any(|t| t.enabled && t.expires <= now);
        let timer = self.timer(which);
        timer.enabled = true;
        let expires = timer.expires;
        if first.is_some_and(|first| first <= expires) {
            return Ok(is_late);
        }
        match self.program(expires) {
            Ok(()) => Ok(is_late),
            Err(ETIME) => Ok(true),
            Err(error) => {
                self.timer(which).enabled = false;
                Err(error)
            }
        }
    }

    /// `which` waits no longer. True: the other's time is now, and [`Self::run`] is wanted.
    pub(crate) fn remove(&mut self, which: Which) -> bool {
        let first = self.next();
        self.timer(which).enabled = false;
        if first.is_none_or(|(first, _)| first != which) {
            return false;
        }
        match self.next() {
            Some((_, expires)) => self.program(expires) == Err(ETIME),
            None => {
                self.switch_off();
                false
            }
        }
    }

    /// The alarm rang: tells `fire` of everything whose time has come, how often, and puts the next alarm into the clock.
    pub(crate) fn run(&mut self, fire: &mut dyn FnMut(Which, u64)) {
        let mut tries = TRIES;
        loop {
            let Ok(now) = self.read_time().map(|time| time.to_seconds()) else { return };
            while let Some((which, expires)) = self.next().filter(|(_, expires)| *expires <= now) {
                let timer = self.timer(which);
                match which {
                    Which::Alarm => {
                        timer.enabled = false;
                        fire(which, 1);
                    }
                    Which::Second => {
                        let seconds = now.saturating_sub(expires).saturating_add(1);
                        timer.expires = expires.saturating_add(seconds);
                        fire(which, seconds.unsigned_abs());
                    }
                }
            }
            let Some((which, expires)) = self.next() else { return self.switch_off() };
            match self.program(expires) {
                Ok(()) => return,
                Err(ETIME) => {}
                Err(_) if tries > 1 => tries -= 1,
                Err(error) => {
                    pr_err!("rtc: alarm not set: {error}");
                    self.timer(which).enabled = false;
                    tries = TRIES;
                }
            }
        }
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(rtc_alarm)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicI64, Ordering::Relaxed};
    use kalloc::flags::GFP_KERNEL;

    /// A clock whose time is what the test says.
    struct Clock {
        now: AtomicI64,
        /// What the alarm is set to; 0: off.
        alarm: AtomicI64,
    }

    impl RtcOps for Clock {
        fn read_time(&self) -> Result<Time> {
            Ok(Time::from_seconds(self.now.load(Relaxed)))
        }
        fn set_time(&self, time: &Time) -> Result {
            self.now.store(time.to_seconds(), Relaxed);
            Ok(())
        }
        fn has_alarm(&self) -> bool {
            true
        }
        fn read_alarm(&self) -> Result<Alarm> {
            Err(EIO)
        }
        fn set_alarm(&self, alarm: &Alarm) -> Result {
            let at = alarm.time.to_seconds();
            if at > self.now.load(Relaxed) + rtc_lib::DAY {
                return Err(EINVAL);
            }
            self.alarm.store(at, Relaxed);
            Ok(())
        }
        fn enable_alarm(&self, on: bool) -> Result {
            if !on {
                self.alarm.store(0, Relaxed);
            }
            Ok(())
        }
    }

    fn clock() -> Option<(Arc<Clock>, State)> {
        let clock = Arc::new(Clock { now: AtomicI64::new(1000), alarm: AtomicI64::new(0) }, GFP_KERNEL).ok()?;
        let state = State::new(clock.clone());
        Some((clock, state))
    }

    #[test]
    fn the_earlier_one_is_in_the_clock() {
        let Some((clock, mut state)) = clock() else { return };
        state.alarm.expires = 1010;
        assert_eq!(state.enqueue(Which::Alarm), Ok(false));
        state.second.expires = 1001;
        assert_eq!(state.enqueue(Which::Second), Ok(false));
        assert_eq!(clock.alarm.load(Relaxed), 1001);
        // Three seconds later the interrupt of the first is served.
        clock.now.store(1003, Relaxed);
        let mut fired = 0;
        state.run(&mut |which, times| fired += if which == Which::Second { times } else { 100 });
        assert_eq!((fired, clock.alarm.load(Relaxed)), (3, 1004));
        assert!(!state.remove(Which::Second));
        assert_eq!(clock.alarm.load(Relaxed), 1010);
        clock.now.store(1010, Relaxed);
        state.run(&mut |which, times| fired += if which == Which::Second { 1000 } else { 100 * times });
        assert_eq!((fired, clock.alarm.load(Relaxed), state.alarm.enabled), (103, 0, false));
    }

    #[test]
    fn what_is_over_rings_at_once_and_what_is_too_far_is_refused() {
        let Some((clock, mut state)) = clock() else { return };
        state.alarm.expires = 999;
        assert_eq!(state.enqueue(Which::Alarm), Ok(true));
        let mut fired = 0;
        state.run(&mut |_, times| fired += times);
        assert_eq!((fired, state.alarm.enabled), (1, false));
        state.alarm.expires = 1001 + rtc_lib::DAY;
        assert_eq!(state.enqueue(Which::Alarm), Err(EINVAL));
        assert!(!state.alarm.enabled);
        state.ops = None;
        assert_eq!(state.enqueue(Which::Alarm), Err(ENODEV));
        assert_eq!(clock.alarm.load(Relaxed), 0);
    }
}
