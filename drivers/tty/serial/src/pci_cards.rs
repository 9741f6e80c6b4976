// SPDX-License-Identifier: GPL-2.0
//! Serial cards on PCI (QEMU's `pci-serial`): simple communication controllers of the serial class whose only range of ports
//! has the chips one behind the other. Called by the device model; may sleep.

use crate::owner::Line;
use crate::uart::PORTS;
use device::{Device, Driver, DriverOps, Phase};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use klog::Level;
use pci::bus::{ANY, DynamicIds, Id};
use pci::{BarKind, PciDevice};

/// Simple communication controllers: serial.
const SERIAL: Id =
    Id { vendor: ANY, device: ANY, subvendor: ANY, subdevice: ANY, class: 0x07_00_00, class_mask: 0xff_ff_00 };
/// The last programming interface that is one of these chips, or of their successors.
const LAST_INTERFACE: u32 = 6;

/// A card that answers until this is dropped.
struct Enabled(Arc<PciDevice>);

impl Drop for Enabled {
    fn drop(&mut self) {
        // One that was pulled out does not hear it.
        self.0.disable();
    }
}

struct Cards {
    ids: DynamicIds,
}

/// The base address register that the chips are behind: the only one with ports, beside at most one with memory.
fn ports_of(function: &PciDevice) -> Option<usize> {
    let is_io = |bar: &&pci::Bar| bar.kind == BarKind::Io;
    let ranges = || function.bars.iter().flatten();
    let fits = ranges().filter(is_io).count() == 1 && ranges().count() <= 2 && function.class & 0xff <= LAST_INTERFACE;
    function.bars.iter().position(|bar| bar.as_ref().is_some_and(|bar| is_io(&bar))).filter(|_| fits)
}

impl DriverOps for Cards {
    fn matches(&self, device: &Device) -> bool {
        pci::bus::function(device).is_some_and(|its| SERIAL.matches(its) || self.ids.matches(its))
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let function = device.info::<Arc<PciDevice>>().ok_or(ENODEV)?;
        let bar = ports_of(function).ok_or(ENODEV)?;
        let claim = PciDevice::claim_bar(function, bar)?;
        function.enable();
        let enabled = Enabled(function.clone());
        // What is kept last goes first: the lines, then the card.
        device.add_resource(KBox::new(claim, GFP_KERNEL)?)?;
        device.add_resource(KBox::new(enabled, GFP_KERNEL)?)?;
        let (io, irq, home) = (function.port_bar(bar)?, function.isa_irq()?, function.sysfs_path()?);
        let home = home.to_str().ok_or(EINVAL)?;
        let mut lines = 0;
        while let Some(part) = io.part(lines * PORTS, PORTS) {
            match Line::add(device, home, part, irq) {
                Ok(line) => device.add_resource(KBox::new(line, GFP_KERNEL)?)?,
                Err(error) => {
                    let base = part_base(&io, lines);
                    device
                        .print(Level::Err, format_args!("Couldn't register serial port {base:x}, irq {irq}: {error}"));
                    break;
                }
            }
            lines += 1;
        }
        if lines == 0 { Err(ENOSPC) } else { Ok(()) }
    }

    /// What is to be done is the resources'.
    fn remove(&self, _: &Arc<Device>) {}

    fn pm(&self, device: &Arc<Device>, phase: Phase) -> Result {
        let function = device.info::<Arc<PciDevice>>().ok_or(ENODEV)?;
        crate::pm::step(function.sysfs_path()?.to_str(), phase)
    }

    fn has_dynamic_ids(&self) -> bool {
        true
    }

    fn add_id(&self, text: &[u8]) -> Result {
        self.ids.add(text)
    }

    fn remove_id(&self, text: &[u8]) -> Result {
        self.ids.remove(text)
    }
}

/// First port of a card's chip.
fn part_base(io: &x86_cpu::io::PortRange, at: u16) -> u16 {
    io.base().wrapping_add(at.wrapping_mul(PORTS))
}

/// Registers the driver, which stays. Once, at boot. May sleep.
pub(crate) fn init() -> Result {
    let cards = Cards { ids: DynamicIds::new() };
    Driver::register(&pci::bus::BUS, b"serial", Arc::new(cards, GFP_KERNEL)?).map(drop)
}
