// SPDX-License-Identifier: GPL-2.0
//! `Device`: a thing on a bus or in a class, with its directory in sysfs. Always in an `Arc`.

use crate::bus::Bus;
use crate::dma::DmaMasks;
use crate::driver::Driver;
use crate::pm::Sleep;
use core::any::Any;
use core::ffi::CStr;
use core::fmt::{self, Arguments};
use core::sync::atomic::{AtomicUsize, Ordering};
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KBox, KString, KVec};
use klog::Level;
use locking::{SetOnce, SpinLock};
use sync::Mutex;
use sysfs::Node;
use sysfs::uevent::{self, Action};
use vfs::SeqBuf;

/// What a bus knows of a device (identification, resources).
pub type Info = KBox<dyn Any + Send + Sync>;

/// What a driver keeps as long as it is bound.
pub type Resource = KBox<dyn Any + Send + Sync>;

/// The number of a device that programs can open, and what its node is like.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// The number.
    pub dev: vfs::Dev,
    /// Permissions of the node in devtmpfs.
    pub mode: u32,
    /// The node's name, if that is not the device's.
    pub node: Option<&'static str>,
}

/// A device.
pub struct Device {
    /// With a zero byte behind it.
    name: KVec<u8>,
    parent: Option<Arc<Device>>,
    bus: Option<&'static Bus>,
    class: Option<&'static str>,
    number: Option<Number>,
    info: Option<Info>,
    /// Where its directory is, if not below its parent's.
    home: Option<Arc<Node>>,
    driver_override: SpinLock<Option<KString>>,
    driver: SpinLock<Option<Arc<Driver>>>,
    node: SetOnce<Arc<Node>>,
    /// A word of the driver's own; 0 without one.
    data: AtomicUsize,
    pub(crate) dma: DmaMasks,
    pub(crate) sleep: Sleep,
    /// What goes when its driver was unbound, the last first (`devres`).
    resources: Mutex<KVec<Resource>>,
    /// Held while a driver is bound or unbound. True: the device is registered.
    pub(crate) binding: Mutex<bool>,
}

/// What a name in sysfs is made of: a `/` becomes `!`.
fn sysfs_name(name: &[u8]) -> Result<KString> {
    let mut bytes = KString::from_bytes(name, GFP_KERNEL)?.into_vec();
    for byte in bytes.iter_mut().filter(|byte| **byte == b'/') {
        *byte = b'!';
    }
    Ok(bytes.into())
}

impl Device {
    /// A device on `bus`, not registered yet. May sleep.
    pub fn new(bus: &'static Bus, name: &[u8], parent: Option<Arc<Device>>, info: Option<Info>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self::build(Some(bus), None, name, parent, None, info)?, GFP_KERNEL)?)
    }

    /// A device on `bus` whose directory is in `home`, not registered yet. May sleep.
    pub fn new_in(bus: &'static Bus, name: &[u8], home: Arc<Node>, info: Option<Info>) -> Result<Arc<Self>> {
        let mut device = Self::build(Some(bus), None, name, None, None, info)?;
        device.home = Some(home);
        Ok(Arc::new(device, GFP_KERNEL)?)
    }

    fn build(
        bus: Option<&'static Bus>,
        class: Option<&'static str>,
        name: &[u8],
        parent: Option<Arc<Device>>,
        number: Option<Number>,
        info: Option<Info>,
    ) -> Result<Self> {
        if name.is_empty() {
            return Err(EINVAL);
        }
        let mut owned = KVec::with_capacity(name.len() + 1, GFP_KERNEL)?;
        owned.extend_from_slice(name, GFP_KERNEL)?;
        owned.push(0, GFP_KERNEL)?;
        Ok(Self {
            name: owned,
            parent,
            bus,
            class,
            number,
            info,
            home: None,
            driver_override: SpinLock::new(None),
            driver: SpinLock::new(None),
            node: SetOnce::new(),
            data: AtomicUsize::new(0),
            dma: DmaMasks::new(),
            sleep: Sleep::new(),
            resources: Mutex::new(KVec::new()),
            binding: match bus {
                Some(bus) => Mutex::new_at(false, bus.place()),
                None => Mutex::new(false),
            },
        })
    }

    /// A device of a class (`device_create`), shown and with its node in devtmpfs; `fill` adds attributes to its directory before
    /// programs hear of it. `EEXIST`. May sleep.
    pub fn create_class_device(
        class: &'static str,
        name: &[u8],
        number: Number,
        fill: impl FnOnce(&Arc<Node>) -> Result,
    ) -> Result<Arc<Self>> {
        let device = Arc::new(Self::build(None, Some(class), name, None, Some(number), None)?, GFP_KERNEL)?;
        let node = devtmpfs::create_device_with(&device.class_device().ok_or(EINVAL)?, fill)?;
        // Set once, just here.
        let _ = device.node.set(node);
        *device.binding.lock() = true;
        Ok(device)
    }

