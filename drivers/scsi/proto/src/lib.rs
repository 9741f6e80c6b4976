// SPDX-License-Identifier: GPL-2.0
//! SCSI as bytes: commands, sense data, and what devices say of themselves. Everything a device sends is taken as it comes: what is
//! missing or too short is `None`, never a panic.
//!
//! | file | what |
//! |---|---|
//! | `cdb` | commands |
//! | `sense` | sense data, and what becomes of a command that has some |
//! | `inquiry` | INQUIRY and its pages of vital product data |
//! | `wwid` | names of units |
//! | `answers` | capacity, mode pages, lists of logical units |
//!
//! No locks. Source: SPC-4, SBC-3, SAM-5 (T10).

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod answers;
mod cdb;
mod inquiry;
mod sense;
#[cfg(test)]
mod tests;
mod wwid;

pub use answers::{Capacity, Mode, capacity10, capacity16, lun_of, luns, mode, wire_lun};
pub use cdb::{Cdb, MAX_CDB, Transfer, opcode};
pub use inquiry::{Inquiry, Limits, Provisioning, characteristics, inquiry, limits, provisioning, vpd_len, vpd_pages};
pub use sense::{Outcome, SENSE_BYTES, Sense, key, outcome, sense, status};
pub use wwid::{Wwid, wwid};

pub(crate) fn be16(from: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*from.get(at..)?.first_chunk()?))
}

pub(crate) fn be32(from: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*from.get(at..)?.first_chunk()?))
}

pub(crate) fn be64(from: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*from.get(at..)?.first_chunk()?))
}
