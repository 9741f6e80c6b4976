// SPDX-License-Identifier: GPL-2.0
//! virtio over PCI: the driver `virtio-pci` of the PCI bus, whose functions it registers with `virtio`. `modern` speaks version 1.0 and later (registers in
//! memory, found by capabilities), `legacy` what came before (ports); a transitional device is driven as a modern one. `interrupts`:
//! a message for each queue, a shared one, or a line.
//!
//! Locks: `interrupts`' mutex; `modern`'s around registers that are selected first. Source: Virtual I/O Device Version 1.2, 4.1.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod interrupts;
mod legacy;
mod modern;

use kalloc::{Arc, KString};
use kernel::ext::Alive;
use kernel::hardware::device::{Device, Driver, DriverOps};
use kernel::hardware::pci::{self, PciDevice};
use kernel::prelude::*;
use virtio::{Identity, Transport};
use virtio::{register_device, unregister_device};

const VENDOR: u16 = 0x1af4;
/// First id of transitional devices.
const TRANSITIONAL: u16 = 0x1000;
/// First id of modern devices; the kind is what is above.
const MODERN: u16 = 0x1040;
/// The id after the last.
const END: u16 = 0x1080;

module! {
    type: VirtioPci,
    name: "virtio_pci",
    authors: ["The Rideau developers"],
    description: "virtio-pci",
    license: "GPL",
    alias: ["pci:v00001AF4d*sv*sd*bc*sc*i*"],
}

/// Transports that are in memory.
pub(crate) static ALIVE: Alive = Alive::new();

/// The driver of the PCI bus.
struct Ops;

impl DriverOps for Ops {
    fn matches(&self, device: &Device) -> bool {
        let is = |its: &PciDevice| its.vendor == VENDOR && (TRANSITIONAL..END).contains(&its.device);
        pci::bus::function(device).is_some_and(is)
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let function = device.info::<Arc<PciDevice>>().ok_or(ENODEV)?;
        function.enable();
        function.set_master();
        // Made first: it can be kept for certain then. Dropped, it switches the function off.
        let mut child = Child { function: function.clone(), device: None };
        let transport: KBox<dyn Transport> = match modern::Modern::new(function) {
            Ok(modern) => KBox::new(modern, GFP_KERNEL)?,
            Err(ENODEV) => KBox::new(legacy::Legacy::new(function)?, GFP_KERNEL)?,
            Err(error) => return Err(error),
        };
        child.device = Some(register_device(transport)?);
        device.add_resource(KBox::new(child, GFP_KERNEL)?)
    }

    /// What is to be done is the resource's.
    fn remove(&self, _: &Arc<Device>) {}
}

/// A function's device on the virtio bus, which goes when the function's driver is unbound.
struct Child {
    function: Arc<PciDevice>,
    device: Option<Arc<Device>>,
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(device) = self.device.take() {
            unregister_device(&device);
        }
        if self.function.is_present() {
            self.function.disable();
        }
    }
}

struct VirtioPci(Arc<Driver>);

impl kernel::Module for VirtioPci {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self(Driver::register(&pci::bus::BUS, b"virtio-pci", Arc::new(Ops, GFP_KERNEL)?)?))
    }
}

impl Drop for VirtioPci {
    fn drop(&mut self) {
        self.0.unregister();
        // Who has a disk of a device open has the device, too.
        ALIVE.wait_gone();
    }
}

fn identity(device: &PciDevice) -> Result<Identity> {
    Ok(Identity {
        device_type: device_type(device),
        vendor: device.subsystem.0.into(),
        parent: device.sysfs_path()?,
        bus_name: KString::from_fmt(format_args!("{}", device.address), GFP_KERNEL)?,
    })
}

/// The kind of device: above its id, or its subsystem's id.
fn device_type(device: &PciDevice) -> u32 {
    match device.device {
        id @ MODERN.. => u32::from(id - MODERN),
        _ => u32::from(device.subsystem.1),
    }
}
