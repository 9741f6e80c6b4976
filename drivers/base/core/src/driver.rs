// SPDX-License-Identifier: GPL-2.0
//! `Driver`: what serves the devices of a bus that it matches, with its directory in sysfs. Always in an `Arc`.

use crate::beside;
use crate::bus::Bus;
use crate::dev::Device;
use crate::pm::Phase;
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use kernfs::Revocable;
use locking::SetOnce;
use sysfs::Node;
use sysfs::uevent::{self, Action};

/// When devices are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeType {
    /// At once, unless the command line or who loads the module says otherwise.
    Default,
    /// In workers (`PROBE_PREFER_ASYNCHRONOUS`).
    Beside,
    /// At once, whatever anybody says (`PROBE_FORCE_SYNCHRONOUS`).
    Now,
}

/// What a driver does. All may sleep.
pub trait DriverOps: Any + Send + Sync {
    /// Whether it serves `device`.
    fn matches(&self, device: &Device) -> bool;

    /// Takes a device. An error leaves it without a driver.
    fn probe(&self, device: &Arc<Device>) -> Result;

    /// Gives a device up.
    fn remove(&self, device: &Arc<Device>);

    /// The machine goes down: leaves a device as it may be found when it comes up again, with nothing left in a cache. The device stays
    /// bound.
    fn shutdown(&self, device: &Arc<Device>) {
        let _ = device;
    }

    /// A step to sleep or back. An error of one to sleep ends the machine's way there, and what has gone before it is undone; the device is
    /// as awake as before. An error of one back is told in the log. The binding does not change meanwhile.
    fn pm(&self, device: &Arc<Device>, phase: Phase) -> Result {
        let _ = (device, phase);
        Ok(())
    }

    /// Whether who registers the driver, or a device, waits for `probe`.
    fn probe_type(&self) -> ProbeType {
        ProbeType::Default
    }

    /// Whether programs may bind and unbind its devices (`suppress_bind_attrs` is the opposite).
    fn has_bind_files(&self) -> bool {
        true
    }

    /// Whether programs may add ids that it serves (`new_id`, `remove_id`).
    fn has_dynamic_ids(&self) -> bool {
        false
    }

    /// Adds an id that a program wrote, as the bus has them. `EINVAL`, `EEXIST`.
    fn add_id(&self, text: &[u8]) -> Result {
        let _ = text;
        Err(EINVAL)
    }

    /// Removes an id that was added. `ENODEV`.
    fn remove_id(&self, text: &[u8]) -> Result {
        let _ = text;
        Err(ENODEV)
    }
}

/// A driver.
pub struct Driver {
    name: KString,
    bus: &'static Bus,
    /// Taken back when it is unregistered, after who runs an operation is done. Nothing is locked meanwhile: a driver's probe may
    /// register devices whose drivers are probed in turn.
    ops: Revocable<dyn DriverOps>,
    /// It is being unregistered, and takes no more devices.
    going: AtomicBool,
    /// Its devices are probed in workers.
    beside: bool,
    node: SetOnce<Arc<Node>>,
}

impl Driver {
    /// Registers a driver and binds it to devices that it matches. `EEXIST` (a driver of this name), `EINVAL`. May sleep.
    pub fn register(bus: &'static Bus, name: &[u8], ops: Arc<dyn DriverOps>) -> Result<Arc<Self>> {
        let beside = match ops.probe_type() {
            ProbeType::Default => beside::is_wanted(name),
            its => its == ProbeType::Beside,
        };
        let driver = Arc::new(
            Self {
                name: KString::from_bytes(name, GFP_KERNEL)?,
                bus,
                ops: Revocable::new(ops),
                going: AtomicBool::new(false),
                beside,
                node: SetOnce::new(),
            },
            GFP_KERNEL,
        )?;
        let node = bus.drivers_node()?.mkdir(name)?;
        if bus.ops().is_module() {
            node.fill_by_module();
        }
        if let Err(error) = driver.fill(&node) {
            node.remove();
            return Err(error);
        }
        // Set once, just here.
        let _ = driver.node.set(node.clone());
        if let Err(error) = bus.add_driver(&driver) {
            node.remove();
            return Err(error);
        }
        uevent::emit(Action::Add, &node, "drivers", |_| Ok(()));
        if bus.autoprobes() {
            bus.attach_all(&driver);
        }
        Ok(driver)
    }

