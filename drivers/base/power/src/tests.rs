// SPDX-License-Identifier: GPL-2.0
//! Order, and what an error undoes, with devices of the test's own: the machine's are left alone.

#[macros::kunit_tests(device_pm)]
mod in_kernel {
    use crate::Devices;
    use device::{Bus, BusOps, Depth, Device, Driver, DriverOps, Phase};
    use errno::{Result, code::*};
    use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
    use kalloc::{Arc, KVec};
    use locking::SpinLock;

    struct Plain;
    impl BusOps for Plain {}
    static PARENTS: Bus = Bus::new("kunit_pm_parents", &Plain);
    static CHILDREN: Bus = Bus::new("kunit_pm_children", &Plain);
    /// What was asked of whom.
    static ASKED: SpinLock<KVec<(u8, Phase)>> = SpinLock::new(KVec::new());
    /// Who refuses which step.
    static REFUSED: SpinLock<Option<(u8, Phase)>> = SpinLock::new(None);

    struct Notes;
    impl DriverOps for Notes {
        fn matches(&self, _: &Device) -> bool {
            true
        }
        fn probe(&self, _: &Arc<Device>) -> Result {
            Ok(())
        }
        fn remove(&self, device: &Arc<Device>) {
            // Awake, whatever it was.
            note(device, Phase::Complete);
        }
        fn pm(&self, device: &Arc<Device>, phase: Phase) -> Result {
            note(device, phase);
            let refused = *REFUSED.lock();
            if refused == Some((name(device), phase)) { Err(EIO) } else { Ok(()) }
        }
    }

    fn name(device: &Device) -> u8 {
        device.name().first().copied().unwrap_or(b'?')
    }

    fn note(device: &Device, phase: Phase) {
        let noted = ASKED.lock().push((name(device), phase), GFP_ATOMIC);
        assert!(noted.is_ok());
    }

    fn asked() -> KVec<(u8, Phase)> {
        core::mem::take(&mut *ASKED.lock())
    }

    /// Two devices, of which `b` is the child of `a`.
    fn with_family(test: impl FnOnce(&Devices, &Arc<Device>, &Arc<Device>)) -> Result {
        PARENTS.register()?;
        CHILDREN.register()?;
        let drivers = [
            Driver::register(&PARENTS, b"parent", Arc::new(Notes, GFP_KERNEL)?)?,
            Driver::register(&CHILDREN, b"child", Arc::new(Notes, GFP_KERNEL)?)?,
        ];
        let parent = Device::new(&PARENTS, b"a", None, None)?;
        parent.register()?;
        let child = Device::new(&CHILDREN, b"b", Some(parent.clone()), None)?;
        child.register()?;
        let mut all = KVec::new();
        // As `device::registered` has them.
        all.push(parent.clone(), GFP_KERNEL)?;
        all.push(child.clone(), GFP_KERNEL)?;
        let registered = device::registered()?;
        let at = |device| registered.iter().position(|other| Arc::ptr_eq(other, device));
        assert!(at(&parent) < at(&child));
        {
            // Nobody else's device is among them.
            device::block_probing();
            wakeup::clear();
            let devices = Devices { all };
            asked();
            test(&devices, &parent, &child);
        }
        *REFUSED.lock() = None;
        child.unregister();
        parent.unregister();
        for driver in &drivers {
            driver.unregister();
        }
        CHILDREN.unregister();
        PARENTS.unregister();
        asked();
        Ok(())
    }

    fn prepare(devices: &Devices) {
        assert!(devices.all.iter().all(|device| device.sleep_to(Depth::Prepared).is_ok()));
    }

