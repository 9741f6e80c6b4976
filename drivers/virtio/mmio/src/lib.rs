// SPDX-License-Identifier: GPL-2.0
//! virtio in memory: devices that ACPI names (`LNRO0005`, on the platform bus), or the command line
//! (`virtio_mmio.device=SIZE@ADDRESS:IRQ[:ID]`), as QEMU's microvm and small monitors give them. Versions 1 (legacy) and 2.
//! `named`: those of the command line.
//!
//! Locks: a mutex around registers that are selected first. Source: Virtual I/O Device Version 1.2, 4.2.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod named;

use kalloc::{Arc, KString};
use kernel::ext::{Alive, AliveGuard, Mutex};
use kernel::hardware::device::{Device, Driver, DriverOps, platform};
use kernel::hardware::irq::{IrqFlags, IrqRequest, IrqReturn, Polarity, Trigger, request_irq};
use kernel::hardware::mm_alloc::{MmioRegion, PAGE_SIZE};
use kernel::prelude::*;
use klog::{pr_err, pr_info};
use named::Named;
use virtio::{Handler, Identity, QueueAddresses, Transport, unregister_device};

module! {
    type: VirtioMmio,
    name: "virtio_mmio",
    authors: ["The Rideau developers"],
    description: "Platform bus driver for memory mapped virtio devices",
    license: "GPL",
    alias: ["acpi*:LNRO0005:*", "platform:virtio-mmio"],
    params: {
        device: Named {
            default: Named::NONE,
            description: "a device: SIZE@ADDRESS:IRQ[:ID], several times for several",
        },
    },
}

/// Its id in ACPI.
const ACPI_ID: &[u8] = b"LNRO0005";
/// Transports that are in memory.
static ALIVE: Alive = Alive::new();

/// The driver of the platform bus.
struct Ops;

impl DriverOps for Ops {
    fn matches(&self, device: &Device) -> bool {
        device.info::<platform::Info>().is_some_and(|info| info.acpi_ids.iter().any(|id| id.as_bytes() == ACPI_ID))
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let info = device.info::<platform::Info>().ok_or(ENODEV)?;
        let (memory, interrupt) = (info.memory.first().ok_or(EINVAL)?, info.interrupts.first().copied().ok_or(ENXIO)?);
        let place = Named {
            size: memory.len.min(1 << 20),
            base: memory.start,
            irq: interrupt.gsi,
            trigger: if interrupt.level { Trigger::Level } else { Trigger::Edge },
            polarity: if interrupt.low { Polarity::Low } else { Polarity::High },
        };
        let name = KString::from_bytes(device.name(), GFP_KERNEL)?;
        let parent = KString::from_fmt(format_args!("devices/platform/{name}"), GFP_KERNEL)?;
        device.add_resource(KBox::new(Child(probe(name, parent, place)?), GFP_KERNEL)?)
    }

    /// What is to be done is the resource's.
    fn remove(&self, _: &Arc<Device>) {}
}

/// A device on the virtio bus; dropped, it goes.
struct Child(Arc<Device>);

impl Drop for Child {
    fn drop(&mut self) {
        unregister_device(&self.0);
    }
}

/// The driver, and what the command line named, while the module is there.
struct VirtioMmio {
    driver: Arc<Driver>,
    named: KVec<Child>,
}

impl kernel::Module for VirtioMmio {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let mut named = KVec::new();
        for (index, &place) in named::take().iter().enumerate() {
            let name = KString::from_fmt(format_args!("virtio-mmio.{index}"), GFP_KERNEL)?;
            let parent = KString::from_fmt(format_args!("devices/virtio-mmio-cmdline/{name}"), GFP_KERNEL)?;
            match probe(name, parent, place) {
                Ok(device) => named.push(Child(device), GFP_KERNEL)?,
                Err(ENODEV) => {}
                Err(error) => pr_err!("virtio-mmio.{index}: {error}"),
            }
        }
        let driver = Driver::register(&platform::BUS, b"virtio-mmio", Arc::new(Ops, GFP_KERNEL)?)?;
        Ok(Self { driver, named })
    }
}

impl Drop for VirtioMmio {
    fn drop(&mut self) {
        self.driver.unregister();
        let named = core::mem::take(&mut self.named);
        drop(named);
        // Who has a disk of a device open has the device, too.
        ALIVE.wait_gone();
    }
}

