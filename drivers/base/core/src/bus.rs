// SPDX-License-Identifier: GPL-2.0
//! `Bus`: devices and drivers of one kind, and who is bound to whom.

use crate::beside;
use crate::defer;
use crate::dev::Device;
use crate::driver::Driver;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use klog::{pr_err, pr_info};
use locking::SpinLock;
use sync::Mutex;
use sysfs::Node;
use sysfs::uevent::{self, Action};
use vfs::SeqBuf;

/// What buses do differently. Defaults are those of a bus without identification.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait BusOps: Sync {
    /// More variables for a device's `uevent`; `MODALIAS` follows by itself.
    fn uevent(&self, device: &Device, out: &mut SeqBuf) -> Result {
        Ok(())
    }

    /// Whether devices have a file `driver_override`, by which a program says which driver alone may take a device.
    fn has_driver_override(&self) -> bool {
        false
    }

    /// More files for a device's directory.
    fn attributes(&self, device: &Arc<Device>, node: &Arc<Node>) -> Result {
        Ok(())
    }

    /// Whether devices have a file `modalias`.
    fn has_modalias(&self) -> bool {
        false
    }

    /// The text of a device's `modalias`, without newline.
    fn modalias(&self, device: &Device, out: &mut SeqBuf) -> Result {
        Err(ENODEV)
    }

    /// Whether the bus is a module's, and may go: its files are taken back when they are removed.
    fn is_module(&self) -> bool {
        false
    }
}

#[derive(Clone)]
struct Nodes {
    bus: Arc<Node>,
    devices: Arc<Node>,
    drivers: Arc<Node>,
}

struct Lists {
    devices: KVec<Arc<Device>>,
    drivers: KVec<Arc<Driver>>,
}

/// A bus. A static of the crate that implements it.
pub struct Bus {
    name: &'static str,
    ops: &'static dyn BusOps,
    nodes: SpinLock<Option<Nodes>>,
    lists: Mutex<Lists>,
    /// New devices are offered to drivers, and new drivers get devices (`drivers_autoprobe`).
    autoprobe: AtomicBool,
    /// The class of its devices' locks: a device's driver may bind devices of another bus, not of the same.
    place: &'static Location<'static>,
}

impl Bus {
    /// A bus, not registered yet.
    #[track_caller]
    pub const fn new(name: &'static str, ops: &'static dyn BusOps) -> Self {
        Self {
            name,
            ops,
            nodes: SpinLock::new(None),
            lists: Mutex::new(Lists { devices: KVec::new(), drivers: KVec::new() }),
            autoprobe: AtomicBool::new(true),
            place: Location::caller(),
        }
    }

    /// Shows the bus. Once. May sleep.
    pub fn register(&'static self) -> Result {
        let bus = sysfs::root()?.path_or_new("bus")?.mkdir(self.name.as_bytes())?;
        if self.ops.is_module() {
            bus.fill_by_module();
        }
        let devices = bus.mkdir(b"devices")?;
        let drivers = bus.mkdir(b"drivers")?;
        let show = |out: &mut SeqBuf| out.put(if self.autoprobe.load(Ordering::Relaxed) { b"1\n" } else { b"0\n" });
        sysfs::attr_rw(&bus, "drivers_autoprobe", show, |data| {
            self.autoprobe.store(data.first() != Some(&b'0'), Ordering::Relaxed);
            Ok(data.len())
        })?;
        // As in Linux no error says that nobody takes the device.
        let probe = |data: &[u8]| -> Result<usize> {
            self.attach_now(&self.find_device(data.trim_ascii()).ok_or(ENODEV)?, true);
            Ok(data.len())
        };
        bus.attr(b"drivers_probe", 0o200, kernfs::TextRw(|_: &mut SeqBuf| Err(EIO), probe))?;
        *self.nodes.lock() = Some(Nodes { bus: bus.clone(), devices, drivers });
        uevent::emit(Action::Add, &bus, "bus", |_| Ok(()));
        Ok(())
    }

    /// Takes the bus away; it has neither devices nor drivers any more. May sleep.
    pub fn unregister(&self) {
        let nodes = self.nodes.lock().take();
        if let Some(nodes) = nodes {
            uevent::emit(Action::Remove, &nodes.bus, "bus", |_| Ok(()));
            nodes.bus.remove();
        }
        let empty = Lists { devices: KVec::new(), drivers: KVec::new() };
        let old = core::mem::replace(&mut *self.lists.lock(), empty);
        drop(old);
    }

    fn nodes(&self) -> Result<Nodes> {
        self.nodes.lock().clone().ok_or(ENODEV)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn node(&self) -> Result<Arc<Node>> {
        Ok(self.nodes()?.bus)
    }

    pub(crate) fn drivers_node(&self) -> Result<Arc<Node>> {
        Ok(self.nodes()?.drivers)
    }

    pub(crate) fn link(&self, name: &[u8], node: &Arc<Node>) -> Result {
        self.nodes()?.devices.link(name, node).map(|_| ())
    }

    pub(crate) fn unlink(&self, name: &[u8]) {
        if let Some(link) = self.nodes().ok().and_then(|nodes| nodes.devices.child(name)) {
            link.remove();
        }
    }

    pub(crate) fn place(&self) -> &'static Location<'static> {
        self.place
    }

    pub(crate) fn autoprobes(&self) -> bool {
        self.autoprobe.load(Ordering::Relaxed)
    }

    pub(crate) fn ops(&self) -> &'static dyn BusOps {
        self.ops
    }

