// SPDX-License-Identifier: GPL-2.0
//! `BLK*` requests that every block device knows; what is not known goes to the driver. Source: `linux/fs.h` of the UAPI headers.

use blktrace::{BLKTRACESETUP, BLKTRACESTART, BLKTRACESTOP, BLKTRACETEARDOWN};
use block::{BdevHandle, BlockDevice, Holder, PartitionInfo, open_by_dev};
use cred::{CAP_SYS_ADMIN, capable};
use errno::{Result, code::*};
use kalloc::Arc;
use x86_mm::uaccess::{get_user, put_user};

const BLKROSET: u32 = 0x125d;
const BLKROGET: u32 = 0x125e;
const BLKRRPART: u32 = 0x125f;
const BLKGETSIZE: u32 = 0x1260;
const BLKFLSBUF: u32 = 0x1261;
const BLKRASET: u32 = 0x1262;
const BLKRAGET: u32 = 0x1263;
const BLKFRASET: u32 = 0x1264;
const BLKFRAGET: u32 = 0x1265;
const BLKSECTGET: u32 = 0x1267;
const BLKSSZGET: u32 = 0x1268;
const BLKPG: u32 = 0x1269;
const BLKBSZGET: u32 = 0x8008_1270;
const BLKBSZSET: u32 = 0x4008_1271;
const BLKGETSIZE64: u32 = 0x8008_1272;
const BLKDISCARD: u32 = 0x1277;
const BLKIOMIN: u32 = 0x1278;
const BLKIOOPT: u32 = 0x1279;
const BLKALIGNOFF: u32 = 0x127a;
const BLKPBSZGET: u32 = 0x127b;
const BLKDISCARDZEROES: u32 = 0x127c;
const BLKSECDISCARD: u32 = 0x127d;
const BLKROTATIONAL: u32 = 0x127e;
const BLKZEROOUT: u32 = 0x127f;
const BLKGETDISKSEQ: u32 = 0x8008_1280;
const BLKGETZONESZ: u32 = 0x8004_1284;
const BLKGETNRZONES: u32 = 0x8004_1285;
const BLKREPORTZONE: u32 = 0xc010_1282;
/// Reset, open, close, finish.
const ZONE_REQUESTS: [u32; 4] = [0x4010_1283, 0x4010_1286, 0x4010_1287, 0x4010_1288];
/// Reservations: register, reserve, release, preempt, preempt and abort, clear.
const PR_REQUESTS: [u32; 6] = [0x4018_70c8, 0x4010_70c9, 0x4010_70ca, 0x4018_70cb, 0x4018_70cc, 0x4010_70cd];
const HDIO_GETGEO: u32 = 0x0301;
const BLKPG_ADD_PARTITION: i32 = 1;
const BLKPG_DEL_PARTITION: i32 = 2;
const BLKPG_RESIZE_PARTITION: i32 = 3;

/// Read-ahead is told in sectors.
const KB_SECTORS: u64 = 2;

pub(crate) fn ioctl(handle: &BdevHandle, cmd: u32, arg: usize) -> Result<usize> {
    let (bdev, write) = (handle.bdev(), handle.writes());
    let disk = bdev.disk();
    let limits = disk.limits();
    match cmd {
        BLKGETSIZE64 => put_user(arg, bdev.size())?,
        BLKGETSIZE => put_user(arg, bdev.nr_sectors())?,
        BLKSSZGET => put_user(arg, limits.logical_block_size)?,
        BLKPBSZGET => put_user(arg, limits.physical_block_size)?,
        BLKIOMIN => put_user(arg, limits.io_min)?,
        BLKIOOPT => put_user(arg, limits.io_opt)?,
        BLKALIGNOFF => put_user(arg, bdev.alignment_offset())?,
        BLKSECTGET => put_user(arg, u16::try_from(limits.max_sectors).unwrap_or(u16::MAX))?,
        BLKROTATIONAL => put_user(arg, u16::from(limits.rotational))?,
        BLKDISCARDZEROES => put_user(arg, 0u32)?,
        BLKGETDISKSEQ => put_user(arg, disk.diskseq())?,
        BLKBSZGET => put_user(arg, bdev.block_size())?,
        BLKBSZSET => set_block_size(handle, arg)?,
        BLKROGET => put_user(arg, u32::from(bdev.is_read_only()))?,
        BLKROSET => {
            admin()?;
            bdev.set_read_only(get_user::<u32>(arg)? != 0)?;
        }
        // No device has zones.
        BLKGETZONESZ | BLKGETNRZONES => put_user(arg, 0u32)?,
        cmd if cmd == BLKREPORTZONE || ZONE_REQUESTS.contains(&cmd) => {
            return Err(if arg == 0 { EINVAL } else { ENOTTY });
        }
        // No driver has any.
        cmd if PR_REQUESTS.contains(&cmd) => return Err(if capable(CAP_SYS_ADMIN) { EOPNOTSUPP } else { EPERM }),
        BLKRAGET | BLKFRAGET if arg == 0 => return Err(EINVAL),
        BLKRAGET | BLKFRAGET => put_user(arg, u64::from(disk.read_ahead_kb()) * KB_SECTORS)?,
        BLKRASET | BLKFRASET => {
            admin()?;
            disk.set_read_ahead_kb(u32::try_from(arg as u64 / KB_SECTORS)?);
        }
        BLKFLSBUF => {
            admin()?;
            bdev.sync()?;
            if let Some(cache) = bdev.cache() {
                cache.invalidate();
            }
        }
        BLKRRPART => {
            admin()?;
            if bdev.is_partition() || disk.has_no_partitions() {
                return Err(EINVAL);
            }
            // Who has claimed the disk, or its partitions, goes by the table as it is.
            let _claim = if handle.is_exclusive() { None } else { Some(claim(handle)?) };
            disk.scan_partitions()?;
        }
        BLKPG => partition(bdev, arg)?,
        BLKDISCARD | BLKSECDISCARD | BLKZEROOUT => range(bdev, write, cmd, arg)?,
        BLKTRACESETUP | BLKTRACESTART | BLKTRACESTOP | BLKTRACETEARDOWN => blktrace::ioctl(bdev, cmd, arg)?,
        HDIO_GETGEO => geometry(bdev, arg)?,
        _ => return disk.ops().ioctl(bdev, write, cmd, arg),
    }
    Ok(0)
}

