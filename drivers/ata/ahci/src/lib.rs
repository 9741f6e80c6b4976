// SPDX-License-Identifier: GPL-2.0
//! SATA adapters as Intel's AHCI has them. Every port is an adapter of the middle layer of SCSI with at most one unit: a disk, whose
//! commands are translated (`ata_sat`), or a CD, which takes packets.
//!
//! | file | what |
//! |---|---|
//! | `lib` | the driver of the PCI bus |
//! | `regs` | registers |
//! | `hba` | a controller: reset, ports, interrupts, removal |
//! | `port` | a port's slots: commands sent and ended |
//! | `table` | a command in memory: its frame, packet, and list of pieces |
//! | `link` | the link of a port: whether there is a device, and what it is |
//! | `recover` | after an error or a command that takes too long: which one failed, and going on |
//! | `show` | ports in sysfs |
//! | `ops` | what the middle layer reaches; devices that come and go |
//!
//! Locks: a port's `recovery` mutex (sleeping) around everything that stops the port, inside it the port's `slots` spin lock (interrupts
//! off) around its slots and the registers that start commands; commands are ended without them. Source: Serial ATA AHCI 1.3.1.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod hba;
mod link;
mod ops;
mod port;
mod recover;
mod regs;
mod show;
mod table;

use device::{Device, Driver, DriverOps};
use kalloc::Arc;
use kernel::ext::Alive;
use kernel::hardware::{device, pci};
use kernel::prelude::*;
use pci::PciDevice;

module! {
    type: AhciModule,
    name: "ahci",
    authors: ["The Rideau developers"],
    description: "AHCI SATA low-level driver",
    license: "GPL",
    alias: ["pci:v*d*sv*sd*bc01sc06i01*"],
}

/// Ports that are in memory.
static ALIVE: Alive = Alive::new();

/// Class, subclass and interface of controllers.
const CLASS: u32 = 0x01_06_01;

/// The driver of the PCI bus.
struct Ahci;

impl DriverOps for Ahci {
    fn matches(&self, device: &Device) -> bool {
        pci::bus::function(device).is_some_and(|function| function.class == CLASS)
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let function = device.info::<Arc<PciDevice>>().ok_or(ENODEV)?;
        device.add_resource(KBox::new(hba::probe(function)?, GFP_KERNEL)?)
    }

    /// What is to be done is the resource's.
    fn remove(&self, _: &Arc<Device>) {}
}

/// The driver, while the module is there.
struct AhciModule(Arc<Driver>);

impl kernel::Module for AhciModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self(Driver::register(&pci::bus::BUS, b"ahci", Arc::new(Ahci, GFP_KERNEL)?)?))
    }
}

impl Drop for AhciModule {
    fn drop(&mut self) {
        self.0.unregister();
        // Nobody has a disk open, but who reads a list of disks may have one for a moment.
        ALIVE.wait_gone();
    }
}
