// SPDX-License-Identifier: GPL-2.0
//! Partition tables: what is on a disk, by MBR (with extended partitions) or GPT. Pure: bytes come from a [`Source`].
//!
//! Nothing in a table is trusted: chains end, sums do not overflow, ranges beyond the disk are cut or left out (by the caller of
//! [`read`], who knows what is there now). No locks.
//! Source: UEFI Specification 2.10, chapter 5; Linux's `Documentation/` has no text on MBR, its behaviour is the reference.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod gpt;
mod msdos;

use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{KString, KVec};

/// A disk's bytes.
pub trait Source {
    /// Sectors of 512 bytes.
    fn sectors(&self) -> u64;
    /// Bytes of the units that tables count in: 512 to 4096.
    fn block_size(&self) -> u32;
    /// Reads whole sectors of 512 bytes from `sector` on.
    fn read(&mut self, sector: u64, to: &mut [u8]) -> Result;
}

/// A partition.
#[derive(Debug)]
pub struct Partition {
    /// Its number, from 1 on.
    pub number: u32,
    /// First sector of 512 bytes.
    pub start: u64,
    /// Sectors of 512 bytes.
    pub sectors: u64,
    /// As udev has it; empty if there is none.
    pub uuid: KString,
    /// Its name; empty if there is none.
    pub name: KString,
    /// A container of other partitions.
    pub extended: bool,
}

/// The kind of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Master boot record.
    Msdos,
    /// GUID partition table.
    Gpt,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Which it is.
    pub kind: Kind,
    /// In the order of the table.
    pub partitions: KVec<Partition>,
    /// The backup was used, or differs.
    pub damaged: bool,
}

/// Most partitions of a disk.
pub const MAX_PARTS: u32 = 256;
const SECTOR: usize = 512;

/// Reads the disk's table. `Ok(None)`: there is none. An error of the source, or ENOMEM. `force_gpt`: a GPT counts without the MBR
/// that protects it (`gpt` on the command line).
pub fn read(disk: &mut dyn Source, force_gpt: bool) -> Result<Option<Table>> {
    let unit = disk.block_size();
    if !unit.is_power_of_two() || !(512..=4096).contains(&unit) || disk.sectors() == 0 {
        return Ok(None);
    }
    if let Some(table) = gpt::read(disk, force_gpt)? {
        return Ok(Some(table));
    }
    msdos::read(disk)
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u16::from_le_bytes(*word))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}

fn text(args: core::fmt::Arguments<'_>) -> Result<KString> {
    Ok(KString::from_fmt(args, GFP_KERNEL)?)
}

#[cfg(test)]
mod tests;
