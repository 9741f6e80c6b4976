// SPDX-License-Identifier: GPL-2.0
//! virtio over PCI: finds the functions at boot and registers them with `virtio`. `modern` speaks version 1.0 and later (registers in
//! memory, found by capabilities), `legacy` what came before (ports); a transitional device is driven as a modern one. `interrupts`:
//! a message for each queue, a shared one, or a line.
//!
//! Locks: `interrupts`' mutex; `modern`'s around registers that are selected first. Source: Virtual I/O Device Version 1.2, 4.1.

#![no_std]
#![forbid(unsafe_code)]

mod interrupts;
mod legacy;
mod modern;

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString};
use klog::pr_err;
use pci::PciDevice;
use virtio::{Identity, Transport};

const VENDOR: u16 = 0x1af4;
/// First id of transitional devices.
const TRANSITIONAL: u16 = 0x1000;
/// First id of modern devices; the kind is what is above.
const MODERN: u16 = 0x1040;
/// The id after the last.
const END: u16 = 0x1080;

/// Registers all devices. Once, at boot, after enumeration. May sleep.
pub fn init() {
    for device in pci::devices().filter(|device| device.vendor == VENDOR) {
        if !(TRANSITIONAL..END).contains(&device.device) {
            continue;
        }
        if let Err(error) = probe(device) {
            pr_err!("virtio-pci {}: {error}", device.address);
        }
    }
}

fn probe(device: &Arc<PciDevice>) -> Result {
    device.enable();
    device.set_master();
    let transport: KBox<dyn Transport> = match modern::Modern::new(device) {
        Ok(modern) => KBox::new(modern, GFP_KERNEL)?,
        Err(ENODEV) => KBox::new(legacy::Legacy::new(device)?, GFP_KERNEL)?,
        Err(error) => return Err(error),
    };
    virtio::register_device(transport).map(drop)
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
