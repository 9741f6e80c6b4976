// SPDX-License-Identifier: GPL-2.0
//! `CDROM*` requests of programs (eject, blkid, udev's cdrom_id, players). Source: `linux/cdrom.h` of the UAPI headers.

use crate::drive::Drive;
use block::BlockDevice;
use core::sync::atomic::Ordering::*;
use cred::{CAP_SYS_ADMIN, capable};
use errno::{Result, code::*};
use kalloc::{Arc, KVec};
use kernel::hardware::{block, cred, uaccess};
use scsi_proto::{Cdb, key};
use uaccess::{copy_to_user, get_user, put_user};

const CDROMREADTOCHDR: u32 = 0x5305;
const CDROMREADTOCENTRY: u32 = 0x5306;
const CDROMSTOP: u32 = 0x5307;
const CDROMSTART: u32 = 0x5308;
const CDROMEJECT: u32 = 0x5309;
const CDROMEJECT_SW: u32 = 0x530f;
const CDROMMULTISESSION: u32 = 0x5310;
const CDROMCLOSETRAY: u32 = 0x5319;
const CDROM_SET_OPTIONS: u32 = 0x5320;
const CDROM_CLEAR_OPTIONS: u32 = 0x5321;
const CDROM_MEDIA_CHANGED: u32 = 0x5325;
const CDROM_DRIVE_STATUS: u32 = 0x5326;
const CDROM_DISC_STATUS: u32 = 0x5327;
const CDROM_CHANGER_NSLOTS: u32 = 0x5328;
const CDROM_LOCKDOOR: u32 = 0x5329;
const CDROM_GET_CAPABILITY: u32 = 0x5331;

/// Options: the tray is closed when the drive is opened, opened when it is closed for good; `O_NONBLOCK` opens a drive without a medium;
/// the door is locked meanwhile. (What type of disc is wanted, `CDO_CHECK_TYPE`, is not known.)
pub(crate) const AUTO_CLOSE: u32 = 1;
pub(crate) const AUTO_EJECT: u32 = 2;
pub(crate) const USE_FFLAGS: u32 = 4;
pub(crate) const LOCK: u32 = 8;
/// `CDO_AUTO_CLOSE | CDO_USE_FFLAGS | CDO_LOCK`.
pub(crate) const DEFAULT_OPTIONS: u32 = AUTO_CLOSE | USE_FFLAGS | LOCK;

/// What the drive can do: close, open, lock, sessions, media changes, the drive's status.
const CAPABILITY: usize = 0x1 | 0x2 | 0x4 | 0x20 | 0x80 | 0x800;

/// States of a drive.
const CDS_NO_DISC: usize = 1;
const CDS_TRAY_OPEN: usize = 2;
const CDS_DRIVE_NOT_READY: usize = 3;
const CDS_DISC_OK: usize = 4;
/// Kinds of discs.
const CDS_NO_INFO: usize = 0;
const CDS_AUDIO: usize = 100;
const CDS_DATA_1: usize = 101;
const CDS_MIXED: usize = 105;

/// How addresses are given: blocks, or minutes, seconds, frames.
const LBA: u8 = 1;
const MSF: u8 = 2;
const LEADOUT: u8 = 0xaa;

const WAIT_NS: u64 = 30_000_000_000;

/// A request of a program; what is not known goes to the middle layer.
pub(crate) fn ioctl(drive: &Drive, bdev: &Arc<BlockDevice>, write: bool, cmd: u32, arg: usize) -> Result<usize> {
    match cmd {
        CDROMEJECT => eject(drive, bdev)?,
        CDROMCLOSETRAY => {
            plain(drive, Cdb::start_stop(true, true))?;
            drive.look_at_medium(bdev.disk())?;
        }
        CDROMSTART => plain(drive, Cdb::start_stop(true, false))?,
        CDROMSTOP => plain(drive, Cdb::start_stop(false, false))?,
        CDROMEJECT_SW => {
            let bits = AUTO_CLOSE | AUTO_EJECT;
            drive.options.fetch_and(!bits, AcqRel);
            if arg != 0 {
                drive.options.fetch_or(bits, AcqRel);
            }
        }
        CDROM_SET_OPTIONS | CDROM_CLEAR_OPTIONS => return options(drive, cmd == CDROM_SET_OPTIONS, arg),
        CDROM_MEDIA_CHANGED => {
            drive.is_ready()?;
            return Ok(drive.reported.swap(false, AcqRel).into());
        }
        CDROM_DRIVE_STATUS => return status(drive),
        CDROM_DISC_STATUS => return disc(drive),
        CDROM_CHANGER_NSLOTS => return Ok(1),
        CDROM_LOCKDOOR => {
            drive.kept_locked.store(arg != 0, Release);
            // Only an administrator unlocks what others have open.
            if drive.openers() != 1 && arg == 0 && !capable(CAP_SYS_ADMIN) {
                return Err(EBUSY);
            }
            plain(drive, Cdb::prevent_removal(arg != 0))?;
        }
        CDROM_GET_CAPABILITY => return Ok(CAPABILITY),
        CDROMREADTOCHDR => {
            let toc = toc(drive, 0, false, 4)?;
            let (Some(first), Some(last)) = (toc.get(2), toc.get(3)) else { return Err(EIO) };
            copy_to_user(arg, &[*first, *last])?;
        }
        CDROMREADTOCENTRY => entry(drive, arg)?,
        CDROMMULTISESSION => session(drive, arg)?,
        _ => return scsi::ioctl(drive.unit(), false, write, cmd, arg),
    }
    Ok(0)
}

/// A command without data; its error. May sleep.
fn plain(drive: &Drive, cdb: Cdb) -> Result {
    drive.unit().execute_plain(cdb, WAIT_NS, 3)?.result
}

