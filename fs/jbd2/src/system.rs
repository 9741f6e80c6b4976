// SPDX-License-Identifier: GPL-2.0
//! What a journal stands on: a monitor to sleep in, block devices, buffers of metadata, a clock.

use crate::state::Mark;
use crate::{Handle, Tid};
use errno::{Error, Result};

/// A block device in blocks of the journal's size. Calls sleep until the I/O is done.
pub trait BlockDevice: Send + Sync {
    /// Reads the block into `data`, which is one block long.
    fn read(&self, block: u64, data: &mut [u8]) -> Result;
    /// Reads consecutive blocks of `size` bytes into `data`, by as few transfers as the device likes.
    fn read_run(&self, block: u64, data: &mut [u8], size: usize) -> Result {
        let blocks = block..;
        data.chunks_mut(size).zip(blocks).try_for_each(|(piece, block)| self.read(block, piece))
    }
    /// Writes the block; it need not be durable before the next `flush`.
    fn write(&self, block: u64, data: &[u8], flags: WriteFlags) -> Result;
    /// Makes durable what was written before. Does nothing where barriers are off.
    fn flush(&self) -> Result;
}

/// How a write is ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WriteFlags {
    /// The device's cache is flushed before the write.
    pub preflush: bool,
    /// The write is durable when it is done.
    pub fua: bool,
}

/// Memory for blocks of the log, in the form that the device likes.
pub trait LogBuf: Send {
    /// How many blocks there are.
    fn blocks(&self) -> usize;
    /// One of them; empty if there is no such.
    fn block(&self, index: usize) -> &[u8];
    /// One of them; empty if there is no such.
    fn block_mut(&mut self, index: usize) -> &mut [u8];
}

/// A lock that one can sleep in until what it guards has changed.
pub trait Monitor<T: Send>: Send + Sync + Sized {
    /// A free lock around `value`.
    fn new(value: T) -> Result<Self>;
    /// Runs `f` under the lock. May sleep for the lock.
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R;
    /// Runs `f` under the lock, again after each `wake`, until it yields a value. The sleep cannot be interrupted.
    fn wait<R>(&self, f: impl FnMut(&mut T) -> Option<R>) -> R;
    /// As `wait`, but gives up when the monotonic clock reaches `deadline_ns`.
    fn wait_until<R>(&self, deadline_ns: u64, f: impl FnMut(&mut T) -> Option<R>) -> Option<R>;
    /// Wakes all who wait. After the change, with or without the lock.
    fn wake(&self);
}

/// What became of a claim on a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// It is being written: nothing was changed.
    Busy,
    /// It will not be written until it is marked dirty again; whether it was dirty.
    Claimed(bool),
}

/// A block of metadata in the buffer cache. A clone is another reference to the same block. The cache keeps a block that the
/// journal has a reference to, and writes it back on its own whenever it is dirty: the journal takes that mark away as
/// long as the content belongs to a transaction that is not committed.
pub trait Buffer: Clone + Send + Sync + 'static {
    /// The block of the file system.
    fn block(&self) -> u64;
    /// The journal's mark in the buffer.
    fn mark(&self) -> &Mark;
    /// Copies the content to `out`, one block.
    fn copy_to(&self, out: &mut [u8]);
    /// Takes the dirty mark away unless the buffer is being written just now. Does not sleep.
    fn claim(&self) -> Claim;
    /// Waits until a write under way has ended.
    fn wait_written(&self);
    /// The buffer may be written and shall be some time. Does not sleep.
    fn mark_dirty(&self);
    /// Whether there is something to write or it is being written. Does not sleep.
    fn is_busy(&self) -> bool;
    /// Whether a write of the content failed since it was last changed.
    fn has_failed(&self) -> bool;
    /// The block is free: forgets the content. Does not sleep.
    fn forget(&self);
}

/// Data of a file that must be written before a transaction commits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderedRange {
    /// The file.
    pub ino: u64,
    /// First byte.
    pub from: u64,
    /// Byte after the last.
    pub to: u64,
}

/// The machine and the file system around a journal.
pub trait System: Send + Sync + Sized + 'static {
    /// Locks.
    type Monitor<T: Send + 'static>: Monitor<T> + 'static;
    /// Buffers of metadata.
    type Buf: Buffer;
    /// Memory for writing the log; also one block of it for a buffer's content as it was.
    type LogBuf: LogBuf + 'static;

    /// The device of the log.
    fn log(&self) -> &dyn BlockDevice;
    /// The device of the file system.
    fn fs(&self) -> &dyn BlockDevice;
    /// Whether the log lies on a device of its own.
    fn is_external(&self) -> bool;
    /// Memory for `blocks` blocks of the log.
    fn log_buf(&self, blocks: usize) -> Result<Self::LogBuf>;
    /// Writes the first to last-before-`end` blocks of `buf` to consecutive blocks of the log's device from `block` on.
    fn write_log(&self, block: u64, buf: &Self::LogBuf, begin: usize, end: usize, flags: WriteFlags) -> Result;
    /// Writes those of the buffers that are dirty to the file system, and waits. The first error.
    fn write_back(&self, buffers: &[Self::Buf]) -> Result;
    /// Starts to write the data of these files.
    fn write_ordered(&self, ranges: &[OrderedRange]) -> Result;
    /// Waits for the data of these files.
    fn wait_ordered(&self, ranges: &[OrderedRange]) -> Result;
    /// The transaction is on the disk.
    fn committed(&self, tid: Tid);
    /// The journal has been aborted because of `error`.
    fn aborted(&self, error: Error);
    /// The time of day: seconds and nanoseconds.
    fn now(&self) -> (u64, u32);
    /// The monotonic clock.
    fn clock_ns(&self) -> u64;
    /// How long what is committed may wait before it is written home though its place in the log is not needed.
    fn expire_ns(&self) -> u64 {
        30_000_000_000
    }
    /// Which task this is.
    fn task(&self) -> u64;
    /// Sleeps.
    fn sleep(&self, ns: u64);
}

/// The handle of a journal on `S` (shorthand for users).
pub type HandleOf<S> = Handle<S>;
