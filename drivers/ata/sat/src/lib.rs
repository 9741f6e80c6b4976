// SPDX-License-Identifier: GPL-2.0
//! ATA as bytes, and SCSI commands as ATA ones: what a disk says of itself, commands as frames of a SATA link, and what the disk is to
//! look like to the middle layer of SCSI. Everything a device sends is taken as it comes.
//!
//! | file | what |
//! |---|---|
//! | `identify` | IDENTIFY DEVICE |
//! | `taskfile` | commands, and frames |
//! | `translate` | a SCSI command: ATA commands, or an answer that is made up here |
//! | `pass` | ATA commands that programs send |
//! | `answers` | answers that are made up |
//! | `error` | registers of a command that failed, as sense data |
//!
//! No locks. Source: ATA8-ACS, SATA 3.0, SAT-3 (T10, T13), and for texts and values Linux's libata.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod answers;
mod error;
mod identify;
mod pass;
mod taskfile;
#[cfg(test)]
mod tests;
mod translate;

pub use error::{Cause, failed_of_log, fixed_sense, sense_of};
pub use identify::{IDENTIFY_BYTES, Identity, identify};
pub use pass::{REGISTERS_SENSE, registers_sense};
pub use taskfile::{Protocol, Taskfile, frame};
pub use translate::{Action, MOST_REPLY, TRIM_BYTES, translate, trim_ranges};