fn eject(drive: &Drive, bdev: &Arc<BlockDevice>) -> Result {
    if drive.openers() > 1 || drive.kept_locked.load(Acquire) {
        return Err(EBUSY);
    }
    plain(drive, Cdb::prevent_removal(false))?;
    plain(drive, Cdb::start_stop(false, true))?;
    if let Some(cache) = bdev.cache() {
        cache.invalidate();
    }
    drive.look_at_medium(bdev.disk())
}

/// Changes options: those that there are now. ENOSYS for options that this drive would not obey.
fn options(drive: &Drive, set: bool, arg: usize) -> Result<usize> {
    let bits = u32::try_from(arg)?;
    if set && bits & !(AUTO_CLOSE | AUTO_EJECT | USE_FFLAGS | LOCK) != 0 {
        return Err(ENOSYS);
    }
    let now =
        if set { drive.options.fetch_or(bits, AcqRel) | bits } else { drive.options.fetch_and(!bits, AcqRel) & !bits };
    Ok(now as usize)
}

fn status(drive: &Drive) -> Result<usize> {
    let answer = drive.unit().execute_plain(Cdb::test_unit_ready(), WAIT_NS, 3)?;
    if answer.result.is_ok() {
        return Ok(CDS_DISC_OK);
    }
    // A drive that is just gone does not say why.
    let Some(sense) = answer.sense_data() else { return Ok(CDS_DRIVE_NOT_READY) };
    if sense.key == key::NOT_READY && sense.asc == 0x04 && sense.ascq == 0x01 {
        return Ok(CDS_DRIVE_NOT_READY);
    }
    // The drive says whether its tray is out.
    if let Ok(event) = drive.unit().ask(Cdb::media_event(), 8)
        && event.get(2).is_some_and(|class| class & 0x87 == 4)
        && let Some(state) = event.get(5)
    {
        return Ok(match state {
            _ if state & 1 != 0 => CDS_TRAY_OPEN,
            _ if state & 2 != 0 => CDS_DISC_OK,
            _ => CDS_NO_DISC,
        });
    }
    Ok(if sense.asc == 0x3a && sense.ascq == 1 { CDS_NO_DISC } else { CDS_TRAY_OPEN })
}

/// What kind of disc it is, by the kinds of its tracks.
fn disc(drive: &Drive) -> Result<usize> {
    if !drive.is_ready()? {
        return Ok(CDS_NO_DISC);
    }
    let Ok(toc) = toc(drive, 0, false, 804) else { return Ok(CDS_NO_INFO) };
    let (mut data, mut audio) = (0, 0);
    for track in toc.get(4..).unwrap_or_default().chunks_exact(8) {
        match track {
            [_, _, LEADOUT, ..] => {}
            [_, control, ..] if control & 4 != 0 => data += 1,
            _ => audio += 1,
        }
    }
    Ok(match (data, audio) {
        (0, 0) => CDS_NO_INFO,
        (0, _) => CDS_AUDIO,
        (_, 0) => CDS_DATA_1,
        _ => CDS_MIXED,
    })
}

/// The table of contents from `track` on.
fn toc(drive: &Drive, track: u8, msf: bool, len: u16) -> Result<KVec<u8>> {
    let mut bytes = drive.unit().ask(Cdb::read_toc(0, msf, track, len), len)?;
    let whole = bytes.first_chunk().map_or(0, |head| usize::from(u16::from_be_bytes(*head)) + 2);
    bytes.truncate(whole);
    Ok(bytes)
}

/// `struct cdrom_tocentry`: track, control and address, format, place (4 bytes, aligned), mode: 12 bytes.
fn entry(drive: &Drive, arg: usize) -> Result {
    let asked = get_user::<[u8; 12]>(arg)?;
    let [track, _, format, ..] = asked;
    if format != LBA && format != MSF {
        return Err(EINVAL);
    }
    let bytes = toc(drive, track, format == MSF, 12)?;
    let Some(&[_, control, found, _, a, b, c, d]) = bytes.get(4..12).and_then(|rest| rest.first_chunk()) else {
        return Err(EINVAL);
    };
    if found != track {
        return Err(EINVAL);
    }
    // Control is the low half there and the high half here.
    let both = control.rotate_left(4);
    let place = if format == MSF { [b, c, d, 0] } else { u32::from_be_bytes([a, b, c, d]).to_le_bytes() };
    let [p, q, r, s] = place;
    put_user(arg, [track, both, format, 0, p, q, r, s, u8::from(control & 4 != 0), 0, 0, 0])
}

/// `struct cdrom_multisession`: where the last session begins (4 bytes), whether there are several, format: 8 bytes.
fn session(drive: &Drive, arg: usize) -> Result {
    let asked = get_user::<[u8; 8]>(arg)?;
    let [_, _, _, _, _, format, ..] = asked;
    if format != LBA && format != MSF {
        return Err(EINVAL);
    }
    let bytes = drive.unit().ask(Cdb::read_toc(1, false, 0, 12), 12)?;
    let Some(&[first, last]) = bytes.get(2..4).and_then(|rest| rest.first_chunk()) else { return Err(EIO) };
    let lba = bytes.get(8..12).and_then(|rest| rest.first_chunk()).map_or(0, |place| u32::from_be_bytes(*place));
    let place = if format == LBA {
        lba.to_le_bytes()
    } else {
        // 75 frames a second, from two seconds on.
        let frames = lba.saturating_add(150);
        [(frames / 75 / 60) as u8, (frames / 75 % 60) as u8, (frames % 75) as u8, 0]
    };
    let [p, q, r, s] = place;
    put_user(arg, [p, q, r, s, u8::from(first != last), format, 0, 0])
}
