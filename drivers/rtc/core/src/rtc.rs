// SPDX-License-Identifier: GPL-2.0
//! `Rtc`: a clock, and what programs can ask of it. Its number is free again when it is dropped.
//!
//! Lock `CLOCKS` (sleeping): a clock that is in the list has its driver's module.

use crate::alarm::{State, Which};
use crate::{Alarm, RtcOps, Time, dev, show};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use device::{Device, Id, Ida};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, KVec};
use klog::Level;
use ktime::hrtimer::{Clock, HrTimer, Restart};
use locking::{SetOnce, SpinLock};
use module_core::{Header, ModuleRef};
use sync::{Mutex, PollMask, WaitQueue};
use uapi::{POLL_IN, RTC_AF, RTC_IRQF, RTC_MAX_FREQ, RTC_PF, RTC_UF};
use vfs::FasyncList;
use workqueue::Work;

/// Numbers of clocks.
static NUMBERS: Ida = Ida::new();
/// The clocks there are.
static CLOCKS: Mutex<KVec<Arc<Rtc>>> = Mutex::new(KVec::new());
/// Periodic interrupts a second that everybody may have, at first.
const MAX_USER_FREQ: u32 = 64;
/// Those of a clock at first.
const FIRST_FREQ: u32 = 1024;

/// What happened, for who has the device open. Interrupts reach it.
pub(crate) struct Events {
    /// How often, above 8 bits that say what (`RTC_*F`).
    data: SpinLock<u64>,
    pub(crate) queue: Arc<WaitQueue>,
    pub(crate) fasync: FasyncList,
    /// Periodic interrupts a second.
    freq: AtomicU32,
}

impl Events {
    /// Something happened `times` times. Any context but NMI.
    fn add(&self, times: u64, what: u32) {
        {
            let mut data = self.data.lock_irqsave();
            *data = data.wrapping_add(times << 8) | u64::from(RTC_IRQF | what);
        }
        self.queue.wake_up_poll(PollMask::IN | PollMask::RDNORM);
    }

    /// What happened since the last call; 0: nothing.
    pub(crate) fn take(&self) -> u64 {
        core::mem::take(&mut *self.data.lock_irqsave())
    }

    /// Whether something happened.
    pub(crate) fn is_pending(&self) -> bool {
        *self.data.lock_irqsave() != 0
    }

    fn period(&self) -> u64 {
        1_000_000_000 / u64::from(self.freq.load(Ordering::Relaxed).max(1))
    }
}

/// A clock. Always in an `Arc`.
pub struct Rtc {
    id: Id,
    /// `rtc0`.
    name: KString,
    /// The driver's module.
    pub(crate) owner: Option<&'static Header>,
    /// The device it is a part of, and where that is in `/sys`.
    parent: Arc<Device>,
    home: KString,
    pub(crate) state: Mutex<State>,
    pub(crate) events: Arc<Events>,
    /// Serves the alarm, when it rang.
    work: SetOnce<Arc<Work>>,
    /// Periodic interrupts.
    timer: Arc<HrTimer>,
    periodic: AtomicBool,
    max_user_freq: AtomicU32,
    /// Somebody has it open.
    pub(crate) busy: AtomicBool,
    /// The system's time was set by it.
    pub(crate) set_system: AtomicBool,
}

impl Rtc {
    /// Makes the clock of `parent`, which is at `home` in `/sys`, known. `owner`: the driver's module, which stays while the device is open.
    /// May sleep.
    pub fn register(
        parent: &Arc<Device>,
        home: &str,
        ops: Arc<dyn RtcOps>,
        owner: Option<&'static Header>,
    ) -> Result<Arc<Self>> {
        let rtc = Self::new(NUMBERS.alloc(dev::MINORS)?, parent, home, ops, owner)?;
        let weak = Arc::downgrade(&rtc);
        let work = Work::new(move || {
            if let Some(rtc) = weak.upgrade() {
                rtc.serve();
            }
        })?;
        // Set once, just here.
        let _ = rtc.work.set(work);
        rtc.take_over_alarm();
        CLOCKS.lock().push(rtc.clone(), GFP_KERNEL)?;
        if let Err(error) = show::add(&rtc) {
            rtc.unregister();
            return Err(error);
        }
        rtc.parent.print(Level::Info, format_args!("registered as {}", rtc.name));
        #[cfg(feature = "hctosys")]
        if rtc.id() == 0 {
            rtc.set_system_time();
        }
        Ok(rtc)
    }

