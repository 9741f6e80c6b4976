// SPDX-License-Identifier: GPL-2.0
//! The device of a mounted file system, as the VFS wants it. No locks but the claim's.

use crate::device::Blocks;
use core::any::Any;
use errno::Result;
use errno::code::{EACCES, EINVAL, ENOTBLK};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use kernel::filesystem::block::{self, BdevHandle, BlockDevice, Holder};
use kernel::filesystem::buffer::DeviceCache;
use kernel::filesystem::mm::BackingDev;
use kernel::filesystem::sync::Mutex;
use kernel::filesystem::vfs::namei::{PathName, Start, lflag, walk::lookup_path};
use kernel::filesystem::vfs::{Dev, FileType, SuperDevice};

/// A device that is mounted.
pub(crate) struct Device {
    bdev: Arc<BlockDevice>,
    name: KString,
    bdi: Arc<BackingDev>,
    /// Open, and claimed for this file system.
    handle: Mutex<Option<BdevHandle>>,
    blocks: Mutex<Option<Blocks>>,
    /// Where its log is, if that is a device of its own.
    log: Mutex<Option<Arc<Device>>>,
}

/// The number of the device that a path leads to. `ENOTBLK` if it leads elsewhere.
pub(crate) fn number_of(path: &[u8]) -> Result<Dev> {
    if path.is_empty() {
        return Err(EINVAL);
    }
    let found = lookup_path(Start::Cwd, &PathName::from_bytes(path)?, lflag::FOLLOW)?;
    let inode = found.inode()?;
    if inode.file_type() != FileType::Block {
        return Err(ENOTBLK);
    }
    if found.mnt.flags() & uapi::MS_NODEV != 0 {
        return Err(EACCES);
    }
    Ok(inode.rdev)
}

impl Device {
    /// Opens and claims a device. `EBUSY` if somebody else has it; `EACCES` if it cannot be written but should be.
    pub(crate) fn open(dev: Dev, write: bool) -> Result<Arc<Self>> {
        let bdev = block::lookup(dev).ok_or(errno::code::ENXIO)?;
        let holder = Holder::unique();
        let handle = block::open_by_dev(dev, write, Some(holder))?;
        let device = Self {
            name: bdev.name()?,
            bdi: DeviceCache::of(&bdev)?.bdi().clone(),
            bdev,
            handle: Mutex::new(Some(handle)),
            blocks: Mutex::new(None),
            log: Mutex::new(None),
        };
        // What others wrote through the device's own cache must be seen here.
        device.bdev.sync()?;
        Ok(Arc::new(device, GFP_KERNEL)?)
    }

    /// The device below.
    pub(crate) fn bdev(&self) -> &Arc<BlockDevice> {
        &self.bdev
    }

    /// Its log is on a device of its own, which is released with it.
    pub(crate) fn set_log(&self, log: Arc<Device>) {
        *self.log.lock() = Some(log);
    }

    /// The name of the log's device, if it has one of its own.
    pub(crate) fn log_name(&self) -> Option<Result<KString>> {
        let log = self.log.lock();
        log.as_ref().map(|log| Ok(KString::from_fmt(format_args!("{}", SuperDevice::name(&**log)), GFP_KERNEL)?))
    }

    /// The number of the log's device, if it has one of its own.
    pub(crate) fn log_dev(&self) -> Option<Dev> {
        self.log.lock().as_ref().map(|log| log.dev())
    }

    /// Through what its cache is flushed.
    pub(crate) fn set_blocks(&self, blocks: &Blocks) {
        *self.blocks.lock() = Some(blocks.clone());
    }
}

impl SuperDevice for Device {
    fn dev(&self) -> Dev {
        self.bdev.dev()
    }

    fn name(&self) -> &str {
        core::str::from_utf8(&self.name).unwrap_or("?")
    }

    fn bdi(&self) -> &Arc<BackingDev> {
        &self.bdi
    }

    fn sync(&self) -> Result {
        self.bdev.sync()?;
        self.flush()
    }

    fn flush(&self) -> Result {
        let blocks = self.blocks.lock().clone();
        blocks.map_or(Ok(()), |blocks| blocks.flush_cache())
    }

    fn release(&self) {
        if let Some(cache) = self.bdev.cache() {
            cache.invalidate();
        }
        drop(self.handle.lock().take());
        let log = self.log.lock().take();
        if let Some(log) = log {
            log.release();
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