    /// A device of a class as devtmpfs has it.
    fn class_device(&self) -> Option<devtmpfs::Device<'_>> {
        let (class, number) = (self.class?, self.number?);
        let name = core::str::from_utf8(self.name()).ok()?;
        let kind = devtmpfs::Kind::Char;
        Some(devtmpfs::Device {
            class,
            name,
            node: number.node,
            kind,
            dev: number.dev,
            mode: number.mode,
            parent: None,
        })
    }

    /// Takes a device of a class away: its node and its directory. May sleep.
    pub fn destroy_class_device(&self) {
        if let Some(device) = self.class_device()
            && core::mem::replace(&mut *self.binding.lock(), false)
        {
            devtmpfs::remove_device(&device);
        }
    }

    /// Shows the device under its parent (or `devices/NAME` without one) and binds a driver that matches. May sleep.
    pub fn register(self: &Arc<Self>) -> Result {
        let bus = self.bus.ok_or(EINVAL)?;
        let parent = self.parent.as_ref().and_then(|parent| parent.node.get());
        let above = match self.home.as_ref().or(parent) {
            Some(node) => node.clone(),
            None => sysfs::root()?.path_or_new("devices")?,
        };
        let shown = sysfs_name(self.name())?;
        let node = above.mkdir(shown.as_bytes())?;
        let added = self.fill(&node, bus, shown.as_bytes());
        let added = added.and_then(|()| self.node.set(node.clone()).map_err(|_| EBUSY));
        if let Err(error) = added.and_then(|()| bus.add_device(self)).and_then(|()| crate::power::add(self)) {
            bus.remove_device(self);
            bus.unlink(shown.as_bytes());
            node.remove();
            return Err(error);
        }
        *self.binding.lock() = true;
        self.announce(Action::Add);
        if bus.autoprobes() {
            bus.attach(self);
        }
        Ok(())
    }

    /// The links and attributes that every device has.
    fn fill(self: &Arc<Self>, node: &Arc<Node>, bus: &'static Bus, shown: &[u8]) -> Result {
        if bus.ops().is_module() {
            node.fill_by_module();
        }
        node.link(b"subsystem", &bus.node()?)?;
        bus.link(shown, node)?;
        // A weak reference: the device owns the node.
        let weak = Arc::downgrade(self);
        uevent::file(node, bus.name(), move |out| weak.upgrade().ok_or(ENODEV)?.uevent(out))?;
        if bus.ops().has_driver_override() {
            self.add_driver_override(node)?;
        }
        bus.ops().attributes(self, node)?;
        if bus.ops().has_modalias() {
            let weak = Arc::downgrade(self);
            sysfs::attr(node, "modalias", move |out| {
                let device = weak.upgrade().ok_or(ENODEV)?;
                bus.ops().modalias(&device, out)?;
                out.byte(b'\n')
            })?;
        }
        Ok(())
    }

    /// `driver_override`: an empty text, shown as `(null)`, leaves the choice to ids.
    fn add_driver_override(self: &Arc<Self>, node: &Arc<Node>) -> Result {
        let weak = Arc::downgrade(self);
        let show = move |out: &mut SeqBuf| {
            let device = weak.upgrade().ok_or(ENODEV)?;
            let name = device.driver_override.lock().as_ref().map(|name| name.try_clone(GFP_ATOMIC)).transpose()?;
            out.put(name.as_ref().map_or(&b"(null)"[..], |name| name.as_bytes()))?;
            out.byte(b'\n')
        };
        let weak = Arc::downgrade(self);
        let store = move |data: &[u8]| {
            let text = data.split(|&byte| byte == b'\n').next().unwrap_or_default();
            if text.len() >= sysfs::PAGE - 1 {
                return Err(EINVAL);
            }
            let name = if text.is_empty() { None } else { Some(KString::from_bytes(text, GFP_KERNEL)?) };
            let device = weak.upgrade().ok_or(ENODEV)?;
            let old = core::mem::replace(&mut *device.driver_override.lock(), name);
            drop(old);
            Ok(data.len())
        };
        sysfs::attr_rw(node, "driver_override", show, store).map(drop)
    }

    /// Whether a program chose this driver (`Some(true)`) or another one for it.
    pub(crate) fn is_chosen(&self, driver: &[u8]) -> Option<bool> {
        self.driver_override.lock().as_ref().map(|name| name.as_bytes() == driver)
    }

    /// Tells programs what happened to it. May sleep.
    pub(crate) fn announce(&self, action: Action) {
        if let (Some(node), Some(bus)) = (self.node(), self.bus) {
            uevent::emit(action, node, bus.name(), |out| self.uevent(out));
        }
    }

    /// What the file `uevent` says.
    fn uevent(&self, out: &mut SeqBuf) -> Result {
        if let Some(driver) = self.driver() {
            out.put(b"DRIVER=")?;
            out.put(driver.name())?;
            out.byte(b'\n')?;
        }
        let Some(ops) = self.bus.map(Bus::ops) else { return Ok(()) };
        ops.uevent(self, out)?;
        if ops.has_modalias() {
            out.put(b"MODALIAS=")?;
            ops.modalias(self, out)?;
            out.byte(b'\n')?;
        }
        Ok(())
    }

    /// Unbinds the device and takes it out of the tree. May sleep.
    pub fn unregister(self: &Arc<Self>) {
        let Some(bus) = self.bus else { return };
        // From here on nobody binds it; until then a driver that goes must find it.
        *self.binding.lock() = false;
        bus.detach(self);
        crate::defer::forget(self);
        crate::power::forget(self);
        bus.remove_device(self);
        if let Some(node) = self.node.get() {
            bus.unlink(node.name());
            self.announce(Action::Remove);
            node.remove();
        }
    }

    /// Its name (`dev_name`).
    pub fn name(&self) -> &[u8] {
        self.name.split_last().map_or(&[], |(_, name)| name)
    }

    /// Its name as a C string; a name with a zero byte ends there.
    pub fn c_name(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.name).unwrap_or_default()
    }

    /// The device it belongs to.
    pub fn parent(&self) -> Option<&Arc<Device>> {
        self.parent.as_ref()
    }

    /// The bus it is on.
    pub fn bus(&self) -> Option<&'static Bus> {
        self.bus
    }

    /// Its directory in sysfs, once it is registered.
    pub fn node(&self) -> Option<&Arc<Node>> {
        self.node.get()
    }

    /// The driver that is bound to it.
    pub fn driver(&self) -> Option<Arc<Driver>> {
        self.driver.lock().clone()
    }

    pub(crate) fn set_driver(&self, driver: Option<Arc<Driver>>) {
        let old = core::mem::replace(&mut *self.driver.lock(), driver);
        drop(old);
    }

    /// What the bus knows of it, if that is a `T`.
    pub fn info<T: 'static>(&self) -> Option<&T> {
        let info: &(dyn Any + Send + Sync) = &**self.info.as_ref()?;
        info.downcast_ref()
    }

    /// The driver's own word (`dev_get_drvdata`); 0 without one.
    pub fn data(&self) -> usize {
        self.data.load(Ordering::Acquire)
    }

    /// Sets the driver's own word; the value is what was there.
    pub fn set_data(&self, data: usize) -> usize {
        self.data.swap(data, Ordering::AcqRel)
    }

    /// Keeps `resource` until the driver is unbound, or did not take the device after all. `ENOMEM`. May sleep.
    pub fn add_resource(&self, resource: Resource) -> Result {
        Ok(self.resources.lock().push(resource, GFP_KERNEL)?)
    }

    /// Calls `f` with the `T` that is kept, if one is. May sleep; `f` keeps and takes nothing.
    pub fn with_resource<T: 'static, R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let resources = self.resources.lock();
        resources.iter().find_map(|resource| (**resource).downcast_ref::<T>()).map(f)
    }

    /// Takes back the resource that `is` knows. `None`: it is dropped already, or is just being dropped. May sleep.
    pub fn take_resource(&self, is: impl Fn(&Resource) -> bool) -> Option<Resource> {
        let mut resources = self.resources.lock();
        let at = resources.iter().position(is)?;
        resources.remove(at).ok()
    }

    /// Drops what was kept (`devres_release_all`).
    pub(crate) fn drop_resources(&self) {
        loop {
            let last = self.resources.lock().pop();
            if last.is_none() {
                return;
            }
            drop(last);
        }
    }

    /// Prints a record that begins with the driver and the device (`dev_printk`).
    pub fn print(&self, level: Level, args: Arguments<'_>) {
        klog::emit(level, false, format_args!("{}{args}", self.prefix()));
    }

    /// What a record about the device begins with: `DRIVER NAME: `.
    pub fn prefix(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            let driver = self.driver();
            let name = match (&driver, self.bus, self.class) {
                (Some(driver), ..) => driver.name(),
                (None, Some(bus), _) => bus.name().as_bytes(),
                (None, None, class) => class.unwrap_or_default().as_bytes(),
            };
            write!(f, "{} {}: ", name.escape_ascii(), self.name().escape_ascii())
        })
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name().escape_ascii())
    }
}
