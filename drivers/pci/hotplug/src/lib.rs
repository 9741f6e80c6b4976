// SPDX-License-Identifier: GPL-2.0
//! Hot-plug of PCI Express cards (`pciehp`): the driver of the slots of root ports and switches' ports. A card that comes is powered,
//! its functions are found behind the port and get drivers; before it goes drivers are unbound, even if it was pulled out without asking.
//!
//! | file | what |
//! |---|---|
//! | `lib` | the driver of the service, and its interrupt |
//! | `regs` | the slot's registers; commands and their completion |
//! | `slot` | what happens to a slot: button, presence, link, programs |
//! | `files` | `/sys/bus/pci/slots/N` |
//!
//! Locks: a slot's `state`, held while a card is brought up or taken away (drivers' binding locks are taken inside); `control` inside
//! it, for a command and its completion. Source: PCI Express Base Specification 5.0, 6.7 and 7.5.3.9 to 7.5.3.11.

#![no_std]
#![forbid(unsafe_code)]

mod files;
mod regs;
mod slot;

use crate::slot::Slot;
use device::{Device, Driver, DriverOps};
use errno::{Result, code::*};
use irq::{IrqFlags, IrqRequest, IrqReturn, request_irq};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use sysfs::Node;

/// The driver of the service.
struct Pciehp;

/// A slot while the driver is bound; dropped, nothing looks after it any more. Cards stay.
struct Bound {
    slot: Arc<Slot>,
    node: Option<Arc<Node>>,
    irq: Option<IrqRequest>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            files::remove(&node);
        }
        self.slot.regs.silence();
        drop(self.irq.take());
        self.slot.stop();
    }
}

impl DriverOps for Pciehp {
    fn matches(&self, device: &Device) -> bool {
        pcieport::service(device).is_some_and(|service| service.kind == pcieport::ServiceKind::Hotplug)
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let service = pcieport::service(device).ok_or(ENODEV)?;
        let slot = Slot::new(service)?;
        let mut bound = Bound { slot: slot.clone(), node: None, irq: None };
        bound.node = Some(files::add(&slot)?);
        slot.regs.silence();
        let handler = slot.clone();
        let call = move |_| if handler.interrupt() { IrqReturn::Handled } else { IrqReturn::None };
        let flags = IrqFlags { shared: true, ..IrqFlags::default() };
        bound.irq = Some(request_irq(service.irq, b"pciehp", flags, KBox::new(call, GFP_KERNEL)?)?);
        device.add_resource(KBox::new(bound, GFP_KERNEL)?)?;
        slot.begin();
        Ok(())
    }

    /// What is to be done is the resource's.
    fn remove(&self, _: &Arc<Device>) {}
}

/// Registers the driver. Once, at boot, after `pcieport`. May sleep.
pub fn init() -> Result {
    // It stays.
    Driver::register(&pcieport::BUS, b"pciehp", Arc::new(Pciehp, GFP_KERNEL)?).map(drop)
}
