// SPDX-License-Identifier: GPL-2.0
//! SCSI adapters: the middle layer's types, and SCSI as bytes (`proto`).

pub use ::scsi::*;
pub use ::scsi_proto as proto;
