// SPDX-License-Identifier: GPL-2.0
//! Finds ACPI's root pointer when the loader did not say where it is: by EFI's configuration table, or in the BIOS areas.
//! Source: ACPI specification 6.5, sections 5.2.5.1 and 5.2.5.2. Pure; called by `x86_head`. No locks.

use crate::bytes::{u16_at, u64_at};
use crate::{BootInfo, PhysRead};

/// `EFI_ACPI_20_TABLE_GUID` and `ACPI_10_TABLE_GUID` as they lie in memory.
const GUIDS: [[u8; 16]; 2] = [
    [0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11, 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81],
    [0x30, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11, 0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d],
];
/// Configuration tables that are looked at.
const MAX_TABLES: u64 = 128;
/// Bytes of an RSDP of revision 0; its checksum covers them.
const RSDP_SIZE: usize = 20;

/// Sets `info.rsdp` if it is not known yet and can be found.
pub fn find(info: &mut BootInfo, mem: &dyn PhysRead) {
    if info.rsdp.is_some() {
        return;
    }
    info.rsdp = match info.efi {
        Some(efi) if efi.is_64 => from_efi(efi.system_table, mem),
        Some(_) => None,
        None => from_bios(mem),
    };
}

/// From the configuration table of a 64-bit EFI system table at `table`.
fn from_efi(table: u64, mem: &dyn PhysRead) -> Option<u64> {
    let mut fields = [0u8; 16];
    mem.read(table.checked_add(0x68)?, &mut fields).then_some(())?;
    let count = u64_at(&fields, 0)?.min(MAX_TABLES);
    let first = u64_at(&fields, 8)?;
    GUIDS.iter().find_map(|guid| {
        (0..count).find_map(|i| {
            let mut entry = [0u8; 24];
            mem.read(first.checked_add(i * 24)?, &mut entry).then_some(())?;
            (entry.get(..16)? == guid).then(|| u64_at(&entry, 16))?
        })
    })
}

/// In the first KB of the extended BIOS data area, then in the BIOS itself, at multiples of 16.
fn from_bios(mem: &dyn PhysRead) -> Option<u64> {
    let mut segment = [0u8; 2];
    let ebda = if mem.read(0x40e, &mut segment) { u64::from(u16_at(&segment, 0)?) << 4 } else { 0 };
    let low = if ebda >= 0x400 { scan(ebda, ebda + 0x400, mem) } else { None };
    low.or_else(|| scan(0xe_0000, 0x10_0000, mem))
}

fn scan(start: u64, end: u64, mem: &dyn PhysRead) -> Option<u64> {
    let mut block = [0u8; 4096];
    let mut at = start;
    while at < end {
        let take = usize::try_from(end - at).unwrap_or(block.len()).min(block.len());
        let bytes = block.get_mut(..take)?;
        if mem.read(at, bytes) {
            let mut hits =
                bytes.chunks_exact(16).zip((at..).step_by(16)).filter(|(line, _)| line.starts_with(b"RSD PTR "));
            if let Some((_, found)) = hits.find(|(_, place)| valid(*place, mem)) {
                return Some(found);
            }
        }
        at += take as u64;
    }
    None
}

fn valid(at: u64, mem: &dyn PhysRead) -> bool {
    let mut table = [0u8; RSDP_SIZE];
    mem.read(at, &mut table) && table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}
