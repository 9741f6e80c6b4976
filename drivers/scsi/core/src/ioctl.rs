// SPDX-License-Identifier: GPL-2.0
//! `SG_IO` and its relatives on the nodes of disks and CDs. Source: `scsi/sg.h`, `scsi/scsi_ioctl.h` of the UAPI headers.

use crate::command::{Data, Direction};
use crate::execute::{Answer, Call};
use crate::filter;
use crate::unit::{State, Unit};
use core::sync::atomic::Ordering::Relaxed;
use cred::{CAP_SYS_RAWIO, capable};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use kernel::hardware::{cred, ktime, mm_alloc, uaccess};
use mm_alloc::dma::DmaBuffer;
use scsi_proto::{Cdb, opcode};
use uaccess::{copy_from_user, copy_to_user, get_user, put_user};

const SCSI_IOCTL_TEST_UNIT_READY: u32 = 2;
const SCSI_IOCTL_START_UNIT: u32 = 5;
const SCSI_IOCTL_STOP_UNIT: u32 = 6;
const SCSI_IOCTL_GET_IDLUN: u32 = 0x5382;
const SCSI_IOCTL_DOORLOCK: u32 = 0x5380;
const SCSI_IOCTL_DOORUNLOCK: u32 = 0x5381;
const SCSI_IOCTL_GET_BUS_NUMBER: u32 = 0x5386;
const SG_SET_TIMEOUT: u32 = 0x2201;
const SG_GET_TIMEOUT: u32 = 0x2202;
const SG_EMULATED_HOST: u32 = 0x2203;
const SG_GET_RESERVED_SIZE: u32 = 0x2272;
const SG_SET_RESERVED_SIZE: u32 = 0x2275;
const SG_GET_VERSION_NUM: u32 = 0x2282;
const SG_IO: u32 = 0x2285;

/// What the interface of block devices says its version is.
const VERSION: u32 = 30527;
/// Bytes of `struct sg_io_hdr`.
const HEADER: usize = 88;
/// `SG_DXFER_*`.
const DXFER_TO_DEV: i32 = -2;
const DXFER_FROM_DEV: i32 = -3;
const DXFER_TO_FROM_DEV: i32 = -4;
/// `info`: something is not as it should be.
const INFO_CHECK: u32 = 1;
/// `driver_status`: there are sense data.
const DRIVER_SENSE: u16 = 8;
/// Time if a program names none, and the least it may name.
const DEFAULT_MS: u64 = 60_000;
const LEAST_MS: u64 = 7_000;
/// Pieces of a program's memory.
const MAX_PIECES: u16 = 1024;

/// A request of a program on a unit's node. `part`: the node is a partition's; `write`: it is open for writing. ENOTTY for one that is
/// not known, or not for partitions, ENODEV if the unit is offline or gone. May sleep.
pub fn ioctl(unit: &Arc<Unit>, part: bool, write: bool, cmd: u32, arg: usize) -> Result<usize> {
    if part && !capable(CAP_SYS_RAWIO) {
        return Err(ENOTTY);
    }
    if !matches!(unit.state(), State::Running | State::Cancel) {
        return Err(ENODEV);
    }
    match cmd {
        SG_IO => sg_io(unit, write, arg)?,
        SG_GET_VERSION_NUM => put_user(arg, VERSION)?,
        SG_SET_TIMEOUT => {
            let hundredths = u32::try_from(get_user::<i32>(arg)?)?;
            unit.sg_timeout.store(hundredths, Relaxed);
        }
        // Its value, not a place, is the answer.
        SG_GET_TIMEOUT => return Ok(unit.sg_timeout.load(Relaxed) as usize),
        SG_GET_RESERVED_SIZE => put_user(arg, unit.sg_reserved.load(Relaxed).min(max_bytes(unit)))?,
        SG_SET_RESERVED_SIZE => {
            let size = u32::try_from(get_user::<i32>(arg)?)?;
            unit.sg_reserved.store(size.min(max_bytes(unit)), Relaxed);
        }
        // Commands go through an adapter that speaks them, or what pretends to.
        SG_EMULATED_HOST => put_user(arg, 1u32)?,
        SCSI_IOCTL_GET_IDLUN => {
            let (host, lun) = (unit.host(), unit.lun() as u32);
            let place = unit.target() & 0xff | (lun & 0xff) << 8 | (host.number() & 0xff) << 24;
            put_user(arg, [place, host.params().unique_id])?;
        }
        SCSI_IOCTL_GET_BUS_NUMBER => put_user(arg, unit.host().number())?,
        SCSI_IOCTL_TEST_UNIT_READY => {
            unit.execute_plain(Cdb::test_unit_ready(), 10_000_000_000, 5)?.result?;
        }
        SCSI_IOCTL_START_UNIT | SCSI_IOCTL_STOP_UNIT => {
            let cdb = Cdb::start_stop(cmd == SCSI_IOCTL_START_UNIT, false);
            unit.execute_plain(cdb, 60_000_000_000, 5)?.result?;
        }
        SCSI_IOCTL_DOORLOCK | SCSI_IOCTL_DOORUNLOCK => {
            let cdb = Cdb::prevent_removal(cmd == SCSI_IOCTL_DOORLOCK);
            unit.execute_plain(cdb, 10_000_000_000, 5)?.result?;
        }
        _ => return unit.host().ops().ioctl(unit, cmd, arg),
    }
    Ok(0)
}