    /// `bind` and `unbind`.
    fn fill(self: &Arc<Self>, node: &Arc<Node>) -> Result {
        let (bind_files, dynamic) =
            self.ops.with(|ops| (ops.has_bind_files(), ops.has_dynamic_ids())).unwrap_or((false, false));
        if dynamic {
            self.add_id_files(node)?;
        }
        if !bind_files {
            return Ok(());
        }
        let weak = Arc::downgrade(self);
        let bind = move |data: &[u8]| {
            let driver = weak.upgrade().ok_or(ENODEV)?;
            let device = driver.bus.find_device(data.trim_ascii()).ok_or(ENODEV)?;
            if !driver.takes(&device) {
                return Err(ENODEV);
            }
            match driver.bus.bind(&device, &driver) {
                // No number that programs know.
                Err(EPROBE_DEFER) => Err(EAGAIN),
                result => result.map(|()| data.len()),
            }
        };
        node.attr(b"bind", 0o200, sysfs_store(bind))?;
        let weak = Arc::downgrade(self);
        let unbind = move |data: &[u8]| {
            let driver = weak.upgrade().ok_or(ENODEV)?;
            let device = driver.bus.find_device(data.trim_ascii()).ok_or(ENODEV)?;
            if !device.driver().is_some_and(|bound| Arc::ptr_eq(&bound, &driver)) {
                return Err(ENODEV);
            }
            driver.bus.detach(&device);
            Ok(data.len())
        };
        node.attr(b"unbind", 0o200, sysfs_store(unbind))?;
        Ok(())
    }

    /// `new_id` and `remove_id`.
    fn add_id_files(self: &Arc<Self>, node: &Arc<Node>) -> Result {
        let weak = Arc::downgrade(self);
        let add = move |data: &[u8]| {
            let driver = weak.upgrade().ok_or(ENODEV)?;
            driver.ops.with(|ops| ops.add_id(data)).ok_or(ENODEV)??;
            driver.bus.attach_all(&driver);
            Ok(data.len())
        };
        node.attr(b"new_id", 0o200, sysfs_store(add))?;
        let weak = Arc::downgrade(self);
        let remove = move |data: &[u8]| {
            let driver = weak.upgrade().ok_or(ENODEV)?;
            driver.ops.with(|ops| ops.remove_id(data)).ok_or(ENODEV)??;
            Ok(data.len())
        };
        node.attr(b"remove_id", 0o200, sysfs_store(remove)).map(drop)
    }

    /// Gives up its devices and takes it out of the tree; no code of it runs afterwards. May sleep.
    pub fn unregister(self: &Arc<Self>) {
        self.bus.remove_driver(self);
        self.going.store(true, Ordering::Release);
        if self.beside {
            // They find that it goes, or have bound their device.
            beside::wait_for_probe();
        }
        self.bus.detach_all(self);
        if let Some(node) = self.node.get() {
            uevent::emit(Action::Remove, node, "drivers", |_| Ok(()));
            node.remove();
        }
        self.ops.revoke();
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// Its directory in sysfs.
    pub fn node(&self) -> Option<&Arc<Node>> {
        self.node.get()
    }

    /// Whether it takes no more devices.
    pub(crate) fn is_going(&self) -> bool {
        self.going.load(Ordering::Acquire)
    }

    /// Whether its devices are probed in workers.
    pub(crate) fn probes_beside(&self) -> bool {
        self.beside
    }

    /// Whether it may take `device`: a program's choice comes before ids.
    pub(crate) fn takes(&self, device: &Device) -> bool {
        device.is_chosen(self.name()).unwrap_or_else(|| self.matches(device))
    }

    pub(crate) fn matches(&self, device: &Device) -> bool {
        self.ops.with(|ops| ops.matches(device)).unwrap_or(false)
    }

    pub(crate) fn probe(&self, device: &Arc<Device>) -> Result {
        self.ops.with(|ops| ops.probe(device)).ok_or(ENODEV)?
    }

    pub(crate) fn shutdown(&self, device: &Arc<Device>) {
        let _ = self.ops.with(|ops| ops.shutdown(device));
    }

    /// A driver that is gone has nothing to do.
    pub(crate) fn pm(&self, device: &Arc<Device>, phase: Phase) -> Result {
        self.ops.with(|ops| ops.pm(device, phase)).unwrap_or(Ok(()))
    }

    pub(crate) fn remove(&self, device: &Arc<Device>) {
        // Without operations it has no devices either.
        let _ = self.ops.with(|ops| ops.remove(device));
    }
}

/// An attribute that is only written.
fn sysfs_store(store: impl Fn(&[u8]) -> Result<usize> + Send + Sync + 'static) -> impl kernfs::Attribute {
    kernfs::TextRw(|_: &mut vfs::SeqBuf| Err(EIO), store)
}
