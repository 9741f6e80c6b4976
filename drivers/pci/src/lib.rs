// SPDX-License-Identifier: GPL-2.0
//! PCI: which devices there are, what their address ranges are, and how they interrupt. Enumeration runs once at boot; drivers
//! of the image look devices up by [`devices`], those of modules are bound by the bus ([`bus`]); both work through [`PciDevice`].
//!
//! Firmware has numbered the buses and assigned the address ranges; this crate takes them as they are.
//! Locks: each device's `config` mutex, for changes of shared registers (command, MSI); nothing is called with it held but
//! configuration accesses. Source: PCI Local Bus 3.0, PCI-to-PCI Bridge 1.2, PCI Express Base 5.0.

#![no_std]
#![forbid(unsafe_code)]

mod bar;
pub mod bus;
mod capability;
mod device;
mod enumerate;
mod msi;
pub mod regs;

pub use self::device::PciDevice;
pub use bar::{Bar, BarKind};
pub use capability::{CapId, capabilities, extended_capabilities};
pub use enumerate::{devices, init};
pub use msi::{MsiVectors, enable_msi, enable_msix, msix_count};
pub use x86::pci_config::PciAddress;
