// SPDX-License-Identifier: GPL-2.0
//! The device model: buses, the devices on them and the drivers for these, as `/sys/bus` and `/sys/devices` show them.
//! Buses (`faux`, `platform`, `pci`...) register themselves; drivers come with modules and are bound to what they match.
//!
//! What a module gives (the operations of a driver) is kept where it can be taken back: when `Driver::unregister` returns, no
//! code of the module runs any more or will.
//!
//! Locks, outermost first: a device's `binding` (sleeping, around probe and remove), those of devices on other buses that its
//! driver makes, a bus's lists; `defer`'s, `beside`'s and `power`'s are innermost.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

pub mod auxiliary;
mod beside;
mod bus;
mod defer;
mod dev;
mod dma;
mod driver;
pub mod faux;
mod fwnode;
mod ida;
pub mod platform;
mod pm;
pub mod pnp;
mod power;
mod show;
pub mod soc;

pub use beside::{loading, modules_probe_beside, set_async_drivers, set_modules_probe_beside, wait_for_probe};
pub use bus::{Bus, BusOps};
pub use defer::{block_probing, for_each_deferred, unblock_probing};
pub use dev::{Device, Info, Number, Resource};
pub use driver::{Driver, DriverOps, ProbeType};
pub use fwnode::{FwNode, Property, Value};
pub use ida::{Id, Ida};
pub use pm::{Depth, Phase, wakeup_file};
pub use power::{registered, shutdown};
pub use show::OwnedAttribute;
