// SPDX-License-Identifier: GPL-2.0
//! `/dev/rtcN`: open once at a time; requests, and reads that wait for interrupts.

use crate::{Alarm, Rtc, Time};
use core::sync::atomic::{AtomicU32, Ordering};
use cred::{CAP_SYS_RESOURCE, CAP_SYS_TIME, capable};
use errno::{
    Result,
    code::{EACCES, EAGAIN, EBUSY, EFAULT, EINVAL, ENOTTY, ENXIO},
};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use module_core::ModuleRef;
use rtc_lib::DAY;
use uapi::*;
use vfs::{CharDevice, Dev, File, FileOps, Inode, IovIter, OpenFlags, PollMask, PollTable, user};

/// Most clocks.
pub(crate) const MINORS: u32 = 16;
/// The major that they got.
static MAJOR: AtomicU32 = AtomicU32::new(0);

struct Clocks;

pub(crate) fn init() -> Result {
    static CLOCKS: Clocks = Clocks;
    MAJOR.store(vfs::alloc_chrdev_region(MINORS, "rtc", &CLOCKS)?, Ordering::Relaxed);
    Ok(())
}

/// The device number of a clock.
pub(crate) fn number(id: u32) -> Dev {
    Dev::new(MAJOR.load(Ordering::Relaxed), id)
}

impl CharDevice for Clocks {
    fn open(&self, inode: &Arc<Inode>, _: OpenFlags) -> Result<KBox<dyn FileOps>> {
        let (rtc, module) = Rtc::find(inode.rdev.minor()).ok_or(ENXIO)?;
        if rtc.busy.swap(true, Ordering::Acquire) {
            return Err(EBUSY);
        }
        rtc.events.take();
        // From here on dropping it makes the clock free again.
        let open = Open { rtc, _module: module };
        Ok(KBox::new(open, GFP_KERNEL)?)
    }
}

/// The open device.
struct Open {
    rtc: Arc<Rtc>,
    /// Dropped last.
    _module: ModuleRef,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.rtc.stop_events();
        self.rtc.busy.store(false, Ordering::Release);
    }
}

/// A time as programs have it.
fn to_user(time: &Time) -> rtc_time {
    rtc_time {
        tm_sec: time.sec,
        tm_min: time.min,
        tm_hour: time.hour,
        tm_mday: time.mday,
        tm_mon: time.mon,
        tm_year: time.year,
        tm_wday: time.wday,
        tm_yday: time.yday,
        tm_isdst: 0,
    }
}

fn from_user(time: &rtc_time) -> Time {
    Time {
        sec: time.tm_sec,
        min: time.tm_min,
        hour: time.tm_hour,
        mday: time.tm_mday,
        mon: time.tm_mon,
        year: time.tm_year,
        wday: time.tm_wday,
        yday: time.tm_yday,
    }
}

impl Open {
    /// `RTC_ALM_SET`: a time of day within the next 24 hours; whether it rings is said by `RTC_AIE_ON`.
    fn set_time_of_day(&self, arg: usize) -> Result {
        let mut time = from_user(&user::get(arg)?);
        let now = self.rtc.read_time()?;
        (time.mday, time.mon, time.year) = (now.mday, now.mon, now.year);
        if !time.is_valid() {
            return Err(EINVAL);
        }
        if time.to_seconds() < now.to_seconds() {
            let tomorrow = Time::from_seconds(now.to_seconds() + DAY);
            (time.mday, time.mon, time.year) = (tomorrow.mday, tomorrow.mon, tomorrow.year);
        }
        self.rtc.set_alarm(&Alarm { enabled: false, time })
    }

