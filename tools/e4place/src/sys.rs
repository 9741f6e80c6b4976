// SPDX-License-Identifier: GPL-2.0
//! The requests of ext4 that this program stands on. Blocks are the file system's.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;

const FS_IOC_FIEMAP: libc::c_ulong = 0xc020_660b;
const FS_IOC_GETFSMAP: libc::c_ulong = 0xc0c0_583b;
const EXT4_IOC_MOVE_EXT: libc::c_ulong = 0xc028_660f;
/// This kernel's alone: a block of the file, and where it should be.
const EXT4_IOC_SET_GOAL: libc::c_ulong = 0x4010_66f0;
const FLAG_SYNC: u32 = 1;
const UNKNOWN: u32 = 2;
const DELALLOC: u32 = 4;
const NOT_MOVABLE: u32 = 0x200 | 8 | 0x80;
const LAST: u32 = 1;
const UNWRITTEN: u32 = 0x800;
const OWNER_FREE: u64 = 1;
const OWNER_UNKNOWN: u64 = 2;

/// A run of blocks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub logical: u64,
    pub physical: u64,
    pub len: u64,
    pub unwritten: bool,
}

/// What a run of the device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Free,
    /// Data, or metadata that is not at a fixed place.
    Unknown,
    Fixed,
}

/// A run of the device.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    pub start: u64,
    pub len: u64,
    pub what: Use,
}

fn ioctl<T>(file: &File, request: libc::c_ulong, arg: *mut T) -> Result<()> {
    // SAFETY: each request here reads and writes what its structure has, which the callers give room for.
    if unsafe { libc::ioctl(file.as_raw_fd(), request, arg) } < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FiemapExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved: [u64; 2],
    flags: u32,
    more: [u32; 3],
}

const AT_ONCE: usize = 256;

#[repr(C)]
struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    extents: [FiemapExtent; AT_ONCE],
}

/// The extents of a file or directory. `None`: some of it has no place of its own (inline, encoded).
pub fn extents(file: &File, block: u64) -> Result<Option<Vec<Extent>>> {
    let mut found = Vec::new();
    let mut start = 0;
    loop {
        let mut map = Box::new(Fiemap {
            start,
            length: u64::MAX - start,
            flags: FLAG_SYNC,
            mapped: 0,
            count: AT_ONCE as u32,
            reserved: 0,
            extents: [FiemapExtent::default(); AT_ONCE],
        });
        ioctl(file, FS_IOC_FIEMAP, &raw mut *map)?;
        let got = map.extents.get(..map.mapped as usize).unwrap_or(&[]);
        for extent in got {
            if extent.flags & (UNKNOWN | DELALLOC | NOT_MOVABLE) != 0 {
                return Ok(None);
            }
            let unwritten = extent.flags & UNWRITTEN != 0;
            let [logical, physical, len] = [extent.logical, extent.physical, extent.length].map(|bytes| bytes / block);
            found.push(Extent { logical, physical, len, unwritten });
            start = extent.logical + extent.length;
        }
        if got.last().is_none_or(|last| last.flags & LAST != 0) {
            return Ok(Some(found));
        }
    }
}

/// Exchanges `len` blocks: `file` has the donor's afterwards, with its own content. How many were, also if the rest failed.
pub fn exchange(file: &File, start: u64, donor: &File, donor_start: u64, len: u64) -> (u64, Result<()>) {
    #[repr(C)]
    struct Move {
        reserved: u32,
        donor: u32,
        range: [u64; 3],
        moved: u64,
    }
    let mut request = Move { reserved: 0, donor: donor.as_raw_fd() as u32, range: [start, donor_start, len], moved: 0 };
    let result = ioctl(file, EXT4_IOC_MOVE_EXT, &raw mut request);
    (request.moved, result)
}

/// Says where the file's block should be. `Unsupported` on another kernel.
pub fn set_goal(file: &File, logical: u64, physical: u64) -> Result<()> {
    let mut request = [logical, physical];
    ioctl(file, EXT4_IOC_SET_GOAL, &raw mut request)
}

/// Gives the file blocks in `[start, start + len)` bytes.
pub fn allocate(file: &File, start: u64, len: u64) -> Result<()> {
    // SAFETY: plain numbers.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, start as i64, len as i64) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Drops what is cached of the file, if nobody uses it.
pub fn forget(file: &File) {
    // SAFETY: plain numbers. It is advice: there is no error to look at.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Record {
    device: u32,
    flags: u32,
    physical: u64,
    owner: u64,
    offset: u64,
    length: u64,
    reserved: [u64; 3],
}

#[repr(C)]
struct Head {
    flags: [u32; 2],
    count: u32,
    entries: u32,
    reserved: [u64; 6],
    keys: [Record; 2],
    records: [Record; AT_ONCE],
}

/// What the device's blocks are, in order.
pub fn space(file: &File, block: u64) -> Result<Vec<Space>> {
    let mut found = Vec::new();
    let end = Record {
        device: u32::MAX,
        flags: u32::MAX,
        physical: u64::MAX,
        owner: u64::MAX,
        offset: u64::MAX,
        ..Record::default()
    };
    let mut from = Record::default();
    loop {
        let mut head = Box::new(Head {
            flags: [0; 2],
            count: AT_ONCE as u32,
            entries: 0,
            reserved: [0; 6],
            keys: [from, end],
            records: [Record::default(); AT_ONCE],
        });
        ioctl(file, FS_IOC_GETFSMAP, &raw mut *head)?;
        let got = head.records.get(..head.entries as usize).unwrap_or(&[]);
        for record in got {
            let what = match record.owner {
                OWNER_FREE => Use::Free,
                OWNER_UNKNOWN => Use::Unknown,
                _ => Use::Fixed,
            };
            found.push(Space { start: record.physical / block, len: record.length / block, what });
        }
        let Some(last) = got.last() else { return Ok(found) };
        if last.flags & 0x20 != 0 {
            return Ok(found);
        }
        from = Record { device: last.device, physical: last.physical, length: last.length, ..Record::default() };
    }
}
