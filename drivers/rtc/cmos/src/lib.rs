// SPDX-License-Identifier: GPL-2.0
//! The clock of PCs, an MC146818 or what looks like one, as a driver of the platform bus: device `rtc_cmos`, which `init` adds where
//! firmware says that there is one (`init/src/firmware.rs`). The alarm raises interrupt 8; it compares seconds, minutes and hours, and day and month where
//! firmware names registers for these.
//!
//! Lock: `x86::clocks::rtc::CMOS`, the registers' (interrupts off), shared with who reads the time at boot. Source: MC146818A data
//! sheet, ACPI specification 5.2.9.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

use device::{Device, Driver, DriverOps, Phase, platform};
use irq::{IrqRequest, IrqReturn};
use kalloc::{Arc, KString};
use kernel::hardware::acpi::fadt::Fadt;
use kernel::hardware::clocks::rtc::{CMOS, Cmos, read_time};
use kernel::hardware::{device, irq, locking, rtc, sync, vfs};
use kernel::prelude::*;
use klog::Level;
use locking::SetOnce;
use rtc::{Alarm, Rtc, RtcOps, Time};
use rtc_lib::DAY;
use rtc_lib::mc146818::{self as chip, Fields, reg};
use sync::Mutex;
use vfs::{SeqBuf, seq_print};

module! {
    type: RtcCmos,
    name: "rtc_cmos",
    authors: ["The Rideau developers"],
    description: "Driver for PC-style 'CMOS' RTCs",
    license: "GPL",
    alias: ["platform:rtc_cmos", "acpi*:PNP0B00:*", "acpi*:PNP0B01:*", "acpi*:PNP0B02:*"],
}

/// The ISA interrupt.
const IRQ: u8 = 8;
/// The driver's name, and the device's.
const NAME: &str = "rtc_cmos";
/// Its ids in ACPI, which the module's aliases name, too.
const ACPI_IDS: [&str; 3] = ["PNP0B00", "PNP0B01", "PNP0B02"];
/// Interrupts that can be switched on.
const INTERRUPTS: u8 = chip::PIE | chip::AIE | chip::UIE;

/// The clock.
struct Clock {
    century: Option<u8>,
    day_alarm: Option<u8>,
    month_alarm: Option<u8>,
    /// The interrupt could be had: alarms ring.
    has_alarm: bool,
}

/// Switches interrupts on or off; those that are there already are taken back, and lost.
fn switch(cmos: &mut Cmos, on: u8, off: u8) {
    let control = cmos.read(reg::CONTROL);
    cmos.write(reg::CONTROL, control & !off | on);
    cmos.read(reg::INTR_FLAGS);
}

/// A value of the alarm's day or month, which may be none.
fn date_part(byte: u8, control: u8, most: i32) -> i32 {
    let byte = i32::from(byte);
    let value = if control & chip::BINARY != 0 { byte } else { (byte >> 4) * 10 + (byte & 0xf) };
    if (1..=most).contains(&value) { value } else { -1 }
}

impl Clock {
    /// The last second that an alarm set now can mean.
    fn furthest(&self, now: &Time) -> i64 {
        match (self.day_alarm, self.month_alarm) {
            (None, _) => now.to_seconds() + DAY - 1,
            // The same day and time of the next month or year, shorter ones' last days.
            (Some(_), month) => {
                let mut last = *now;
                if month.is_some() {
                    last.year += 1;
                } else if last.mon == 11 {
                    (last.mon, last.year) = (0, last.year + 1);
                } else {
                    last.mon += 1;
                }
                last.mday = last.mday.min(rtc_lib::month_days(last.mon, i64::from(last.year) + 1900));
                last.to_seconds() - 1
            }
        }
    }
}

impl RtcOps for Clock {
    fn read_time(&self) -> Result<Time> {
        read_time(self.century)
    }

    fn set_time(&self, time: &Time) -> Result {
        let mut cmos = CMOS.lock_irqsave();
        let control = cmos.read(reg::CONTROL);
        let fields = Fields::of(time, control, self.century.is_some()).ok_or(EINVAL)?;
        // The clock stands still, and its divider too, so that the new second is a whole one.
        cmos.write(reg::CONTROL, control | chip::SET);
        let divider = cmos.read(reg::FREQ_SELECT);
        cmos.write(reg::FREQ_SELECT, divider | chip::DIV_RESET2);
        let day_of_week = Time::from_seconds(time.to_seconds()).wday as u8 + 1;
        let values = [
            (reg::YEAR, fields.year),
            (reg::MONTH, fields.month),
            (reg::DAY_OF_MONTH, fields.day),
            (reg::DAY_OF_WEEK, day_of_week),
            (reg::HOURS, fields.hours),
            (reg::MINUTES, fields.minutes),
            (reg::SECONDS, fields.seconds),
        ];
        for (register, value) in values {
            cmos.write(register, value);
        }
        if let (Some(register), Some(value)) = (self.century, fields.century) {
            cmos.write(register, value);
        }
        cmos.write(reg::CONTROL, control);
        cmos.write(reg::FREQ_SELECT, divider);
        Ok(())
    }

