// SPDX-License-Identifier: GPL-2.0
//! Commands (command descriptor blocks).

/// Bytes of the longest command.
pub const MAX_CDB: usize = 32;

/// Operation codes.
#[expect(missing_docs, reason = "they are the standard's names")]
pub mod opcode {
    pub const TEST_UNIT_READY: u8 = 0x00;
    pub const REQUEST_SENSE: u8 = 0x03;
    pub const FORMAT_UNIT: u8 = 0x04;
    pub const READ_6: u8 = 0x08;
    pub const WRITE_6: u8 = 0x0a;
    pub const INQUIRY: u8 = 0x12;
    pub const MODE_SELECT: u8 = 0x15;
    pub const ERASE: u8 = 0x19;
    pub const MODE_SENSE: u8 = 0x1a;
    pub const START_STOP: u8 = 0x1b;
    pub const RECEIVE_DIAGNOSTIC: u8 = 0x1c;
    pub const PREVENT_ALLOW: u8 = 0x1e;
    pub const READ_CAPACITY_10: u8 = 0x25;
    pub const READ_10: u8 = 0x28;
    pub const WRITE_10: u8 = 0x2a;
    pub const WRITE_VERIFY: u8 = 0x2e;
    pub const VERIFY_10: u8 = 0x2f;
    pub const SYNCHRONIZE_CACHE_10: u8 = 0x35;
    pub const READ_DEFECT_DATA: u8 = 0x37;
    pub const READ_BUFFER: u8 = 0x3c;
    pub const READ_LONG: u8 = 0x3e;
    pub const WRITE_LONG: u8 = 0x3f;
    pub const WRITE_SAME_10: u8 = 0x41;
    pub const UNMAP: u8 = 0x42;
    pub const LOG_SELECT: u8 = 0x4c;
    pub const LOG_SENSE: u8 = 0x4d;
    pub const MODE_SELECT_10: u8 = 0x55;
    pub const MODE_SENSE_10: u8 = 0x5a;
    pub const WRITE_SAME_32: u8 = 0x0d;
    pub const ATA_16: u8 = 0x85;
    pub const READ_16: u8 = 0x88;
    pub const WRITE_16: u8 = 0x8a;
    pub const VERIFY_16: u8 = 0x8f;
    pub const SYNCHRONIZE_CACHE_16: u8 = 0x91;
    pub const WRITE_SAME_16: u8 = 0x93;
    pub const ZBC_OUT: u8 = 0x94;
    pub const ZBC_IN: u8 = 0x95;
    pub const SERVICE_ACTION_IN_16: u8 = 0x9e;
    pub const REPORT_LUNS: u8 = 0xa0;
    pub const ATA_12: u8 = 0xa1;
    pub const MAINTENANCE_IN: u8 = 0xa3;
    pub const READ_12: u8 = 0xa8;
    pub const WRITE_12: u8 = 0xaa;
    pub const WRITE_VERIFY_12: u8 = 0xae;
    pub const WRITE_LONG_2: u8 = 0xea;
    pub const GPCMD_BLANK: u8 = 0xa1;
    pub const GPCMD_CLOSE_TRACK: u8 = 0x5b;
    pub const GPCMD_FORMAT_UNIT: u8 = 0x04;
    pub const GPCMD_GET_CONFIGURATION: u8 = 0x46;
    pub const GPCMD_GET_EVENT_STATUS_NOTIFICATION: u8 = 0x4a;
    pub const GPCMD_GET_PERFORMANCE: u8 = 0xac;
    pub const GPCMD_LOAD_UNLOAD: u8 = 0xa6;
    pub const GPCMD_PAUSE_RESUME: u8 = 0x4b;
    pub const GPCMD_PLAY_AUDIO_10: u8 = 0x45;
    pub const GPCMD_PLAY_AUDIO_MSF: u8 = 0x47;
    pub const GPCMD_PLAY_AUDIO_TI: u8 = 0x48;
    pub const GPCMD_PLAY_CD: u8 = 0xbc;
    pub const GPCMD_PREVENT_ALLOW_MEDIUM_REMOVAL: u8 = 0x1e;
    pub const GPCMD_READ_BUFFER_CAPACITY: u8 = 0x5c;
    pub const GPCMD_READ_CD: u8 = 0xbe;
    pub const GPCMD_READ_CD_MSF: u8 = 0xb9;
    pub const GPCMD_READ_DISC_INFO: u8 = 0x51;
    pub const GPCMD_READ_DVD_STRUCTURE: u8 = 0xad;
    pub const GPCMD_READ_FORMAT_CAPACITIES: u8 = 0x23;
    pub const GPCMD_READ_HEADER: u8 = 0x44;
    pub const GPCMD_READ_SUBCHANNEL: u8 = 0x42;
    pub const GPCMD_READ_TOC_PMA_ATIP: u8 = 0x43;
    pub const GPCMD_READ_TRACK_RZONE_INFO: u8 = 0x52;
    pub const GPCMD_REPAIR_RZONE_TRACK: u8 = 0x58;
    pub const GPCMD_REPORT_KEY: u8 = 0xa4;
    pub const GPCMD_RESERVE_RZONE_TRACK: u8 = 0x53;
    pub const GPCMD_SCAN: u8 = 0xba;
    pub const GPCMD_SEEK: u8 = 0x2b;
    pub const GPCMD_SEND_CUE_SHEET: u8 = 0x5d;
    pub const GPCMD_SEND_DVD_STRUCTURE: u8 = 0xbf;
    pub const GPCMD_SEND_EVENT: u8 = 0xa2;
    pub const GPCMD_SEND_OPC: u8 = 0x54;
    pub const GPCMD_SET_READ_AHEAD: u8 = 0xa7;
    pub const GPCMD_SET_SPEED: u8 = 0xbb;
    pub const GPCMD_SET_STREAMING: u8 = 0xb6;
    pub const GPCMD_STOP_PLAY_SCAN: u8 = 0x4e;
    pub const GPCMD_VERIFY_10: u8 = 0x2f;
}

