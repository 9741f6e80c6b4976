// SPDX-License-Identifier: GPL-2.0
//! Firmware's static tables: found, checked and mapped read-only for ever, then parsed as plain bytes, so that a damaged
//! table gives missing facts and never a fault. The interpreter for AML is not here but in `drivers/acpi`, on top of this.
//! Filled at boot on the boot CPU, constant afterwards. Source: ACPI specification 6.5, chapter 5.

#![no_std]
#![forbid(unsafe_code)]

pub mod bytes;
pub mod fadt;
pub mod line;
pub mod madt;
pub mod tables;

use boot_info::BootInfo;
use bytes::Bytes;
use locking::SetOnce;
use mm_alloc::MmioRegion;

/// Most tables that are kept.
const MAX_TABLES: usize = 64;
/// Bytes of the header that every table starts with.
pub const HEADER: usize = 36;

/// One table, header included. The checksum is right.
#[derive(Clone, Copy)]
pub struct Table {
    /// The whole table.
    pub bytes: Bytes<'static>,
    /// Where it lies in physical memory.
    pub phys: u64,
}

impl Table {
    /// The four-letter signature.
    pub fn signature(&self) -> [u8; 4] {
        self.bytes.array(0).unwrap_or(*b"????")
    }
}

static TABLES: SetOnce<[Option<Table>; MAX_TABLES]> = SetOnce::new();

/// Reads the list of tables. After memory management; boot CPU.
pub fn init(info: &BootInfo) {
    if info.option_value(b"acpi") == Some(b"off") {
        return;
    }
    let Some(rsdp) = find_rsdp(info) else {
        klog::pr_info!("ACPI: no tables");
        return;
    };
    let mut tables = [None; MAX_TABLES];
    read_root(&rsdp, &mut tables);
    if let Some(dsdt) = dsdt_of(&tables) {
        push(&mut tables, dsdt);
    }
    let count = tables.iter().flatten().count();
    klog::pr_info!("ACPI: {count} tables");
    // First and only call.
    let _ = TABLES.set(tables);
}

/// All tables, in firmware's order, the DSDT last.
pub fn tables() -> impl Iterator<Item = Table> {
    TABLES.get().into_iter().flatten().flatten().copied()
}

/// The first table with this signature.
pub fn find(signature: &[u8; 4]) -> Option<Table> {
    tables().find(|table| table.signature() == *signature)
}

struct Rsdp {
    xsdt: u64,
    rsdt: u32,
}

fn find_rsdp(info: &BootInfo) -> Option<Rsdp> {
    if let Some(rsdp) = info.rsdp.and_then(|phys| parse_rsdp(map(phys, 36)?)) {
        return Some(rsdp);
    }
    // The BIOS leaves it on a 16-byte boundary in the first KB of its extended data area or in its read-only area.
    let ebda = map(0x40e, 2).and_then(|b| b.u16(0)).map_or(0, |segment| u64::from(segment) << 4);
    [(ebda, 1024), (0xe0000, 0x20000)].into_iter().filter(|&(start, _)| start >= 0x400).find_map(|(start, len)| {
        let area = map(start, len)?;
        (0..len).step_by(16).find_map(|at| parse_rsdp(area.from(at)?))
    })
}

fn parse_rsdp(bytes: Bytes<'static>) -> Option<Rsdp> {
    if bytes.array(0)? != *b"RSD PTR " || !bytes.first(20)?.checksum_ok() {
        return None;
    }
    let xsdt = if bytes.u8(15)? >= 2 && bytes.first(36)?.checksum_ok() { bytes.u64(24)? } else { 0 };
    Some(Rsdp { xsdt, rsdt: bytes.u32(16)? })
}

fn read_root(rsdp: &Rsdp, tables: &mut [Option<Table>; MAX_TABLES]) {
    let (root, width) = match (rsdp.xsdt, map_table(rsdp.xsdt)) {
        (1.., Some(xsdt)) => (xsdt, 8),
        _ => match map_table(u64::from(rsdp.rsdt)) {
            Some(rsdt) => (rsdt, 4),
            None => return,
        },
    };
    let mut at = HEADER;
    while at + width <= root.bytes.len() {
        let phys = if width == 8 { root.bytes.u64(at) } else { root.bytes.u32(at).map(u64::from) };
        if let Some(table) = phys.and_then(map_table) {
            push(tables, table);
        }
        at += width;
    }
}

fn push(tables: &mut [Option<Table>; MAX_TABLES], table: Table) {
    if let Some(slot) = tables.iter_mut().find(|slot| slot.is_none()) {
        *slot = Some(table);
    }
}

fn dsdt_of(tables: &[Option<Table>]) -> Option<Table> {
    let facp = tables.iter().flatten().find(|table| table.signature() == *b"FACP")?;
    let phys = facp.bytes.u64(140).filter(|&phys| phys != 0).or(facp.bytes.u32(40).map(u64::from))?;
    map_table(phys)
}

/// Maps the table at `phys`, if it is one.
fn map_table(phys: u64) -> Option<Table> {
    if phys == 0 {
        return None;
    }
    let length = map(phys, HEADER)?.u32(4)? as usize;
    if !(HEADER..=4 << 20).contains(&length) {
        return None;
    }
    let bytes = map(phys, length)?;
    if !bytes.checksum_ok() {
        klog::pr_warn!("ACPI: table at {phys:#x} has a wrong checksum, ignored");
        return None;
    }
    Some(Table { bytes, phys })
}

/// Maps physical memory that firmware has put tables in, for ever.
fn map(phys: u64, len: usize) -> Option<Bytes<'static>> {
    MmioRegion::table_bytes(phys, len).ok().map(Bytes::new)
}
