// SPDX-License-Identifier: GPL-2.0
//! What ext4 stands on: metadata buffers, transactions, locks and the clock, as traits.
//!
//! `ext4_core` is written against [`Store`] alone, so that the same code runs in the kernel (on the buffer cache and jbd2) and
//! on the host (on memory, without a journal: `host`, a feature for tests).
//!
//! ## How metadata is changed
//! 1. [`Store::start`] gives a handle: credits are reserved in the running transaction. It may sleep for a commit, so a caller
//!    holds at most locks of inodes (and of the VFS), never a group's lock, the orphan lock or a buffer's data.
//! 2. For each buffer [`Store::get_write_access`] (its content is kept for the transaction being committed, if that has it)
//!    or, for a block allocated in this very handle, [`Store::get_create_access`].
//! 3. The bytes are changed under [`Buffer::write`]. Checksums are part of the bytes: the core computes them here.
//! 4. [`Store::dirty_metadata`] puts the buffer into the transaction. Between 2 and 4 the buffer must not go to the disk.
//! 5. [`Store::stop`]. A handle that is not stopped but dropped is a bug; the core never does that.
//!
//! A freed metadata block goes through [`Store::forget`] (with a revoke record where the journal needs one). Freed blocks are
//! not given out again before the transaction that freed them has committed: the core keeps them back with the number from
//! [`Store::tid`], and the journal calls the core back after each commit (`Fs::committed`).
//!
//! ## Order of locks
//! handle (transaction) → lock of an inode's tree (the caller's) → group's lock, orphan lock, locality lock → data of a buffer.
//! The data of two buffers may be held at once only by one who holds the lock that guards both (an inode's); nothing else is
//! taken, and nothing sleeps for I/O, while a buffer's data is held.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "host")]
extern crate std;

#[cfg(feature = "host")]
pub mod host;

use core::ops::{Deref, DerefMut};
use errno::{Error, Result};

/// A sleeping lock around a value.
pub trait MutexLike<T: Send>: Send + Sync {
    /// What gives access; dropped to unlock.
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a,
        T: 'a;
    /// A free lock.
    fn new(value: T) -> Self;
    /// Takes the lock; may sleep.
    fn lock(&self) -> Self::Guard<'_>;
    /// Takes the lock if it is free.
    fn try_lock(&self) -> Option<Self::Guard<'_>>;
}

/// A value that is set at most once and then only read, without a lock.
pub trait OnceLike<T: Send + Sync>: Send + Sync {
    /// An empty cell.
    fn new() -> Self;
    /// The value, if set.
    fn get(&self) -> Option<&T>;
    /// Sets the value; gives it back if there is one already (or one is just being set).
    fn set(&self, value: T) -> Result<(), T>;
}

/// The locks of the place where the code runs.
pub trait Locks: 'static {
    /// A sleeping mutex.
    type Mutex<T: Send + 'static>: MutexLike<T> + 'static;
    /// A set-once cell.
    type Once<T: Send + Sync + 'static>: OnceLike<T> + 'static;
}

/// A block of metadata in the buffer cache. A clone is one more reference to the same block; while there is a reference the
/// block stays in memory.
pub trait Buffer: Clone + Send + Sync + 'static {
    /// Read access to the data.
    type Read<'a>: Deref<Target = [u8]>
    where
        Self: 'a;
    /// Write access to the data.
    type Write<'a>: DerefMut<Target = [u8]>
    where
        Self: 'a;
    /// Number of the block, in units of the file system's block size.
    fn block(&self) -> u64;
    /// The data, for reading: exactly one block. Held briefly.
    fn read(&self) -> Self::Read<'_>;
    /// The data, for writing. Held briefly.
    fn write(&self) -> Self::Write<'_>;
    /// Whether the content was checked (checksum, structure) since it was read: the store clears the mark when it reads the
    /// block from the disk or forgets it.
    fn is_verified(&self) -> bool;
    /// Marks the content as checked.
    fn set_verified(&self);
}

/// A point in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub sec: i64,
    /// Nanoseconds, below 10^9.
    pub nsec: u32,
}

/// Something on the disk that cannot be: what Linux's `ext4_error` takes. The store writes the log line, notes it in the
/// superblock (`s_error_count` and its kin) and obeys `errors=`.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Which check failed ("extent_header", "dir_entry", ...).
    pub what: &'static str,
    /// The inode, or 0.
    pub ino: u32,
    /// The block, or 0.
    pub block: u64,
    /// `EUCLEAN` or `EBADMSG` (or `EIO` where a block could not be read).
    pub error: Error,
}

