// SPDX-License-Identifier: GPL-2.0
//! The device model: buses, the devices on them and the drivers for these, as `/sys/bus` and `/sys/devices` show them.
//! Buses (`faux`, `platform`, `pci`...) register themselves; drivers come with modules and are bound to what they match.
//!
//! What a module gives (the operations of a driver) is kept where it can be taken back: when `Driver::unregister` returns, no
//! code of the module runs any more or will.
//!
//! Locks, outermost first: a device's `binding` (sleeping, around probe and remove), a driver's operations (read while they
//! run), a bus's lists. None is held while another device's is taken.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod bus;
mod dev;
mod driver;
pub mod faux;
mod show;

pub use bus::{Bus, BusOps};
pub use dev::{Device, Info, Number};
pub use driver::{Driver, DriverOps};
pub use show::OwnedAttribute;
