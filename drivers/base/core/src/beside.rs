// SPDX-License-Identifier: GPL-2.0
//! Probing beside others: a driver that says so, that the command line names (`driver_async_probe=`), or that a module registers which was
//! loaded with `async_probe`, gets its devices in workers, while who registered it goes on. Whoever then needs the devices waits
//! ([`wait_for_probe`]): the start of the first program, the end of loading a module (without `async_probe`), a driver that goes.
//!
//! Locks: `LOADING` (spinning, innermost).

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use errno::{Result, code::EBUSY};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{KString, KVec};
use locking::{SetOnce, SpinLock};
use sync::WaitQueue;

/// Probes that were left to workers and are not over.
static PENDING: AtomicUsize = AtomicUsize::new(0);
static OVER: WaitQueue = WaitQueue::new();
/// `driver_async_probe=`.
static NAMES: SetOnce<KString> = SetOnce::new();
/// Tasks that load a module whose drivers probe beside others.
static LOADING: SpinLock<KVec<usize>> = SpinLock::new(KVec::new());
/// Whether modules that do not say so themselves have their drivers probe beside others (`module.async_probe`).
static MODULES: AtomicBool = AtomicBool::new(false);

/// Sets the names of drivers that probe beside others, separated by commas; after a `*` those that do not. Once, at boot.
pub fn set_async_drivers(names: &[u8]) -> Result {
    NAMES.set(KString::from_bytes(names, GFP_KERNEL)?).map_err(|_| EBUSY)
}

fn is_named(names: &[u8], driver: &[u8]) -> bool {
    let mut names = names.split(|&byte| byte == b',').peekable();
    let all = names.next_if(|first| *first == b"*").is_some();
    names.any(|name| name == driver) != all
}

/// What modules have that do not say it.
pub fn modules_probe_beside() -> bool {
    MODULES.load(Ordering::Relaxed)
}

/// Sets it.
pub fn set_modules_probe_beside(beside: bool) {
    MODULES.store(beside, Ordering::Relaxed);
}

fn me() -> usize {
    core::ptr::from_ref::<task::Task>(&task::current()).addr()
}

/// Runs `f`, whose drivers probe beside others. ENOMEM: it was not run.
pub fn loading<R>(f: impl FnOnce() -> R) -> Result<R> {
    LOADING.lock().push(me(), GFP_ATOMIC)?;
    let result = f();
    LOADING.lock().retain(|task| *task != me());
    Ok(result)
}

/// Whether a driver that this task registers now probes beside others, if it does not say so itself.
pub(crate) fn is_wanted(driver: &[u8]) -> bool {
    NAMES.get().is_some_and(|names| is_named(names.as_bytes(), driver)) || LOADING.lock().contains(&me())
}

/// One that was left to a worker is over.
fn over() {
    PENDING.fetch_sub(1, Ordering::AcqRel);
    OVER.wake_up_all();
}

/// Runs `probe` in a worker; at once if there is no memory for that. May sleep.
pub(crate) fn later(probe: impl Fn() + Clone + Send + 'static) {
    PENDING.fetch_add(1, Ordering::AcqRel);
    let its = probe.clone();
    let spawned = workqueue::spawn(move || {
        its();
        over();
    });
    if spawned.is_err() {
        probe();
        over();
    }
}

/// Waits until what was left to workers is over (`wait_for_device_probe`). Not from a probe. May sleep.
pub fn wait_for_probe() {
    OVER.wait_until(|| PENDING.load(Ordering::Acquire) == 0);
}

#[macros::kunit_tests(device_beside)]
mod tests {
    use super::*;
    use crate::bus::{Bus, BusOps};
    use crate::dev::Device;
    use crate::driver::{Driver, DriverOps, ProbeType};
    use errno::code::EINVAL;
    use kalloc::Arc;
    use sync::Completion;

    #[test]
    fn names() {
        for (list, name, beside) in [
            (&b"nvme"[..], &b"nvme"[..], true),
            (b"nvme", b"nvm", false),
            (b"sd,nvme", b"nvme", true),
            (b"*", b"nvme", true),
            (b"*,nvme", b"nvme", false),
            (b"*,nvme", b"sd", true),
            (b"sd,*", b"nvme", false),
            (b"", b"nvme", false),
        ] {
            assert_eq!(is_named(list, name), beside, "{list:?} {name:?}");
        }
    }

    struct Plain;
    impl BusOps for Plain {}
    static BUS: Bus = Bus::new("kunit_beside", &Plain);
    static GO: Completion = Completion::new();
    static STARTED: AtomicUsize = AtomicUsize::new(0);

    struct Slow;
    impl DriverOps for Slow {
        fn matches(&self, _: &Device) -> bool {
            true
        }
        fn probe(&self, _: &Arc<Device>) -> Result {
            STARTED.fetch_add(1, Ordering::AcqRel);
            GO.wait();
            Ok(())
        }
        fn remove(&self, _: &Arc<Device>) {}
        fn probe_type(&self) -> ProbeType {
            ProbeType::Beside
        }
    }

    fn run() -> Result {
        BUS.register()?;
        let before = Device::new(&BUS, b"before", None, None)?;
        before.register()?;
        // Neither waits for the probe, which waits for us.
        let driver = Driver::register(&BUS, b"slow", Arc::new(Slow, GFP_KERNEL)?)?;
        let after = Device::new(&BUS, b"after", None, None)?;
        after.register()?;
        GO.complete_all();
        wait_for_probe();
        let bound = [&before, &after].into_iter().all(|device| device.driver().is_some());
        before.unregister();
        after.unregister();
        driver.unregister();
        BUS.unregister();
        if bound && STARTED.load(Ordering::Acquire) == 2 { Ok(()) } else { Err(EINVAL) }
    }

    #[test]
    fn who_registers_does_not_wait() {
        assert_eq!(run(), Ok(()));
    }
}
