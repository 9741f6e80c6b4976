// SPDX-License-Identifier: GPL-2.0
//! `Driver`: what serves the devices of a bus that it matches, with its directory in sysfs. Always in an `Arc`.

use crate::bus::Bus;
use crate::dev::Device;
use core::any::Any;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString};
use locking::SetOnce;
use sync::RwSemaphore;
use sysfs::Node;

/// What a driver does. All may sleep.
pub trait DriverOps: Any + Send + Sync {
    /// Whether it serves `device`.
    fn matches(&self, device: &Device) -> bool;

    /// Takes a device. An error leaves it without a driver.
    fn probe(&self, device: &Arc<Device>) -> Result;

    /// Gives a device up.
    fn remove(&self, device: &Arc<Device>);
}

/// A driver.
pub struct Driver {
    name: KString,
    bus: &'static Bus,
    /// `None` once it is unregistered: whoever runs an operation holds the lock shared.
    ops: RwSemaphore<Option<KBox<dyn DriverOps>>>,
    node: SetOnce<Arc<Node>>,
}

impl Driver {
    /// Registers a driver and binds it to devices that it matches. `EEXIST` (a driver of this name), `EINVAL`. May sleep.
    pub fn register(bus: &'static Bus, name: &[u8], ops: KBox<dyn DriverOps>) -> Result<Arc<Self>> {
        let driver = Arc::new(
            Self {
                name: KString::from_bytes(name, GFP_KERNEL)?,
                bus,
                ops: RwSemaphore::new(Some(ops)),
                node: SetOnce::new(),
            },
            GFP_KERNEL,
        )?;
        let node = bus.drivers_node()?.mkdir(name)?;
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
        bus.attach_all(&driver);
        Ok(driver)
    }

    /// `bind` and `unbind`.
    fn fill(self: &Arc<Self>, node: &Arc<Node>) -> Result {
        let weak = Arc::downgrade(self);
        let bind = move |data: &[u8]| {
            let driver = weak.upgrade().ok_or(ENODEV)?;
            let device = driver.bus.find_device(data.trim_ascii()).ok_or(ENODEV)?;
            if device.driver().is_some() || !driver.matches(&device) {
                return Err(ENODEV);
            }
            driver.bus.bind(&device, &driver)?;
            Ok(data.len())
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

    /// Gives up its devices and takes it out of the tree; no code of it runs afterwards. May sleep.
    pub fn unregister(self: &Arc<Self>) {
        self.bus.remove_driver(self);
        self.bus.detach_all(self);
        if let Some(node) = self.node.get() {
            node.remove();
        }
        let ops = self.ops.write().take();
        drop(ops);
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// Its directory in sysfs.
    pub fn node(&self) -> Option<&Arc<Node>> {
        self.node.get()
    }

    pub(crate) fn matches(&self, device: &Device) -> bool {
        self.ops.read().as_ref().is_some_and(|ops| ops.matches(device))
    }

    pub(crate) fn probe(&self, device: &Arc<Device>) -> Result {
        self.ops.read().as_ref().ok_or(ENODEV)?.probe(device)
    }

    pub(crate) fn remove(&self, device: &Arc<Device>) {
        if let Some(ops) = self.ops.read().as_ref() {
            ops.remove(device);
        }
    }
}

/// An attribute that is only written.
fn sysfs_store(store: impl Fn(&[u8]) -> Result<usize> + Send + Sync + 'static) -> impl kernfs::Attribute {
    kernfs::TextRw(|_: &mut vfs::SeqBuf| Err(EIO), store)
}
