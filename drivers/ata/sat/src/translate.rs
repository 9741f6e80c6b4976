// SPDX-License-Identifier: GPL-2.0
//! A SCSI command for an ATA disk: one ATA command, or an answer that is made up here.

use crate::answers;
use crate::error::Cause;
use crate::identify::Identity;
use crate::taskfile::{Protocol, Taskfile};
use scsi_proto::{Cdb, Transfer, key, opcode};

/// Bytes of the longest answer that is made up.
pub const MOST_REPLY: usize = 256;
/// Bytes of a list of ranges to trim.
pub const TRIM_BYTES: usize = 512;
/// Ranges in it, and sectors of each.
const TRIM_RANGES: u64 = 64;
const TRIM_MOST: u64 = 65535;

/// Sectors that one command can trim.
pub(crate) const TRIM_SECTORS: u64 = TRIM_RANGES * TRIM_MOST;

/// What becomes of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It is this ATA command, with the same data.
    Command(Taskfile),
    /// It is this one, sent by a program; whether its registers are wanted though it does not fail.
    Pass(Taskfile, bool),
    /// It is DATA SET MANAGEMENT: sectors to trim, from where, how many.
    Trim(u64, u64),
    /// It is done: so many bytes of the buffer are the answer.
    Reply(usize),
    /// It cannot be done.
    Refused(Cause),
}

/// `INVALID FIELD IN CDB`.
const INVALID_FIELD: Cause = (key::ILLEGAL_REQUEST, 0x24, 0);
const INVALID_CODE: Cause = (key::ILLEGAL_REQUEST, 0x20, 0);
const OUT_OF_RANGE: Cause = (key::ILLEGAL_REQUEST, 0x21, 0);

