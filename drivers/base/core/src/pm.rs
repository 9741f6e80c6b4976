// SPDX-License-Identifier: GPL-2.0
//! Devices go to sleep with the machine, and wake: one step at a time, each a callback of the driver. In which order devices take a step
//! is `drivers/base/power`'s. And whether a device may wake the machine (`power/wakeup`).
//!
//! How deep a device sleeps changes under its `binding`. A device whose driver is to give it up wakes first, so that drivers never give up
//! a sleeping one; and none is probed while devices sleep ([`crate::block_probing`]).

use crate::dev::Device;
use crate::driver::Driver;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use errno::{Result, code::*};
use kalloc::Arc;
use klog::Level;

/// What a driver is asked to do (`struct dev_pm_ops`). All may sleep, but for those without interrupts not for a device's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The machine is about to sleep: children of the device come no more. `EAGAIN` leaves this device out.
    Prepare,
    /// The device is not used any more, and does nothing by itself. Its children sleep.
    Suspend,
    /// As `Suspend`, when all devices have done that.
    SuspendLate,
    /// As `SuspendLate`; no device's interrupt is served any more but those that wake the machine.
    SuspendNoirq,
    /// Undoes `SuspendNoirq`; no interrupt is served yet. Parents before children, from here on.
    ResumeNoirq,
    /// Undoes `SuspendLate`.
    ResumeEarly,
    /// Undoes `Suspend`: the device works.
    Resume,
    /// Undoes `Prepare`; children before parents. Cannot fail.
    Complete,
}

impl Phase {
    /// The word for it in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Suspend => "suspend",
            Self::SuspendLate => "suspend late",
            Self::SuspendNoirq => "suspend noirq",
            Self::ResumeNoirq => "resume noirq",
            Self::ResumeEarly => "resume early",
            Self::Resume => "resume",
            Self::Complete => "complete",
        }
    }
}

/// How deep a device sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// It is prepared.
    Prepared = 1,
    /// It is suspended.
    Suspended,
    /// Late, too.
    Late,
    /// Without interrupts, too.
    Noirq,
}

impl Depth {
    /// The steps down to it and up from it.
    fn phases(self) -> (Phase, Phase) {
        match self {
            Self::Prepared => (Phase::Prepare, Phase::Complete),
            Self::Suspended => (Phase::Suspend, Phase::Resume),
            Self::Late => (Phase::SuspendLate, Phase::ResumeEarly),
            Self::Noirq => (Phase::SuspendNoirq, Phase::ResumeNoirq),
        }
    }

    /// That of a device's number.
    fn of(number: u8) -> Option<Self> {
        [Self::Prepared, Self::Suspended, Self::Late, Self::Noirq].into_iter().find(|depth| *depth as u8 == number)
    }
}

/// A device's part.
pub(crate) struct Sleep {
    /// A [`Depth`]; 0: awake.
    depth: AtomicU8,
    can_wakeup: AtomicBool,
    may_wakeup: AtomicBool,
}

impl Sleep {
    pub(crate) const fn new() -> Self {
        Self { depth: AtomicU8::new(0), can_wakeup: AtomicBool::new(false), may_wakeup: AtomicBool::new(false) }
    }
}

/// How often a device is looked at whose driver is just unbound, and how long that takes.
const TRIES: u32 = 100;
const PAUSE_NS: u64 = 10_000_000;

/// Adds `power/wakeup` to the directory of something that can wake the machine: whether it does. May sleep.
pub fn wakeup_file(
    node: &Arc<sysfs::Node>,
    get: impl Fn() -> Result<bool> + Send + Sync + 'static,
    set: impl Fn(bool) -> Result + Send + Sync + 'static,
) -> Result {
    let power = node.mkdir(b"power")?;
    let show = move |out: &mut vfs::SeqBuf| out.put(if get()? { b"enabled\n" } else { b"disabled\n" });
    let store = move |data: &[u8]| {
        match data.strip_suffix(b"\n").unwrap_or(data) {
            b"enabled" => set(true)?,
            b"disabled" => set(false)?,
            _ => return Err(EINVAL),
        }
        Ok(data.len())
    };
    sysfs::attr_rw(&power, "wakeup", show, store).map(drop)
}

