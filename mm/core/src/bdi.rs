// SPDX-License-Identifier: GPL-2.0
//! `BackingDev`: what the page cache knows of the device behind a file system (Linux's `backing_dev_info`): how far to read ahead,
//! how much is dirty and under write-back, and whom to wake for writing. Locks: `draining` (sleeping) among those who wait.

use core::any::Any;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;
use sync::{Mutex, WaitQueue};

/// Pages read ahead by default: 128 KB.
pub const DEFAULT_RA_PAGES: u32 = 32;

/// Why writing is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WakeReason {
    /// Something became dirty: look after the usual time.
    Dirtied,
    /// Too much is dirty.
    Background,
    /// Memory is short, or somebody asked for all.
    Now,
}

/// The thread that writes a device's dirty files.
pub trait Flusher: Send + Sync {
    /// Wakes it. Any context.
    fn wake(&self, reason: WakeReason);
    /// For who made it, to find its own.
    fn as_any(&self) -> &dyn Any;
}

/// A device behind file systems.
pub struct BackingDev {
    ra_pages: AtomicU32,
    /// Who knows how far to read ahead, if that is somebody else.
    ra_source: SetOnce<KBox<dyn Fn() -> u32 + Send + Sync>>,
    io_pages: AtomicU32,
    dirty: AtomicI64,
    writeback: AtomicI64,
    dirtied: AtomicU64,
    written: AtomicU64,
    /// Which of `started` counts what begins now.
    epoch: AtomicU32,
    /// Pages under write-back that began in each epoch.
    started: [AtomicI64; 2],
    drained: WaitQueue,
    draining: Mutex<()>,
    flusher: SetOnce<KBox<dyn Flusher>>,
}

impl BackingDev {
    /// A device that reads `ra_pages` ahead and takes `io_pages` in one piece. ENOMEM.
    pub fn new(ra_pages: u32, io_pages: u32) -> Result<Arc<Self>> {
        let bdi = Self {
            ra_pages: AtomicU32::new(ra_pages),
            ra_source: SetOnce::new(),
            io_pages: AtomicU32::new(io_pages),
            dirty: AtomicI64::new(0),
            writeback: AtomicI64::new(0),
            dirtied: AtomicU64::new(0),
            written: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
            started: [const { AtomicI64::new(0) }; 2],
            drained: WaitQueue::new(),
            draining: Mutex::new(()),
            flusher: SetOnce::new(),
        };
        Ok(Arc::new(bdi, GFP_KERNEL)?)
    }

    /// Pages read ahead.
    #[inline]
    pub fn ra_pages(&self) -> u32 {
        match self.ra_source.get() {
            Some(source) => source(),
            None => self.ra_pages.load(Ordering::Relaxed),
        }
    }

    /// Says who knows the pages read ahead (the disk, whose setting it is). Once. Called where a page is missing or marked.
    pub fn set_ra_source(&self, source: KBox<dyn Fn() -> u32 + Send + Sync>) {
        // A second one would say the same: the first stays.
        drop(self.ra_source.set(source));
    }

    /// Sets the pages read ahead (`read_ahead_kb`, `BLKRASET`).
    pub fn set_ra_pages(&self, pages: u32) {
        self.ra_pages.store(pages, Ordering::Relaxed);
    }

    /// Pages of the largest single request.
    pub fn io_pages(&self) -> u32 {
        self.io_pages.load(Ordering::Relaxed)
    }

    /// Sets the pages of the largest single request.
    pub fn set_io_pages(&self, pages: u32) {
        self.io_pages.store(pages, Ordering::Relaxed);
    }

    /// Dirty pages of its files now.
    pub fn dirty(&self) -> u64 {
        self.dirty.load(Ordering::Relaxed).max(0).cast_unsigned()
    }

    /// Pages of its files that are under write-back now.
    pub fn writeback(&self) -> u64 {
        self.writeback.load(Ordering::Relaxed).max(0).cast_unsigned()
    }

    /// Pages that became dirty, and pages that were written, since it came.
    pub fn totals(&self) -> (u64, u64) {
        (self.dirtied.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed))
    }

    pub(crate) fn count_dirty(&self, pages: i64) {
        self.dirty.fetch_add(pages, Ordering::Relaxed);
        if pages > 0 {
            self.dirtied.fetch_add(pages.cast_unsigned(), Ordering::Relaxed);
        }
    }

    /// Write-back of `pages` pages begins; what is returned goes to [`Self::end`].
    pub(crate) fn begin(&self, pages: i64) -> u32 {
        let epoch = self.epoch.load(Ordering::Acquire) & 1;
        self.writeback.fetch_add(pages, Ordering::Relaxed);
        self.written.fetch_add(pages.max(0).cast_unsigned(), Ordering::Relaxed);
        if let Some(started) = self.started.get(epoch as usize) {
            started.fetch_add(pages, Ordering::AcqRel);
        }
        epoch
    }

    /// Write-back of `pages` pages is done. Any context.
    pub(crate) fn end(&self, pages: i64, epoch: u32) {
        self.writeback.fetch_sub(pages, Ordering::Relaxed);
        if let Some(started) = self.started.get(epoch as usize)
            && started.fetch_sub(pages, Ordering::AcqRel) == pages
            && self.drained.is_active()
        {
            self.drained.wake_up_all();
        }
    }

    /// Waits until all write-back that began before this call is done. What begins meanwhile is not waited for. May sleep.
    pub fn wait_started(&self) {
        let _one = self.draining.lock();
        let old = self.epoch.fetch_add(1, Ordering::AcqRel) & 1;
        if let Some(started) = self.started.get(old as usize) {
            self.drained.wait_until(|| started.load(Ordering::Acquire) <= 0);
        }
    }

    /// Who writes, if somebody does.
    pub fn flusher(&self) -> Option<&dyn Flusher> {
        self.flusher.get().map(|flusher| &**flusher)
    }

    /// Says who writes. Once.
    pub fn set_flusher(&self, flusher: KBox<dyn Flusher>) {
        // A second one would write for nobody: the first stays.
        drop(self.flusher.set(flusher));
    }

    /// Wakes the writer, if there is one. Any context.
    pub fn wake(&self, reason: WakeReason) {
        if let Some(flusher) = self.flusher.get() {
            flusher.wake(reason);
        }
    }
}