    fn new(
        id: Id,
        parent: &Arc<Device>,
        home: &str,
        ops: Arc<dyn RtcOps>,
        owner: Option<&'static Header>,
    ) -> Result<Arc<Self>> {
        let events = Events {
            data: SpinLock::new(0),
            queue: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
            fasync: FasyncList::new(),
            freq: AtomicU32::new(FIRST_FREQ),
        };
        let events = Arc::new(events, GFP_KERNEL)?;
        // Signals are not sent in interrupts.
        let told = events.clone();
        let signal = Work::new(move || told.fasync.kill(POLL_IN))?;
        let told = events.clone();
        let timer = HrTimer::new(Clock::Monotonic, move |timer| {
            told.add(timer.forward_now(told.period()), RTC_PF);
            if told.fasync.is_active() {
                signal.queue();
            }
            Restart::Yes
        })?;
        let rtc = Self {
            name: KString::from_fmt(format_args!("rtc{}", id.get()), GFP_KERNEL)?,
            id,
            owner,
            parent: parent.clone(),
            home: KString::from_str(home, GFP_KERNEL)?,
            state: Mutex::new(State::new(ops)),
            events,
            work: SetOnce::new(),
            timer,
            periodic: AtomicBool::new(false),
            max_user_freq: AtomicU32::new(MAX_USER_FREQ),
            busy: AtomicBool::new(false),
            set_system: AtomicBool::new(false),
        };
        Ok(Arc::new(rtc, GFP_KERNEL)?)
    }

    /// The driver goes: nobody asks it any more when this returns. Who has the device open gets `ENODEV`. May sleep.
    pub fn unregister(&self) {
        show::remove(self);
        CLOCKS.lock().retain(|other| !core::ptr::eq(&**other, self));
        self.set_periodic(false);
        let ops = self.state.lock().ops.take();
        if let Some(work) = self.work.get() {
            work.flush();
        }
        drop(ops);
    }

    /// The clock with this number, and its driver's module, which stays while that is held.
    pub(crate) fn find(id: u32) -> Option<(Arc<Self>, ModuleRef)> {
        // A driver takes its clock off the list before its module goes: until then the module can be asked.
        let clocks = CLOCKS.lock();
        let rtc = clocks.iter().find(|rtc| rtc.id() == id)?;
        Some((rtc.clone(), ModuleRef::get(rtc.owner)?))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.id.get()
    }

    /// Its name.
    pub fn name(&self) -> &KString {
        &self.name
    }

    pub(crate) fn parent(&self) -> &Arc<Device> {
        &self.parent
    }

    pub(crate) fn home(&self) -> &KString {
        &self.home
    }

    /// The clock's interrupt came. Any context but NMI.
    pub fn alarm_rang(&self) {
        if let Some(work) = self.work.get() {
            work.queue();
        }
    }

    /// Serves what waited for the alarm.
    fn serve(&self) {
        let events = &*self.events;
        let mut news = false;
        self.state.lock().run(&mut |which, times| {
            news = true;
            events.add(times, if which == Which::Alarm { RTC_AF } else { RTC_UF });
        });
        if news {
            events.fasync.kill(POLL_IN);
        }
    }

    /// The alarm that firmware (or the system before) left, if it is one.
    fn take_over_alarm(&self) {
        let mut state = self.state.lock();
        let (Ok(now), Ok(alarm)) = (state.read_time(), state.alarm_ops().and_then(|ops| ops.read_alarm())) else {
            return;
        };
        let Some(time) = rtc_lib::complete_alarm(alarm.time, &now) else { return };
        state.alarm.expires = time.to_seconds();
        state.alarm.enabled = alarm.enabled && now.to_seconds() < time.to_seconds();
    }

    /// Reads the clock (`rtc_read_time`). `EINVAL`: it shows nonsense. May sleep.
    pub fn read_time(&self) -> Result<Time> {
        self.state.lock_interruptible()?.read_time()
    }

    /// Sets the clock (`rtc_set_time`). May sleep.
    pub fn set_time(&self, time: &Time) -> Result {
        if !time.is_valid() {
            return Err(EINVAL);
        }
        let mut state = self.state.lock_interruptible()?;
        // Seconds that wait for the old time would wait for long.
        let seconds = state.second.enabled;
        if seconds {
            state.remove(Which::Second);
        }
        let set = state.ops().and_then(|ops| ops.set_time(time));
        if seconds {
            self.start_seconds(&mut state)?;
        }
        drop(state);
        // A time that somebody waits for may just be over.
        self.alarm_rang();
        set
    }

    /// The alarm of programs (`rtc_read_alarm`). May sleep.
    pub fn read_alarm(&self) -> Result<Alarm> {
        let state = self.state.lock_interruptible()?;
        state.alarm_ops()?;
        Ok(Alarm { enabled: state.alarm.enabled, time: Time::from_seconds(state.alarm.expires) })
    }

