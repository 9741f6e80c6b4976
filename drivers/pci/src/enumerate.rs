// SPDX-License-Identifier: GPL-2.0
//! Finding the devices: from the root buses down through the bridges, in the order of Linux (depth first).

use crate::device::PciDevice;
use crate::regs::*;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use locking::SetOnce;
use x86::pci_config::{self, PciAddress};

static DEVICES: SetOnce<KVec<Arc<PciDevice>>> = SetOnce::new();

/// Deepest nesting of bridges that is followed: a broken one that leads back to an earlier bus cannot make this endless.
const MAX_DEPTH: u32 = 32;

/// Enumerates all buses. Process context, once. ENOMEM.
pub fn init() -> Result {
    pci_config::init();
    let mut found = KVec::new();
    for (segment, first_bus, last_bus) in pci_config::roots() {
        scan_root(segment, first_bus, last_bus, &mut found)?;
    }
    klog::pr_info!("PCI: {} devices", found.len());
    // First and only call.
    let _ = DEVICES.set(found);
    Ok(())
}

/// All devices.
pub fn devices() -> impl Iterator<Item = &'static Arc<PciDevice>> {
    DEVICES.get().into_iter().flat_map(|devices| devices.iter())
}

/// A host bridge with several functions has a root bus for each; others are found through bridges.
fn scan_root(segment: u16, first_bus: u8, last_bus: u8, found: &mut KVec<Arc<PciDevice>>) -> Result {
    scan_bus(segment, first_bus, last_bus, 0, found)?;
    // Extra root buses (QEMU's expander bridges) answer at numbers behind no bridge.
    for bus in first_bus..=last_bus {
        let known = found.iter().any(|device| device.address.segment == segment && device.address.bus == bus);
        let behind_bridge = found.iter().any(|device| device.is_bridge() && buses_behind(device).contains(&bus));
        if !known && !behind_bridge && bus != first_bus && answers(PciAddress { segment, bus, device: 0, function: 0 })
        {
            scan_bus(segment, bus, last_bus, 0, found)?;
        }
    }
    Ok(())
}

fn buses_behind(bridge: &PciDevice) -> core::ops::RangeInclusive<u8> {
    let first = pci_config::read8(bridge.address, PCI_SECONDARY_BUS);
    let last = pci_config::read8(bridge.address, PCI_SUBORDINATE_BUS);
    first..=last
}

fn answers(address: PciAddress) -> bool {
    let vendor = pci_config::read16(address, PCI_VENDOR_ID);
    vendor != 0xffff && vendor != 0
}

fn scan_bus(segment: u16, bus: u8, last_bus: u8, depth: u32, found: &mut KVec<Arc<PciDevice>>) -> Result {
    for device in 0..32 {
        let first = PciAddress { segment, bus, device, function: 0 };
        if !answers(first) {
            continue;
        }
        let functions = if pci_config::read8(first, PCI_HEADER_TYPE) & 0x80 != 0 { 8 } else { 1 };
        for function in 0..functions {
            let address = PciAddress { function, ..first };
            if answers(address) {
                scan_function(address, last_bus, depth, found)?;
            }
        }
    }
    Ok(())
}

fn scan_function(address: PciAddress, last_bus: u8, depth: u32, found: &mut KVec<Arc<PciDevice>>) -> Result {
    let device = Arc::new(PciDevice::read(address), GFP_KERNEL)?;
    klog::pr_info!(
        "pci {address}: [{:04x}:{:04x}] type {:02x} class {:#08x}",
        device.vendor,
        device.device,
        device.header,
        device.class
    );
    let behind = device.is_bridge().then(|| buses_behind(&device));
    found.push(device, GFP_KERNEL)?;
    // Bus numbers grow downwards: anything else is a bridge that firmware has not set up.
    if let Some(behind) = behind
        && *behind.start() > address.bus
        && *behind.end() <= last_bus
        && depth < MAX_DEPTH
    {
        scan_bus(address.segment, *behind.start(), last_bus, depth + 1, found)?;
    }
    Ok(())
}