/// Offsets of the registers.
mod reg {
    pub(super) const MAGIC: usize = 0x000;
    pub(super) const VERSION: usize = 0x004;
    pub(super) const DEVICE_ID: usize = 0x008;
    pub(super) const VENDOR_ID: usize = 0x00c;
    pub(super) const DEVICE_FEATURES: usize = 0x010;
    pub(super) const DEVICE_FEATURES_SEL: usize = 0x014;
    pub(super) const DRIVER_FEATURES: usize = 0x020;
    pub(super) const DRIVER_FEATURES_SEL: usize = 0x024;
    pub(super) const GUEST_PAGE_SIZE: usize = 0x028;
    pub(super) const QUEUE_SEL: usize = 0x030;
    pub(super) const QUEUE_NUM_MAX: usize = 0x034;
    pub(super) const QUEUE_NUM: usize = 0x038;
    pub(super) const QUEUE_ALIGN: usize = 0x03c;
    pub(super) const QUEUE_PFN: usize = 0x040;
    pub(super) const QUEUE_READY: usize = 0x044;
    pub(super) const QUEUE_NOTIFY: usize = 0x050;
    pub(super) const INTERRUPT_STATUS: usize = 0x060;
    pub(super) const INTERRUPT_ACK: usize = 0x064;
    pub(super) const STATUS: usize = 0x070;
    pub(super) const QUEUE_DESC: usize = 0x080;
    pub(super) const QUEUE_DRIVER: usize = 0x090;
    pub(super) const QUEUE_DEVICE: usize = 0x0a0;
    pub(super) const CONFIG_GENERATION: usize = 0x0fc;
    pub(super) const CONFIG: usize = 0x100;
}

const MAGIC: u32 = u32::from_le_bytes(*b"virt");

struct Mmio {
    regs: Arc<MmioRegion>,
    version: u32,
    irq: u32,
    trigger: Trigger,
    polarity: Polarity,
    identity: Identity,
    state: Mutex<Option<IrqRequest>>,
    /// Dropped last.
    _alive: AliveGuard,
}

/// The device of these registers, which is called `name` and at `parent` in `/sys`. ENODEV if there is none. May sleep.
fn probe(name: KString, parent: KString, named: Named) -> Result<Arc<Device>> {
    let regs = MmioRegion::map(named.base, usize::try_from(named.size)?)?;
    if regs.read32(reg::MAGIC) != MAGIC {
        return Err(ENODEV);
    }
    let version = regs.read32(reg::VERSION);
    // 0: a place for a device, with none in it.
    if !(1..=2).contains(&version) || regs.read32(reg::DEVICE_ID) == 0 {
        return Err(ENODEV);
    }
    if version == 1 {
        regs.write32(reg::GUEST_PAGE_SIZE, PAGE_SIZE as u32);
    }
    pr_info!("{name}: {:#x}, irq {}, version {version}", named.base, named.irq);
    let identity = Identity {
        device_type: regs.read32(reg::DEVICE_ID),
        vendor: regs.read32(reg::VENDOR_ID),
        parent,
        bus_name: name,
    };
    let device = Mmio {
        regs: Arc::new(regs, GFP_KERNEL)?,
        version,
        irq: named.irq,
        trigger: named.trigger,
        polarity: named.polarity,
        identity,
        state: Mutex::new(None),
        _alive: ALIVE.count(),
    };
    virtio::register_device(KBox::new(device, GFP_KERNEL)?)
}

impl Mmio {
    fn write64(&self, register: usize, value: u64) {
        self.regs.write32(register, value as u32);
        self.regs.write32(register + 4, (value >> 32) as u32);
    }
}

impl Transport for Mmio {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn is_modern(&self) -> bool {
        self.version >= 2
    }

    fn features(&self) -> u64 {
        let _state = self.state.lock();
        let word = |select: u32| {
            self.regs.write32(reg::DEVICE_FEATURES_SEL, select);
            u64::from(self.regs.read32(reg::DEVICE_FEATURES))
        };
        word(0) | word(1) << 32
    }

    fn set_features(&self, features: u64) {
        let _state = self.state.lock();
        for (select, word) in [(1, (features >> 32) as u32), (0, features as u32)] {
            self.regs.write32(reg::DRIVER_FEATURES_SEL, select);
            self.regs.write32(reg::DRIVER_FEATURES, word);
        }
    }

