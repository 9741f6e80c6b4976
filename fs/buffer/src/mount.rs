// SPDX-License-Identifier: GPL-2.0
//! Mounting a block device: finding it by the path given as the source, claiming it, sharing the super block if it is mounted already.

use crate::device::DeviceCache;
use block::{BdevHandle, BlockDevice, Holder};
use core::any::Any;
use core::sync::atomic::Ordering::Release;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use kdev::Dev;
use mm::BackingDev;
use sync::Mutex;
use vfs::namei::{PathName, Start, lflag, walk::lookup_path};
use vfs::super_block::on_device;
use vfs::{FileSystemType, FileType, FsContext, SuperBlock, SuperDevice};

/// A device that a super block has claimed. Its claim ends when the file system is shut down.
pub struct MountedDevice {
    handle: Mutex<Option<BdevHandle>>,
    bdev: Arc<BlockDevice>,
    cache: Arc<DeviceCache>,
    name: KString,
}

impl MountedDevice {
    /// Wraps an open device.
    pub fn new(handle: BdevHandle) -> Result<Arc<Self>> {
        let bdev = handle.bdev().clone();
        let device =
            Self { cache: DeviceCache::of(&bdev)?, name: bdev.name()?, bdev, handle: Mutex::new(Some(handle)) };
        device.cache.refresh();
        Ok(Arc::new(device, GFP_KERNEL)?)
    }

    /// The device.
    pub fn bdev(&self) -> &Arc<BlockDevice> {
        &self.bdev
    }

    /// What is cached of it: its buffers.
    pub fn cache(&self) -> &Arc<DeviceCache> {
        &self.cache
    }

    /// Whether it was opened for writing.
    pub fn writes(&self) -> bool {
        self.handle.lock().as_ref().is_some_and(BdevHandle::writes)
    }

    /// Of a super block, if it is on such a device.
    pub fn of(sb: &SuperBlock) -> Option<&MountedDevice> {
        sb.device()?.as_any().downcast_ref()
    }
}

impl SuperDevice for MountedDevice {
    fn dev(&self) -> Dev {
        self.bdev.dev()
    }

    fn name(&self) -> &str {
        self.name.to_str().unwrap_or("")
    }

    fn bdi(&self) -> &Arc<BackingDev> {
        self.cache.bdi()
    }

    fn sync(&self) -> Result {
        let written = self.cache.write_all();
        if !self.writes() {
            return written;
        }
        written.and(self.cache.flush())
    }

    fn flush(&self) -> Result {
        self.cache.flush()
    }

    fn release(&self) {
        let handle = self.handle.lock().take();
        drop(handle);
        // Buffers were the file system's: what programs write to the device from now on is not to be hidden by them.
        self.cache.drop_buffers(0);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The device number that `source` names. ENOENT, ENOTBLK. May sleep.
fn source_dev(source: &[u8]) -> Result<Dev> {
    if source.is_empty() {
        return Err(EINVAL);
    }
    let path = lookup_path(Start::Cwd, &PathName::from_bytes(source)?, lflag::FOLLOW)?;
    let inode = path.inode()?;
    if inode.file_type() != FileType::Block {
        return Err(ENOTBLK);
    }
    if path.mnt.flags() & uapi::MS_NODEV != 0 {
        return Err(EACCES);
    }
    Ok(inode.rdev)
}

/// Opens the device that `source` names for a super block of type `fs_type`. A read-only device: EACCES, unless `flags` have
/// `MS_RDONLY`. EBUSY if somebody else has claimed it. May sleep.
pub fn open_source(fs_type: &'static dyn FileSystemType, source: &[u8], flags: u32) -> Result<Arc<MountedDevice>> {
    open_dev(fs_type, source_dev(source)?, flags)
}

fn open_dev(fs_type: &'static dyn FileSystemType, dev: Dev, flags: u32) -> Result<Arc<MountedDevice>> {
    // Every claim for a mount is by one who knows of the others of its type: `mount_bdev` shares super blocks. (Types have no size, so
    // two of them may have one address; their names do not.)
    let holder = Holder(fs_type.name().as_ptr().addr().wrapping_add(dev.0 as usize).max(1));
    MountedDevice::new(block::open_by_dev(dev, flags & uapi::MS_RDONLY == 0, Some(holder))?)
}

/// The super block of `fs_type` on the device that `context` names (`get_tree_bdev`): the mounted one (EBUSY if that is read-only and
/// this is not to be, or the other way round), or one that `fill` makes on the device and gives a root. May sleep.
pub fn mount_bdev(
    fs_type: &'static dyn FileSystemType,
    context: &FsContext<'_>,
    fill: impl FnOnce(Arc<MountedDevice>) -> Result<Arc<SuperBlock>>,
) -> Result<Arc<SuperBlock>> {
    static MOUNTING: Mutex<()> = Mutex::new(());
    let dev = source_dev(context.source)?;
    let _mounting = MOUNTING.lock();
    if let Some(sb) = on_device(fs_type, dev) {
        let same = (sb.flags() ^ context.flags) & uapi::MS_RDONLY == 0;
        return if same { Ok(sb) } else { Err(EBUSY) };
    }
    let device = open_dev(fs_type, dev, context.flags)?;
    // What was lost before was not this file system's.
    device.cache().lost.store(0, Release);
    let made = fill(device.clone());
    if made.is_err() {
        device.release();
    }
    made
}