    /// Sets it, and whether it rings (`rtc_set_alarm`). One that is over rings at once. May sleep.
    pub fn set_alarm(&self, alarm: &Alarm) -> Result {
        let mut state = self.state.lock_interruptible()?;
        state.alarm_ops()?;
        if !alarm.time.is_valid() {
            return Err(EINVAL);
        }
        if state.alarm.enabled && state.remove(Which::Alarm) {
            self.alarm_rang();
        }
        state.alarm.expires = alarm.time.to_seconds();
        if alarm.enabled && state.enqueue(Which::Alarm)? {
            self.alarm_rang();
        }
        Ok(())
    }

    /// Whether it rings (`RTC_AIE_ON`). May sleep.
    pub fn enable_alarm(&self, on: bool) -> Result {
        let mut state = self.state.lock_interruptible()?;
        if state.alarm.enabled != on {
            let now = if on { state.enqueue(Which::Alarm)? } else { state.remove(Which::Alarm) };
            if now {
                self.alarm_rang();
            }
        }
        // The seconds need the alarm too.
        let on = on || state.second.enabled;
        state.alarm_ops()?.enable_alarm(on)?;
        if on {
            // What rang meanwhile is served.
            self.alarm_rang();
        }
        Ok(())
    }

    fn start_seconds(&self, state: &mut State) -> Result {
        state.second.expires = state.read_time()?.to_seconds().saturating_add(1);
        if state.enqueue(Which::Second)? {
            self.alarm_rang();
        }
        Ok(())
    }

    /// Interrupts with each second (`RTC_UIE_ON`). May sleep.
    pub fn enable_seconds(&self, on: bool) -> Result {
        let mut state = self.state.lock_interruptible()?;
        if state.second.enabled == on {
            return Ok(());
        }
        state.alarm_ops()?;
        if on {
            return self.start_seconds(&mut state);
        }
        if state.remove(Which::Second) {
            self.alarm_rang();
        }
        Ok(())
    }

    /// Who closes the device wants no interrupts any more. May sleep.
    pub(crate) fn stop_events(&self) {
        let mut state = self.state.lock();
        if state.second.enabled && state.remove(Which::Second) {
            self.alarm_rang();
        }
        drop(state);
        self.set_periodic(false);
    }

    /// Whether there are periodic interrupts.
    pub(crate) fn is_periodic(&self) -> bool {
        self.periodic.load(Ordering::Relaxed)
    }

    /// Switches periodic interrupts on or off (`RTC_PIE_ON`). The device is open once, or its driver goes.
    pub(crate) fn set_periodic(&self, on: bool) {
        self.timer.cancel();
        self.periodic.store(on, Ordering::Relaxed);
        if on {
            self.timer.start_after(self.events.period());
        }
    }

    /// Periodic interrupts a second.
    pub(crate) fn freq(&self) -> u32 {
        self.events.freq.load(Ordering::Relaxed)
    }

    /// Sets them (`RTC_IRQP_SET`). `EINVAL`.
    pub(crate) fn set_freq(&self, freq: usize) -> Result {
        let freq = u32::try_from(freq).ok().filter(|freq| (1..=RTC_MAX_FREQ).contains(freq)).ok_or(EINVAL)?;
        self.events.freq.store(freq, Ordering::Relaxed);
        if self.is_periodic() {
            self.set_periodic(true);
        }
        Ok(())
    }

    /// How many of them everybody may have.
    pub(crate) fn max_user_freq(&self) -> u32 {
        self.max_user_freq.load(Ordering::Relaxed)
    }

    /// Sets that. `EINVAL`.
    pub(crate) fn set_max_user_freq(&self, freq: u32) -> Result {
        if !(1..4096).contains(&freq) {
            return Err(EINVAL);
        }
        self.max_user_freq.store(freq, Ordering::Relaxed);
        Ok(())
    }

    /// Sets the system's time by the clock (`rtc_hctosys`).
    #[cfg(feature = "hctosys")]
    fn set_system_time(&self) {
        let time = match self.read_time() {
            Ok(time) => time,
            Err(error) => {
                return self
                    .parent
                    .print(Level::Err, format_args!("hctosys: unable to read the hardware clock: {error}"));
            }
        };
        let seconds = time.to_seconds();
        // Half of the second is over, on average.
        let Some(ns) = u64::try_from(seconds).ok().and_then(|s| s.checked_mul(1_000_000_000)) else { return };
        ktime::timekeeper::set_real_ns(ns.saturating_add(500_000_000));
        self.set_system.store(true, Ordering::Relaxed);
        let (date, clock) = (time.date(), time.clock());
        self.parent.print(Level::Info, format_args!("setting system clock to {date}T{clock} UTC ({seconds})"));
    }
}
