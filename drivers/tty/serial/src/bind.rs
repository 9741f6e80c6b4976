// SPDX-License-Identifier: GPL-2.0
//! The drivers: `serial` for the ports that firmware describes, on the bus `pnp`, and `serial8250`, a platform device, for
//! those that the table of a PC's ports has and nobody else. What they bring is found at boot without them, so that the log has
//! its console early. Called by the device model; may sleep.

use crate::owner::{self, Line};
use crate::pm;
use crate::uart::PORTS;
use device::{Device, Driver, DriverOps, Phase, platform, pnp};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString};
use x86_cpu::io::PortRange;

/// Name of the platform device and of its driver.
const PLATFORM: &[u8] = b"serial8250";
/// What firmware calls ports of this kind.
const IDS: [&str; 2] = ["PNP0500", "PNP0501"];

/// Where in `/sys` a device of the bus `pnp` is. ENOMEM.
fn home(device: &Device) -> Result<KString> {
    Ok(KString::from_fmt(format_args!("{}/{}", pnp::HOME, device.name().escape_ascii()), GFP_KERNEL)?)
}

/// The driver of the ports that firmware describes.
struct Described;

impl DriverOps for Described {
    fn matches(&self, device: &Device) -> bool {
        let is = |info: &pnp::Info| info.ids.iter().any(|id| IDS.iter().any(|its| its.as_bytes() == id.as_bytes()));
        device.info::<pnp::Info>().is_some_and(is)
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let info = device.info::<pnp::Info>().ok_or(ENODEV)?;
        let &(base, _) = info.io.iter().find(|range| range.1 >= PORTS).ok_or(ENODEV)?;
        let &irq = info.irqs.first().ok_or(ENODEV)?;
        let io = PortRange::claim(base, PORTS).or_else(|| PortRange::claim_firmware(base, PORTS)).ok_or(ENODEV)?;
        let line = Line::add(device, home(device)?.to_str().ok_or(EINVAL)?, io, irq)?;
        device.add_resource(KBox::new(line, GFP_KERNEL)?)
    }

    /// What is to be done is the line's.
    fn remove(&self, _: &Arc<Device>) {}

    fn pm(&self, device: &Arc<Device>, phase: Phase) -> Result {
        pm::step(home(device)?.to_str(), phase)
    }
}

/// The driver of the others. Bound again it brings nothing, as in Linux: `setserial PORT autoconfig` does.
struct Table;

impl DriverOps for Table {
    fn matches(&self, device: &Device) -> bool {
        device.name() == PLATFORM
    }

    fn probe(&self, _: &Arc<Device>) -> Result {
        Ok(())
    }

    fn remove(&self, _: &Arc<Device>) {
        owner::take_rest_away();
    }

    fn pm(&self, _: &Arc<Device>, phase: Phase) -> Result {
        pm::step(None, phase)
    }
}

/// Registers the drivers, which stay. Once, at boot. May sleep.
pub(crate) fn init() -> Result {
    Driver::register(&pnp::BUS, b"serial", Arc::new(Described, GFP_KERNEL)?)?;
    platform::add(PLATFORM, platform::Info::default())?;
    owner::show_rest();
    Driver::register(&platform::BUS, PLATFORM, Arc::new(Table, GFP_KERNEL)?)?;
    #[cfg(feature = "pci")]
    crate::pci_cards::init()?;
    Ok(())
}