/// A command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cdb {
    bytes: [u8; MAX_CDB],
    len: u8,
}

/// A read or a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// It is a write.
    pub write: bool,
    /// First block.
    pub lba: u64,
    /// Blocks.
    pub blocks: u32,
    /// On stable storage when it is done.
    pub fua: bool,
}

impl Cdb {
    /// A command of these bytes; `None` for none or too many.
    pub fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_CDB];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        (!from.is_empty()).then_some(Self { bytes, len: from.len() as u8 })
    }

    const fn of<const N: usize>(from: [u8; N]) -> Self {
        let mut bytes = [0; MAX_CDB];
        let (head, _) = bytes.split_at_mut(N);
        head.copy_from_slice(&from);
        Self { bytes, len: N as u8 }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Its operation code.
    pub fn opcode(&self) -> u8 {
        let [first, ..] = self.bytes;
        first
    }

    /// `TEST UNIT READY`.
    pub const fn test_unit_ready() -> Self {
        Self::of([opcode::TEST_UNIT_READY, 0, 0, 0, 0, 0])
    }

    /// `INQUIRY` of `len` bytes, of a page of vital product data if one is named.
    pub const fn inquiry(page: Option<u8>, len: u16) -> Self {
        let (vpd, page) = match page {
            Some(page) => (1, page),
            None => (0, 0),
        };
        let [high, low] = len.to_be_bytes();
        Self::of([opcode::INQUIRY, vpd, page, high, low, 0])
    }

    /// `REPORT LUNS` of `len` bytes.
    pub const fn report_luns(len: u32) -> Self {
        let [a, b, c, d] = len.to_be_bytes();
        Self::of([opcode::REPORT_LUNS, 0, 0, 0, 0, 0, a, b, c, d, 0, 0])
    }

    /// `READ CAPACITY (10)`: eight bytes.
    pub const fn read_capacity_10() -> Self {
        Self::of([opcode::READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// `READ CAPACITY (16)`: 32 bytes.
    pub const fn read_capacity_16() -> Self {
        Self::of([opcode::SERVICE_ACTION_IN_16, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0])
    }

    /// `MODE SENSE (6)` of `len` bytes of `page`, without block descriptors.
    pub const fn mode_sense(page: u8, len: u8) -> Self {
        Self::of([opcode::MODE_SENSE, 8, page, 0, len, 0])
    }

    /// `SYNCHRONIZE CACHE (10)` of everything.
    pub const fn synchronize_cache() -> Self {
        Self::of([opcode::SYNCHRONIZE_CACHE_10, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// `MODE SELECT (6)` of `len` bytes.
    pub const fn mode_select(len: u8) -> Self {
        Self::of([opcode::MODE_SELECT, 0x10, 0, 0, len, 0])
    }

    /// `START STOP UNIT`: spins up or down; `medium`: loads or ejects it.
    pub const fn start_stop(start: bool, medium: bool) -> Self {
        let what = (if start { 1 } else { 0 }) | (if medium { 2 } else { 0 });
        Self::of([opcode::START_STOP, 0, 0, 0, what, 0])
    }

    /// `PREVENT ALLOW MEDIUM REMOVAL`.
    pub const fn prevent_removal(prevent: bool) -> Self {
        Self::of([opcode::PREVENT_ALLOW, 0, 0, 0, if prevent { 1 } else { 0 }, 0])
    }

    /// `READ TOC/PMA/ATIP` of `len` bytes; `msf`: times in place of addresses.
    pub const fn read_toc(format: u8, msf: bool, track: u8, len: u16) -> Self {
        let [high, low] = len.to_be_bytes();
        Self::of([0x43, if msf { 2 } else { 0 }, format, 0, 0, 0, track, high, low, 0])
    }

    /// `GET EVENT STATUS NOTIFICATION`, of media, at once: eight bytes.
    pub const fn media_event() -> Self {
        Self::of([0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0])
    }

    /// `MODE SENSE (10)` of `len` bytes of `page`.
    pub const fn mode_sense_10(page: u8, len: u16) -> Self {
        let [high, low] = len.to_be_bytes();
        Self::of([opcode::MODE_SENSE_10, 0, page, 0, 0, 0, 0, high, low, 0])
    }

    /// `REPORT SUPPORTED OPERATION CODES` of one code: `len` bytes.
    pub const fn report_opcode(code: u8, len: u32) -> Self {
        let [a, b, c, d] = len.to_be_bytes();
        Self::of([opcode::MAINTENANCE_IN, 0x0c, 1, code, 0, 0, a, b, c, d, 0, 0])
    }

    /// `READ` or `WRITE`, with 10 bytes if it fits there and `long` does not say otherwise, else 16.
    pub fn transfer(transfer: Transfer, long: bool) -> Self {
        let Transfer { write, lba, blocks, fua } = transfer;
        let flags = if fua { 8 } else { 0 };
        if let (Ok(lba), Ok(blocks), false) = (u32::try_from(lba), u16::try_from(blocks), long) {
            let ([a, b, c, d], [high, low]) = (lba.to_be_bytes(), blocks.to_be_bytes());
            let code = if write { opcode::WRITE_10 } else { opcode::READ_10 };
            return Self::of([code, flags, a, b, c, d, 0, high, low, 0]);
        }
        let code = if write { opcode::WRITE_16 } else { opcode::READ_16 };
        Self::long(code, flags, lba, blocks)
    }

    /// `WRITE SAME (16)`; `unmap`: the blocks may be given back.
    pub fn write_same_16(lba: u64, blocks: u32, unmap: bool) -> Self {
        Self::long(opcode::WRITE_SAME_16, if unmap { 8 } else { 0 }, lba, blocks)
    }

    /// `WRITE SAME (10)`. `None` if the range does not fit.
    pub fn write_same_10(lba: u64, blocks: u32, unmap: bool) -> Option<Self> {
        let ([a, b, c, d], [high, low]) =
            (u32::try_from(lba).ok()?.to_be_bytes(), u16::try_from(blocks).ok()?.to_be_bytes());
        Some(Self::of([opcode::WRITE_SAME_10, if unmap { 8 } else { 0 }, a, b, c, d, 0, high, low, 0]))
    }

    /// `UNMAP` of the one range in a parameter list of 24 bytes.
    pub const fn unmap() -> Self {
        Self::of([opcode::UNMAP, 0, 0, 0, 0, 0, 0, 0, 24, 0])
    }

    /// The parameter list for [`Self::unmap`].
    pub fn unmap_list(lba: u64, blocks: u32) -> [u8; 24] {
        let mut list = [0; 24];
        let (lengths, range) = list.split_at_mut(8);
        lengths.copy_from_slice(&[0, 22, 0, 16, 0, 0, 0, 0]);
        let (first, rest) = range.split_at_mut(8);
        first.copy_from_slice(&lba.to_be_bytes());
        for (to, byte) in rest.iter_mut().zip(blocks.to_be_bytes()) {
            *to = byte;
        }
        list
    }

    fn long(code: u8, flags: u8, lba: u64, blocks: u32) -> Self {
        let [a, b, c, d, e, f, g, h] = lba.to_be_bytes();
        let [i, j, k, l] = blocks.to_be_bytes();
        Self::of([code, flags, a, b, c, d, e, f, g, h, i, j, k, l, 0, 0])
    }

    /// A command that reads or writes blocks, taken apart; `None` for another one.
    pub fn as_transfer(&self) -> Option<Transfer> {
        use crate::{be16, be32, be64};
        let (b, code) = (self.bytes(), self.opcode());
        let write = matches!(code, opcode::WRITE_6 | opcode::WRITE_10 | opcode::WRITE_12 | opcode::WRITE_16);
        let fua = b.get(1)? & 8 != 0;
        let (lba, blocks, fua) = match code {
            opcode::READ_6 | opcode::WRITE_6 => {
                let count = u32::from(*b.get(4)?);
                (u64::from(be32(b, 0)? & 0x1f_ffff), if count == 0 { 256 } else { count }, false)
            }
            opcode::READ_10 | opcode::WRITE_10 => (be32(b, 2)?.into(), be16(b, 7)?.into(), fua),
            opcode::READ_12 | opcode::WRITE_12 => (be32(b, 2)?.into(), be32(b, 6)?, fua),
            opcode::READ_16 | opcode::WRITE_16 => (be64(b, 2)?, be32(b, 10)?, fua),
            _ => return None,
        };
        Some(Transfer { write, lba, blocks, fua })
    }
}
