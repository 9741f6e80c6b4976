// SPDX-License-Identifier: GPL-2.0
//! PCI: which devices there are, what their address ranges are, and how they interrupt. Enumeration runs at boot, and for a slot's
//! bus when a card comes (`drivers/pci/hotplug`); drivers are bound by the bus ([`bus`]) and work through [`PciDevice`].
//!
//! Firmware has numbered the buses and assigned the address ranges; this crate takes them as they are, and assigns ranges only to
//! what comes later, within what firmware gave to the bridge.
//! Locks: the list of functions, and inside it each device's `config` mutex, for changes of shared registers (command, MSI), with
//! nothing called but configuration accesses; under the list's lock functions are also read and given their ranges. Source: PCI Local Bus 3.0, PCI-to-PCI Bridge 1.2, PCI Express Base 5.0.

#![no_std]
#![forbid(unsafe_code)]

mod assign;
mod bar;
pub mod bus;
mod capability;
mod device;
mod enumerate;
mod msi;
pub mod regs;

pub use self::device::{BarClaim, PciDevice};
pub use bar::{Bar, BarKind};
pub use capability::{CapId, capabilities, extended_capabilities};
pub use enumerate::{devices, init};
pub use msi::{MsiVectors, enable_msi, enable_msix, has_messages, msix_count};
pub use x86::pci_config::PciAddress;
