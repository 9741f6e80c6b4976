// SPDX-License-Identifier: GPL-2.0
//! `VirtioDevice`: a device, its features and its life; and the bus that brings devices and drivers together.

use crate::features::{self, TRANSPORT_MASK};
use crate::ring::{VirtQueue, addresses, new_ring};
use crate::transport::{Identity, Transport, status};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use kernel::ext::AliveGuard;
use kernel::hardware::device::{Bus, BusOps, Device, Driver, DriverOps, Id, Ida, Phase};
use kernel::hardware::{sync, sysfs, vfs};
use klog::pr_err;
use sync::Mutex;
use sysfs::Node;
use vfs::SeqBuf;
use virtio_ring::Shape;

/// What a driver does for one device.
pub trait Handler: Send + Sync {
    /// A queue's interrupt: hard interrupt context.
    fn queue_interrupt(&self, queue: u16);
    /// Configuration may have changed: hard interrupt context.
    fn config_changed(&self);
    /// The device goes (or its driver): stop, and give up what belongs to it. May sleep.
    fn remove(&self);
    /// Whether the device is reset when the machine sleeps, and [`Self::freeze`] and [`Self::restore`] are called; else it stays as it is.
    fn sleeps(&self) -> bool {
        false
    }
    /// The machine goes to sleep: the device has nothing left to do when this returns, and is reset then. An error: it works as before. May
    /// sleep.
    fn freeze(&self) -> Result {
        Ok(())
    }
    /// The machine wakes: the device has the features that were agreed on, and no queues ([`VirtioDevice::activate`]); this calls
    /// [`VirtioDevice::ready`]. `reached` is an error if the device does not come back; then, and for an error of its own, it is given up.
    /// Needs no memory for which something would have to be written to a disk. May sleep.
    fn restore(&self, reached: Result) -> Result {
        reached
    }
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
    index: Id,
    name: KString,
    features: AtomicU64,
    gone: AtomicBool,
    /// Who handles it, while a driver is bound.
    handler: Mutex<Option<Arc<dyn Handler>>>,
    /// Dropped last.
    _alive: AliveGuard,
}

