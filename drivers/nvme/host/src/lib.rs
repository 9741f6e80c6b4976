// SPDX-License-Identifier: GPL-2.0
//! NVM Express: solid state disks on the PCI bus (`/dev/nvme0n1`). A controller has a pair of rings (submission, completion) for
//! administration and, for each CPU where it has enough, one for transfers with an interrupt message of its own.
//!
//! | file | what |
//! |---|---|
//! | `spec` | registers, commands, what identification says |
//! | `queue` | a pair of rings for transfers |
//! | `command` | a request as a command, with its list of pages |
//! | `admin` | the administrative rings: one command at a time |
//! | `ctrl` | a controller: starting, namespaces, reset after a time-out, removal |
//!
//! Locks: a controller's `admin` mutex around starting, resetting and administrative commands; its `shown` and `interrupts`, and the numbers of controllers, taken alone; each queue's spin lock (interrupts
//! off); requests are ended without it. Source: NVM Express Base Specification 2.0, NVM Command Set Specification 1.0.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod admin;
mod command;
mod ctrl;
mod queue;
mod spec;

use device::{Device, DriverOps};
use errno::{Result, code::ENODEV};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use pci::PciDevice;

/// Class, subclass and interface of controllers.
const CLASS: u32 = 0x01_08_02;

/// The driver of the PCI bus.
struct Nvme;

impl DriverOps for Nvme {
    fn matches(&self, device: &Device) -> bool {
        pci::bus::function(device).is_some_and(|function| function.class == CLASS)
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let function = device.info::<Arc<PciDevice>>().ok_or(ENODEV)?;
        device.add_resource(KBox::new(ctrl::probe(function)?, GFP_KERNEL)?)
    }

    /// What is to be done is the resource's.
    fn remove(&self, _: &Arc<Device>) {}
}

/// Registers the driver. Once, at boot, after the buses. May sleep.
pub fn init() -> Result {
    // It stays.
    device::Driver::register(&pci::bus::BUS, b"nvme", Arc::new(Nvme, GFP_KERNEL)?).map(drop)
}