fn admin() -> Result {
    if capable(CAP_SYS_ADMIN) { Ok(()) } else { Err(EACCES) }
}

/// The device for this call alone. EBUSY if somebody has it, ENXIO if it is gone.
fn claim(handle: &BdevHandle) -> Result<BdevHandle> {
    open_by_dev(handle.bdev().dev(), false, Some(Holder::unique()))
}

/// The caller has the device to itself, or could. EBUSY.
fn set_block_size(handle: &BdevHandle, arg: usize) -> Result {
    admin()?;
    if arg == 0 {
        return Err(EINVAL);
    }
    let (bdev, size) = (handle.bdev(), get_user::<u32>(arg)?);
    if handle.is_exclusive() {
        return bdev.set_block_size(size);
    }
    let _claim = claim(handle).map_err(|_| EBUSY)?;
    bdev.set_block_size(size)
}

/// `BLKDISCARD`, `BLKSECDISCARD`, `BLKZEROOUT`: start and length in bytes.
fn range(bdev: &Arc<BlockDevice>, write: bool, cmd: u32, arg: usize) -> Result {
    if !write {
        return Err(EBADF);
    }
    let limits = bdev.disk().limits();
    let unable = match cmd {
        BLKDISCARD => limits.max_discard_sectors == 0,
        BLKSECDISCARD => limits.max_secure_erase_sectors == 0,
        _ => false,
    };
    if unable {
        return Err(EOPNOTSUPP);
    }
    let [start, len] = get_user::<[u64; 2]>(arg)?;
    let end = start.checked_add(len).ok_or(EINVAL)?;
    if !start.is_multiple_of(512) || !len.is_multiple_of(512) || end > bdev.size() {
        return Err(EINVAL);
    }
    if len == 0 && cmd != BLKDISCARD {
        return Err(EINVAL);
    }
    // What is cached there is old afterwards.
    buffer::io::before_direct(&*buffer::DeviceCache::of(bdev)?, start, end, true)?;
    let (sector, sectors) = (start >> 9, len >> 9);
    match cmd {
        BLKDISCARD => block::issue_discard(bdev, sector, sectors),
        BLKSECDISCARD => block::issue_secure_erase(bdev, sector, sectors),
        _ => block::issue_zeroout(bdev, sector, sectors, true, false),
    }
}

/// `struct hd_geometry`: heads, sectors, cylinders, start.
fn geometry(bdev: &BlockDevice, arg: usize) -> Result {
    if arg == 0 {
        return Err(EINVAL);
    }
    let geometry = bdev.disk().ops().getgeo(bdev.disk())?;
    let low = u32::from(geometry.heads) | u32::from(geometry.sectors) << 8 | u32::from(geometry.cylinders) << 16;
    put_user(arg, [u64::from(low), bdev.start_sector()])
}

/// `BLKPG`: `struct blkpg_ioctl_arg { int op, flags, datalen; void *data; }`, `struct blkpg_partition { long long start, length; int
/// pno; ... }`, in bytes.
fn partition(bdev: &Arc<BlockDevice>, arg: usize) -> Result {
    admin()?;
    let [op, _flags, len, _] = get_user::<[i32; 4]>(arg)?;
    let data = get_user::<usize>(arg.wrapping_add(16))?;
    if bdev.is_partition() || len < 0 {
        return Err(EINVAL);
    }
    let [start, length] = get_user::<[i64; 2]>(data)?;
    let number = get_user::<i32>(data.wrapping_add(16))?;
    let number = u32::try_from(number).ok().filter(|&number| number != 0).ok_or(EINVAL)?;
    match op {
        BLKPG_DEL_PARTITION => bdev.disk().delete_partition(number),
        BLKPG_ADD_PARTITION | BLKPG_RESIZE_PARTITION => {
            let (start, length) = (u64::try_from(start)?, u64::try_from(length)?);
            let unit = u64::from(bdev.logical_block_size());
            if length == 0 || !start.is_multiple_of(unit) || !length.is_multiple_of(unit) {
                return Err(EINVAL);
            }
            let (start, length) = (start >> 9, length >> 9);
            match op {
                BLKPG_RESIZE_PARTITION => bdev.disk().resize_partition(number, start, length),
                _ => bdev.disk().new_partition(number, start, length, PartitionInfo::default()),
            }
        }
        _ => Err(EINVAL),
    }
}
