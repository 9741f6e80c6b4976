// SPDX-License-Identifier: GPL-2.0
//! `BackingDev`: what the page cache knows of the device behind a file system (Linux's `backing_dev_info`): how far to read ahead,
//! how much is dirty and under write-back, and whom to wake for writing. Locks: `draining` (sleeping) among those who wait.

use crate::share::{Share, TOTAL};
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

/// What an administrator lets a device have of the memory that may be dirty, in percent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ratios {
    /// So much however little is written to it.
    pub min: u32,
    /// No more than this.
    pub max: u32,
    /// What all devices together have for sure.
    pub all_min: u32,
}

impl Default for Ratios {
    fn default() -> Self {
        Self { min: 0, max: 100, all_min: 0 }
    }
}

/// Who knows the settings of a device, if that is somebody else (a disk). Any context.
pub trait Settings: Send + Sync {
    /// Pages read ahead.
    fn ra_pages(&self) -> u32;
    /// Its part of what may be dirty.
    fn ratios(&self) -> Ratios;
}

/// A device behind file systems.
pub struct BackingDev {
    ra_pages: AtomicU32,
    settings: SetOnce<KBox<dyn Settings>>,
    io_pages: AtomicU32,
    dirty: AtomicI64,
    writeback: AtomicI64,
    dirtied: AtomicU64,
    written: AtomicU64,
    share: Share,
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
            settings: SetOnce::new(),
            io_pages: AtomicU32::new(io_pages),
            dirty: AtomicI64::new(0),
            writeback: AtomicI64::new(0),
            dirtied: AtomicU64::new(0),
            written: AtomicU64::new(0),
            share: Share::new(),
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
        match self.settings.get() {
            Some(settings) => settings.ra_pages(),
            None => self.ra_pages.load(Ordering::Relaxed),
        }
    }

    /// Says who knows its settings. Once. Asked where a page is missing or marked, and where writers may have to wait.
    pub fn set_settings(&self, settings: KBox<dyn Settings>) {
        // A second one would say the same: the first stays.
        drop(self.settings.set(settings));
    }

    /// Its part of `limit` pages that may be dirty: by what was written to it of late, within what an administrator set.
    pub fn part_of(&self, limit: u64) -> u64 {
        let Ratios { min, max, all_min } =
            self.settings.get().map_or_else(Ratios::default, |settings| settings.ratios());
        let percent = |part: u32| limit.saturating_mul(part.min(100).into()) / 100;
        let part = self.share.of(&TOTAL, percent(100 - all_min.min(100)));
        part.saturating_add(percent(min)).min(percent(max))
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
        self.share.add(&TOTAL, pages.max(0).cast_unsigned(), ktime::now_ns());
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
