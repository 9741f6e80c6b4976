// SPDX-License-Identifier: GPL-2.0
//! The SCSI middle layer: hosts (adapters), the devices behind them, and commands between the drivers above (`sd`) and below
//! (`virtio_scsi`, `ahci`).
//!
//! | file | what |
//! |---|---|
//! | `command` | [`Command`]: one command, its data and its answer |
//! | `host` | [`Host`], and [`HostOps`]: what an adapter's driver does |
//! | `unit` | [`Unit`]: a logical unit (Linux's `scsi_device`); commands are sent, ended, sent again |
//! | `tags` | commands kept ready for the requests of a driver above |
//! | `execute` | commands that somebody waits for; commands that take too long |
//! | `scan` | which units there are |
//! | `show` | the bus `scsi` and `/sys/class/scsi_*` |
//! | `ioctl`, `filter` | `SG_IO` and its relatives, and who may send which command |
//!
//! A command belongs to the adapter's driver from `queue_command` until it calls [`done`], in any context. There it may be sent again
//! (a unit attention, a busy unit, an aborted command) or goes back to who sent it ([`End`]). Nothing is allocated on the way.
//!
//! Locks: a host's `scanning` mutex around finding and removing units, its `recovery` mutex around bringing commands back, then the
//! spin locks (interrupts off) of a host's list of units, a unit's list of commands to be sent again, its driver above, and who waits;
//! none is held while a driver is called. Source: SAM-5, SPC-4.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod command;
mod execute;
mod filter;
mod host;
mod ioctl;
mod scan;
mod show;
mod tags;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
mod unit;

pub use command::{Command, Data, Direction, End, HostStatus};
pub use execute::{Answer, Call, TIMEOUT_NS};
pub use host::{Host, HostOps, HostParams};
pub use ioctl::ioctl;
pub use show::{BUS, unit_of};
pub use tags::Tags;
pub use unit::{State, Unit, Upper, done};

use kernel::ext::Alive;
use kernel::prelude::*;

module! {
    type: ScsiMod,
    name: "scsi_mod",
    authors: ["The Rideau developers"],
    description: "SCSI core",
    license: "GPL",
    initcall: "subsys",
}

/// Adapters, and what is on the bus.
pub(crate) static ALIVE: Alive = Alive::new();

/// The bus, while the module is there. Who has an adapter or is a driver of units uses this module.
struct ScsiMod;

impl kernel::Module for ScsiMod {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        BUS.register()?;
        pr_info!("SCSI subsystem initialized\n");
        Ok(Self)
    }
}

impl Drop for ScsiMod {
    fn drop(&mut self) {
        BUS.unregister();
        ALIVE.wait_gone();
    }
}
