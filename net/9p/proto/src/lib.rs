// SPDX-License-Identifier: GPL-2.0
//! 9P2000.L as bytes: requests are put together ([`Message`]), answers are taken apart ([`Reader`] and the types of `answer`). Whatever a
//! server sends gives a value or an error, never a panic. Source: Plan 9's section 5 of the manual, and `protocol.md` of diod (9P2000.L).
//!
//! | file | what |
//! |---|---|
//! | `wire` | numbers, strings and the frame around every message |
//! | `request` | what a client asks |
//! | `answer` | what a server says |

#![no_std]
#![forbid(unsafe_code)]

pub mod answer;
pub mod request;
pub mod wire;

pub use answer::{Attributes, Entries, Entry, GotLock, Qid, StatFs, Version};
pub use request::{FileLock, NewAttributes};
pub use wire::{Frame, HEADER, Message, Reader};

/// The version that is spoken here.
pub const VERSION: &[u8] = b"9P2000.L";
/// The tag of the message that agrees on a version.
pub const NOTAG: u16 = u16::MAX;
/// No fid (no authentication).
pub const NOFID: u32 = u32::MAX;
/// No user by number.
pub const NONUNAME: u32 = u32::MAX;
/// Most names of one walk.
pub const MAX_WALK: usize = 16;
/// Bytes of a message that are no data, for reading and writing (`P9_IOHDRSZ`).
pub const IO_HEADER: u32 = 24;
/// Bytes in front of the data of an answer to a read: the header and a count.
pub const DATA_HEADER: usize = HEADER + 4;

/// Types of messages; an answer's is one more.
#[allow(missing_docs)]
pub mod kind {
    pub const RLERROR: u8 = 7;
    pub const TSTATFS: u8 = 8;
    pub const TLOPEN: u8 = 12;
    pub const TLCREATE: u8 = 14;
    pub const TSYMLINK: u8 = 16;
    pub const TMKNOD: u8 = 18;
    pub const TRENAME: u8 = 20;
    pub const TREADLINK: u8 = 22;
    pub const TGETATTR: u8 = 24;
    pub const TSETATTR: u8 = 26;
    pub const TXATTRWALK: u8 = 30;
    pub const TXATTRCREATE: u8 = 32;
    pub const TREADDIR: u8 = 40;
    pub const TFSYNC: u8 = 50;
    pub const TLOCK: u8 = 52;
    pub const TGETLOCK: u8 = 54;
    pub const TLINK: u8 = 70;
    pub const TMKDIR: u8 = 72;
    pub const TRENAMEAT: u8 = 74;
    pub const TUNLINKAT: u8 = 76;
    pub const TVERSION: u8 = 100;
    pub const TATTACH: u8 = 104;
    pub const TFLUSH: u8 = 108;
    pub const TWALK: u8 = 110;
    pub const TREAD: u8 = 116;
    pub const TWRITE: u8 = 118;
    pub const TCLUNK: u8 = 120;
    pub const TREMOVE: u8 = 122;
}

/// Types of locks, and what a server says to one.
#[allow(missing_docs)]
pub mod lock {
    pub const RDLCK: u8 = 0;
    pub const WRLCK: u8 = 1;
    pub const UNLCK: u8 = 2;
    /// The request waits on the server.
    pub const BLOCK: u32 = 1;
    pub const SUCCESS: u8 = 0;
    pub const BLOCKED: u8 = 1;
    pub const ERROR: u8 = 2;
    pub const GRACE: u8 = 3;
}

/// What a request for attributes wants.
pub mod getattr {
    /// Mode to blocks: what `stat` shows.
    pub const BASIC: u64 = 0x7ff;
}

/// What a request to change attributes changes.
#[allow(missing_docs)]
pub mod setattr {
    pub const MODE: u32 = 1 << 0;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const CTIME: u32 = 1 << 6;
    /// To the time that is given, not to the server's.
    pub const ATIME_SET: u32 = 1 << 7;
    pub const MTIME_SET: u32 = 1 << 8;
}

/// Flag of a removal: a directory.
pub const AT_REMOVEDIR: u32 = 0x200;
