// SPDX-License-Identifier: GPL-2.0
//! EFI memory types as memory map kinds: the bzImage's EFI application makes E820 entries of the firmware's map with it.
//! Source: UEFI specification, `GetMemoryMap()`; the choice of kinds is Linux's `setup_e820`. No locks.

use crate::MemKind;

/// `EFI_MEMORY_SP`: specific-purpose memory.
pub const EFI_MEMORY_SP: u64 = 0x4_0000;

/// The kind of a descriptor, or `None` for a type that is left out of the map.
pub const fn kind(efi_type: u32, attribute: u64) -> Option<MemKind> {
    Some(match efi_type {
        // Reserved, runtime code and data, MMIO, MMIO port space, PAL code.
        0 | 5 | 6 | 11 | 12 | 13 => MemKind::Reserved,
        8 => MemKind::Unusable,
        9 => MemKind::AcpiReclaim,
        // Loader code/data, boot services code/data, conventional.
        1..=4 => MemKind::Ram,
        7 if attribute & EFI_MEMORY_SP != 0 => MemKind::SoftReserved,
        7 => MemKind::Ram,
        10 => MemKind::AcpiNvs,
        14 => MemKind::Pmem,
        _ => return None,
    })
}
