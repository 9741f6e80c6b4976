// SPDX-License-Identifier: GPL-2.0
//! GUID partition tables: a header and an array of entries behind the protective MBR, both with checksums, and a copy at the disk's end.

use crate::{Kind, MAX_PARTS, Partition, SECTOR, Source, Table, le16, le32, le64, msdos, text};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KString, KVec};

/// Bytes of an entry.
const ENTRY: usize = 128;
/// Bytes of the header that have a meaning.
const HEADER: usize = 92;
/// Most bytes of the array.
const MAX_ARRAY: usize = 4 << 20;
/// The type of the entry that protects a GPT.
const PROTECTIVE: u8 = 0xee;

/// What a good header says.
struct Header {
    alternate: u64,
    count: u32,
    array: KVec<u8>,
}

pub(crate) fn read(disk: &mut dyn Source, force: bool) -> Result<Option<Table>> {
    let scale = u64::from(disk.block_size() / SECTOR as u32);
    let last = (disk.sectors() / scale).wrapping_sub(1);
    if disk.sectors() / scale < 3 {
        return Ok(None);
    }
    if !force && !is_protected(disk)? {
        return Ok(None);
    }
    let first = header(disk, 1, last)?;
    // The copy is where the first header says, else at the end.
    let copy = match &first {
        Some(first) => header(disk, first.alternate, last)?,
        None => header(disk, last, last)?,
    };
    let damaged = match (&first, &copy) {
        (Some(first), Some(copy)) => first.array != copy.array,
        _ => true,
    };
    let Some(header) = first.or(copy) else { return Ok(None) };
    let mut table = Table { kind: Kind::Gpt, partitions: KVec::new(), damaged };
    for (number, entry) in (1..MAX_PARTS).zip(header.array.chunks_exact(ENTRY)).take(header.count as usize) {
        let (start, end) = (le64(entry, 32), le64(entry, 40));
        let unused = entry.iter().take(16).all(|&byte| byte == 0);
        if unused || start > last || end > last || end < start {
            continue;
        }
        let (Some(start), Some(sectors)) = (start.checked_mul(scale), (end - start + 1).checked_mul(scale)) else {
            continue;
        };
        let partition =
            Partition { number, start, sectors, uuid: guid(entry, 16)?, name: name(entry)?, extended: false };
        table.partitions.push(partition, GFP_KERNEL)?;
    }
    Ok(Some(table))
}

/// Whether the MBR says that a GPT is there.
fn is_protected(disk: &mut dyn Source) -> Result<bool> {
    let mut record = [0; SECTOR];
    disk.read(0, &mut record)?;
    let Some(entries) = msdos::entries(&record) else { return Ok(false) };
    Ok(entries.iter().any(|entry| entry.kind == PROTECTIVE && entry.start == 1))
}

/// The header at block `lba`, if all of it is right.
fn header(disk: &mut dyn Source, lba: u64, last: u64) -> Result<Option<Header>> {
    let scale = u64::from(disk.block_size() / SECTOR as u32);
    if lba == 0 || lba > last {
        return Ok(None);
    }
    let mut block = KVec::from_elem(0u8, disk.block_size() as usize, GFP_KERNEL)?;
    match disk.read(lba * scale, &mut block) {
        Err(ENOMEM) => return Err(ENOMEM),
        Err(_) => return Ok(None),
        Ok(()) => {}
    }
    let size = le32(&block, 12) as usize;
    if block.get(..8) != Some(b"EFI PART") || size < HEADER || size > block.len() {
        return Ok(None);
    }
    let sum = le32(&block, 16);
    if let Some(field) = block.get_mut(16..20) {
        field.fill(0);
    }
    let bytes = block.get(..size).unwrap_or_default();
    let (usable_first, usable_last) = (le64(bytes, 40), le64(bytes, 48));
    if crc32(bytes) != sum || le64(bytes, 24) != lba || usable_first > last || usable_last > last {
        return Ok(None);
    }
    let (entries, count, entry_size) = (le64(bytes, 72), le32(bytes, 80), le32(bytes, 84));
    let len = (count as usize).saturating_mul(ENTRY);
    if usable_last < usable_first || entry_size as usize != ENTRY || len > MAX_ARRAY || entries > last || len == 0 {
        return Ok(None);
    }
    let whole = len.next_multiple_of(disk.block_size() as usize);
    if (whole as u64 / SECTOR as u64).saturating_add(entries * scale) > disk.sectors() {
        return Ok(None);
    }
    let mut array = KVec::from_elem(0u8, whole, GFP_KERNEL)?;
    match disk.read(entries * scale, &mut array) {
        Err(ENOMEM) => return Err(ENOMEM),
        Err(_) => return Ok(None),
        Ok(()) => {}
    }
    array.truncate(len);
    if crc32(&array) != le32(bytes, 88) {
        return Ok(None);
    }
    Ok(Some(Header { alternate: le64(bytes, 32), count, array }))
}

/// A GUID as text: the first three fields are little endian.
fn guid(bytes: &[u8], at: usize) -> Result<KString> {
    let (a, b, c) = (le32(bytes, at), le16(bytes, at + 4), le16(bytes, at + 6));
    let rest: [u8; 8] = bytes.get(at + 8..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    let [d0, d1, e0, e1, e2, e3, e4, e5] = rest;
    text(format_args!("{a:08x}-{b:04x}-{c:04x}-{d0:02x}{d1:02x}-{e0:02x}{e1:02x}{e2:02x}{e3:02x}{e4:02x}{e5:02x}"))
}

/// The name: 36 units of UTF-16, of which the low bytes are shown, `!` for what cannot be printed.
fn name(entry: &[u8]) -> Result<KString> {
    let mut name = KString::new();
    for unit in entry.get(56..).unwrap_or_default().chunks_exact(2).take(36) {
        let byte = unit.first().copied().unwrap_or(0);
        if byte == 0 && unit.get(1) == Some(&0) {
            break;
        }
        name.push(if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'!' }, GFP_KERNEL)?;
    }
    Ok(name)
}

/// CRC-32 as UEFI has it (IEEE 802.3).
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut crc, mut bit) = (i as u32, 0);
            while bit < 8 {
                crc = if crc & 1 != 0 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    let step = |crc: u32, &byte: &u8| {
        let index = (crc as u8 ^ byte) as usize;
        TABLE.get(index).copied().unwrap_or(0) ^ crc >> 8
    };
    !bytes.iter().fold(u32::MAX, step)
}
