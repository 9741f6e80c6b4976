// SPDX-License-Identifier: GPL-2.0
//! `VirtioDevice`: a device, its features and its life; and the bus that brings devices and drivers together.

use crate::features::{self, TRANSPORT_MASK};
use crate::ring::VirtQueue;
use crate::transport::{Identity, Transport, status};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use klog::{pr_err, pr_warn};
use sync::Mutex;
use sysfs::Node;

/// What a driver does for one device.
pub trait Handler: Send + Sync {
    /// A queue's interrupt: hard interrupt context.
    fn queue_interrupt(&self, queue: u16);
    /// Configuration may have changed: hard interrupt context.
    fn config_changed(&self);
    /// The device goes (or its driver): stop, and give up what belongs to it. May sleep.
    fn remove(&self);
}

/// A driver for kinds of devices.
pub trait VirtioDriver: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// The kinds (2: disks).
    fn device_types(&self) -> &'static [u32];
    /// Features of those kinds that it knows.
    fn features(&self) -> u64;
    /// Takes a device: features are agreed on. It sets queues up, calls [`VirtioDevice::ready`] and says who handles it. May sleep.
    fn probe(&self, device: &Arc<VirtioDevice>) -> Result<Arc<dyn Handler>>;
}

/// A device.
pub struct VirtioDevice {
    transport: KBox<dyn Transport>,
    index: u32,
    name: KString,
    features: AtomicU64,
    gone: AtomicBool,
    bound: Mutex<Option<Bound>>,
}

struct Bound {
    driver: &'static dyn VirtioDriver,
    handler: Arc<dyn Handler>,
}

struct Bus {
    devices: KVec<Arc<VirtioDevice>>,
    drivers: KVec<&'static dyn VirtioDriver>,
    next: u32,
}

static BUS: Mutex<Bus> = Mutex::new(Bus { devices: KVec::new(), drivers: KVec::new(), next: 0 });

impl VirtioDevice {
    /// Its name on the virtio bus: `virtio0`.
    pub fn name(&self) -> &KString {
        &self.name
    }

    /// Its number.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its registers.
    #[inline]
    pub fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// Where in `/sys` it is. ENOMEM.
    pub fn sysfs_path(&self) -> Result<KString> {
        Ok(KString::from_fmt(format_args!("{}/{}", self.transport.identity().parent, self.name), GFP_KERNEL)?)
    }

    /// Whether feature bits `feature` were agreed on.
    #[inline]
    pub fn has(&self, feature: u64) -> bool {
        self.features.load(Relaxed) & feature == feature
    }

