// SPDX-License-Identifier: GPL-2.0
//! Devices whose driver is not ready for them yet (`EPROBE_DEFER`), because it needs something of another device: they are tried
//! again, in a worker, whenever a driver was bound. Lock: `WAITING` (sleeping, innermost).

use crate::dev::Device;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use sync::Mutex;

static WAITING: Mutex<KVec<Arc<Device>>> = Mutex::new(KVec::new());
/// How often a driver was bound, or probes were allowed again.
static BOUND: AtomicU64 = AtomicU64::new(0);

/// What to give to [`defer`] when the probe that begins now is deferred.
pub(crate) fn bound() -> u64 {
    BOUND.load(Ordering::Acquire)
}

/// Remembers `device`; tries again at once if [`bound`] changed since it said `before`. `ENOMEM`.
pub(crate) fn defer(device: &Arc<Device>, before: u64) -> Result {
    {
        let mut waiting = WAITING.lock();
        if !waiting.iter().any(|other| Arc::ptr_eq(other, device)) {
            waiting.push(device.clone(), GFP_KERNEL)?;
        }
    }
    if bound() != before {
        retry();
    }
    Ok(())
}

/// No device is probed: they sleep.
static BLOCKED: AtomicBool = AtomicBool::new(false);

/// Devices that come from here on, and those that a driver matches that comes, wait for [`unblock_probing`]. May sleep.
pub fn block_probing() {
    BLOCKED.store(true, Ordering::SeqCst);
    crate::beside::wait_for_probe();
}

/// Devices that waited are probed now, in a worker.
pub fn unblock_probing() {
    BLOCKED.store(false, Ordering::SeqCst);
    succeeded();
}

/// Whether probes wait.
pub(crate) fn is_blocked() -> bool {
    BLOCKED.load(Ordering::SeqCst)
}

/// Forgets a device that goes.
pub(crate) fn forget(device: &Arc<Device>) {
    WAITING.lock().retain(|other| !Arc::ptr_eq(other, device));
}

/// Tells `f` the devices that wait for a driver that is not ready for them. May sleep; `f` takes no lock of devices.
pub fn for_each_deferred(f: impl FnMut(&Device) -> Result) -> Result {
    WAITING.lock().iter().map(|device| &**device).try_for_each(f)
}

/// A driver was bound, or probes are allowed again: those who wait may be waiting for that.
pub(crate) fn succeeded() {
    BOUND.fetch_add(1, Ordering::AcqRel);
    if !WAITING.lock().is_empty() {
        retry();
    }
}

/// Tries all again, in a worker: the caller may be inside of another device's probe.
fn retry() {
    let again = || {
        let devices = core::mem::take(&mut *WAITING.lock());
        for device in &devices {
            if let Some(bus) = device.bus().filter(|_| device.driver().is_none()) {
                bus.attach(device);
            }
        }
    };
    // Without memory they wait for the next driver that is bound.
    let _ = workqueue::spawn(again);
}

#[macros::kunit_tests(device_deferred)]
mod tests {
    use super::*;
    use crate::bus::{Bus, BusOps};
    use crate::driver::{Driver, DriverOps};
    use core::sync::atomic::AtomicBool;
    use errno::code::*;
    use sync::Completion;

    struct Plain;
    impl BusOps for Plain {}
    static BUS: Bus = Bus::new("kunit_deferred", &Plain);
    static THERE: AtomicBool = AtomicBool::new(false);
    static DONE: Completion = Completion::new();

    struct Provider;
    impl DriverOps for Provider {
        fn matches(&self, device: &Device) -> bool {
            device.name() == b"provider"
        }
        fn probe(&self, _: &Arc<Device>) -> Result {
            THERE.store(true, Ordering::Release);
            Ok(())
        }
        fn remove(&self, _: &Arc<Device>) {}
    }

    struct Consumer;
    impl DriverOps for Consumer {
        fn matches(&self, device: &Device) -> bool {
            device.name() == b"consumer"
        }
        fn probe(&self, _: &Arc<Device>) -> Result {
            if !THERE.load(Ordering::Acquire) {
                return Err(EPROBE_DEFER);
            }
            DONE.complete_all();
            Ok(())
        }
        fn remove(&self, _: &Arc<Device>) {}
    }

    fn run() -> Result {
        BUS.register()?;
        let user = Driver::register(&BUS, b"user", Arc::new(Consumer, GFP_KERNEL)?)?;
        let consumer = Device::new(&BUS, b"consumer", None, None)?;
        consumer.register()?;
        let mut listed = false;
        for_each_deferred(|device| {
            listed |= device.name() == b"consumer";
            Ok(())
        })?;
        let early = consumer.driver().is_some() || !listed;
        let giver = Driver::register(&BUS, b"giver", Arc::new(Provider, GFP_KERNEL)?)?;
        let provider = Device::new(&BUS, b"provider", None, None)?;
        provider.register()?;
        DONE.wait();
        consumer.unregister();
        provider.unregister();
        user.unregister();
        giver.unregister();
        if early { Err(EINVAL) } else { Ok(()) }
    }

    #[test]
    fn a_deferred_device_is_bound_later() {
        assert_eq!(run(), Ok(()));
    }
}
