// SPDX-License-Identifier: GPL-2.0
//! A clock in `/sys/class/rtc`, in `/dev` and, the first one, in `/proc/driver/rtc`.

use crate::{Alarm, Rtc, Time, dev};
use core::sync::atomic::Ordering;
use devtmpfs::{Device, Kind};
use errno::{Result, code::*};
use kalloc::{Arc, WeakArc};
use sysfs::Node;
use vfs::{SeqBuf, seq_print};

fn device(rtc: &Rtc) -> Result<Device<'_>> {
    Ok(Device {
        class: "rtc",
        name: rtc.name().to_str().ok_or(EINVAL)?,
        node: None,
        kind: Kind::Char,
        dev: dev::number(rtc.id()),
        mode: 0o600,
        parent: Some(rtc.home().to_str().ok_or(EINVAL)?),
    })
}

/// A clock as its files have it: who once looked at one keeps the file, but not the clock with its number.
struct Shown(WeakArc<Rtc>);

impl Shown {
    fn of(rtc: &Arc<Rtc>) -> Self {
        Self(Arc::downgrade(rtc))
    }

    fn get(&self) -> Result<Arc<Rtc>> {
        self.0.upgrade().ok_or(ENODEV)
    }
}

/// Shows the clock. May sleep.
pub(crate) fn add(rtc: &Arc<Rtc>) -> Result {
    devtmpfs::create_device_with(&device(rtc)?, |dir| fill(rtc, dir))?;
    if rtc.id() == 0 {
        let its = Shown::of(rtc);
        let dir = proc::root()?.path_or_new("driver")?;
        dir.attr(b"rtc", 0o444, kernfs::Text(move |out: &mut SeqBuf| proc_text(&*its.get()?, out)))?;
    }
    Ok(())
}

/// Takes it away. May sleep.
pub(crate) fn remove(rtc: &Rtc) {
    if rtc.id() == 0
        && let Some(node) = proc::root().ok().and_then(|root| root.child(b"driver")).and_then(|dir| dir.child(b"rtc"))
    {
        node.remove();
    }
    if let Ok(device) = device(rtc) {
        devtmpfs::remove_device(&device);
    }
}

/// Adds a file that shows the time.
fn time_file(rtc: &Arc<Rtc>, dir: &Arc<Node>, name: &str, show: fn(&Time, &mut SeqBuf) -> Result) -> Result {
    let its = Shown::of(rtc);
    sysfs::attr(dir, name, move |out| show(&its.get()?.read_time()?, out)).map(drop)
}

fn fill(rtc: &Arc<Rtc>, dir: &Arc<Node>) -> Result {
    let its = Shown::of(rtc);
    sysfs::attr(dir, "name", move |out| {
        let its = its.get()?;
        if let Some(driver) = its.parent().driver() {
            out.put(driver.name())?;
        }
        out.byte(b' ')?;
        out.put(its.parent().name())?;
        out.byte(b'\n')
    })?;
    time_file(rtc, dir, "date", |time, out| seq_print!(out, "{}\n", time.date()))?;
    time_file(rtc, dir, "time", |time, out| seq_print!(out, "{}\n", time.clock()))?;
    time_file(rtc, dir, "since_epoch", |time, out| seq_print!(out, "{}\n", time.to_seconds()))?;
    let (shown, stored) = (Shown::of(rtc), Shown::of(rtc));
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", shown.get()?.max_user_freq());
    sysfs::attr_rw(dir, "max_user_freq", show, move |data| {
        stored.get()?.set_max_user_freq(u32::try_from(proc::parse_number(data)?).map_err(|_| EINVAL)?)?;
        Ok(data.len())
    })?;
    let its = Shown::of(rtc);
    sysfs::attr(dir, "hctosys", move |out| {
        out.put(if its.get()?.set_system.load(Ordering::Relaxed) { b"1\n" } else { b"0\n" })
    })?;
    if rtc.state.lock().ops()?.has_alarm() {
        let (shown, stored) = (Shown::of(rtc), Shown::of(rtc));
        let show = move |out: &mut SeqBuf| match shown.get()?.read_alarm()? {
            Alarm { enabled: true, time } => seq_print!(out, "{}\n", time.to_seconds()),
            _ => Ok(()),
        };
        sysfs::attr_rw(dir, "wakealarm", show, move |data| {
            set_wake_alarm(&*stored.get()?, data)?;
            Ok(data.len())
        })?;
    }
    Ok(())
}

/// `wakealarm`: seconds since 1970; `+` from now; `+=` from the alarm that is set. What is not in the future switches it off.
fn set_wake_alarm(rtc: &Rtc, data: &[u8]) -> Result {
    let now = rtc.read_time()?.to_seconds();
    let (number, from_now, push) = match (data.strip_prefix(b"+="), data.strip_prefix(b"+")) {
        (Some(number), _) => (number, false, true),
        (None, Some(number)) => (number, true, false),
        (None, None) => (data, false, false),
    };
    let mut at = proc::parse_number(number)?;
    if from_now {
        at = at.saturating_add(now);
    }
    if at <= now && !push {
        // Linux sets one that is switched off, some time ahead.
        return rtc.set_alarm(&Alarm { enabled: false, time: Time::from_seconds(now.saturating_add(300)) });
    }
    let alarm = rtc.read_alarm()?;
    match (alarm.enabled, push) {
        (true, true) => at = at.saturating_add(alarm.time.to_seconds()),
        // Somebody else's is not overwritten.
        (true, false) => return Err(EBUSY),
        (false, true) => return Err(EINVAL),
        (false, false) => {}
    }
    rtc.set_alarm(&Alarm { enabled: true, time: Time::from_seconds(at) })
}

fn yes(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

/// `/proc/driver/rtc`.
fn proc_text(rtc: &Rtc, out: &mut SeqBuf) -> Result {
    if let Ok(time) = rtc.read_time() {
        seq_print!(out, "rtc_time\t: {}\nrtc_date\t: {}\n", time.clock(), time.date())?;
    }
    if let Ok(alarm) = rtc.read_alarm() {
        seq_print!(out, "alrm_time\t: {}\nalrm_date\t: {}\n", alarm.time.clock(), alarm.time.date())?;
        // An alarm that rang is not pending any more: it is served at once.
        seq_print!(out, "alarm_IRQ\t: {}\nalrm_pending\t: no\n", yes(alarm.enabled))?;
        seq_print!(out, "update IRQ enabled\t: {}\n", yes(rtc.state.lock().second.enabled))?;
        seq_print!(out, "periodic IRQ enabled\t: {}\n", yes(rtc.is_periodic()))?;
        seq_print!(out, "periodic IRQ frequency\t: {}\n", rtc.freq())?;
        seq_print!(out, "max user IRQ frequency\t: {}\n", rtc.max_user_freq())?;
    }
    out.put(b"24hr\t\t: yes\n")?;
    let ops = rtc.state.lock().ops.clone();
    ops.map_or(Ok(()), |ops| ops.show(rtc.freq(), out))
}
