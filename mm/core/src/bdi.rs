// SPDX-License-Identifier: GPL-2.0
//! `BackingDev`: what the page cache knows of the device behind a file system (Linux's `backing_dev_info`): how far to read ahead,
//! how much is dirty and under write-back, and whom to wake for writing. No locks.

use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;

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
}

/// A device behind file systems.
pub struct BackingDev {
    ra_pages: AtomicU32,
    io_pages: AtomicU32,
    dirty: AtomicI64,
    writeback: AtomicI64,
    dirtied: AtomicU64,
    written: AtomicU64,
    flusher: SetOnce<KBox<dyn Flusher>>,
}

impl BackingDev {
    /// A device that reads `ra_pages` ahead and takes `io_pages` in one piece. ENOMEM.
    pub fn new(ra_pages: u32, io_pages: u32) -> Result<Arc<Self>> {
        let bdi = Self {
            ra_pages: AtomicU32::new(ra_pages),
            io_pages: AtomicU32::new(io_pages),
            dirty: AtomicI64::new(0),
            writeback: AtomicI64::new(0),
            dirtied: AtomicU64::new(0),
            written: AtomicU64::new(0),
            flusher: SetOnce::new(),
        };
        Ok(Arc::new(bdi, GFP_KERNEL)?)
    }

    /// Pages read ahead.
    #[inline]
    pub fn ra_pages(&self) -> u32 {
        self.ra_pages.load(Ordering::Relaxed)
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

    pub(crate) fn count_writeback(&self, pages: i64) {
        self.writeback.fetch_add(pages, Ordering::Relaxed);
        if pages > 0 {
            self.written.fetch_add(pages.cast_unsigned(), Ordering::Relaxed);
        }
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