    pub(crate) fn add_device(&self, device: &Arc<Device>) -> Result {
        Ok(self.lists.lock().devices.push(device.clone(), GFP_KERNEL)?)
    }

    pub(crate) fn remove_device(&self, device: &Arc<Device>) {
        self.lists.lock().devices.retain(|other| !Arc::ptr_eq(other, device));
    }

    pub(crate) fn add_driver(&self, driver: &Arc<Driver>) -> Result {
        Ok(self.lists.lock().drivers.push(driver.clone(), GFP_KERNEL)?)
    }

    pub(crate) fn remove_driver(&self, driver: &Arc<Driver>) {
        self.lists.lock().drivers.retain(|other| !Arc::ptr_eq(other, driver));
    }

    /// The device of that name.
    pub fn find_device(&self, name: &[u8]) -> Option<Arc<Device>> {
        self.lists.lock().devices.iter().find(|device| device.name() == name).cloned()
    }

    /// The devices there are. May sleep.
    pub fn devices(&self) -> Result<KVec<Arc<Device>>> {
        let lists = self.lists.lock();
        let mut all = KVec::with_capacity(lists.devices.len(), GFP_KERNEL)?;
        all.extend(lists.devices.iter().cloned(), GFP_KERNEL)?;
        Ok(all)
    }

    /// Binds `device` to the first driver that matches and takes it; those that probe in workers come after the others.
    pub(crate) fn attach(&'static self, device: &Arc<Device>) {
        if self.attach_now(device, false) {
            let device = device.clone();
            beside::later(move || {
                self.attach_now(&device, true);
            });
        }
    }

    /// As [`Self::attach`], now: with `all`, also to drivers that probe in workers. Whether such a one matches and was left out.
    fn attach_now(&self, device: &Arc<Device>, all: bool) -> bool {
        let (mut at, mut left) = (0, false);
        loop {
            let driver = self.lists.lock().drivers.get(at).cloned();
            let Some(driver) = driver else { return left };
            at += 1;
            if device.driver().is_some() {
                return false;
            }
            if !driver.takes(device) {
                continue;
            }
            if driver.probes_beside() && !all {
                left = true;
            } else if self.bind(device, &driver).is_ok() {
                return false;
            }
        }
    }

    /// Binds `driver` to every device that it matches and that has none.
    pub(crate) fn attach_all(&'static self, driver: &Arc<Driver>) {
        let Ok(devices) = self.devices() else { return };
        for device in &devices {
            if device.driver().is_some() || !driver.takes(device) {
                continue;
            }
            if driver.probes_beside() {
                let (device, driver) = (device.clone(), driver.clone());
                // Another driver may have been faster.
                beside::later(move || {
                    let _ = self.bind(&device, &driver);
                });
            } else {
                // What went wrong is in the log; the device stays without a driver.
                let _ = self.bind(device, driver);
            }
        }
    }

    /// Binds the two. `EBUSY` if the device has a driver, `ENODEV` if one of them goes, or what the driver says.
    pub(crate) fn bind(&self, device: &Arc<Device>, driver: &Arc<Driver>) -> Result {
        let registered = device.binding.lock();
        if !*registered {
            return Err(ENODEV);
        }
        if device.driver().is_some() {
            return Err(EBUSY);
        }
        let before = defer::bound();
        // Still locked: whoever puts devices to sleep finds this one with its driver, or this sees that.
        if defer::is_blocked() {
            defer::defer(device, before)?;
            return Err(EPROBE_DEFER);
        }
        device.set_driver(Some(driver.clone()));
        // Its `unregister` looks for its devices after it said so: one of the two sees the other.
        if driver.is_going() {
            device.set_driver(None);
            return Err(ENODEV);
        }
        if let Err(error) = driver.probe(device) {
            match error {
                // Not for this driver after all.
                ENODEV | ENXIO => {}
                EPROBE_DEFER => pr_info!("{}probe deferred", device.prefix()),
                error => pr_err!(
                    "{}probe with driver {} failed with error {}",
                    device.prefix(),
                    driver.name().escape_ascii(),
                    error.to_errno()
                ),
            }
            device.drop_resources();
            device.set_driver(None);
            if error == EPROBE_DEFER {
                // Still locked: a device that goes is forgotten after this.
                defer::defer(device, before)?;
            }
            return Err(error);
        }
        if let (Some(node), Some(home)) = (device.node(), driver.node()) {
            // For people alone: the binding holds without the links.
            let _ = node.link(b"driver", home);
            let _ = home.link(node.name(), node);
        }
        drop(registered);
        device.announce(Action::Bind);
        defer::succeeded();
        Ok(())
    }

    /// Unbinds `device` from its driver.
    pub fn detach(&self, device: &Arc<Device>) {
        let registered = device.binding.lock();
        let Some(driver) = device.driver() else { return };
        if let (Some(node), Some(home)) = (device.node(), driver.node()) {
            for link in [node.child(b"driver"), home.child(node.name())].into_iter().flatten() {
                link.remove();
            }
        }
        device.wake_for_removal(&driver);
        driver.remove(device);
        device.drop_resources();
        device.set_driver(None);
        drop(registered);
        device.announce(Action::Unbind);
    }

    pub(crate) fn detach_all(&self, driver: &Arc<Driver>) {
        loop {
            let bound = self
                .lists
                .lock()
                .devices
                .iter()
                .find(|device| device.driver().is_some_and(|bound| Arc::ptr_eq(&bound, driver)))
                .cloned();
            match bound {
                Some(device) => self.detach(&device),
                None => return,
            }
        }
    }
}
