// SPDX-License-Identifier: GPL-2.0
//! Sense data, and what becomes of a command: done, tried again, or an errno. The errno are those of Linux's block layer for the same
//! answer: EREMOTEIO for what the device does not take, ENODATA for a bad medium, ENOSPC, EIO.

use errno::{Error, code::*};

/// Bytes of sense data that are kept (`SCSI_SENSE_BUFFERSIZE`).
pub const SENSE_BYTES: usize = 96;

/// Statuses of a command.
#[expect(missing_docs, reason = "they are the standard's names")]
pub mod status {
    pub const GOOD: u8 = 0x00;
    pub const CHECK_CONDITION: u8 = 0x02;
    pub const CONDITION_MET: u8 = 0x04;
    pub const BUSY: u8 = 0x08;
    pub const RESERVATION_CONFLICT: u8 = 0x18;
    pub const TASK_SET_FULL: u8 = 0x28;
    pub const ACA_ACTIVE: u8 = 0x30;
    pub const TASK_ABORTED: u8 = 0x40;
}

/// Sense keys.
#[expect(missing_docs, reason = "they are the standard's names")]
pub mod key {
    pub const NO_SENSE: u8 = 0x0;
    pub const RECOVERED_ERROR: u8 = 0x1;
    pub const NOT_READY: u8 = 0x2;
    pub const MEDIUM_ERROR: u8 = 0x3;
    pub const HARDWARE_ERROR: u8 = 0x4;
    pub const ILLEGAL_REQUEST: u8 = 0x5;
    pub const UNIT_ATTENTION: u8 = 0x6;
    pub const DATA_PROTECT: u8 = 0x7;
    pub const BLANK_CHECK: u8 = 0x8;
    pub const COPY_ABORTED: u8 = 0xa;
    pub const ABORTED_COMMAND: u8 = 0xb;
    pub const VOLUME_OVERFLOW: u8 = 0xd;
    pub const MISCOMPARE: u8 = 0xe;
}

/// Sense data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sense {
    /// Sense key.
    pub key: u8,
    /// Additional sense code.
    pub asc: u8,
    /// Its qualifier.
    pub ascq: u8,
    /// It is about an earlier command.
    pub deferred: bool,
}

/// Takes sense data apart; `None` if it is none.
pub fn sense(bytes: &[u8]) -> Option<Sense> {
    let code = bytes.first()? & 0x7f;
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let (key, asc, ascq) = match code {
        0x70 | 0x71 => (byte(2), byte(12), byte(13)),
        0x72 | 0x73 => (byte(1), byte(2), byte(3)),
        _ => return None,
    };
    Some(Sense { key: key & 0xf, asc, ascq, deferred: code & 1 != 0 })
}

/// What becomes of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is sent again, a few times at most; then it has failed with EIO.
    Retry,
    /// It is sent again after a while, as long as its time allows: it was not begun.
    Later,
    /// It has failed.
    Failed(Error),
}

/// What becomes of a command with this status and sense data.
pub fn outcome(status: u8, sense: Option<Sense>) -> Outcome {
    match status {
        status::GOOD | status::CONDITION_MET => Outcome::Done,
        status::BUSY | status::TASK_SET_FULL | status::ACA_ACTIVE => Outcome::Later,
        status::TASK_ABORTED => Outcome::Retry,
        status::RESERVATION_CONFLICT => Outcome::Failed(EBADE),
        // A device that says "look" and shows nothing.
        status::CHECK_CONDITION => sense.map_or(Outcome::Retry, of_sense),
        _ => Outcome::Failed(EIO),
    }
}

fn of_sense(sense: Sense) -> Outcome {
    let Sense { key, asc, ascq, deferred } = sense;
    if deferred {
        // Of an earlier command: this one was not done.
        return Outcome::Retry;
    }
    match (key, asc, ascq) {
        (key::NO_SENSE | key::RECOVERED_ERROR, ..) => Outcome::Done,
        // Protection information that does not fit.
        (key::ABORTED_COMMAND | key::ILLEGAL_REQUEST, 0x10, _) => Outcome::Failed(EILSEQ),
        (key::ABORTED_COMMAND | key::UNIT_ATTENTION, ..) => Outcome::Retry,
        // Becoming ready, formatting, and so on.
        (key::NOT_READY, 0x04, 0x01 | 0x04..=0x09 | 0x14 | 0x1a..=0x1d | 0x24) => Outcome::Later,
        (key::NOT_READY, ..) => Outcome::Failed(EIO),
        (key::MEDIUM_ERROR, 0x11 | 0x13 | 0x14, _) => Outcome::Failed(ENODATA),
        (key::MEDIUM_ERROR, ..) => Outcome::Retry,
        (key::DATA_PROTECT, 0x27, 0x07) => Outcome::Failed(ENOSPC),
        (key::DATA_PROTECT, ..) => Outcome::Failed(EIO),
        (key::ILLEGAL_REQUEST, 0x20 | 0x21 | 0x22 | 0x24 | 0x26 | 0x27, _) => Outcome::Failed(EREMOTEIO),
        (key::ILLEGAL_REQUEST, ..) => Outcome::Failed(EIO),
        (key::HARDWARE_ERROR | key::COPY_ABORTED | key::VOLUME_OVERFLOW | key::MISCOMPARE | key::BLANK_CHECK, ..) => {
            Outcome::Failed(EREMOTEIO)
        }
        _ => Outcome::Failed(EIO),
    }
}
