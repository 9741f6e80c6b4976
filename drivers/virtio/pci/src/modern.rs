// SPDX-License-Identifier: GPL-2.0
//! Version 1.0 and later: registers in memory, in places that vendor capabilities name.

use crate::interrupts::{Interrupts, NO_VECTOR, set_vector};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use kernel::ext::{AliveGuard, Mutex};
use kernel::hardware::ktime;
use kernel::hardware::mm_alloc::MmioRegion;
use kernel::hardware::pci::{CapId, PciDevice, capabilities};
use kernel::hardware::pci_config::{PciAddress, read8, read32};
use virtio::{Handler, Identity, QueueAddresses, Transport};

/// Kinds of capabilities.
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const ISR: u8 = 3;
const DEVICE: u8 = 4;

/// Offsets of the common registers.
mod reg {
    pub(super) const DEVICE_FEATURE_SELECT: usize = 0;
    pub(super) const DEVICE_FEATURE: usize = 4;
    pub(super) const DRIVER_FEATURE_SELECT: usize = 8;
    pub(super) const DRIVER_FEATURE: usize = 12;
    pub(super) const CONFIG_MSIX_VECTOR: usize = 16;
    pub(super) const NUM_QUEUES: usize = 18;
    pub(super) const DEVICE_STATUS: usize = 20;
    pub(super) const CONFIG_GENERATION: usize = 21;
    pub(super) const QUEUE_SELECT: usize = 22;
    pub(super) const QUEUE_SIZE: usize = 24;
    pub(super) const QUEUE_MSIX_VECTOR: usize = 26;
    pub(super) const QUEUE_ENABLE: usize = 28;
    pub(super) const QUEUE_NOTIFY_OFF: usize = 30;
    pub(super) const QUEUE_DESC: usize = 32;
    pub(super) const QUEUE_DRIVER: usize = 40;
    pub(super) const QUEUE_DEVICE: usize = 48;
    pub(super) const LEN: u32 = 56;
}

/// Queues of one device that are looked at.
const MAX_QUEUES: u16 = 1024;

pub(crate) struct Modern {
    device: Arc<PciDevice>,
    identity: Identity,
    common: MmioRegion,
    notify: MmioRegion,
    multiplier: u32,
    isr: Arc<MmioRegion>,
    config: Option<MmioRegion>,
    /// Of each queue, where in `notify` to write.
    places: KVec<AtomicU32>,
    /// Guards registers that another register selects; holds the interrupts.
    state: Mutex<Option<Interrupts>>,
    /// Dropped last.
    _alive: AliveGuard,
}

/// One capability's place.
struct Place {
    at: PciAddress,
    cap: u16,
    bar: usize,
    offset: u64,
    len: u32,
}

impl Place {
    fn find(device: &PciDevice, kind: u8) -> Option<Self> {
        let at = device.address;
        let cap = capabilities(at).find(|&(id, cap)| id == CapId::VENDOR && read8(at, cap + 3) == kind)?.1;
        let (bar, offset, len) = (read8(at, cap + 4), read32(at, cap + 8), read32(at, cap + 12));
        Some(Self { at, cap, bar: bar.into(), offset: offset.into(), len })
    }

    fn map(&self, device: &PciDevice, least: u32, most: u32) -> Result<MmioRegion> {
        if self.len < least {
            return Err(EINVAL);
        }
        device.map_bar_range(self.bar, self.offset, self.len.min(most) as usize)
    }
}

impl Modern {
    /// ENODEV if the function is a legacy one; EINVAL if its capabilities are nonsense.
    pub(crate) fn new(device: &Arc<PciDevice>) -> Result<Self> {
        let common = Place::find(device, COMMON).ok_or(ENODEV)?.map(device, reg::LEN, 4096)?;
        let isr = Place::find(device, ISR).ok_or(EINVAL)?.map(device, 1, 4096)?;
        let place = Place::find(device, NOTIFY).ok_or(EINVAL)?;
        let multiplier = read32(place.at, place.cap + 16);
        let notify = place.map(device, 2, 1 << 20)?;
        let config = Place::find(device, DEVICE).map(|place| place.map(device, 1, 4096)).transpose()?;
        let count = common.read16(reg::NUM_QUEUES).min(MAX_QUEUES);
        let mut places = KVec::with_capacity(count.into(), GFP_KERNEL)?;
        for _ in 0..count {
            places.push(AtomicU32::new(0), GFP_KERNEL)?;
        }
        Ok(Self {
            identity: crate::identity(device)?,
            device: device.clone(),
            common,
            notify,
            multiplier,
            isr: Arc::new(isr, GFP_KERNEL)?,
            config,
            places,
            state: Mutex::new(None),
            _alive: crate::ALIVE.count(),
        })
    }

    fn set_vector(&self, register: usize, vector: u16) -> Result {
        set_vector(vector, |vector| self.common.write16(register, vector), || self.common.read16(register))
    }

    fn select(&self, index: u16) -> bool {
        self.common.write16(reg::QUEUE_SELECT, index);
        usize::from(index) < self.places.len()
    }
}

