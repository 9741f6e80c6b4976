// SPDX-License-Identifier: GPL-2.0
//! NVM Express: solid state disks on the PCI bus (`/dev/nvme0n1`). A controller has a pair of rings (submission, completion) for
//! administration and, for each CPU where it has enough, one for transfers with an interrupt message of its own; besides them
//! those without interrupts that `poll_queues` asks for.
//!
//! | file | what |
//! |---|---|
//! | `spec` | registers, commands, what identification says |
//! | `queue` | a pair of rings for transfers |
//! | `command` | a request as a command, with its list of pages |
//! | `admin` | the administrative rings: one command at a time |
//! | `ctrl` | a controller: starting, namespaces, reset after a time-out, removal |
//! | `power` | its registers for that: on, off, shut down |
//!
//! Locks: a controller's `admin` mutex around starting, resetting and administrative commands; its `shown` and `interrupts`, and the
//! numbers of controllers, taken alone; each queue's spin lock (interrupts off); requests are ended without it. Source: NVM Express Base Specification 2.0, NVM Command Set Specification 1.0.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod admin;
mod command;
mod ctrl;
mod power;
mod queue;
mod spec;

use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use kernel::hardware::device::{Device, Driver, DriverOps, Phase};
use kernel::hardware::pci::{self, PciDevice};
use kernel::prelude::*;

module! {
    type: Nvme,
    name: "nvme",
    authors: ["The Rideau developers"],
    description: "NVM Express block devices",
    license: "GPL",
    alias: ["pci:v*d*sv*sd*bc01sc08i02*"],
    params: {
        poll_queues: u32 {
            default: 0,
            description: "Number of queues to use for polled IO.",
            permissions: 0o444,
        },
    },
}

/// Class, subclass and interface of controllers.
const CLASS: u32 = 0x01_08_02;

/// The driver of the PCI bus.
struct Ops;

impl DriverOps for Ops {
    fn matches(&self, device: &Device) -> bool {
        pci::bus::function(device).is_some_and(|function| function.class == CLASS)
    }

    fn probe(&self, device: &Arc<Device>) -> Result {
        let function = device.info::<Arc<PciDevice>>().ok_or(ENODEV)?;
        device.add_resource(KBox::new(ctrl::probe(function)?, GFP_KERNEL)?)
    }

    /// What is to be done is the resource's.
    fn remove(&self, _: &Arc<Device>) {}

    fn pm(&self, device: &Arc<Device>, phase: Phase) -> Result {
        let done = match phase {
            Phase::Suspend => device.with_resource(ctrl::Bound::suspend),
            Phase::Resume => device.with_resource(ctrl::Bound::resume),
            _ => None,
        };
        done.unwrap_or(Ok(()))
    }

    /// The controller is told, and writes what is in its cache.
    fn shutdown(&self, device: &Arc<Device>) {
        device.with_resource(ctrl::Bound::shut_down);
    }
}

struct Nvme(Arc<Driver>);

impl kernel::Module for Nvme {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self(Driver::register(&pci::bus::BUS, b"nvme", Arc::new(Ops, GFP_KERNEL)?)?))
    }
}

impl Drop for Nvme {
    fn drop(&mut self) {
        self.0.unregister();
        // Who reads a list of disks may have one for a moment.
        ctrl::ALIVE.wait_gone();
    }
}