    /// Whether the device is taken out or broken.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Acquire)
    }

    /// A field of configuration, of 1, 2, 4 or 8 bytes, as one value.
    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        // A device that changes it all the time gets the last try.
        for _ in 0..100 {
            let before = self.transport.generation();
            self.transport.read_config(offset, &mut bytes);
            if before == self.transport.generation() {
                break;
            }
        }
        bytes
    }

    /// Reads a byte of configuration.
    pub fn config8(&self, offset: usize) -> u8 {
        u8::from_le_bytes(self.field(offset))
    }

    /// Reads 16 bits of configuration.
    pub fn config16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.field(offset))
    }

    /// Reads 32 bits of configuration.
    pub fn config32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.field(offset))
    }

    /// Reads 64 bits of configuration.
    pub fn config64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.field(offset))
    }

    /// Makes queue `index`, with at most `most` entries, and switches it on. ENOENT without such a queue, ENOMEM. May sleep.
    pub fn new_queue<T>(&self, index: u16, most: u16) -> Result<VirtQueue<T>> {
        let max = self.transport.max_queue_size(index);
        if max == 0 {
            return Err(ENOENT);
        }
        let size = if self.transport.can_choose_size() {
            let wanted = max.min(most);
            1 << (15 - wanted.leading_zeros().min(15))
        } else {
            max
        };
        let queue = VirtQueue::new(size, self.has(features::EVENT_IDX), self.has(features::INDIRECT_DESC))?;
        self.transport.activate_queue(index, size, &queue.addresses())?;
        Ok(queue)
    }

    /// The driver is ready: the device may begin.
    pub fn ready(&self) {
        self.transport.set_status(self.transport.status() | status::DRIVER_OK);
    }

    /// Stops the device. Queues' memory is the driver's again when this returns. May sleep.
    pub fn reset(&self) {
        self.transport.reset();
    }

    /// The device does not keep to the rules: it is stopped for good. May sleep.
    pub fn fail(&self) {
        if !self.gone.swap(true, AcqRel) {
            pr_err!("{}: the device is broken and stopped", self.name);
            self.transport.reset();
            self.transport.set_status(status::ACKNOWLEDGE | status::FAILED);
        }
    }

    /// Agrees on features with the device. EINVAL if it does not, ENODEV if it lacks what must be there.
    fn negotiate(&self, driver: &dyn VirtioDriver) -> Result {
        let transport = &*self.transport;
        transport.reset();
        transport.set_status(status::ACKNOWLEDGE);
        transport.set_status(status::ACKNOWLEDGE | status::DRIVER);
        let offered = transport.features();
        let known = driver.features() & !TRANSPORT_MASK | features::SUPPORTED;
        let mut agreed = offered & known;
        if transport.is_modern() {
            agreed &= !features::ANY_LAYOUT;
            if agreed & features::VERSION_1 == 0 {
                return Err(ENODEV);
            }
        } else {
            agreed &= 0xffff_ffff;
        }
        transport.set_features(agreed);
        if transport.is_modern() {
            transport.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
            if transport.status() & status::FEATURES_OK == 0 {
                pr_err!("{}: device refuses features: {agreed:x}", self.name);
                return Err(EINVAL);
            }
        }
        self.features.store(agreed, Relaxed);
        Ok(())
    }

    fn probe(self: &Arc<Self>, driver: &'static dyn VirtioDriver) -> Result {
        let result = self.negotiate(driver).and_then(|()| driver.probe(self));
        match result {
            Ok(handler) => {
                *self.bound.lock() = Some(Bound { driver, handler });
                self.show_driver(driver);
                Ok(())
            }
            Err(error) => {
                pr_warn!("{}: probe of {} failed with error {error}", driver.name(), self.name);
                self.transport.reset();
                self.transport.disconnect();
                self.transport.set_status(status::ACKNOWLEDGE | status::FAILED);
                Err(error)
            }
        }
    }

    fn unbind(&self) {
        let bound = self.bound.lock().take();
        if let Some(bound) = bound {
            bound.handler.remove();
            self.transport.reset();
            self.transport.disconnect();
        }
    }

    fn node(&self) -> Result<Arc<Node>> {
        sysfs::root()?.path_or_new(self.sysfs_path()?.to_str().ok_or(EINVAL)?)
    }

    fn show_driver(&self, driver: &dyn VirtioDriver) {
        let show = || -> Result {
            let drivers = sysfs::root()?.path_or_new("bus/virtio/drivers")?.dir_or_new(driver.name().as_bytes())?;
            drivers.link(self.name.as_bytes(), &self.node()?)?;
            self.node()?.link(b"driver", &drivers)?;
            Ok(())
        };
        // A device works without its links.
        let _ = show();
    }

    /// Its attributes. Source: Linux's `drivers/virtio/virtio.c`, the texts of `/sys/bus/virtio/devices/*`.
    fn show(self: &Arc<Self>) -> Result {
        let node = self.node()?;
        let bus = sysfs::root()?.path_or_new("bus/virtio")?;
        node.link(b"subsystem", &bus)?;
        bus.dir_or_new(b"devices")?.link(self.name.as_bytes(), &node)?;
        let &Identity { device_type: kind, vendor, .. } = self.transport.identity();
        sysfs::attr(&node, "device", move |out| vfs::seq_print!(out, "0x{kind:04x}\n"))?;
        sysfs::attr(&node, "vendor", move |out| vfs::seq_print!(out, "0x{vendor:04x}\n"))?;
        sysfs::attr(&node, "modalias", move |out| vfs::seq_print!(out, "virtio:d{kind:08X}v{vendor:08X}\n"))?;
        sysfs::uevent::file(&node, "virtio", move |out| {
            vfs::seq_print!(out, "MODALIAS=virtio:d{kind:08X}v{vendor:08X}\n")
        })?;
        let device = self.clone();
        sysfs::attr(&node, "status", move |out| vfs::seq_print!(out, "0x{:08x}\n", device.transport.status()))?;
        let device = self.clone();
        sysfs::attr(&node, "features", move |out| {
            let agreed = device.features.load(Relaxed);
            for bit in 0..64 {
                out.byte(if agreed >> bit & 1 != 0 { b'1' } else { b'0' })?;
            }
            out.byte(b'\n')
        })?;
        Ok(())
    }
}

/// A transport found a device; a driver that is there gets it. May sleep.
pub fn register_device(transport: KBox<dyn Transport>) -> Result<Arc<VirtioDevice>> {
    let mut bus = BUS.lock();
    let index = bus.next;
    bus.next += 1;
    let device = VirtioDevice {
        transport,
        index,
        name: KString::from_fmt(format_args!("virtio{index}"), GFP_KERNEL)?,
        features: AtomicU64::new(0),
        gone: AtomicBool::new(false),
        bound: Mutex::new(None),
    };
    device.transport.reset();
    device.transport.set_status(status::ACKNOWLEDGE);
    let device = Arc::new(device, GFP_KERNEL)?;
    if let Err(error) = device.show() {
        pr_warn!("{}: not shown in /sys: {error}", device.name);
    }
    bus.devices.push(device.clone(), GFP_KERNEL)?;
    let kind = device.transport.identity().device_type;
    let driver = bus.drivers.iter().find(|driver| driver.device_types().contains(&kind)).copied();
    if let Some(driver) = driver {
        // It was said; the device stays without a driver.
        let _ = device.probe(driver);
    }
    Ok(device)
}

/// A driver comes: it gets the devices of its kinds that have none. May sleep.
pub fn register_driver(driver: &'static dyn VirtioDriver) -> Result {
    let mut bus = BUS.lock();
    if let Ok(root) = sysfs::root() {
        root.path_or_new("bus/virtio/drivers")?.dir_or_new(driver.name().as_bytes())?;
    }
    bus.drivers.push(driver, GFP_KERNEL)?;
    for device in bus.devices.iter() {
        let free = device.bound.lock().is_none();
        if free && driver.device_types().contains(&device.transport.identity().device_type) {
            // It was said; the next device may work.
            let _ = device.probe(driver);
        }
    }
    Ok(())
}

/// A driver goes: it gives up its devices. May sleep.
pub fn unregister_driver(driver: &'static dyn VirtioDriver) {
    let mut bus = BUS.lock();
    bus.drivers.retain(|other| !core::ptr::addr_eq(*other, driver));
    for device in bus.devices.iter() {
        let its = device.bound.lock().as_ref().is_some_and(|bound| core::ptr::addr_eq(bound.driver, driver));
        if its {
            device.unbind();
        }
    }
}