impl Transport for Modern {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn is_present(&self) -> bool {
        self.device.is_present()
    }

    fn is_modern(&self) -> bool {
        true
    }

    fn features(&self) -> u64 {
        let _state = self.state.lock();
        let word = |select: u32| {
            self.common.write32(reg::DEVICE_FEATURE_SELECT, select);
            u64::from(self.common.read32(reg::DEVICE_FEATURE))
        };
        word(0) | word(1) << 32
    }

    fn set_features(&self, features: u64) {
        let _state = self.state.lock();
        for (select, word) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.common.write32(reg::DRIVER_FEATURE_SELECT, select);
            self.common.write32(reg::DRIVER_FEATURE, word);
        }
    }

    fn status(&self) -> u8 {
        self.common.read8(reg::DEVICE_STATUS)
    }

    fn set_status(&self, status: u8) {
        self.common.write8(reg::DEVICE_STATUS, status);
    }

    fn reset(&self) {
        self.common.write8(reg::DEVICE_STATUS, 0);
        // It may take its time; one that never ends is as good as gone.
        for _ in 0..10_000 {
            if matches!(self.common.read8(reg::DEVICE_STATUS), 0 | 0xff) {
                return;
            }
            ktime::sleep_ns(1_000_000);
        }
        klog::pr_err!("virtio-pci {}: the device does not reset", self.identity.bus_name);
    }

    fn read_config(&self, offset: usize, to: &mut [u8]) {
        let Some(config) = &self.config else { return to.fill(0) };
        match to {
            [a] => *a = config.read8(offset),
            [_, _] => to.copy_from_slice(&config.read16(offset).to_le_bytes()),
            [_, _, _, _] => to.copy_from_slice(&config.read32(offset).to_le_bytes()),
            [low @ .., _, _, _, _] if low.len() == 4 => {
                let value = u64::from(config.read32(offset)) | u64::from(config.read32(offset + 4)) << 32;
                to.copy_from_slice(&value.to_le_bytes());
            }
            _ => {
                for (i, byte) in to.iter_mut().enumerate() {
                    *byte = config.read8(offset.saturating_add(i));
                }
            }
        }
    }

    fn write_config(&self, offset: usize, from: &[u8]) {
        let Some(config) = &self.config else { return };
        for (i, &byte) in from.iter().enumerate() {
            config.write8(offset.saturating_add(i), byte);
        }
    }

    fn generation(&self) -> u32 {
        self.common.read8(reg::CONFIG_GENERATION).into()
    }

    fn max_queue_size(&self, index: u16) -> u16 {
        let _state = self.state.lock();
        if self.select(index) { self.common.read16(reg::QUEUE_SIZE) } else { 0 }
    }

    fn can_choose_size(&self) -> bool {
        true
    }

    fn connect(&self, name: &str, cpus: &[u32], handler: Arc<dyn Handler>) -> Result {
        let isr = self.isr.clone();
        let made = Interrupts::new(&self.device, name, cpus, &handler, move || isr.read8(0))?;
        self.set_vector(reg::CONFIG_MSIX_VECTOR, made.config_vector())?;
        *self.state.lock() = Some(made);
        Ok(())
    }

    fn reconnect(&self) -> Result {
        match &*self.state.lock() {
            Some(made) => self.set_vector(reg::CONFIG_MSIX_VECTOR, made.config_vector()),
            None => Ok(()),
        }
    }

    fn disconnect(&self) {
        let old = self.state.lock().take();
        drop(old);
    }

    fn activate_queue(&self, index: u16, size: u16, at: &QueueAddresses) -> Result {
        let state = self.state.lock();
        if !self.select(index) {
            return Err(ENOENT);
        }
        if self.common.read16(reg::QUEUE_ENABLE) != 0 {
            return Err(EBUSY);
        }
        let place = u32::from(self.common.read16(reg::QUEUE_NOTIFY_OFF)).saturating_mul(self.multiplier);
        if place as usize + 2 > self.notify.len() {
            return Err(EINVAL);
        }
        if let Some(slot) = self.places.get(usize::from(index)) {
            slot.store(place, Relaxed);
        }
        self.common.write16(reg::QUEUE_SIZE, size);
        for (register, address) in
            [(reg::QUEUE_DESC, at.desc), (reg::QUEUE_DRIVER, at.driver), (reg::QUEUE_DEVICE, at.device)]
        {
            self.common.write32(register, address as u32);
            self.common.write32(register + 4, (address >> 32) as u32);
        }
        let vector = state.as_ref().map_or(NO_VECTOR, |interrupts| interrupts.queue_vector(index));
        self.set_vector(reg::QUEUE_MSIX_VECTOR, vector)?;
        self.common.write16(reg::QUEUE_ENABLE, 1);
        Ok(())
    }

    #[inline]
    fn notify(&self, index: u16) {
        if let Some(place) = self.places.get(usize::from(index)) {
            self.notify.write16(place.load(Relaxed) as usize, index);
        }
    }
}
