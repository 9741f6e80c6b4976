// SPDX-License-Identifier: GPL-2.0
//! Opening a device: the driver is asked, openers are counted, and one holder may claim it for itself (`O_EXCL`, a mounted file
//! system). A claim of a partition keeps others from claiming the whole disk, and the other way round.

use crate::bdev::BlockDevice;
use crate::registry::lookup;
use core::sync::atomic::{AtomicUsize, Ordering};
use errno::{Result, code::*};
use hook::AtomicRef;
use kalloc::Arc;
use kdev::Dev;
use module_core::ModuleRef;

/// Who claims a device: any two callers with the same value share it (a file system's super block's address). Never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder(pub usize);

impl Holder {
    /// A holder that is nobody else's: for one open file, or one mount.
    pub fn unique() -> Self {
        // Odd, as no address of an object is.
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        Self(NEXT.fetch_add(2, Ordering::Relaxed))
    }
}

/// Has the module of a device loaded that is not there, if one says that it is its (`block-major-MAJOR-MINOR`). May sleep.
pub type Autoload = fn(Dev);

static AUTOLOAD: AtomicRef<Autoload> = AtomicRef::new();

/// Says who loads modules of devices: once, at boot.
pub fn set_autoload(autoload: &'static Autoload) {
    AUTOLOAD.store(Some(autoload));
}

/// The device with that number, whose module may have to be loaded first. ENXIO.
fn find(dev: Dev) -> Result<Arc<BlockDevice>> {
    if let Some(found) = lookup(dev) {
        return Ok(found);
    }
    AUTOLOAD.load().ok_or(ENXIO)?(dev);
    lookup(dev).ok_or(ENXIO)
}

/// Openers and claims of a device.
#[derive(Default)]
pub(crate) struct Claims {
    pub(crate) openers: u32,
    holder: Option<Holder>,
    holders: u32,
    /// Of a whole disk: how many claims its partitions have.
    parts: u32,
}

/// An open device. Dropping it closes the device (may sleep; with the last one dirty pages are written out, and the cache is emptied).
pub struct BdevHandle {
    bdev: Arc<BlockDevice>,
    write: bool,
    holder: Option<Holder>,
    /// The driver stays: given back last.
    _modules: [ModuleRef; 2],
}

impl BdevHandle {
    /// The device.
    #[inline]
    pub fn bdev(&self) -> &Arc<BlockDevice> {
        &self.bdev
    }

    /// Whether it was opened for writing.
    pub fn writes(&self) -> bool {
        self.write
    }

    /// Whether the device is claimed for it.
    pub fn is_exclusive(&self) -> bool {
        self.holder.is_some()
    }

    /// Opens the same device again, without a claim.
    pub fn reopen(&self) -> Result<Self> {
        open(&self.bdev, self.write, false, None)
    }
}

/// Opens the device with number `dev`. ENXIO without one, EBUSY if it is claimed by another than `holder`, and what the driver says.
/// With a holder and `write`, EACCES if it is read-only. May sleep.
pub fn open_by_dev(dev: Dev, write: bool, holder: Option<Holder>) -> Result<BdevHandle> {
    open(&find(dev)?, write, false, holder)
}

/// As [`open_by_dev`], for a program that says `O_NONBLOCK`: a drive without a medium is opened too. May sleep.
pub fn open_nonblock(dev: Dev, write: bool, holder: Option<Holder>) -> Result<BdevHandle> {
    open(&find(dev)?, write, true, holder)
}

fn open(bdev: &Arc<BlockDevice>, write: bool, nonblock: bool, holder: Option<Holder>) -> Result<BdevHandle> {
    if write && holder.is_some() && bdev.is_read_only() {
        return Err(EACCES);
    }
    let disk = bdev.disk();
    let modules = [ModuleRef::get(disk.owner()).ok_or(ENXIO)?, ModuleRef::get(disk.adapter()).ok_or(ENXIO)?];
    let mut openers = disk.open.lock();
    if !disk.is_live() {
        return Err(ENXIO);
    }
    if let Some(holder) = holder {
        claim(bdev, holder)?;
    }
    let ops = disk.ops();
    if let Err(error) = if nonblock { ops.open_nonblock(disk, write) } else { ops.open(disk, write) } {
        if holder.is_some() {
            release_claim(bdev);
        }
        return Err(error);
    }
    *openers += 1;
    let mut claims = bdev.claims.lock();
    if claims.openers == 0 {
        bdev.first_open();
    }
    claims.openers += 1;
    drop(claims);
    Ok(BdevHandle { bdev: bdev.clone(), write, holder, _modules: modules })
}

/// Claims `bdev`. The disk's `open` lock is held, so what is looked at does not change meanwhile.
fn claim(bdev: &Arc<BlockDevice>, holder: Holder) -> Result {
    let whole = whole_of(bdev);
    if whole.as_ref().is_some_and(|whole| whole.claims.lock().holder.is_some()) {
        return Err(EBUSY);
    }
    let mut claims = bdev.claims.lock();
    if claims.parts != 0 || claims.holder.is_some_and(|other| other != holder) {
        return Err(EBUSY);
    }
    claims.holder = Some(holder);
    claims.holders += 1;
    drop(claims);
    if let Some(whole) = whole {
        whole.claims.lock().parts += 1;
    }
    Ok(())
}

/// The whole disk that a partition is part of.
fn whole_of(bdev: &BlockDevice) -> Option<Arc<BlockDevice>> {
    if bdev.is_partition() { bdev.disk().part(0) } else { None }
}

fn release_claim(bdev: &Arc<BlockDevice>) {
    if let Some(whole) = whole_of(bdev) {
        let mut claims = whole.claims.lock();
        claims.parts = claims.parts.saturating_sub(1);
    }
    let mut claims = bdev.claims.lock();
    claims.holders = claims.holders.saturating_sub(1);
    if claims.holders == 0 {
        claims.holder = None;
    }
}

impl Drop for BdevHandle {
    fn drop(&mut self) {
        let disk = self.bdev.disk();
        if self.bdev.claims.lock().openers == 1 {
            // The error was, or will be, fsync's.
            let _ = self.bdev.sync();
        }
        let mut openers = disk.open.lock();
        if self.holder.is_some() {
            release_claim(&self.bdev);
        }
        *openers = openers.saturating_sub(1);
        let mut claims = self.bdev.claims.lock();
        claims.openers = claims.openers.saturating_sub(1);
        let last = claims.openers == 0;
        drop(claims);
        if last && let Some(cache) = self.bdev.cache() {
            // What was written meanwhile; nobody opens it before the lock is given back.
            let _ = cache.write_back();
            cache.forget();
        }
        disk.ops().release(disk);
    }
}
