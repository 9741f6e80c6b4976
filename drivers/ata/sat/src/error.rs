// SPDX-License-Identifier: GPL-2.0
//! Registers of a command that failed, as sense data.

use scsi_proto::key;

/// Status: error, device fault, data request, busy.
const ERR: u8 = 1;
const DF: u8 = 0x20;
const DRQ: u8 = 8;
const BSY: u8 = 0x80;

/// Sense key, additional code and qualifier.
pub type Cause = (u8, u8, u8);

/// What the status and error registers say of a command; `None`: it did not fail.
pub fn sense_of(status: u8, error: u8) -> Option<Cause> {
    if status & (ERR | DF | BSY | DRQ) == 0 {
        return None;
    }
    let bits: [(u8, Cause); 9] = [
        // Bits that come together first (`ata_to_sense_error`).
        (0xd1, (key::ABORTED_COMMAND, 0, 0)),
        (0xd0, (key::ABORTED_COMMAND, 0, 0)),
        (0x84, (key::ABORTED_COMMAND, 0x47, 0)),
        (0x40, (key::MEDIUM_ERROR, 0x11, 0x04)),
        (0x20, (key::UNIT_ATTENTION, 0x28, 0)),
        (0x10, (key::ILLEGAL_REQUEST, 0x21, 0)),
        (0x08, (key::NOT_READY, 0x04, 0)),
        (0x80, (key::MEDIUM_ERROR, 0x11, 0x04)),
        (0x04, (key::ABORTED_COMMAND, 0, 0)),
    ];
    if status & BSY == 0
        && let Some((_, cause)) = bits.iter().find(|(mask, _)| error & mask == *mask)
    {
        return Some(*cause);
    }
    Some(match status {
        _ if status & BSY != 0 => (key::ABORTED_COMMAND, 0x47, 0),
        _ if status & DF != 0 => (key::HARDWARE_ERROR, 0x44, 0),
        _ => (key::ABORTED_COMMAND, 0, 0),
    })
}

/// Sense data of the fixed kind.
pub fn fixed_sense((key, asc, ascq): Cause) -> [u8; 18] {
    [0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0]
}

/// The log of queued commands: the tag of that which failed, its status and error registers. `None` if it tells of none, or is damaged.
pub fn failed_of_log(page: &[u8]) -> Option<(u8, u8, u8)> {
    let page = page.get(..512)?;
    let sum = page.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    let [first, _, status, error, ..] = page else { return None };
    // Bit 7: it was no queued command.
    (sum == 0 && first & 0x80 == 0).then_some((first & 0x1f, *status, *error))
}