    fn has_alarm(&self) -> bool {
        self.has_alarm
    }

    fn read_alarm(&self) -> Result<Alarm> {
        let mut cmos = CMOS.lock_irqsave();
        let control = cmos.read(reg::CONTROL);
        let bytes = [reg::SECONDS_ALARM, reg::MINUTES_ALARM, reg::HOURS_ALARM].map(|register| cmos.read(register));
        let mut time = chip::alarm_time(bytes, control);
        if let Some(register) = self.day_alarm {
            // The upper bits are not the day's.
            time.mday = date_part(cmos.read(register) & 0x3f, control, 31);
            if let Some(register) = self.month_alarm {
                let month = date_part(cmos.read(register), control, 12);
                time.mon = if month == -1 { -1 } else { month - 1 };
            }
        }
        Ok(Alarm { enabled: control & chip::AIE != 0, time })
    }

    fn set_alarm(&self, alarm: &Alarm) -> Result {
        let now = self.read_time()?;
        if alarm.time.to_seconds() > self.furthest(&now) {
            return Err(EINVAL);
        }
        let mut cmos = CMOS.lock_irqsave();
        switch(&mut cmos, 0, chip::AIE);
        let control = cmos.read(reg::CONTROL);
        let [seconds, minutes, hours] = chip::alarm_bytes(&alarm.time, control);
        cmos.write(reg::HOURS_ALARM, hours);
        cmos.write(reg::MINUTES_ALARM, minutes);
        cmos.write(reg::SECONDS_ALARM, seconds);
        if let Some(register) = self.day_alarm {
            cmos.write(register, chip::encode(alarm.time.mday, control));
            if let Some(register) = self.month_alarm {
                cmos.write(register, chip::encode(alarm.time.mon + 1, control));
            }
        }
        if alarm.enabled {
            switch(&mut cmos, chip::AIE, 0);
        }
        Ok(())
    }

    fn enable_alarm(&self, on: bool) -> Result {
        let mut cmos = CMOS.lock_irqsave();
        if on {
            switch(&mut cmos, chip::AIE, 0);
        } else {
            switch(&mut cmos, 0, chip::AIE);
        }
        Ok(())
    }

    fn show(&self, rate: u32, out: &mut SeqBuf) -> Result {
        let (control, valid) = {
            let mut cmos = CMOS.lock_irqsave();
            (cmos.read(reg::CONTROL), cmos.read(reg::VALID))
        };
        let yes = |on: bool| if on { "yes" } else { "no" };
        seq_print!(out, "periodic_IRQ\t: {}\n", yes(control & chip::PIE != 0))?;
        seq_print!(out, "update_IRQ\t: {}\n", yes(control & chip::UIE != 0))?;
        out.put(b"HPET_emulated\t: no\n")?;
        seq_print!(out, "BCD\t\t: {}\n", yes(control & chip::BINARY == 0))?;
        seq_print!(out, "DST_enable\t: {}\n", yes(control & chip::DST != 0))?;
        seq_print!(out, "periodic_freq\t: {rate}\n")?;
        seq_print!(out, "batt_status\t: {}\n", if valid & chip::VRT != 0 { "okay" } else { "dead" })
    }
}

/// The interrupt: whether the alarm rang.
fn interrupt() -> Option<u8> {
    let mut cmos = CMOS.lock_irqsave();
    let flags = cmos.read(reg::INTR_FLAGS);
    let control = cmos.read(reg::CONTROL);
    let mine = flags & control & INTERRUPTS;
    // An alarm rings once; the clock's own would ring again the next day.
    if mine & chip::AIE != 0 {
        cmos.write(reg::CONTROL, control & !chip::AIE);
    }
    (flags & chip::IRQF != 0 && mine != 0).then_some(mine)
}

/// Whether firmware calls such a clock so.
fn is_clock(id: &[u8]) -> bool {
    ACPI_IDS.iter().any(|its| its.as_bytes() == id)
}

/// What is bound.
struct Bound {
    rtc: Arc<Rtc>,
    irq: Option<IrqRequest>,
    /// What is undone when the machine wakes.
    asleep: Asleep,
}

/// What was done when the machine went to sleep.
#[derive(Clone, Copy, Default)]
struct Asleep {
    /// The interrupt was made to wake the machine.
    wakes: bool,
    /// The alarm, which is not to wake it, was switched off.
    silenced: bool,
}

impl Bound {
    /// The alarm wakes the machine, or is silent.
    fn suspend(&mut self, device: &Device) -> Result {
        let Some(irq) = &self.irq else { return Ok(()) };
        if device.may_wakeup() {
            irq::enable_irq_wake(irq.irq())?;
            self.asleep.wakes = true;
            return Ok(());
        }
        let mut cmos = CMOS.lock_irqsave();
        if cmos.read(reg::CONTROL) & chip::AIE != 0 {
            switch(&mut cmos, 0, chip::AIE);
            self.asleep.silenced = true;
        }
        Ok(())
    }

