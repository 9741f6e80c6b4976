// SPDX-License-Identifier: GPL-2.0
//! ATA commands that programs send (ATA PASS-THROUGH, 12 and 16 bytes), and the registers that they get back in sense data.

use crate::error::{Cause, sense_of};
use crate::taskfile::{Protocol, Taskfile};
use scsi_proto::{key, opcode};

/// Bytes of sense data with registers.
pub const REGISTERS_SENSE: usize = 22;

/// The command, and whether its registers are wanted though it did not fail. `None`: a protocol that is not known, or fields that are
/// too few.
pub(crate) fn pass_through(b: &[u8]) -> Option<(Taskfile, bool)> {
    let at = |at: usize| b.get(at).copied().map(u64::from);
    let (flags, how) = (*b.get(1)?, *b.get(2)?);
    let long = b.first() == Some(&opcode::ATA_16);
    let (features, count, lba, device, command) = if long {
        let high = |at: usize| if flags & 1 != 0 { b.get(at).copied().map(u64::from) } else { Some(0) };
        let lba = at(8)? | at(10)? << 8 | at(12)? << 16 | high(7)? << 24 | high(9)? << 32 | high(11)? << 40;
        (at(4)? | high(3)? << 8, at(6)? | high(5)? << 8, lba, at(13)?, at(14)?)
    } else {
        (at(3)?, at(4)?, at(5)? | at(6)? << 8 | at(7)? << 16, at(8)?, at(9)?)
    };
    let (protocol, write) = match flags >> 1 & 0xf {
        3 => (Protocol::NonData, false),
        4 | 10 => (Protocol::Dma, false),
        5 | 11 => (Protocol::Dma, true),
        // Its direction is said.
        6 => (Protocol::Dma, how & 8 == 0),
        _ => return None,
    };
    let task = Taskfile {
        features: features as u16,
        lba,
        count: count as u16,
        // Which of two disks is none of the program's business.
        device: device as u8 & !0x10,
        protocol,
        write,
        ..Taskfile::new(command as u8)
    };
    Some((task, how & 0x20 != 0))
}

/// Sense data with the registers of a frame from the device (at least 14 bytes of it): what failed, or that they were wanted.
pub fn registers_sense(frame: &[u8; 20]) -> [u8; REGISTERS_SENSE] {
    let &[_, _, status, error, a, b, c, device, d, e, f, _, low, high, ..] = frame;
    let (key, asc, ascq): Cause = sense_of(status, error).unwrap_or((key::RECOVERED_ERROR, 0, 0x1d));
    [0x72, key, asc, ascq, 0, 0, 0, 14, 0x09, 0x0c, 1, error, high, low, d, a, e, b, f, c, device, status]
}