/// Most bytes of a transfer.
fn max_bytes(unit: &Unit) -> u32 {
    unit.host().params().max_sectors.saturating_mul(512).min(i32::MAX as u32)
}

/// `struct sg_io_hdr`, as far as it is read.
struct Header {
    direction: i32,
    cdb_len: u8,
    max_sense: u8,
    pieces: u16,
    len: u32,
    data: usize,
    cdb: usize,
    sense: usize,
    timeout_ms: u32,
}

impl Header {
    fn read(bytes: &[u8; HEADER]) -> Result<Self> {
        let word =
            |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word));
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if word(0) != u32::from(b'S') {
            return Err(EINVAL);
        }
        let [cdb_len, max_sense, low, high] = word(8).to_le_bytes();
        Ok(Self {
            direction: word(4) as i32,
            cdb_len,
            max_sense,
            pieces: u16::from_le_bytes([low, high]),
            len: word(12),
            data: long(16) as usize,
            cdb: long(24) as usize,
            sense: long(32) as usize,
            timeout_ms: word(40),
        })
    }
}

/// Memory of a program: where, and how many bytes.
type Piece = (usize, usize);

/// The pieces of memory that a header names, `len` bytes in all, or fewer. EINVAL, EFAULT, ENOMEM.
fn pieces(header: &Header) -> Result<KVec<Piece>> {
    let mut list = KVec::new();
    if header.pieces == 0 {
        list.push((header.data, header.len as usize), GFP_KERNEL)?;
        return Ok(list);
    }
    if header.pieces > MAX_PIECES {
        return Err(EINVAL);
    }
    let mut left = header.len as usize;
    for at in 0..usize::from(header.pieces) {
        let [base, len] = get_user::<[usize; 2]>(header.data.wrapping_add(at * 16))?;
        list.push((base, len.min(left)), GFP_KERNEL)?;
        left -= len.min(left);
    }
    Ok(list)
}

/// The first bytes of a buffer, to or from pieces of a program's memory. EFAULT.
fn copy(buffer: &DmaBuffer, pieces: &[Piece], most: usize, to_user: bool) -> Result {
    let (mut at, mut chunk) = (0, [0u8; 256]);
    for &(base, len) in pieces {
        let len = len.min(most.saturating_sub(at));
        let mut done = 0;
        while done < len {
            let step = (len - done).min(chunk.len());
            let Some(bytes) = chunk.get_mut(..step) else { return Err(EINVAL) };
            if to_user {
                buffer.read_bytes(at, bytes)?;
                copy_to_user(base.wrapping_add(done), bytes)?;
            } else {
                copy_from_user(bytes, base.wrapping_add(done))?;
                buffer.write_bytes(at, bytes)?;
            }
            done += step;
            at += step;
        }
    }
    Ok(())
}

