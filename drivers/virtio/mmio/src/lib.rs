// SPDX-License-Identifier: GPL-2.0
//! virtio in memory: devices that ACPI names (`LNRO0005`), or the command line (`virtio_mmio.device=SIZE@ADDRESS:IRQ[:ID]`), as QEMU's microvm and small
//! monitors give them. Versions 1 (legacy) and 2.
//!
//! Locks: a mutex around registers that are selected first. Source: Virtual I/O Device Version 1.2, 4.2.

#![no_std]
#![forbid(unsafe_code)]

use errno::{Result, code::*};
use irq::{IrqFlags, IrqRequest, IrqReturn, Polarity, Trigger, request_irq};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString};
use klog::{pr_err, pr_info};
use mm_alloc::{MmioRegion, PAGE_SIZE};
use sync::Mutex;
use virtio::{Handler, Identity, QueueAddresses, Transport};

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
}

/// A device as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    size: u64,
    base: u64,
    irq: u32,
    trigger: Trigger,
    polarity: Polarity,
}

/// Registers the device with `len` bytes of registers at `base` and interrupt `gsi`, as firmware's tables name it. At boot. May sleep.
pub fn add(index: usize, base: u64, len: u64, gsi: u32, trigger: Trigger, polarity: Polarity) {
    let named = Named { size: len.min(1 << 20), base, irq: gsi, trigger, polarity };
    match probe(index, named) {
        Ok(()) | Err(ENODEV) => {}
        Err(error) => pr_err!("virtio-mmio.{index}: {error}"),
    }
}

/// Registers the devices that command line values name. Once, at boot. May sleep.
pub fn init<'a>(values: impl Iterator<Item = Option<&'a [u8]>>) {
    for (index, value) in values.enumerate() {
        let Some(value) = value else { continue };
        let result = parse(value).ok_or(EINVAL).and_then(|named| probe(index, named));
        if let Err(error) = result
            && error != ENODEV
        {
            pr_err!("virtio-mmio.{index}: {error}");
        }
    }
}

/// `512@0xfeb00000:5` or `4K@0xd0000000:12:1`.
fn parse(value: &[u8]) -> Option<Named> {
    let text = core::str::from_utf8(value).ok()?;
    let (size, rest) = text.split_once('@')?;
    let mut rest = rest.split(':');
    let (size, scale) = match size.as_bytes().last()? {
        b'K' | b'k' => (size.get(..size.len() - 1)?, 1 << 10),
        b'M' | b'm' => (size.get(..size.len() - 1)?, 1 << 20),
        _ => (size, 1),
    };
    let named = Named {
        size: number(size)?.checked_mul(scale)?,
        base: number(rest.next()?)?,
        irq: u32::try_from(number(rest.next()?)?).ok()?,
        trigger: Trigger::Edge,
        polarity: Polarity::High,
    };
    (named.size >= 0x108 && named.size <= 1 << 20).then_some(named)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn probe(index: usize, named: Named) -> Result {
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
    pr_info!("virtio-mmio.{index}: {:#x}, irq {}, version {version}", named.base, named.irq);
    let name = KString::from_fmt(format_args!("virtio-mmio.{index}"), GFP_KERNEL)?;
    let identity = Identity {
        device_type: regs.read32(reg::DEVICE_ID),
        vendor: regs.read32(reg::VENDOR_ID),
        parent: KString::from_fmt(format_args!("devices/virtio-mmio-cmdline/{name}"), GFP_KERNEL)?,
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
    };
    virtio::register_device(KBox::new(device, GFP_KERNEL)?).map(drop)
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
        let flags = IrqFlags { shared: true, oneshot: false, trigger: Some((self.trigger, self.polarity)) };
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