/// Translates `cdb`. `ncq`: the adapter queues commands; `out` gets an answer that is made up.
pub fn translate(cdb: &Cdb, disk: &Identity, ncq: bool, out: &mut [u8; MOST_REPLY]) -> Action {
    if let Some(transfer) = cdb.as_transfer() {
        return move_blocks(&transfer, disk, ncq);
    }
    let b = cdb.bytes();
    let flag = |at: usize, mask: u8| b.get(at).is_some_and(|byte| byte & mask != 0);
    out.fill(0);
    match cdb.opcode() {
        opcode::TEST_UNIT_READY | opcode::PREVENT_ALLOW => Action::Reply(0),
        opcode::REQUEST_SENSE => answers::put(out, &crate::error::fixed_sense((0, 0, 0))),
        opcode::INQUIRY if flag(1, 1) => match answers::page(disk, b.get(2).copied().unwrap_or(0), out) {
            Some(len) => Action::Reply(len),
            None => Action::Refused(INVALID_FIELD),
        },
        opcode::INQUIRY if b.get(2) == Some(&0) => Action::Reply(answers::inquiry(disk, out)),
        opcode::READ_CAPACITY_10 => Action::Reply(answers::capacity_10(disk, out)),
        opcode::SERVICE_ACTION_IN_16 if b.get(1).is_some_and(|action| action & 0x1f == 0x10) => {
            Action::Reply(answers::capacity_16(disk, out))
        }
        opcode::MODE_SENSE | opcode::MODE_SENSE_10 => match answers::mode_sense(disk, b, out) {
            Some(len) => Action::Reply(len),
            None => Action::Refused(INVALID_FIELD),
        },
        opcode::REPORT_LUNS => answers::put(out, &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        opcode::SYNCHRONIZE_CACHE_10 | opcode::SYNCHRONIZE_CACHE_16 => match (disk.flush_long, disk.flush) {
            (true, _) => Action::Command(Taskfile { device: 0x40, ..Taskfile::new(0xea) }),
            (false, true) => Action::Command(Taskfile::new(0xe7)),
            (false, false) => Action::Reply(0),
        },
        // Bit 0 starts, 1 loads or ejects (a disk does neither); power conditions are not known.
        opcode::START_STOP if flag(4, 0xf2) => Action::Refused(INVALID_FIELD),
        opcode::START_STOP if flag(4, 1) => {
            Action::Command(Taskfile { count: 1, device: 0x40, ..Taskfile::new(if disk.long { 0x42 } else { 0x40 }) })
        }
        opcode::START_STOP => Action::Command(Taskfile::new(0xe0)),
        opcode::VERIFY_10 | opcode::VERIFY_16 => verify(cdb, disk),
        opcode::ATA_16 | opcode::ATA_12 => match crate::pass::pass_through(b) {
            Some((task, wanted)) => Action::Pass(task, wanted),
            None => Action::Refused(INVALID_FIELD),
        },
        opcode::WRITE_SAME_16 => write_same(cdb, disk),
        _ => Action::Refused(INVALID_CODE),
    }
}

/// Whether the blocks are on the disk.
fn is_inside(lba: u64, blocks: u64, disk: &Identity) -> bool {
    lba.checked_add(blocks).is_some_and(|end| end <= disk.blocks)
}

fn move_blocks(transfer: &Transfer, disk: &Identity, ncq: bool) -> Action {
    let &Transfer { write, lba, blocks, fua } = transfer;
    if blocks == 0 {
        return Action::Reply(0);
    }
    if !is_inside(lba, blocks.into(), disk) {
        return Action::Refused(OUT_OF_RANGE);
    }
    // 0 stands for the most.
    let (Ok(count), true) = (u16::try_from(blocks & 0xffff), blocks <= 0x10000) else {
        return Action::Refused(INVALID_FIELD);
    };
    let dma = |command| Taskfile {
        command,
        lba,
        count,
        device: 0x40,
        protocol: Protocol::Dma,
        write,
        ..Taskfile::new(command)
    };
    if ncq && disk.queue > 1 {
        let device = 0x40 | if fua && write { 0x80 } else { 0 };
        let command = if write { 0x61 } else { 0x60 };
        return Action::Command(Taskfile { features: count, device, protocol: Protocol::Ncq, ..dma(command) });
    }
    if disk.long {
        let command = match (write, fua && disk.fua) {
            (false, _) => 0x25,
            (true, false) => 0x35,
            (true, true) => 0x3d,
        };
        return Action::Command(dma(command));
    }
    if lba + u64::from(blocks) > 1 << 28 || blocks > 256 {
        return Action::Refused(OUT_OF_RANGE);
    }
    let device = 0x40 | (lba >> 24) as u8 & 0xf;
    let short = Taskfile { lba: lba & 0xff_ffff, count: count & 0xff, device, ..dma(if write { 0xca } else { 0xc8 }) };
    Action::Command(short)
}

/// Place and length of a 10- or 16-byte command without data.
fn range(cdb: &Cdb) -> Option<(u64, u64)> {
    let b = cdb.bytes();
    Some(if cdb.opcode() & 0xe0 == 0x80 {
        (u64::from_be_bytes(*b.get(2..)?.first_chunk()?), u32::from_be_bytes(*b.get(10..)?.first_chunk()?).into())
    } else {
        (u32::from_be_bytes(*b.get(2..)?.first_chunk()?).into(), u16::from_be_bytes(*b.get(7..)?.first_chunk()?).into())
    })
}

fn verify(cdb: &Cdb, disk: &Identity) -> Action {
    let Some((lba, blocks)) = range(cdb) else { return Action::Refused(INVALID_FIELD) };
    if blocks == 0 {
        return Action::Reply(0);
    }
    if !is_inside(lba, blocks, disk) {
        return Action::Refused(OUT_OF_RANGE);
    }
    if !disk.long || blocks > 0x10000 {
        return Action::Refused(INVALID_FIELD);
    }
    Action::Command(Taskfile { lba, count: blocks as u16, device: 0x40, ..Taskfile::new(0x42) })
}

/// WRITE SAME with its UNMAP bit is a trim; without it there is no such command.
fn write_same(cdb: &Cdb, disk: &Identity) -> Action {
    let Some((lba, blocks)) = range(cdb) else { return Action::Refused(INVALID_FIELD) };
    let unmap = cdb.bytes().get(1).is_some_and(|flags| flags & 8 != 0);
    if !disk.trim || !unmap || blocks == 0 || blocks > TRIM_SECTORS {
        return Action::Refused(INVALID_FIELD);
    }
    if !is_inside(lba, blocks, disk) {
        return Action::Refused(OUT_OF_RANGE);
    }
    Action::Trim(lba, blocks)
}

/// The list of ranges of a trim: words of address (48 bits) and length.
pub fn trim_ranges(lba: u64, blocks: u64) -> [u8; TRIM_BYTES] {
    let mut list = [0; TRIM_BYTES];
    let (mut at, mut left) = (lba, blocks);
    for place in list.chunks_exact_mut(8) {
        let count = left.min(TRIM_MOST);
        if count == 0 {
            break;
        }
        place.copy_from_slice(&(at & 0xffff_ffff_ffff | count << 48).to_le_bytes());
        at = at.wrapping_add(count);
        left -= count;
    }
    list
}

impl Taskfile {
    /// DATA SET MANAGEMENT: trim, with one block of ranges.
    pub const fn trim() -> Self {
        Self { features: 1, device: 0x40, write: true, ..Self::read(0x06, 1) }
    }
}
