// SPDX-License-Identifier: GPL-2.0
//! The machine goes down: drivers are told, those of the youngest devices first, so that a device's parts come before the device. Called by
//! `reboot(2)`. Lock: `ALL` (sleeping, innermost).

use crate::dev::Device;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use klog::pr_warn;
use sync::Mutex;

/// How often a device is looked at whose driver is just bound or unbound, and how long that takes.
const TRIES: u32 = 50;
const PAUSE_NS: u64 = 100_000_000;

/// Registered devices, in the order of that.
static ALL: Mutex<KVec<Arc<Device>>> = Mutex::new(KVec::new());

pub(crate) fn add(device: &Arc<Device>) -> Result {
    Ok(ALL.lock().push(device.clone(), GFP_KERNEL)?)
}

pub(crate) fn forget(device: &Arc<Device>) {
    ALL.lock().retain(|other| !Arc::ptr_eq(other, device));
}

/// The registered devices, in the order of that: parents before their children. May sleep.
pub fn registered() -> Result<KVec<Arc<Device>>> {
    let all = ALL.lock();
    let mut devices = KVec::with_capacity(all.len(), GFP_KERNEL)?;
    devices.extend(all.iter().cloned(), GFP_KERNEL)?;
    Ok(devices)
}

/// Has every driver leave its devices as they may be found (`device_shutdown`). Devices that come meanwhile are not told; one whose probe
/// does not end is passed over, so that the machine goes down in any case. May sleep.
pub fn shutdown() {
    let mut devices = core::mem::take(&mut *ALL.lock());
    while let Some(device) = devices.pop() {
        let mut tries = 0;
        loop {
            if let Some(registered) = device.binding.try_lock() {
                if let Some(driver) = device.driver().filter(|_| *registered) {
                    driver.shutdown(&device);
                }
                break;
            }
            tries += 1;
            if tries > TRIES {
                pr_warn!("{}busy, is not shut down", device.prefix());
                break;
            }
            ktime::sleep_ns(PAUSE_NS);
        }
    }
}

#[macros::kunit_tests(device_power)]
mod tests {
    use super::*;
    use crate::bus::{Bus, BusOps};
    use crate::driver::{Driver, DriverOps};
    use core::sync::atomic::{AtomicUsize, Ordering};

    struct Plain;
    impl BusOps for Plain {}
    static BUS: Bus = Bus::new("kunit_power", &Plain);
    static TOLD: AtomicUsize = AtomicUsize::new(0);

    struct Counts;
    impl DriverOps for Counts {
        fn matches(&self, _: &Device) -> bool {
            true
        }
        fn probe(&self, _: &Arc<Device>) -> Result {
            Ok(())
        }
        fn remove(&self, _: &Arc<Device>) {}
        fn shutdown(&self, _: &Arc<Device>) {
            TOLD.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn is_listed(device: &Arc<Device>) -> bool {
        ALL.lock().iter().any(|other| Arc::ptr_eq(other, device))
    }

    /// All of it would tell every disk of the machine: one driver alone.
    #[test]
    fn a_driver_is_told() -> Result {
        BUS.register()?;
        let driver = Driver::register(&BUS, b"counts", Arc::new(Counts, GFP_KERNEL)?)?;
        let device = Device::new(&BUS, b"one", None, None)?;
        assert!(!is_listed(&device));
        device.register()?;
        assert!(is_listed(&device));
        driver.shutdown(&device);
        assert_eq!(TOLD.load(Ordering::Acquire), 1);
        device.unregister();
        assert!(!is_listed(&device));
        driver.unregister();
        driver.shutdown(&device);
        assert_eq!(TOLD.load(Ordering::Acquire), 1);
        BUS.unregister();
        Ok(())
    }
}
