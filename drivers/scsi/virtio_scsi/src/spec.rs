// SPDX-License-Identifier: GPL-2.0
//! Layouts and numbers of the device.

use scsi::HostStatus;

/// Feature bits.
pub(crate) mod feature {
    pub(crate) const HOTPLUG: u64 = 1 << 1;
    pub(crate) const CHANGE: u64 = 1 << 2;
}

/// Offsets of configuration.
pub(crate) mod config {
    pub(crate) const NUM_QUEUES: usize = 0;
    pub(crate) const SEG_MAX: usize = 4;
    pub(crate) const MAX_SECTORS: usize = 8;
    pub(crate) const CMD_PER_LUN: usize = 12;
    pub(crate) const MAX_TARGET: usize = 30;
    pub(crate) const MAX_LUN: usize = 32;
}

/// Queues: control, events, then those for commands.
pub(crate) const CONTROL: u16 = 0;
pub(crate) const EVENTS: u16 = 1;
pub(crate) const FIRST: u16 = 2;

/// Bytes of a command (as long as `cdb_size` is the default, which nobody changes).
pub(crate) const REQUEST: u32 = 51;
/// Bytes of an answer, with 96 of sense data.
pub(crate) const RESPONSE: u32 = 108;

/// Task management.
pub(crate) const TMF: u32 = 0;
pub(crate) const TMF_ABORT_TASK: u32 = 0;
pub(crate) const TMF_LUN_RESET: u32 = 5;

/// Answers.
const OK: u8 = 0;
const OVERRUN: u8 = 1;
const ABORTED: u8 = 2;
const BAD_TARGET: u8 = 3;
const RESET: u8 = 4;
const BUSY: u8 = 5;
const TRANSPORT_FAILURE: u8 = 6;
const TARGET_FAILURE: u8 = 7;
const NEXUS_FAILURE: u8 = 8;
pub(crate) const FUNCTION_SUCCEEDED: u8 = 10;

/// Reports.
pub(crate) const T_TRANSPORT_RESET: u32 = 1;
pub(crate) const T_PARAM_CHANGE: u32 = 3;
pub(crate) const T_MISSED: u32 = 1 << 31;
pub(crate) const RESET_RESCAN: u32 = 1;
pub(crate) const RESET_REMOVED: u32 = 2;

/// What a command's answer means to the middle layer.
pub(crate) fn host_status(response: u8) -> HostStatus {
    match response {
        OK => HostStatus::Ok,
        OVERRUN => HostStatus::Error,
        ABORTED => HostStatus::Abort,
        BAD_TARGET => HostStatus::BadTarget,
        RESET => HostStatus::Reset,
        BUSY | TRANSPORT_FAILURE => HostStatus::Busy,
        TARGET_FAILURE => HostStatus::TargetFailure,
        NEXUS_FAILURE => HostStatus::NexusFailure,
        _ => HostStatus::Error,
    }
}

/// The eight bytes of an address: one level, the number of the unit flat.
pub(crate) fn address(target: u32, lun: u64) -> [u8; 8] {
    [1, target as u8, (lun >> 8) as u8 & 0x3f | 0x40, lun as u8, 0, 0, 0, 0]
}

/// Target and unit of an address; `None` if it is of another kind.
pub(crate) fn place(address: [u8; 8]) -> Option<(u32, u64)> {
    let [kind, target, high, low, ..] = address;
    (kind == 1).then(|| (target.into(), u64::from(high & 0x3f) << 8 | u64::from(low)))
}
