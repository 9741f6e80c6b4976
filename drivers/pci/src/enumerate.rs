// SPDX-License-Identifier: GPL-2.0
//! Finding the devices: from the root buses down through the bridges, in the order of Linux (depth first).

use crate::device::PciDevice;
use crate::regs::*;
use errno::{Result, code::EINVAL};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use sync::Mutex;
use x86::pci_config::{self, PciAddress};

/// All functions, in the order in which they were found.
static DEVICES: Mutex<KVec<Arc<PciDevice>>> = Mutex::new(KVec::new());

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
    *DEVICES.lock() = found;
    Ok(())
}

/// All functions there are now. ENOMEM. May sleep.
pub fn devices() -> Result<KVec<Arc<PciDevice>>> {
    Ok(DEVICES.lock().try_clone(GFP_KERNEL)?)
}

/// Functions that came later: found on the bus behind `bridge`, their ranges assigned. They are in the list then. May sleep.
pub(crate) fn find_behind(bridge: &Arc<PciDevice>) -> Result<KVec<Arc<PciDevice>>> {
    let behind = buses_behind(bridge);
    if *behind.start() <= bridge.address.bus {
        return Err(EINVAL);
    }
    let mut known = DEVICES.lock();
    let mut found = KVec::new();
    for device in 0..32 {
        for function in 0..8 {
            let PciAddress { segment, .. } = bridge.address;
            let address = PciAddress { segment, bus: *behind.start(), device, function };
            if known.iter().any(|other| other.address == address) {
                continue;
            }
            if !answers(address) {
                if function == 0 {
                    break;
                }
                continue;
            }
            let mut device = PciDevice::read(address, Some(bridge));
            crate::assign::assign(&mut device, bridge, known.iter().chain(found.iter()));
            announce(&device);
            found.push(Arc::new(device, GFP_KERNEL)?, GFP_KERNEL)?;
            if function == 0 && !has_functions(address) {
                break;
            }
        }
    }
    known.extend(found.iter().cloned(), GFP_KERNEL)?;
    Ok(found)
}

/// The functions behind `bridge`, the farthest first, are in the list no more. May sleep.
pub(crate) fn take_behind(bridge: &PciDevice) -> Result<KVec<Arc<PciDevice>>> {
    let behind = buses_behind(bridge);
    let mut known = DEVICES.lock();
    let mut taken: KVec<Arc<PciDevice>> = KVec::with_capacity(known.len(), GFP_KERNEL)?;
    let is_behind =
        |device: &PciDevice| device.address.segment == bridge.address.segment && behind.contains(&device.address.bus);
    for device in known.iter().rev().filter(|device| is_behind(device)) {
        // There is room for all.
        let _ = taken.push_within_capacity(device.clone());
    }
    known.retain(|device| !is_behind(device));
    Ok(taken)
}

/// Whether functions are in the list that are behind `bridge`. May sleep.
pub(crate) fn has_behind(bridge: &PciDevice) -> bool {
    let behind = buses_behind(bridge);
    let segment = bridge.address.segment;
    DEVICES.lock().iter().any(|other| other.address.segment == segment && behind.contains(&other.address.bus))
}

/// Whether the first function of the bus behind `bridge` answers.
pub(crate) fn answers_behind(bridge: &PciDevice) -> bool {
    let bus = *buses_behind(bridge).start();
    bus > bridge.address.bus && answers(PciAddress { segment: bridge.address.segment, bus, device: 0, function: 0 })
}

fn has_functions(first: PciAddress) -> bool {
    pci_config::read8(first, PCI_HEADER_TYPE) & 0x80 != 0
}

fn announce(device: &PciDevice) {
    klog::pr_info!(
        "pci {}: [{:04x}:{:04x}] type {:02x} class {:#08x}",
        device.address,
        device.vendor,
        device.device,
        device.header,
        device.class
    );
}

/// A host bridge with several functions has a root bus for each; others are found through bridges.
fn scan_root(segment: u16, first_bus: u8, last_bus: u8, found: &mut KVec<Arc<PciDevice>>) -> Result {
    scan_bus(segment, first_bus, last_bus, None, found)?;
    // Extra root buses (QEMU's expander bridges) answer at numbers behind no bridge.
    for bus in first_bus..=last_bus {
        let known = found.iter().any(|device| device.address.segment == segment && device.address.bus == bus);
        let behind_bridge = found.iter().any(|device| device.is_bridge() && buses_behind(device).contains(&bus));
        if !known && !behind_bridge && bus != first_bus && answers(PciAddress { segment, bus, device: 0, function: 0 })
        {
            scan_bus(segment, bus, last_bus, None, found)?;
        }
    }
    Ok(())
}

/// The buses behind a bridge, as its registers say.
pub(crate) fn buses_behind(bridge: &PciDevice) -> core::ops::RangeInclusive<u8> {
    let first = pci_config::read8(bridge.address, PCI_SECONDARY_BUS);
    let last = pci_config::read8(bridge.address, PCI_SUBORDINATE_BUS);
    first..=last
}

fn answers(address: PciAddress) -> bool {
    let vendor = pci_config::read16(address, PCI_VENDOR_ID);
    vendor != 0xffff && vendor != 0
}

fn scan_bus(
    segment: u16,
    bus: u8,
    last_bus: u8,
    parent: Option<&Arc<PciDevice>>,
    found: &mut KVec<Arc<PciDevice>>,
) -> Result {
    for device in 0..32 {
        let first = PciAddress { segment, bus, device, function: 0 };
        if !answers(first) {
            continue;
        }
        let functions = if has_functions(first) { 8 } else { 1 };
        for function in 0..functions {
            let address = PciAddress { function, ..first };
            if answers(address) {
                scan_function(address, last_bus, parent, found)?;
            }
        }
    }
    Ok(())
}

fn scan_function(
    address: PciAddress,
    last_bus: u8,
    parent: Option<&Arc<PciDevice>>,
    found: &mut KVec<Arc<PciDevice>>,
) -> Result {
    let device = Arc::new(PciDevice::read(address, parent), GFP_KERNEL)?;
    announce(&device);
    found.push(device.clone(), GFP_KERNEL)?;
    // Bus numbers grow downwards: anything else is a bridge that firmware has not set up.
    let behind = buses_behind(&device);
    if device.is_bridge() && *behind.start() > address.bus && *behind.end() <= last_bus && device.depth() < MAX_DEPTH {
        scan_bus(address.segment, *behind.start(), last_bus, Some(&device), found)?;
    }
    Ok(())
}