/// The bus (`/sys/bus/virtio`). A device of it has its `Arc<VirtioDevice>` as its information.
pub static BUS: Bus = Bus::new("virtio", &Virtio);
/// Numbers of devices.
static NUMBERS: Ida = Ida::new();
/// Drivers of this crate's kind, and what the bus has of them.
static DRIVERS: Mutex<KVec<(&'static dyn VirtioDriver, Arc<Driver>)>> = Mutex::new(KVec::new());

struct Virtio;

/// What a device of the bus is.
fn virtio_of(device: &Device) -> Result<&Arc<VirtioDevice>> {
    device.info::<Arc<VirtioDevice>>().ok_or(ENODEV)
}

impl BusOps for Virtio {
    fn is_module(&self) -> bool {
        cfg!(MODULE)
    }

    fn has_modalias(&self) -> bool {
        true
    }

    fn modalias(&self, device: &Device, out: &mut SeqBuf) -> Result {
        let &Identity { device_type: kind, vendor, .. } = virtio_of(device)?.transport.identity();
        vfs::seq_print!(out, "virtio:d{kind:08X}v{vendor:08X}")
    }

    /// Source: Linux's `drivers/virtio/virtio.c`, the texts of `/sys/bus/virtio/devices/*`.
    fn attributes(&self, device: &Arc<Device>, node: &Arc<Node>) -> Result {
        let its = virtio_of(device)?;
        let &Identity { device_type: kind, vendor, .. } = its.transport.identity();
        sysfs::attr(node, "device", move |out| vfs::seq_print!(out, "0x{kind:04x}\n"))?;
        sysfs::attr(node, "vendor", move |out| vfs::seq_print!(out, "0x{vendor:04x}\n"))?;
        // Weak: the attribute may be in a program's hands for longer than the device is there.
        let weak = Arc::downgrade(its);
        sysfs::attr(node, "status", move |out| {
            let virtio = weak.upgrade().ok_or(ENODEV)?;
            vfs::seq_print!(out, "0x{:08x}\n", virtio.transport.status())
        })?;
        let weak = Arc::downgrade(its);
        sysfs::attr(node, "features", move |out| {
            let agreed = weak.upgrade().ok_or(ENODEV)?.features.load(Relaxed);
            for bit in 0..64 {
                out.byte(if agreed >> bit & 1 != 0 { b'1' } else { b'0' })?;
            }
            out.byte(b'\n')
        })?;
        Ok(())
    }
}

/// A driver as the bus sees it.
struct Ops(&'static dyn VirtioDriver);

impl DriverOps for Ops {
    fn matches(&self, device: &Device) -> bool {
        virtio_of(device).is_ok_and(|its| self.0.device_types().contains(&its.transport.identity().device_type))
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        virtio_of(device)?.probe(self.0)
    }

    fn pm(&self, device: &Arc<Device>, phase: Phase) -> Result {
        match phase {
            Phase::Suspend => virtio_of(device)?.freeze(),
            Phase::Resume => virtio_of(device)?.restore(),
            _ => Ok(()),
        }
    }

    fn remove(&self, device: &Arc<Device>) {
        if let Ok(its) = virtio_of(device) {
            its.unbind();
        }
    }
}

impl VirtioDevice {
    /// Its name on the virtio bus: `virtio0`.
    pub fn name(&self) -> &KString {
        &self.name
    }

    /// Its number.
    pub fn index(&self) -> u32 {
        self.index.get()
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
        let queue = self.make_queue(index, most)?;
        self.activate(index, &queue)?;
        Ok(queue)
    }

    /// Switches a queue on that was made for it. May sleep.
    pub fn activate<T>(&self, index: u16, queue: &VirtQueue<T>) -> Result {
        self.transport.activate_queue(index, queue.size(), &addresses(queue))
    }

    /// Makes queue `index` as [`Self::new_queue`] does, for [`Self::activate`].
    pub fn make_queue<T>(&self, index: u16, most: u16) -> Result<VirtQueue<T>> {
        let packed = self.has(features::RING_PACKED);
        let max = self.transport.max_queue_size(index).min(32768);
        // A packed ring's may be any; a split ring's is a power of two, or it is none.
        if max == 0 || !packed && !max.is_power_of_two() {
            return Err(ENOENT);
        }
        let wanted = if self.transport.can_choose_size() { max.min(most).max(1) } else { max };
        let shape = Shape {
            size: 1 << (15 - wanted.leading_zeros().min(15)),
            packed,
            event_idx: self.has(features::EVENT_IDX),
            indirect: self.has(features::INDIRECT_DESC),
        };
        new_ring(shape)
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
        self.agree(agreed)?;
        self.features.store(agreed, Relaxed);
        Ok(())
    }

    /// Tells the device of the features. EINVAL if it does not take them.
    fn agree(&self, agreed: u64) -> Result {
        let transport = &*self.transport;
        transport.set_features(agreed);
        if transport.is_modern() {
            transport.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
            if transport.status() & status::FEATURES_OK == 0 {
                pr_err!("{}: device refuses features: {agreed:x}", self.name);
                return Err(EINVAL);
            }
        }
        Ok(())
    }

    /// The handler, if the device is one that is reset when the machine sleeps, and works.
    fn sleeper(&self) -> Option<Arc<dyn Handler>> {
        let handler = self.handler.lock().clone();
        handler.filter(|handler| handler.sleeps() && !self.is_gone())
    }

    fn freeze(&self) -> Result {
        let Some(handler) = self.sleeper() else { return Ok(()) };
        handler.freeze()?;
        self.transport.reset();
        Ok(())
    }

    fn restore(&self) -> Result {
        let Some(handler) = self.sleeper() else { return Ok(()) };
        let transport = &*self.transport;
        transport.reset();
        transport.set_status(status::ACKNOWLEDGE);
        transport.set_status(status::ACKNOWLEDGE | status::DRIVER);
        let reached = self.agree(self.features.load(Relaxed)).and_then(|()| transport.reconnect());
        handler.restore(reached).inspect_err(|_| self.fail())
    }

    fn probe(self: &Arc<Self>, driver: &'static dyn VirtioDriver) -> Result {
        // Its last driver may have found it broken; it is reset now.
        self.gone.store(false, Release);
        let result = self.negotiate(driver).and_then(|()| driver.probe(self));
        match result {
            Ok(handler) => {
                *self.handler.lock() = Some(handler);
                Ok(())
            }
            Err(error) => {
                self.transport.reset();
                self.transport.disconnect();
                self.transport.set_status(status::ACKNOWLEDGE | status::FAILED);
                Err(error)
            }
        }
    }

    fn unbind(&self) {
        let handler = self.handler.lock().take();
        if let Some(handler) = handler {
            if !self.transport.is_present() {
                self.gone.store(true, Release);
            }
            handler.remove();
            self.transport.reset();
            self.transport.disconnect();
            self.transport.set_status(status::ACKNOWLEDGE);
        }
    }
}

/// Gives back what the lists had: for the module's end.
pub(crate) fn clear() {
    let old = core::mem::take(&mut *DRIVERS.lock());
    drop(old);
}

/// A transport found a device; a driver that is there gets it. [`unregister_device`] takes it away. May sleep.
pub fn register_device(transport: KBox<dyn Transport>) -> Result<Arc<Device>> {
    let index = NUMBERS.alloc(i32::MAX as u32)?;
    let name = KString::from_fmt(format_args!("virtio{}", index.get()), GFP_KERNEL)?;
    let device = VirtioDevice {
        transport,
        index,
        name,
        features: AtomicU64::new(0),
        gone: AtomicBool::new(false),
        handler: Mutex::new(None),
        _alive: crate::ALIVE.count(),
    };
    device.transport.reset();
    device.transport.set_status(status::ACKNOWLEDGE);
    let its = Arc::new(device, GFP_KERNEL)?;
    let home = sysfs::root()?.path_or_new(its.transport.identity().parent.to_str().ok_or(EINVAL)?)?;
    let device = Device::new_in(&BUS, its.name.as_bytes(), home, Some(KBox::new(its.clone(), GFP_KERNEL)?))?;
    device.register()?;
    Ok(device)
}

/// A transport's device goes: its driver gives it up. It may be gone already. May sleep.
pub fn unregister_device(device: &Arc<Device>) {
    device.unregister();
}

/// A driver comes: it gets the devices of its kinds that have none. May sleep.
pub fn register_driver(driver: &'static dyn VirtioDriver) -> Result {
    let registered = Driver::register(&BUS, driver.name().as_bytes(), Arc::new(Ops(driver), GFP_KERNEL)?)?;
    let noted = DRIVERS.lock().push((driver, registered.clone()), GFP_KERNEL);
    Ok(noted.inspect_err(|_| registered.unregister())?)
}

/// A driver goes: it gives up its devices. May sleep.
pub fn unregister_driver(driver: &'static dyn VirtioDriver) {
    let its = {
        let mut drivers = DRIVERS.lock();
        let at = drivers.iter().position(|(other, _)| core::ptr::addr_eq(*other, driver));
        at.and_then(|at| drivers.swap_remove(at))
    };
    if let Some((_, its)) = its {
        its.unregister();
    }
}
