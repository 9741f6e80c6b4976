// SPDX-License-Identifier: GPL-2.0
//! The way to sleep and back.

use crate::process;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use device::Depth;
use device_power::Devices;
use errno::{Result, code::*};
use klog::{pr_debug, pr_err, pr_info, pr_warn};
use task::{TaskFlags, current};

/// How far a test goes before it turns back (`pm_test`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test {
    /// No test.
    None,
    /// Deeper than this kernel goes.
    Core,
    Processors,
    /// All drivers, interrupts too.
    Platform,
    /// Drivers.
    Devices,
    /// Tasks.
    Freezer,
}

impl Test {
    /// All, in the order and by the names that the file has.
    pub(crate) const ALL: [(Self, &'static str); 6] = [
        (Self::None, "none"),
        (Self::Core, "core"),
        (Self::Processors, "processors"),
        (Self::Platform, "platform"),
        (Self::Devices, "devices"),
        (Self::Freezer, "freezer"),
    ];

    pub(crate) fn current() -> Self {
        Self::ALL.get(TEST.load(Relaxed)).map_or(Self::None, |(test, _)| *test)
    }

    pub(crate) fn set(self) {
        let at = Self::ALL.iter().position(|(test, _)| *test == self);
        TEST.store(at.unwrap_or(0), Relaxed);
    }
}

static TEST: AtomicUsize = AtomicUsize::new(0);
/// Seconds that a test waits before it turns back (`/sys/module/suspend/parameters/pm_test_delay`).
pub(crate) static TEST_DELAY: AtomicU32 = AtomicU32::new(5);
/// File systems are written first (`sync_on_suspend`).
pub(crate) static SYNC: AtomicBool = AtomicBool::new(true);

/// Whether a test turns back here; waits first, as if the machine slept.
fn test_ends(level: Test) -> bool {
    if Test::current() != level {
        return false;
    }
    let seconds = TEST_DELAY.load(Relaxed);
    pr_info!("PM: suspend debug: Waiting for {seconds} second(s).");
    ktime::sleep_ns(u64::from(seconds) * ktime::NSEC_PER_SEC);
    true
}

fn sync() {
    let begin = ktime::now_ns();
    vfs::emergency::sync();
    let elapsed = (ktime::now_ns() - begin) / 1_000_000;
    pr_info!("Filesystems sync: {}.{:03} seconds", elapsed / 1000, elapsed % 1000);
}

/// Tasks rest, then the rest sleeps.
fn enter() -> Result {
    process::freeze_processes(wakeup::is_pending)?;
    let result = process::freeze_kernel_threads(wakeup::is_pending).and_then(|()| match test_ends(Test::Freezer) {
        true => Ok(()),
        false => sleep_devices(),
    });
    process::thaw_processes();
    result
}

/// The current task's memory comes from the reserves, if need be, and not from disks: these sleep.
struct FromReserves;

impl FromReserves {
    fn new() -> Self {
        current().set_flags(TaskFlags::MEMALLOC);
        Self
    }
}

impl Drop for FromReserves {
    fn drop(&mut self) {
        current().clear_flags(TaskFlags::MEMALLOC);
    }
}

fn sleep_devices() -> Result {
    // Dropped last: what comes meanwhile is probed then.
    let devices = Devices::prepare()?;
    let _reserves = FromReserves::new();
    devices
        .sleep_to(Depth::Suspended)
        .inspect_err(|_| pr_err!("PM: Some devices failed to suspend, or early wake event detected"))?;
    let result = if test_ends(Test::Devices) { Ok(()) } else { sleep_late(&devices) };
    devices.wake_from(Depth::Suspended);
    result
}

fn sleep_late(devices: &Devices) -> Result {
    devices.sleep_to(Depth::Late).inspect_err(|_| pr_err!("PM: late suspend of devices failed"))?;
    irq::suspend_device_irqs();
    let asleep = devices.sleep_to(Depth::Noirq).inspect_err(|_| pr_err!("PM: noirq suspend of devices failed"));
    if asleep.is_ok() {
        if !test_ends(Test::Platform) {
            idle();
        }
        devices.wake_from(Depth::Noirq);
    }
    irq::resume_device_irqs();
    devices.wake_from(Depth::Late);
    asleep
}

/// All CPUs idle until something wakes the machine.
fn idle() {
    let before = ktime::boottime_ns();
    let offset = ktime::timekeeper::boot_offset_ns();
    ktime::freeze::set_alarm(ktime::hrtimer::next_alarm());
    while !wakeup::is_pending() {
        wakeup::sleep(sched::kick_all);
    }
    ktime::freeze::set_alarm(None);
    ktime::timekeeper::woken();
    let stood = ktime::timekeeper::boot_offset_ns().wrapping_sub(offset).unsigned_abs() / 1_000_000;
    pr_debug!("PM: idle for {} ms", (ktime::boottime_ns() - before) / 1_000_000);
    pr_info!("PM: Timekeeping suspended for {}.{:03} seconds", stood / 1000, stood % 1000);
    if let Some(irq) = wakeup::irq() {
        pr_info!("PM: Triggering wakeup from IRQ {irq}");
    }
}

/// Puts the machine to sleep until something wakes it. `EBUSY`: it is just going down or to sleep, a task does not come to rest, or
/// something wakes it already; `EAGAIN`: the test chosen is for deeper sleep; or what a driver says. May sleep; the caller is a program or a
/// kernel thread that takes no part in freezing, and holds no lock.
pub fn pm_suspend() -> Result {
    pr_info!("PM: suspend entry (s2idle)");
    let result = transition();
    pr_info!("PM: suspend exit");
    result
}

fn transition() -> Result {
    if matches!(Test::current(), Test::Core | Test::Processors) {
        pr_warn!("PM: Unsupported test mode for suspend to idle, please choose none/freezer/devices/platform.");
        return Err(EAGAIN);
    }
    let _transition = ::process::misc::SYSTEM_TRANSITION.try_lock().ok_or(EBUSY)?;
    if SYNC.load(Relaxed) {
        sync();
    }
    wakeup::clear();
    let result = enter();
    wakeup::forget_count();
    result
}
