// SPDX-License-Identifier: GPL-2.0
//! Requests, each as the protocol's own page has it.

use crate::wire::Message;
use crate::{NOFID, kind};

/// What is to change (`setattr::*` in `valid`).
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct NewAttributes {
    pub valid: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Seconds and nanoseconds.
    pub atime: (u64, u64),
    pub mtime: (u64, u64),
}

/// A lock on a stretch of a file.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct FileLock<'a> {
    /// `lock::*`.
    pub kind: u8,
    pub flags: u32,
    pub start: u64,
    /// 0: to the end.
    pub length: u64,
    /// The process.
    pub pid: u32,
    /// The machine.
    pub client: &'a [u8],
}

/// Agrees on a version and on the greatest message.
pub fn version(msize: u32, version: &[u8]) -> Message {
    Message::new(kind::TVERSION).u32(msize).string(version)
}

/// `fid` becomes the root of tree `aname`, for user `uname` or `uid`.
pub fn attach(fid: u32, uname: &[u8], aname: &[u8], uid: u32) -> Message {
    Message::new(kind::TATTACH).u32(fid).u32(NOFID).string(uname).string(aname).u32(uid)
}

/// Gives the request with `tag` up.
pub fn flush(tag: u16) -> Message {
    Message::new(kind::TFLUSH).u16(tag)
}

/// `new` becomes what `names` lead to from `fid`; at most [`crate::MAX_WALK`] of them.
pub fn walk<'a>(fid: u32, new: u32, names: impl ExactSizeIterator<Item = &'a [u8]>) -> Message {
    let message = Message::new(kind::TWALK).u32(fid).u32(new).u16(names.len() as u16);
    names.fold(message, Message::string)
}

/// A request of `fid` alone: `TSTATFS`, `TREADLINK`, `TCLUNK`, `TREMOVE`.
pub fn simple(kind: u8, fid: u32) -> Message {
    Message::new(kind).u32(fid)
}

/// Opens `fid` (`O_*` of Linux, in the numbers of the protocol).
pub fn lopen(fid: u32, flags: u32) -> Message {
    Message::new(kind::TLOPEN).u32(fid).u32(flags)
}

/// Makes `name` in directory `fid`, which becomes the open file.
pub fn lcreate(fid: u32, name: &[u8], flags: u32, mode: u32, gid: u32) -> Message {
    Message::new(kind::TLCREATE).u32(fid).string(name).u32(flags).u32(mode).u32(gid)
}

/// Makes a symbolic link.
pub fn symlink(fid: u32, name: &[u8], target: &[u8], gid: u32) -> Message {
    Message::new(kind::TSYMLINK).u32(fid).string(name).string(target).u32(gid)
}

/// Makes a device, FIFO or socket.
pub fn mknod(fid: u32, name: &[u8], mode: u32, (major, minor): (u32, u32), gid: u32) -> Message {
    Message::new(kind::TMKNOD).u32(fid).string(name).u32(mode).u32(major).u32(minor).u32(gid)
}

/// Makes a directory.
pub fn mkdir(fid: u32, name: &[u8], mode: u32, gid: u32) -> Message {
    Message::new(kind::TMKDIR).u32(fid).string(name).u32(mode).u32(gid)
}

/// A further name of `fid`, in directory `dir`.
pub fn link(dir: u32, fid: u32, name: &[u8]) -> Message {
    Message::new(kind::TLINK).u32(dir).u32(fid).string(name)
}

/// Moves `fid` into directory `dir`: for servers that do not know [`renameat`].
pub fn rename(fid: u32, dir: u32, name: &[u8]) -> Message {
    Message::new(kind::TRENAME).u32(fid).u32(dir).string(name)
}

/// Moves an entry.
pub fn renameat(old_dir: u32, old_name: &[u8], new_dir: u32, new_name: &[u8]) -> Message {
    Message::new(kind::TRENAMEAT).u32(old_dir).string(old_name).u32(new_dir).string(new_name)
}

/// Removes an entry.
pub fn unlinkat(dir: u32, name: &[u8], flags: u32) -> Message {
    Message::new(kind::TUNLINKAT).u32(dir).string(name).u32(flags)
}

/// Asks for attributes.
pub fn getattr(fid: u32, mask: u64) -> Message {
    Message::new(kind::TGETATTR).u32(fid).u64(mask)
}

/// Changes attributes.
pub fn setattr(fid: u32, new: &NewAttributes) -> Message {
    let message = Message::new(kind::TSETATTR).u32(fid).u32(new.valid).u32(new.mode).u32(new.uid).u32(new.gid);
    message.u64(new.size).u64(new.atime.0).u64(new.atime.1).u64(new.mtime.0).u64(new.mtime.1)
}

/// `new` becomes extended attribute `name` of `fid`, or the list of all if that is empty, to be read.
pub fn xattrwalk(fid: u32, new: u32, name: &[u8]) -> Message {
    Message::new(kind::TXATTRWALK).u32(fid).u32(new).string(name)
}

/// `fid` becomes its extended attribute `name`, to be written with `size` bytes (0: it is removed) and then clunked.
pub fn xattrcreate(fid: u32, name: &[u8], size: u64, flags: u32) -> Message {
    Message::new(kind::TXATTRCREATE).u32(fid).string(name).u64(size).u32(flags)
}

/// Reads a file (`TREAD`) or entries of a directory (`TREADDIR`).
pub fn read(kind: u8, fid: u32, offset: u64, count: u32) -> Message {
    Message::new(kind).u32(fid).u64(offset).u32(count)
}

/// Writes `count` bytes, which follow from elsewhere.
pub fn write(fid: u32, offset: u64, count: u32) -> Message {
    Message::new(kind::TWRITE).u32(fid).u64(offset).u32(count)
}

/// Writes a file to its disk.
pub fn fsync(fid: u32, datasync: bool) -> Message {
    Message::new(kind::TFSYNC).u32(fid).u32(datasync.into())
}

/// Locks a stretch of a file.
pub fn lock(fid: u32, lock: &FileLock<'_>) -> Message {
    let message = Message::new(kind::TLOCK).u32(fid).u8(lock.kind).u32(lock.flags).u64(lock.start).u64(lock.length);
    message.u32(lock.pid).string(lock.client)
}

/// Asks what keeps a lock from being set.
pub fn getlock(fid: u32, lock: &FileLock<'_>) -> Message {
    let message = Message::new(kind::TGETLOCK).u32(fid).u8(lock.kind).u64(lock.start).u64(lock.length);
    message.u32(lock.pid).string(lock.client)
}