fn sg_io(unit: &Arc<Unit>, write: bool, arg: usize) -> Result {
    let mut raw = [0u8; HEADER];
    copy_from_user(&mut raw, arg)?;
    let header = Header::read(&raw)?;
    if header.len > max_bytes(unit) {
        return Err(EIO);
    }
    if header.cdb_len < 6 {
        return Err(EMSGSIZE);
    }
    let mut bytes = [0u8; scsi_proto::MAX_CDB];
    let place = bytes.get_mut(..usize::from(header.cdb_len)).ok_or(EINVAL)?;
    copy_from_user(place, header.cdb)?;
    let cdb = Cdb::new(place).ok_or(EINVAL)?;
    if !capable(CAP_SYS_RAWIO) && !filter::is_allowed(cdb.opcode(), write) {
        return Err(EPERM);
    }
    let direction = match header.direction {
        _ if header.len == 0 => Direction::None,
        DXFER_TO_DEV => Direction::Out,
        DXFER_FROM_DEV | DXFER_TO_FROM_DEV => Direction::In,
        _ => return Err(EINVAL),
    };
    let (data, list) = if direction == Direction::None {
        (Data::None, KVec::new())
    } else {
        let list = pieces(&header)?;
        let len = list.iter().map(|&(_, len)| len).sum::<usize>();
        if len == 0 {
            return Err(EINVAL);
        }
        let buffer = DmaBuffer::new(len, false, GFP_KERNEL).map_err(|_| ENOMEM)?;
        if direction == Direction::Out || header.direction == DXFER_TO_FROM_DEV {
            copy(&buffer, &list, len, false)?;
        }
        (Data::Buffer(buffer, u32::try_from(len)?), list)
    };
    let began = ktime::now_ns();
    let timeout_ns = timeout_ns(unit, &header);
    let answer = unit.execute(Call { cdb, direction, data, timeout_ns, retries: 0 })?;
    if cdb.opcode() == opcode::START_STOP || cdb.opcode() == opcode::FORMAT_UNIT {
        // What is known of the medium is old.
        unit.rescan();
    }
    reply(arg, &mut raw, &header, &answer, &list, ktime::now_ns().saturating_sub(began))
}

fn timeout_ns(unit: &Unit, header: &Header) -> u64 {
    let ms = match (header.timeout_ms, unit.sg_timeout.load(Relaxed)) {
        (0, 0) => DEFAULT_MS,
        (0, hundredths) => u64::from(hundredths) * 10,
        (ms, _) => u64::from(ms),
    };
    ms.max(LEAST_MS).saturating_mul(1_000_000)
}

/// Fills a header in and gives it, the sense data and the data back.
fn reply(arg: usize, raw: &mut [u8; HEADER], header: &Header, answer: &Answer, list: &[Piece], ns: u64) -> Result {
    let sense = answer.sense.get(..answer.sense.len().min(header.max_sense.into())).unwrap_or_default();
    let sense = if header.sense == 0 { Default::default() } else { sense };
    let (host, driver) = (answer.host_status as u16, if answer.sense.is_empty() { 0 } else { DRIVER_SENSE });
    let masked = answer.status >> 1 & 0x1f;
    let info = if masked != 0 || host != 0 || driver != 0 { INFO_CHECK } else { 0 };
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = raw.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(64, &[answer.status, masked, 0, sense.len() as u8]);
    put(68, &host.to_le_bytes());
    put(70, &driver.to_le_bytes());
    put(72, &answer.residual.to_le_bytes());
    put(76, &((ns / 1_000_000) as u32).to_le_bytes());
    put(80, &info.to_le_bytes());
    if !sense.is_empty() {
        copy_to_user(header.sense, sense)?;
    }
    if let Data::Buffer(buffer, len) = &answer.data
        && header.direction != DXFER_TO_DEV
    {
        copy(buffer, list, *len as usize, true)?;
    }
    copy_to_user(arg, raw.as_slice())
}