    #[test]
    fn children_first_and_last() -> Result {
        with_family(|devices, _, _| {
            prepare(devices);
            for depth in [Depth::Suspended, Depth::Late, Depth::Noirq] {
                assert_eq!(devices.sleep_to(depth), Ok(()));
            }
            let down = [
                (b'a', Phase::Prepare),
                (b'b', Phase::Prepare),
                (b'b', Phase::Suspend),
                (b'a', Phase::Suspend),
                (b'b', Phase::SuspendLate),
                (b'a', Phase::SuspendLate),
                (b'b', Phase::SuspendNoirq),
                (b'a', Phase::SuspendNoirq),
            ];
            assert!(*asked() == down);
            for depth in [Depth::Noirq, Depth::Late, Depth::Suspended] {
                devices.wake_from(depth);
            }
            let up = [
                (b'a', Phase::ResumeNoirq),
                (b'b', Phase::ResumeNoirq),
                (b'a', Phase::ResumeEarly),
                (b'b', Phase::ResumeEarly),
                (b'a', Phase::Resume),
                (b'b', Phase::Resume),
            ];
            assert!(*asked() == up);
        })?;
        Ok(())
    }

    /// The parent refuses: its child, which sleeps already, wakes; the parent itself is not asked to.
    #[test]
    fn an_error_undoes_the_step() -> Result {
        with_family(|devices, _, _| {
            prepare(devices);
            asked();
            *REFUSED.lock() = Some((b'a', Phase::Suspend));
            assert_eq!(devices.sleep_to(Depth::Suspended).err(), Some(EIO));
            assert!(*asked() == [(b'b', Phase::Suspend), (b'a', Phase::Suspend), (b'b', Phase::Resume)]);
            *REFUSED.lock() = Some((b'b', Phase::SuspendLate));
            assert_eq!(devices.sleep_to(Depth::Suspended), Ok(()));
            assert_eq!(devices.sleep_to(Depth::Late).err(), Some(EIO));
            asked();
            devices.wake_from(Depth::Suspended);
            assert!(*asked() == [(b'a', Phase::Resume), (b'b', Phase::Resume)]);
        })
    }

    /// A step that was not taken is not undone, nor is one taken over another.
    #[test]
    fn no_step_twice() -> Result {
        with_family(|devices, parent, _| {
            prepare(devices);
            asked();
            assert_eq!(parent.sleep_to(Depth::Late), Ok(()));
            parent.wake_from(Depth::Suspended);
            assert!(asked().is_empty());
        })
    }

    /// A driver that gives its device up finds it awake.
    #[test]
    fn removal_wakes() -> Result {
        with_family(|devices, _, child| {
            prepare(devices);
            assert_eq!(devices.sleep_to(Depth::Suspended), Ok(()));
            assert_eq!(devices.sleep_to(Depth::Late), Ok(()));
            asked();
            CHILDREN.detach(child);
            let up = [
                (b'b', Phase::ResumeEarly),
                (b'b', Phase::Resume),
                (b'b', Phase::Complete),
                // That of its removal.
                (b'b', Phase::Complete),
            ];
            assert!(*asked() == up);
            devices.wake_from(Depth::Late);
            devices.wake_from(Depth::Suspended);
            assert!(*asked() == [(b'a', Phase::ResumeEarly), (b'a', Phase::Resume)]);
        })
    }

    /// A device that comes meanwhile waits for its driver, and gets it afterwards.
    #[test]
    fn none_is_probed() -> Result {
        let mut late = None;
        with_family(|_, parent, _| {
            let made = Device::new(&CHILDREN, b"c", Some(parent.clone()), None);
            assert!(made.is_ok());
            if let Ok(device) = made {
                assert_eq!(device.register(), Ok(()));
                assert!(device.driver().is_none());
                device::unblock_probing();
                // Ten seconds
                for _ in 0..10_000 {
                    if device.driver().is_some() {
                        break;
                    }
                    ktime::sleep_ns(1_000_000);
                }
                assert!(device.driver().is_some());
                device::block_probing();
                late = Some(device);
            }
            if let Some(device) = &late {
                device.unregister();
            }
        })
    }
}
