// SPDX-License-Identifier: GPL-2.0
//! Which commands a program may send that has a unit open but no `CAP_SYS_RAWIO`: what reads, and with the unit open for writing, what
//! writes. The lists are Linux's (`drivers/scsi/scsi_ioctl.c`).

use scsi_proto::opcode::*;

/// Whether a program without privileges may send `opcode`; `write`: it has the unit open for writing.
pub(crate) fn is_allowed(opcode: u8, write: bool) -> bool {
    reads(opcode) || write && writes(opcode)
}

fn reads(opcode: u8) -> bool {
    matches!(
        opcode,
        TEST_UNIT_READY
            | REQUEST_SENSE
            | READ_6
            | READ_10
            | READ_12
            | READ_16
            | READ_BUFFER
            | READ_DEFECT_DATA
            | READ_CAPACITY_10
            | READ_LONG
            | INQUIRY
            | MODE_SENSE
            | MODE_SENSE_10
            | LOG_SENSE
            | START_STOP
            | GPCMD_VERIFY_10
            | VERIFY_16
            | REPORT_LUNS
            | SERVICE_ACTION_IN_16
            | RECEIVE_DIAGNOSTIC
            | MAINTENANCE_IN
            | GPCMD_READ_BUFFER_CAPACITY
            | GPCMD_PLAY_CD
            | GPCMD_PLAY_AUDIO_10
            | GPCMD_PLAY_AUDIO_MSF
            | GPCMD_PLAY_AUDIO_TI
            | GPCMD_PAUSE_RESUME
            | GPCMD_READ_CD
            | GPCMD_READ_CD_MSF
            | GPCMD_READ_DISC_INFO
            | GPCMD_READ_DVD_STRUCTURE
            | GPCMD_READ_HEADER
            | GPCMD_READ_TRACK_RZONE_INFO
            | GPCMD_READ_SUBCHANNEL
            | GPCMD_READ_TOC_PMA_ATIP
            | GPCMD_REPORT_KEY
            | GPCMD_SCAN
            | GPCMD_GET_CONFIGURATION
            | GPCMD_READ_FORMAT_CAPACITIES
            | GPCMD_GET_EVENT_STATUS_NOTIFICATION
            | GPCMD_GET_PERFORMANCE
            | GPCMD_SEEK
            | GPCMD_STOP_PLAY_SCAN
            | ZBC_IN
    )
}

fn writes(opcode: u8) -> bool {
    matches!(
        opcode,
        WRITE_6
            | WRITE_10
            | WRITE_VERIFY
            | WRITE_12
            | WRITE_VERIFY_12
            | WRITE_16
            | WRITE_LONG
            | WRITE_LONG_2
            | WRITE_SAME_10
            | WRITE_SAME_16
            | WRITE_SAME_32
            | ERASE
            | MODE_SELECT
            | LOG_SELECT
            | MODE_SELECT_10
            | GPCMD_BLANK
            | GPCMD_CLOSE_TRACK
            | GPCMD_FORMAT_UNIT
            | GPCMD_REPAIR_RZONE_TRACK
            | GPCMD_RESERVE_RZONE_TRACK
            | GPCMD_SEND_DVD_STRUCTURE
            | GPCMD_SEND_EVENT
            | GPCMD_SEND_OPC
            | GPCMD_SEND_CUE_SHEET
            | GPCMD_SET_SPEED
            | GPCMD_PREVENT_ALLOW_MEDIUM_REMOVAL
            | GPCMD_LOAD_UNLOAD
            | GPCMD_SET_STREAMING
            | GPCMD_SET_READ_AHEAD
            | SYNCHRONIZE_CACHE_10
            | SYNCHRONIZE_CACHE_16
            | UNMAP
            | ZBC_OUT
    )
}