/// Buffers, transactions and services of the machine below a mounted file system. All calls may sleep unless said otherwise.
pub trait Store: Locks + Send + Sync + Sized + 'static {
    /// A metadata buffer.
    type Buf: Buffer;
    /// The part of a transaction that belongs to one operation.
    type Handle;

    /// Size of a block in bytes: that of the file system.
    fn block_size(&self) -> usize;
    /// Blocks that the device has.
    fn device_blocks(&self) -> u64;
    /// The block, read if it is not in memory. `EIO` if the device fails or has no such block.
    fn bread(&self, block: u64) -> Result<Self::Buf>;
    /// The block without reading it, zeroed if it was not in memory: for a block that was just allocated, whose old content
    /// does not matter. An alias in the device's cache or in a file's cache is dropped.
    fn getblk(&self, block: u64) -> Result<Self::Buf>;
    /// Zeros blocks on the device, past the journal, and waits for it. `EOPNOTSUPP` if the store cannot.
    fn zeroout(&self, _block: u64, _count: u32) -> Result {
        Err(errno::code::EOPNOTSUPP)
    }
    /// As [`Self::bread`]. If the block is not in memory, `near` says what is likely to be wanted with it: the first of a run of blocks that
    /// are always metadata, of which it is one, and how many.
    fn bread_near(&self, block: u64, _near: impl FnOnce() -> (u64, u32)) -> Result<Self::Buf> {
        self.bread(block)
    }

    /// A handle that may dirty up to `credits` buffers and revoke up to `revokes` blocks. `EROFS` if the file system or the
    /// journal is aborted or read-only, `ENOSPC` if the journal is smaller than `credits`.
    fn start(&self, credits: u32, revokes: u32) -> Result<Self::Handle>;
    /// Credits that the handle still has.
    fn credits(&self, handle: &Self::Handle) -> u32;
    /// `more` credits for the handle. False if the running transaction has no room: then the caller makes its changes
    /// consistent and calls [`Self::restart`]. Does not sleep for a commit.
    fn extend(&self, handle: &mut Self::Handle, more: u32, revokes: u32) -> Result<bool>;
    /// Ends the handle's part in its transaction and begins anew with `credits` in the running one. The locks are as for
    /// `start`.
    fn restart(&self, handle: &mut Self::Handle, credits: u32, revokes: u32) -> Result;
    /// Ends the handle. With `sync` (asked by [`Self::set_sync`]) it waits for the commit.
    fn stop(&self, handle: Self::Handle) -> Result;
    /// The handle's changes must be on the disk when it is stopped (`O_SYNC`, `dirsync`).
    fn set_sync(&self, handle: &mut Self::Handle);
    /// Number of the handle's transaction; 0 without a journal (then nothing is kept back).
    fn tid(&self, handle: &Self::Handle) -> u32;

    /// The buffer is about to be changed in this handle. May wait until a commit has copied it, never for a whole commit.
    fn get_write_access(&self, handle: &mut Self::Handle, buf: &Self::Buf) -> Result;
    /// As `get_write_access`, for a block allocated in this handle: its old content needs no undoing.
    fn get_create_access(&self, handle: &mut Self::Handle, buf: &Self::Buf) -> Result;
    /// The buffer was changed and belongs to the transaction.
    fn dirty_metadata(&self, handle: &mut Self::Handle, buf: &Self::Buf) -> Result;
    /// The block, which held metadata (or journalled data), is freed: its buffer is dropped from the transaction and must not
    /// be written, nor replayed from an older transaction (revoked).
    fn forget(&self, handle: &mut Self::Handle, block: u64) -> Result;
    /// Data of the inode written to newly allocated blocks must be on the disk before the transaction commits
    /// (`data=ordered`); bytes `from..to` of the file. The store ignores it in the other modes.
    fn order_data(&self, handle: &mut Self::Handle, ino: u32, from: u64, to: u64) -> Result;

    /// The current time, of the granularity that inodes get. Any context.
    fn now(&self) -> Time;
    /// A random number (generations, placement of directories below the root). Any context.
    fn random(&self) -> u32;
    /// The processor this runs on, below `cpus()`: a hint that may be old at once. Any context.
    fn cpu(&self) -> usize;
    /// How many processors there may be.
    fn cpus(&self) -> usize;
    /// Something is wrong on the disk. Returns `report.error` for the caller to pass on.
    fn error(&self, report: &Report) -> Error;
}
