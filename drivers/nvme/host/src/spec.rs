// SPDX-License-Identifier: GPL-2.0
//! Registers, commands and their statuses.

use errno::{Error, code::*};

/// Offsets of registers.
pub(crate) mod reg {
    pub(crate) const CAP: usize = 0x00;
    pub(crate) const VS: usize = 0x08;
    pub(crate) const CC: usize = 0x14;
    pub(crate) const CSTS: usize = 0x1c;
    pub(crate) const AQA: usize = 0x24;
    pub(crate) const ASQ: usize = 0x28;
    pub(crate) const ACQ: usize = 0x30;
    pub(crate) const DOORBELLS: usize = 0x1000;
}

/// `CC`: enabled, entries of 64 and 16 bytes, pages of 4 KB.
pub(crate) const CC_ENABLE: u32 = 1 | 6 << 16 | 4 << 20;
/// A normal shutdown is wanted, in the configuration; it is complete, in the status.
pub(crate) const CC_SHUTDOWN: u32 = 1 << 14;
pub(crate) const CSTS_SHUTDOWN: u32 = 3 << 2;
pub(crate) const CSTS_SHUTDOWN_DONE: u32 = 2 << 2;
pub(crate) const CSTS_READY: u32 = 1 << 0;
pub(crate) const CSTS_FATAL: u32 = 1 << 1;

/// Administrative commands.
pub(crate) mod admin {
    pub(crate) const CREATE_SQ: u8 = 0x01;
    pub(crate) const CREATE_CQ: u8 = 0x05;
    pub(crate) const IDENTIFY: u8 = 0x06;
    pub(crate) const SET_FEATURES: u8 = 0x09;
    /// What to identify.
    pub(crate) const CNS_NAMESPACE: u32 = 0;
    pub(crate) const CNS_CONTROLLER: u32 = 1;
    pub(crate) const CNS_ACTIVE: u32 = 2;
    /// The feature: how many queues.
    pub(crate) const NUM_QUEUES: u32 = 7;
}

/// Commands to a namespace.
pub(crate) mod io {
    pub(crate) const FLUSH: u8 = 0x00;
    pub(crate) const WRITE: u8 = 0x01;
    pub(crate) const READ: u8 = 0x02;
    pub(crate) const WRITE_ZEROES: u8 = 0x08;
    pub(crate) const DSM: u8 = 0x09;
    /// Word 12: on stable storage when done.
    pub(crate) const FUA: u32 = 1 << 30;
    /// Word 12 of write-zeroes: it may be given back.
    pub(crate) const DEAC: u32 = 1 << 25;
    /// Word 11 of DSM: the ranges are not needed.
    pub(crate) const DEALLOCATE: u32 = 1 << 2;
}

/// Optional commands of a controller (`ONCS`).
pub(crate) const ONCS_DSM: u16 = 1 << 2;
pub(crate) const ONCS_WRITE_ZEROES: u16 = 1 << 3;

/// A command: sixteen words.
pub(crate) type Command = [u32; 16];

/// An empty command. `cid` is put in when it gets a place.
pub(crate) fn command(opcode: u8, nsid: u32) -> Command {
    let mut words = [0; 16];
    let [first, second, ..] = &mut words;
    (*first, *second) = (opcode.into(), nsid);
    words
}

/// What a status (without its phase) means; `None`: success. As Linux maps it.
pub(crate) fn error_of(status: u16) -> Option<Error> {
    Some(match status & 0x7ff {
        0 => return None,
        // Capacity exceeded.
        0x081 => ENOSPC,
        // LBA out of range.
        0x080 => EREMOTEIO,
        // Unknown opcode, field, namespace, attributes.
        0x001 | 0x002 | 0x00b | 0x180 => EOPNOTSUPP,
        // Write fault, unrecovered read error, access denied, unwritten block, compare failure, read-only range.
        0x280 | 0x281 | 0x285 | 0x286 | 0x287 | 0x182 => ENODATA,
        // Guard, application tag, reference tag.
        0x282..=0x284 => EILSEQ,
        // Aborted by a reset.
        0x007 | 0x008 => ETIMEDOUT,
        _ => EIO,
    })
}