impl Device {
    /// One step towards sleep. An error is the driver's, `EBUSY` if the driver is just giving the device up; the device is as deep asleep as
    /// before then. May sleep.
    pub fn sleep_to(self: &Arc<Self>, depth: Depth) -> Result {
        // A driver that goes may wait for an interrupt: later on nobody waits for it.
        let registered = match depth {
            Depth::Prepared | Depth::Suspended => self.binding.lock(),
            Depth::Late | Depth::Noirq => self.binding.try_lock().ok_or(EBUSY)?,
        };
        let Some(driver) = self.driver().filter(|_| *registered) else { return Ok(()) };
        if self.sleep.depth.load(Relaxed) + 1 != depth as u8 {
            return Ok(());
        }
        let (phase, _) = depth.phases();
        match driver.pm(self, phase) {
            Err(EAGAIN) if phase == Phase::Prepare => return Ok(()),
            result => result?,
        }
        self.sleep.depth.store(depth as u8, Relaxed);
        Ok(())
    }

    /// The step up from `depth`, if the device sleeps as deep as that. What goes wrong is in the log. May sleep.
    pub fn wake_from(self: &Arc<Self>, depth: Depth) {
        for _ in 0..TRIES {
            if let Some(registered) = self.binding.try_lock() {
                if let Some(driver) = self.driver().filter(|_| *registered) {
                    self.step_up(&driver, depth);
                }
                return;
            }
            // Whoever takes the driver away has woken the device, or will.
            if self.sleep.depth.load(Relaxed) < depth as u8 {
                return;
            }
            ktime::sleep_ns(PAUSE_NS);
        }
    }

    fn step_up(self: &Arc<Self>, driver: &Driver, depth: Depth) {
        if self.sleep.depth.load(Relaxed) != depth as u8 {
            return;
        }
        let (_, phase) = depth.phases();
        if let Err(error) = driver.pm(self, phase) {
            self.print(Level::Err, format_args!("PM: failed to {}: error {}", phase.name(), error.to_errno()));
        }
        self.sleep.depth.store(depth as u8 - 1, Relaxed);
    }

    /// The driver is to give the device up: it wakes. Under `binding`.
    pub(crate) fn wake_for_removal(self: &Arc<Self>, driver: &Driver) {
        while let Some(depth) = Depth::of(self.sleep.depth.load(Relaxed)) {
            self.step_up(driver, depth);
        }
    }

    /// The device can wake the machine, and does if `enabled`, until a program says otherwise in `power/wakeup` (`device_init_wakeup`). By its
    /// driver, in its probe; [`Self::clear_wakeup`] in its removal. May sleep.
    pub fn init_wakeup(self: &Arc<Self>, enabled: bool) -> Result {
        let node = self.node().ok_or(ENODEV)?;
        self.sleep.may_wakeup.store(enabled, Relaxed);
        self.sleep.can_wakeup.store(true, Relaxed);
        let (shown, stored) = (Arc::downgrade(self), Arc::downgrade(self));
        let get = move || Ok(shown.upgrade().ok_or(ENODEV)?.sleep.may_wakeup.load(Relaxed));
        let set = move |on| {
            stored.upgrade().ok_or(ENODEV)?.sleep.may_wakeup.store(on, Relaxed);
            Ok(())
        };
        wakeup_file(node, get, set).inspect_err(|_| self.clear_wakeup())
    }

    /// The device wakes the machine no more. May sleep.
    pub fn clear_wakeup(&self) {
        self.sleep.can_wakeup.store(false, Relaxed);
        if let Some(power) = self.node().and_then(|node| node.child(b"power")) {
            power.remove();
        }
    }

    /// Whether the device can wake the machine, and is to. Any context.
    pub fn may_wakeup(&self) -> bool {
        self.sleep.can_wakeup.load(Relaxed) && self.sleep.may_wakeup.load(Relaxed)
    }

    /// The device has something for the machine, which is awake or wakes by it, if it is to. Any context but NMI.
    pub fn wakeup_event(&self) {
        if self.may_wakeup() {
            wakeup::event();
        }
    }
}
