// SPDX-License-Identifier: GPL-2.0
//! Master boot records: four entries, of which one may lead to a chain of further records, each with a partition and the way to the next.

use crate::{Kind, MAX_PARTS, Partition, SECTOR, Source, Table, le16, le32, text};
use containers::sort;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{KString, KVec};

/// An entry.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) boot: u8,
    pub(crate) kind: u8,
    pub(crate) start: u32,
    pub(crate) sectors: u32,
}

impl Entry {
    fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// The four entries of a record; `None` without its mark.
pub(crate) fn entries(record: &[u8]) -> Option<[Entry; 4]> {
    if le16(record, 510) != 0xaa55 {
        return None;
    }
    Some([446, 462, 478, 494].map(|at| Entry {
        boot: record.get(at).copied().unwrap_or(0),
        kind: record.get(at + 4).copied().unwrap_or(0),
        start: le32(record, at + 8),
        sectors: le32(record, at + 12),
    }))
}

/// Records of a chain that hold no partition, before it is taken for endless.
const MAX_EMPTY: u32 = 100;

pub(crate) fn read(disk: &mut dyn Source) -> Result<Option<Table>> {
    let mut record = [0; SECTOR];
    disk.read(0, &mut record)?;
    let Some(entries) = entries(&record) else { return Ok(None) };
    // A boot sector of a file system ends with the same mark.
    if entries.iter().any(|entry| entry.boot & 0x7f != 0) {
        return Ok(None);
    }
    let signature = le32(&record, 440);
    let scale = u64::from(disk.block_size() / SECTOR as u32);
    let mut table = Table { kind: Kind::Msdos, partitions: KVec::new(), damaged: false };
    for (number, entry) in (1..).zip(entries).filter(|(_, entry)| entry.sectors != 0) {
        let (start, sectors) = (u64::from(entry.start) * scale, u64::from(entry.sectors) * scale);
        let extended = entry.is_extended();
        // Room for a boot loader, no more: the rest is other partitions'.
        let shown = if extended { sectors.min(scale.max(2)) } else { sectors };
        push(&mut table, number, start, shown, signature, extended)?;
        if extended {
            chain(disk, &mut table, start, sectors, signature)?;
        }
    }
    // Logical partitions come after the four, wherever the entry that leads to them is.
    sort::sort_by_key(&mut table.partitions, |partition| partition.number);
    Ok(Some(table))
}

fn push(table: &mut Table, number: u32, start: u64, sectors: u64, signature: u32, extended: bool) -> Result {
    let uuid = text(format_args!("{signature:08x}-{number:02x}"))?;
    let partition = Partition { number, start, sectors, uuid, name: KString::new(), extended };
    Ok(table.partitions.push(partition, GFP_KERNEL)?)
}

/// Follows the chain that begins at `first`.
fn chain(disk: &mut dyn Source, table: &mut Table, first: u64, size: u64, signature: u32) -> Result {
    let scale = u64::from(disk.block_size() / SECTOR as u32);
    let (mut here, mut here_size, mut empty) = (first, size, 0);
    let mut number = table.partitions.iter().map(|partition| partition.number + 1).max().unwrap_or(0).max(5);
    loop {
        empty += 1;
        if empty > MAX_EMPTY || number >= MAX_PARTS || here >= disk.sectors() {
            return Ok(());
        }
        let mut record = [0; SECTOR];
        disk.read(here, &mut record)?;
        let Some(entries) = entries(&record) else { return Ok(()) };
        for (i, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.sectors != 0 && !entry.is_extended()) {
            let (offset, sectors) = (u64::from(entry.start) * scale, u64::from(entry.sectors) * scale);
            let start = here.saturating_add(offset);
            // The last two entries are often garbage.
            let outside = offset.saturating_add(sectors) > here_size
                || start < first
                || start.saturating_add(sectors) > first.saturating_add(size);
            if i >= 2 && outside {
                continue;
            }
            push(table, number, start, sectors, signature, false)?;
            (number, empty) = (number + 1, 0);
            if number >= MAX_PARTS {
                return Ok(());
            }
        }
        let Some(next) = entries.iter().find(|entry| entry.sectors != 0 && entry.is_extended()) else { return Ok(()) };
        here = first.saturating_add(u64::from(next.start) * scale);
        here_size = u64::from(next.sectors) * scale;
    }
}
