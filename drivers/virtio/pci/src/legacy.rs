// SPDX-License-Identifier: GPL-2.0
//! Before version 1.0: registers are ports of the first range. With messages on, two more registers push the configuration back.

use crate::interrupts::{Interrupts, set_vector};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use kernel::ext::{AliveGuard, Mutex};
use kernel::hardware::PortRange;
use kernel::hardware::pci::PciDevice;
use virtio::{Handler, Identity, QueueAddresses, Transport};

/// Offsets of the registers.
mod reg {
    pub(super) const DEVICE_FEATURES: u16 = 0;
    pub(super) const DRIVER_FEATURES: u16 = 4;
    pub(super) const QUEUE_PFN: u16 = 8;
    pub(super) const QUEUE_SIZE: u16 = 12;
    pub(super) const QUEUE_SELECT: u16 = 14;
    pub(super) const QUEUE_NOTIFY: u16 = 16;
    pub(super) const STATUS: u16 = 18;
    pub(super) const ISR: u16 = 19;
    pub(super) const CONFIG_VECTOR: u16 = 20;
    pub(super) const QUEUE_VECTOR: u16 = 22;
}

pub(crate) struct Legacy {
    device: Arc<PciDevice>,
    identity: Identity,
    ports: Arc<PortRange>,
    messages: AtomicBool,
    state: Mutex<Option<Interrupts>>,
    /// Dropped last.
    _alive: AliveGuard,
}

impl Legacy {
    pub(crate) fn new(device: &Arc<PciDevice>) -> Result<Self> {
        if device.revision != 0 {
            return Err(ENODEV);
        }
        Ok(Self {
            identity: crate::identity(device)?,
            ports: Arc::new(device.port_bar(0)?, GFP_KERNEL)?,
            device: device.clone(),
            messages: AtomicBool::new(false),
            state: Mutex::new(None),
            _alive: crate::ALIVE.count(),
        })
    }

    /// The registers of vectors are there with messages only.
    fn set_vector(&self, register: u16, vector: u16) -> Result {
        set_vector(vector, |vector| self.ports.write16(register, vector), || self.ports.read16(register))
    }

    fn config(&self, offset: usize) -> u16 {
        let base = if self.messages.load(Relaxed) { 24 } else { 20 };
        u16::try_from(offset).map_or(u16::MAX, |offset| offset.saturating_add(base))
    }
}

impl Transport for Legacy {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn is_present(&self) -> bool {
        self.device.is_present()
    }

    fn is_modern(&self) -> bool {
        false
    }

    fn features(&self) -> u64 {
        self.ports.read32(reg::DEVICE_FEATURES).into()
    }

    fn set_features(&self, features: u64) {
        self.ports.write32(reg::DRIVER_FEATURES, features as u32);
    }

    fn status(&self) -> u8 {
        self.ports.read8(reg::STATUS)
    }

    fn set_status(&self, status: u8) {
        self.ports.write8(reg::STATUS, status);
    }

    fn reset(&self) {
        self.ports.write8(reg::STATUS, 0);
        // The read waits for the write.
        self.ports.read8(reg::STATUS);
    }

    fn read_config(&self, offset: usize, to: &mut [u8]) {
        for (i, byte) in to.iter_mut().enumerate() {
            *byte = self.ports.read8(self.config(offset.saturating_add(i)));
        }
    }

    fn write_config(&self, offset: usize, from: &[u8]) {
        for (i, &byte) in from.iter().enumerate() {
            self.ports.write8(self.config(offset.saturating_add(i)), byte);
        }
    }

    fn generation(&self) -> u32 {
        0
    }

    fn max_queue_size(&self, index: u16) -> u16 {
        let _state = self.state.lock();
        self.ports.write16(reg::QUEUE_SELECT, index);
        self.ports.read16(reg::QUEUE_SIZE)
    }

    fn can_choose_size(&self) -> bool {
        false
    }

    fn connect(&self, name: &str, cpus: &[u32], handler: Arc<dyn Handler>) -> Result {
        let ports = self.ports.clone();
        let made = Interrupts::new(&self.device, name, cpus, &handler, move || ports.read8(reg::ISR))?;
        self.messages.store(made.has_messages(), Relaxed);
        if made.has_messages() {
            self.set_vector(reg::CONFIG_VECTOR, made.config_vector())?;
        }
        *self.state.lock() = Some(made);
        Ok(())
    }

    fn reconnect(&self) -> Result {
        match self.state.lock().as_ref().filter(|made| made.has_messages()) {
            Some(made) => self.set_vector(reg::CONFIG_VECTOR, made.config_vector()),
            None => Ok(()),
        }
    }

    fn disconnect(&self) {
        let old = self.state.lock().take();
        drop(old);
        self.messages.store(false, Relaxed);
    }

    fn activate_queue(&self, index: u16, _: u16, at: &QueueAddresses) -> Result {
        let state = self.state.lock();
        self.ports.write16(reg::QUEUE_SELECT, index);
        if self.ports.read32(reg::QUEUE_PFN) != 0 {
            return Err(EBUSY);
        }
        // The frame's number has 32 bits.
        self.ports.write32(reg::QUEUE_PFN, u32::try_from(at.desc >> 12)?);
        match state.as_ref().filter(|interrupts| interrupts.has_messages()) {
            Some(made) => self.set_vector(reg::QUEUE_VECTOR, made.queue_vector(index)),
            None => Ok(()),
        }
    }

    fn notify(&self, index: u16) {
        self.ports.write16(reg::QUEUE_NOTIFY, index);
    }
}
