// SPDX-License-Identifier: GPL-2.0
//! Ports of PCI Express (`pcieport`): the driver of root ports and of switches' ports. What a port can do beside being a bridge is a
//! device of its own on the bus `pci_express`, for a driver of that service: now only hot-plug (`drivers/pci/hotplug`).
//!
//! Locks: none of its own. Source: PCI Express Base Specification 5.0, 7.5.3.

#![no_std]
#![forbid(unsafe_code)]

use device::{Bus, BusOps, Device, Driver, DriverOps};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use pci::{CapId, MsiVectors, PciDevice, enable_msi, enable_msix};
use x86::pci_config::{read16, read32};

/// Bridges to another bus of PCI, without the interface.
const CLASS_BRIDGE: u32 = 0x06_04;
/// Offset of the capability's flags: kind of port, slot, message.
const FLAGS: u16 = 2;
/// Flags: there is a slot.
const FLAGS_SLOT: u16 = 1 << 8;
/// Offset of what the slot can do.
const SLOT_CAPABILITIES: u16 = 0x14;
/// Slot: cards may come and go.
const HOTPLUG_CAPABLE: u32 = 1 << 6;

/// The bus of services (`/sys/bus/pci_express`). A device of it has its [`Service`] as its information.
pub static BUS: Bus = Bus::new("pci_express", &PciExpress);

/// A service that ports may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// A slot that cards come to and go from.
    Hotplug,
}

impl ServiceKind {
    /// As devices' names have it.
    fn number(self) -> u32 {
        match self {
            Self::Hotplug => 4,
        }
    }
}

/// A service of a port.
pub struct Service {
    /// What it is.
    pub kind: ServiceKind,
    /// The port.
    pub port: Arc<PciDevice>,
    /// Where the port's Express capability is.
    pub capability: u16,
    /// The interrupt, which is on as long as the port has its driver.
    pub irq: u32,
}

/// The service of a device on [`BUS`].
pub fn service(device: &Device) -> Option<&Service> {
    device.info()
}

struct PciExpress;

impl BusOps for PciExpress {}

/// The driver of the PCI bus.
struct PortDriver;

/// Where the Express capability of a port is; `None`: it is no port.
fn express(function: &PciDevice) -> Option<u16> {
    let capability = function.find_capability(CapId::EXPRESS)?;
    // A root port, a switch's port towards the root, one away from it.
    matches!(read16(function.address, capability + FLAGS) >> 4 & 0xf, 4..=6).then_some(capability)
}

impl DriverOps for PortDriver {
    fn matches(&self, device: &Device) -> bool {
        let is = |its: &PciDevice| its.class >> 8 == CLASS_BRIDGE && its.is_bridge() && express(its).is_some();
        pci::bus::function(device).is_some_and(is)
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let function = device.info::<Arc<PciDevice>>().ok_or(ENODEV)?;
        let capability = express(function).ok_or(ENODEV)?;
        function.enable_bridge();
        let flags = read16(function.address, capability + FLAGS);
        let slot = read32(function.address, capability + SLOT_CAPABILITIES);
        if flags & FLAGS_SLOT == 0 || slot & HOTPLUG_CAPABLE == 0 {
            return Ok(());
        }
        // The message that the port says its services use.
        let number = usize::from(flags >> 9 & 0x1f);
        let messages = match interrupts(function, number) {
            Ok(messages) => messages,
            Err(error) => {
                device.print(klog::Level::Err, format_args!("no message interrupts, no hot-plug: {error}"));
                return Ok(());
            }
        };
        let irq = messages.irq(number).or(messages.irq(0)).ok_or(ENODEV)?;
        device.add_resource(KBox::new(messages, GFP_KERNEL)?)?;
        // Kept before it is registered: it goes first, and for certain.
        let kind = ServiceKind::Hotplug;
        let name = KString::from_fmt(format_args!("{}:pcie{:03x}", function.address, kind.number()), GFP_KERNEL)?;
        let info = KBox::new(Service { kind, port: function.clone(), capability, irq }, GFP_KERNEL)?;
        let child = Device::new(&BUS, name.as_bytes(), Some(device.clone()), Some(info))?;
        device.add_resource(KBox::new(Child(child.clone()), GFP_KERNEL)?)?;
        child.register()
    }

    /// What is to be done is the resources'.
    fn remove(&self, _: &Arc<Device>) {}
}

/// As many messages as are needed to have the one of that number.
fn interrupts(function: &Arc<PciDevice>, number: usize) -> Result<MsiVectors> {
    let mut cpus = KVec::new();
    for _ in 0..=number {
        cpus.push(0, GFP_KERNEL)?;
    }
    enable_msix(function, &cpus).or_else(|_| enable_msi(function, 0))
}

/// A port's service, which goes when the port's driver is unbound.
struct Child(Arc<Device>);

impl Drop for Child {
    fn drop(&mut self) {
        self.0.unregister();
    }
}

/// Registers bus and driver. Once, at boot, after the PCI bus. May sleep.
pub fn init() -> Result {
    BUS.register()?;
    // It stays.
    Driver::register(&pci::bus::BUS, b"pcieport", Arc::new(PortDriver, GFP_KERNEL)?).map(drop)
}