    fn resume(&mut self) -> Result {
        let asleep = core::mem::take(&mut self.asleep);
        if asleep.silenced {
            switch(&mut CMOS.lock_irqsave(), chip::AIE, 0);
            // Its time may be over.
            self.rtc.alarm_rang();
        }
        match (&self.irq, asleep.wakes) {
            (Some(irq), true) => irq::disable_irq_wake(irq.irq()),
            _ => Ok(()),
        }
    }
}

struct CmosDriver {
    bound: Mutex<Option<Bound>>,
}

impl DriverOps for CmosDriver {
    fn matches(&self, device: &Device) -> bool {
        let Some(info) = device.info::<platform::Info>() else { return false };
        device.name() == NAME.as_bytes() || info.acpi_ids.iter().any(|id| is_clock(id.as_bytes()))
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let mut bound = self.bound.lock();
        // There is one clock.
        if bound.is_some() {
            return Err(EBUSY);
        }
        {
            let mut cmos = CMOS.lock_irqsave();
            if cmos.read(reg::VALID) == 0xff && cmos.read(reg::CONTROL) == 0xff {
                return Err(ENODEV);
            }
            cmos.write(reg::FREQ_SELECT, chip::USUAL_RATE);
            // Also the alarm that firmware left, as in Linux.
            switch(&mut cmos, 0, INTERRUPTS);
        }
        let fadt = Fadt::read();
        let registers = |pick: fn(&Fadt) -> Option<u8>| fadt.as_ref().and_then(pick);
        let target: Arc<SetOnce<Arc<Rtc>>> = Arc::new(SetOnce::new(), GFP_KERNEL)?;
        let (heard, its) = (target.clone(), device.clone());
        let handler = move |_: u32| {
            match interrupt() {
                None => return IrqReturn::None,
                Some(what) if what & chip::AIE != 0 => its.wakeup_event(),
                Some(_) => {}
            }
            if let Some(rtc) = heard.get() {
                rtc.alarm_rang();
            }
            IrqReturn::Handled
        };
        let irq = irq::request_isa_irq(IRQ, b"rtc0", false, KBox::new(handler, GFP_KERNEL)?);
        let irq = irq.inspect_err(|error| {
            device.print(Level::Err, format_args!("IRQ {IRQ} is not free: {error}"));
        });
        let clock = Clock {
            century: registers(|fadt| fadt.century),
            day_alarm: registers(|fadt| fadt.day_alarm),
            month_alarm: registers(|fadt| fadt.month_alarm),
            has_alarm: irq.is_ok(),
        };
        let alarms = match (irq.is_ok(), clock.day_alarm, clock.month_alarm) {
            (false, ..) => "no alarms",
            (true, None, _) => "alarms up to one day",
            (true, Some(_), None) => "alarms up to one month",
            (true, Some(_), Some(_)) => "alarms up to one year",
        };
        let y3k = if clock.century.is_some() { ", y3k" } else { "" };
        let home = KString::from_fmt(format_args!("devices/platform/{}", device.name().escape_ascii()), GFP_KERNEL)?;
        let rtc =
            Rtc::register(device, home.to_str().ok_or(EINVAL)?, Arc::new(clock, GFP_KERNEL)?, THIS_MODULE.header())?;
        device.print(Level::Info, format_args!("{alarms}{y3k}"));
        // Set once, just here; no alarm is on yet.
        let _ = target.set(rtc.clone());
        if irq.is_ok() {
            device.init_wakeup(true).inspect_err(|_| rtc.unregister())?;
        }
        *bound = Some(Bound { rtc, irq: irq.ok(), asleep: Asleep::default() });
        Ok(())
    }

    fn pm(&self, device: &Arc<Device>, phase: Phase) -> Result {
        match (&mut *self.bound.lock(), phase) {
            (Some(bound), Phase::Suspend) => bound.suspend(device),
            (Some(bound), Phase::Resume) => bound.resume(),
            _ => Ok(()),
        }
    }

    fn remove(&self, device: &Arc<Device>) {
        device.clear_wakeup();
        let Some(bound) = self.bound.lock().take() else { return };
        bound.rtc.unregister();
        switch(&mut CMOS.lock_irqsave(), 0, INTERRUPTS);
    }
}

/// The driver, while the module is there.
struct RtcCmos(Arc<Driver>);

impl kernel::Module for RtcCmos {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let ops = CmosDriver { bound: Mutex::new(None) };
        Ok(Self(Driver::register(&platform::BUS, NAME.as_bytes(), Arc::new(ops, GFP_KERNEL)?)?))
    }
}

impl Drop for RtcCmos {
    fn drop(&mut self) {
        self.0.unregister();
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(rtc_cmos)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_firmware() {
        assert!([b"PNP0B00", b"PNP0B01", b"PNP0B02"].into_iter().all(|id| is_clock(id)));
        assert!(!is_clock(b"PNP0B03") && !is_clock(b"PNP0B0") && !is_clock(b""));
    }
}
