// SPDX-License-Identifier: GPL-2.0
//! The small tables: HPET and MCFG.

use crate::{HEADER, find};

/// The HPET's registers.
#[derive(Clone, Copy, Debug)]
pub struct HpetTable {
    /// Physical address.
    pub address: u64,
}

/// Where the HPET is, if there is one.
pub fn hpet() -> Option<HpetTable> {
    let bytes = find(b"HPET")?.bytes;
    // The block is always in memory; its address space id is not reliable on old firmware.
    Some(HpetTable { address: bytes.u64(44).filter(|&address| address != 0)? })
}

/// A range of PCI configuration space mapped into memory (ECAM).
#[derive(Clone, Copy, Debug)]
pub struct Ecam {
    /// Physical address of bus 0 (whatever `first_bus` is).
    pub base: u64,
    /// PCI segment.
    pub segment: u16,
    /// First bus.
    pub first_bus: u8,
    /// Last bus.
    pub last_bus: u8,
}

/// The ECAM ranges (table MCFG).
pub fn ecams() -> impl Iterator<Item = Ecam> {
    let bytes = find(b"MCFG").map(|table| table.bytes);
    let mut at = HEADER + 8;
    core::iter::from_fn(move || {
        let bytes = bytes?;
        let ecam = Ecam {
            base: bytes.u64(at)?,
            segment: bytes.u16(at + 8)?,
            first_bus: bytes.u8(at + 10)?,
            last_bus: bytes.u8(at + 11)?,
        };
        at += 16;
        Some(ecam)
    })
    .filter(|ecam| ecam.base != 0 && ecam.first_bus <= ecam.last_bus)
}