    fn status(&self) -> u8 {
        self.regs.read32(reg::STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.regs.write32(reg::STATUS, status.into());
    }

    fn reset(&self) {
        self.regs.write32(reg::STATUS, 0);
        if self.version == 1 {
            self.regs.write32(reg::GUEST_PAGE_SIZE, PAGE_SIZE as u32);
        }
    }

    fn read_config(&self, offset: usize, to: &mut [u8]) {
        let at = reg::CONFIG.saturating_add(offset);
        let regs = &self.regs;
        match to {
            // Version 1 has bytes only.
            [_, _] if self.version >= 2 => to.copy_from_slice(&regs.read16(at).to_le_bytes()),
            [_, _, _, _] if self.version >= 2 => to.copy_from_slice(&regs.read32(at).to_le_bytes()),
            [_, _, _, _, _, _, _, _] if self.version >= 2 => {
                let value = u64::from(regs.read32(at)) | u64::from(regs.read32(at.saturating_add(4))) << 32;
                to.copy_from_slice(&value.to_le_bytes());
            }
            _ => {
                for (i, byte) in to.iter_mut().enumerate() {
                    *byte = regs.read8(at.saturating_add(i));
                }
            }
        }
    }

    fn write_config(&self, offset: usize, from: &[u8]) {
        for (i, &byte) in from.iter().enumerate() {
            self.regs.write8(reg::CONFIG.saturating_add(offset).saturating_add(i), byte);
        }
    }

    fn generation(&self) -> u32 {
        if self.version >= 2 { self.regs.read32(reg::CONFIG_GENERATION) } else { 0 }
    }

    fn max_queue_size(&self, index: u16) -> u16 {
        let _state = self.state.lock();
        self.regs.write32(reg::QUEUE_SEL, index.into());
        u16::try_from(self.regs.read32(reg::QUEUE_NUM_MAX)).unwrap_or(0)
    }

    fn can_choose_size(&self) -> bool {
        true
    }

    fn connect(&self, name: &str, cpus: &[u32], handler: Arc<dyn Handler>) -> Result {
        let regs = self.regs.clone();
        let queues = u16::try_from(cpus.len())?;
        let call = move |_| {
            let reason = regs.read32(reg::INTERRUPT_STATUS);
            regs.write32(reg::INTERRUPT_ACK, reason);
            if reason & 2 != 0 {
                handler.config_changed();
            }
            if reason & 1 != 0 {
                (0..queues).for_each(|queue| handler.queue_interrupt(queue));
            }
            if reason != 0 { IrqReturn::Handled } else { IrqReturn::None }
        };
        let flags = IrqFlags { shared: true, trigger: Some((self.trigger, self.polarity)), ..IrqFlags::default() };
        let request = request_irq(self.irq, name.as_bytes(), flags, KBox::new(call, GFP_KERNEL)?)?;
        *self.state.lock() = Some(request);
        Ok(())
    }

    fn disconnect(&self) {
        let old = self.state.lock().take();
        drop(old);
    }

    fn activate_queue(&self, index: u16, size: u16, at: &QueueAddresses) -> Result {
        let _state = self.state.lock();
        self.regs.write32(reg::QUEUE_SEL, index.into());
        let ready = if self.version == 1 { reg::QUEUE_PFN } else { reg::QUEUE_READY };
        if self.regs.read32(ready) != 0 {
            return Err(EBUSY);
        }
        self.regs.write32(reg::QUEUE_NUM, size.into());
        if self.version == 1 {
            self.regs.write32(reg::QUEUE_ALIGN, PAGE_SIZE as u32);
            self.regs.write32(reg::QUEUE_PFN, u32::try_from(at.desc / PAGE_SIZE as u64)?);
        } else {
            self.write64(reg::QUEUE_DESC, at.desc);
            self.write64(reg::QUEUE_DRIVER, at.driver);
            self.write64(reg::QUEUE_DEVICE, at.device);
            self.regs.write32(reg::QUEUE_READY, 1);
        }
        Ok(())
    }

    fn notify(&self, index: u16) {
        self.regs.write32(reg::QUEUE_NOTIFY, index.into());
    }
}
