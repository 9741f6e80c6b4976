// SPDX-License-Identifier: GPL-2.0
//! The lists of capabilities. A list that a broken device turns into a loop ends when it has been longer than it can be.

use crate::regs::*;
use x86::pci_config::{PciAddress, read8, read16, read32, space_size};

/// A capability's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapId(pub u8);

impl CapId {
    /// Message-signalled interrupts.
    pub const MSI: Self = Self(0x05);
    /// Vendor specific (virtio has its registers there).
    pub const VENDOR: Self = Self(0x09);
    /// PCI Express.
    pub const EXPRESS: Self = Self(0x10);
    /// MSI-X.
    pub const MSIX: Self = Self(0x11);
}

/// Capabilities of a function: id and offset.
pub fn capabilities(at: PciAddress) -> impl Iterator<Item = (CapId, u16)> {
    let listed = read16(at, PCI_STATUS) & PCI_STATUS_CAP_LIST != 0;
    let mut next = if listed { u16::from(read8(at, PCI_CAPABILITY_LIST) & 0xfc) } else { 0 };
    // Each takes at least four of the 192 bytes.
    let mut left = 48;
    core::iter::from_fn(move || {
        if next < 0x40 || left == 0 {
            return None;
        }
        let here = next;
        let word = read16(at, here);
        next = word >> 8 & 0xfc;
        left -= 1;
        (word != 0xffff).then_some((CapId(word as u8), here))
    })
}

/// Extended capabilities (PCI Express): id and offset.
pub fn extended_capabilities(at: PciAddress) -> impl Iterator<Item = (u16, u16)> {
    let mut next = if space_size(at) > PCI_CFG_SPACE_SIZE { PCI_CFG_SPACE_SIZE } else { 0 };
    let mut left = (4096 - 256) / 8;
    core::iter::from_fn(move || {
        if next < PCI_CFG_SPACE_SIZE || left == 0 {
            return None;
        }
        let here = next;
        let header = read32(at, here);
        next = (header >> 20) as u16 & 0xffc;
        left -= 1;
        (header != 0 && header != u32::MAX).then_some((header as u16, here))
    })
}
