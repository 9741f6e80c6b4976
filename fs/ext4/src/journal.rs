// SPDX-License-Identifier: GPL-2.0
//! What the journal stands on: the devices, the metadata cache, files with ordered data, the mounted file system to tell.

use crate::buffer::{Buf, Cache};
use crate::device::{Blocks, LogBlocks};
use crate::locks::KMonitor;
use crate::mounted::Mounted;
use core::sync::atomic::Ordering;
use errno::{Error, Result};
use jbd2::{BlockDevice, OrderedRange, System, Tid, WriteFlags};
use kalloc::{Arc, WeakArc};
use kernel::filesystem::locking::SetOnce;
use kernel::filesystem::mm::throttle::EXPIRE_CENTISECS;
use kernel::filesystem::{ktime, sync, task};

/// The journal of a mounted file system.
pub(crate) type Journal = jbd2::Journal<Sys>;

/// Who is told what the journal does: the mounted file system.
pub(crate) trait Listener: Send + Sync {
    /// A transaction is on the disk.
    fn committed(&self, tid: Tid);
    /// The journal was aborted.
    fn aborted(&self, error: Error);
    /// Waits for the data of a file; starts to write it if nobody did.
    fn wait_data(&self, range: &OrderedRange) -> Result;
}

/// The journal's surroundings.
pub(crate) struct Sys {
    log: Blocks,
    cache: Arc<Cache>,
    external: bool,
    pub(crate) listener: SetOnce<WeakArc<Mounted>>,
}

impl Sys {
    /// A log on `log` (another device than the file system's if `external`).
    pub(crate) fn new(log: Blocks, cache: Arc<Cache>, external: bool) -> Self {
        Self { log, cache, external, listener: SetOnce::new() }
    }

    /// Whether the log's device is flushed where order matters.
    pub(crate) fn set_barrier(&self, barrier: bool) {
        self.log.set_barrier(barrier);
    }

    fn listener(&self) -> Option<Arc<Mounted>> {
        self.listener.get()?.upgrade()
    }
}

impl System for Sys {
    type Monitor<T: Send + 'static> = KMonitor<T>;
    type Buf = Buf;
    type LogBuf = LogBlocks;

    fn log(&self) -> &dyn BlockDevice {
        &self.log
    }

    fn fs(&self) -> &dyn BlockDevice {
        &self.cache.device
    }

    fn is_external(&self) -> bool {
        self.external
    }

    fn log_buf(&self, blocks: usize) -> Result<LogBlocks> {
        LogBlocks::new(blocks, self.log.block_size)
    }

    fn write_log(&self, block: u64, buf: &LogBlocks, begin: usize, end: usize, flags: WriteFlags) -> Result {
        buf.write(&self.log, block, begin, end, flags)
    }

    fn write_back(&self, buffers: &[Buf]) -> Result {
        self.cache.write_back(buffers)
    }

    fn write_ordered(&self, _ranges: &[OrderedRange]) -> Result {
        // Who put a range on the list had its pages under write-back before the handle was stopped.
        Ok(())
    }

    fn wait_ordered(&self, ranges: &[OrderedRange]) -> Result {
        let Some(listener) = self.listener() else { return Ok(()) };
        ranges.iter().map(|range| listener.wait_data(range)).fold(Ok(()), Result::and)
    }

    fn committed(&self, tid: Tid) {
        if let Some(listener) = self.listener() {
            listener.committed(tid);
        }
    }

    fn aborted(&self, error: Error) {
        if let Some(listener) = self.listener() {
            listener.aborted(error);
        }
    }

    fn now(&self) -> (u64, u32) {
        let ns = ktime::real_ns();
        (ns / 1_000_000_000, (ns % 1_000_000_000) as u32)
    }

    fn clock_ns(&self) -> u64 {
        ktime::now_ns()
    }

    fn expire_ns(&self) -> u64 {
        u64::from(EXPIRE_CENTISECS.load(Ordering::Relaxed)) * 10_000_000
    }

    fn task(&self) -> u64 {
        let task = task::current();
        core::ptr::from_ref(&*task).addr() as u64
    }

    fn sleep(&self, ns: u64) {
        let deadline = ktime::now_ns().saturating_add(ns);
        let nobody = sync::WaitQueue::new();
        nobody.wait_until_deadline(deadline, || false);
    }
}
