// SPDX-License-Identifier: GPL-2.0
//! Small values that every file system speaks of: device numbers, times, file types, what `stat` shows. No locks.

use core::sync::atomic::{AtomicI64, AtomicU32, Ordering};

pub use kdev::Dev;

/// A point in time: seconds since 1970 (UTC) and nanoseconds below 10^9.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct Timespec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds.
    pub nsec: u32,
}

/// A time that may be read while it is written. A reader may see seconds and nanoseconds of different writes, as in Linux.
#[derive(Default)]
pub struct AtomicTime {
    sec: AtomicI64,
    nsec: AtomicU32,
}

impl AtomicTime {
    /// A place for `time`.
    pub const fn new(time: Timespec) -> Self {
        Self { sec: AtomicI64::new(time.sec), nsec: AtomicU32::new(time.nsec) }
    }

    /// The time.
    #[inline(always)]
    pub fn get(&self) -> Timespec {
        Timespec { sec: self.sec.load(Ordering::Relaxed), nsec: self.nsec.load(Ordering::Relaxed) }
    }

    /// Sets the time.
    #[inline(always)]
    pub fn set(&self, time: Timespec) {
        self.sec.store(time.sec, Ordering::Relaxed);
        self.nsec.store(time.nsec, Ordering::Relaxed);
    }
}

/// The time for timestamps.
#[inline]
pub fn current_time() -> Timespec {
    let ns = ktime::real_coarse_ns();
    Timespec { sec: (ns / 1_000_000_000).cast_signed(), nsec: (ns % 1_000_000_000) as u32 }
}

/// The file type part of a mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum FileType {
    /// A FIFO or pipe.
    Fifo = 1,
    /// A character device.
    Char = 2,
    /// A directory.
    Dir = 4,
    /// A block device.
    Block = 6,
    /// A regular file.
    Reg = 8,
    /// A symbolic link.
    Link = 10,
    /// A socket.
    Sock = 12,
}

impl FileType {
    /// The type of a mode; what has no type bits counts as a regular file (anonymous inodes).
    #[inline(always)]
    pub const fn of(mode: u32) -> Self {
        match mode >> 12 & 15 {
            1 => Self::Fifo,
            2 => Self::Char,
            4 => Self::Dir,
            6 => Self::Block,
            10 => Self::Link,
            12 => Self::Sock,
            _ => Self::Reg,
        }
    }

    /// The bits of a mode (`S_IFREG`...).
    pub const fn mode(self) -> u32 {
        (self as u32) << 12
    }

    /// `d_type` of `getdents64(2)`.
    pub const fn dirent(self) -> u8 {
        self as u8
    }
}

/// What `stat(2)` and its kin show of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kstat {
    /// Bits of `STATX_*` for the fields that are true.
    pub result_mask: u32,
    /// Type and permissions.
    pub mode: u32,
    /// Links.
    pub nlink: u32,
    /// Preferred unit of I/O.
    pub blksize: u32,
    /// `STATX_ATTR_*` set.
    pub attributes: u64,
    /// `STATX_ATTR_*` known.
    pub attributes_mask: u64,
    /// Inode number.
    pub ino: u64,
    /// Device of the file system.
    pub dev: Dev,
    /// Device that the file is.
    pub rdev: Dev,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Units of 512 bytes in use.
    pub blocks: u64,
    /// Last access.
    pub atime: Timespec,
    /// Last change of the contents.
    pub mtime: Timespec,
    /// Last change of the inode.
    pub ctime: Timespec,
    /// Creation.
    pub btime: Timespec,
    /// Mount id.
    pub mnt_id: u64,
}