    /// `RTC_PARAM_GET`: what the clock can do; nothing else can be asked of it.
    fn get_param(&self, arg: usize) -> Result {
        let mut param: [u64; 3] = user::get(arg)?;
        let [what, value, index] = &mut param;
        if *what != u64::from(RTC_PARAM_FEATURES) || *index as u32 != 0 {
            return Err(EINVAL);
        }
        let has_alarm = self.rtc.state.lock_interruptible()?.ops()?.has_alarm();
        *value = 1 << RTC_FEATURE_UPDATE_INTERRUPT | u64::from(has_alarm) << RTC_FEATURE_ALARM;
        user::put(arg, &param)
    }

    /// Whether the caller may make request `cmd`.
    fn check_right(&self, cmd: u32, arg: usize) -> Result {
        let rtc = &self.rtc;
        let allowed = match cmd {
            RTC_EPOCH_SET | RTC_SET_TIME | RTC_PARAM_SET => capable(CAP_SYS_TIME),
            RTC_IRQP_SET => arg <= rtc.max_user_freq() as usize || capable(CAP_SYS_RESOURCE),
            RTC_PIE_ON => rtc.freq() <= rtc.max_user_freq() || capable(CAP_SYS_RESOURCE),
            _ => true,
        };
        if allowed { Ok(()) } else { Err(EACCES) }
    }
}

impl FileOps for Open {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        let len = to.count();
        if len != size_of::<u32>() && len < size_of::<u64>() {
            return Err(EINVAL);
        }
        let events = &self.rtc.events;
        let mut data = events.take();
        while data == 0 {
            if file.nonblock() {
                return Err(EAGAIN);
            }
            events.queue.wait_interruptible(|| events.is_pending())?;
            data = events.take();
        }
        let bytes = data.to_le_bytes();
        let bytes = if len == size_of::<u32>() { bytes.get(..4).unwrap_or_default() } else { &bytes };
        if to.copy_to_iter(bytes) == bytes.len() { Ok(bytes.len()) } else { Err(EFAULT) }
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        table.add(&self.rtc.events.queue);
        if self.rtc.events.is_pending() { PollMask::IN | PollMask::RDNORM } else { PollMask::NONE }
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Result {
        self.rtc.events.fasync.set(file, fd, on).map(drop)
    }

    fn ioctl(&self, _: &File, cmd: u32, arg: usize) -> Result<usize> {
        let rtc = &self.rtc;
        self.check_right(cmd, arg)?;
        match cmd {
            RTC_RD_TIME => user::put(arg, &to_user(&rtc.read_time()?)),
            RTC_SET_TIME => rtc.set_time(&from_user(&user::get(arg)?)),
            RTC_ALM_READ => user::put(arg, &to_user(&rtc.read_alarm()?.time)),
            RTC_ALM_SET => self.set_time_of_day(arg),
            RTC_WKALM_RD => {
                let alarm = rtc.read_alarm()?;
                let shown =
                    rtc_wkalrm { enabled: alarm.enabled.into(), time: to_user(&alarm.time), ..rtc_wkalrm::default() };
                user::put(arg, &shown)
            }
            RTC_WKALM_SET => {
                let alarm: rtc_wkalrm = user::get(arg)?;
                rtc.set_alarm(&Alarm { enabled: alarm.enabled != 0, time: from_user(&alarm.time) })
            }
            RTC_AIE_ON => rtc.enable_alarm(true),
            RTC_AIE_OFF => rtc.enable_alarm(false),
            RTC_UIE_ON => rtc.enable_seconds(true),
            RTC_UIE_OFF => rtc.enable_seconds(false),
            RTC_PIE_ON | RTC_PIE_OFF => {
                rtc.set_periodic(cmd == RTC_PIE_ON);
                Ok(())
            }
            RTC_IRQP_READ => user::put(arg, &u64::from(rtc.freq())),
            RTC_IRQP_SET => rtc.set_freq(arg),
            RTC_PARAM_GET => self.get_param(arg),
            // None of the others can be set.
            RTC_PARAM_SET => Err(EINVAL),
            _ => Err(ENOTTY),
        }?;
        Ok(0)
    }
}
