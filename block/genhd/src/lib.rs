// SPDX-License-Identifier: GPL-2.0
//! What programs see of disks: nodes in `/dev`, `/sys/block`, `/sys/class/{block,bdi}`, `/proc/partitions`, `/proc/diskstats`; and the reading
//! of partition tables when a disk comes. The core tells this crate of what comes and goes (`block::BlockEvents`).
//!
//! Locks: those of the file systems it writes to; the core's `open` mutex is held around a scan.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod attributes;
mod bdi;
mod queue;
mod requests;
mod scan;
mod text;

use block::{BlockDevice, BlockEvents, Gendisk};
use devtmpfs::Kind;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, KVec};
use klog::pr_warn;
use sysfs::Node;
use sysfs::uevent::Action;

/// What an attribute is about, while it is there: the attribute may be in a program's hands, or in a cache, for longer. `ENODEV`.
fn live<T>(owner: &Arc<T>) -> impl Fn() -> Result<Arc<T>> + Send + Sync + use<T>
where
    T: Send + Sync + 'static,
{
    let weak = Arc::downgrade(owner);
    move || weak.upgrade().ok_or(ENODEV)
}

struct Events;

impl BlockEvents for Events {
    fn disk_added(&self, disk: &Arc<Gendisk>) -> Result {
        let whole = disk.part(0).ok_or(ENXIO)?;
        show(&whole)
    }

    fn disk_removed(&self, disk: &Arc<Gendisk>) {
        blktrace::gone(disk);
        if let Some(whole) = disk.part(0) {
            hide(&whole);
        }
    }

    fn partition_added(&self, bdev: &Arc<BlockDevice>) -> Result {
        show(bdev)
    }

    fn partition_removed(&self, bdev: &Arc<BlockDevice>) {
        hide(bdev);
    }

    fn disk_resized(&self, _: &Arc<Gendisk>) {}

    fn scan(&self, disk: &Arc<Gendisk>) -> Result {
        scan::scan(disk)
    }
}

/// Begins to show disks. Once, at boot, before the first driver. May sleep.
pub fn init() -> Result {
    static EVENTS: &dyn BlockEvents = &Events;
    static AUTOLOAD: block::Autoload = autoload;
    block::set_events(&EVENTS);
    block::set_autoload(&AUTOLOAD);
    text::add()
}

/// Asks for the module of a device that is not there, as Linux does: by both numbers, then by the major one alone.
fn autoload(dev: block::Dev) {
    vfs::hooks::request_module(format_args!("block-major-{}-{}", dev.major(), dev.minor()));
    if block::lookup(dev).is_none() {
        vfs::hooks::request_module(format_args!("block-major-{}", dev.major()));
    }
    if block::lookup(dev).is_some() {
        pr_warn!("block device autoloading is deprecated and will be removed.");
    }
}

/// `cciss/c0d0` is `cciss!c0d0` in sysfs.
fn sysfs_name(bdev: &BlockDevice) -> Result<KVec<u8>> {
    let mut name = bdev.name()?.into_vec();
    for byte in name.iter_mut().filter(|byte| **byte == b'/') {
        *byte = b'!';
    }
    Ok(name)
}

/// The directory of a device that is shown.
fn directory(bdev: &BlockDevice) -> Result<Arc<Node>> {
    let root = sysfs::root()?;
    let disk = bdev.disk();
    let home = match disk.parent().and_then(KString::to_str) {
        Some(parent) => root.path_or_new(parent)?.dir_or_new(b"block")?,
        None => root.path_or_new("devices/virtual/block")?,
    };
    if !bdev.is_partition() {
        return home.dir_or_new(&sysfs_name(bdev)?);
    }
    let whole = disk.part(0).ok_or(ENXIO)?;
    home.dir_or_new(&sysfs_name(&whole)?)?.dir_or_new(&sysfs_name(bdev)?)
}

/// Makes the node and everything in sysfs.
fn show(bdev: &Arc<BlockDevice>) -> Result {
    let root = sysfs::root()?;
    let (name, dir) = (sysfs_name(bdev)?, directory(bdev)?);
    let class = root.path_or_new("class/block")?;
    dir.link(b"subsystem", &class)?;
    class.link(&name, &dir)?;
    let number = KString::from_fmt(format_args!("{}:{}", bdev.dev().major(), bdev.dev().minor()), GFP_KERNEL)?;
    root.path_or_new("dev/block")?.link(number.as_bytes(), &dir)?;
    if !bdev.is_partition() {
        root.path_or_new("block")?.link(&name, &dir)?;
        if let Some(parent) = bdev.disk().parent().and_then(KString::to_str) {
            dir.link(b"device", &root.path_or_new(parent)?)?;
        }
        queue::add(&dir, bdev.disk())?;
        bdi::add(&dir, bdev)?;
        requests::add_hw(&dir, bdev.disk())?;
    }
    attributes::add(&dir, bdev)?;
    let node = bdev.name()?;
    devtmpfs::create_node(node.to_str().ok_or(EINVAL)?, Kind::Block, bdev.dev(), 0o600)?;
    sysfs::uevent::emit(Action::Add, &dir, "block", |out| attributes::uevent(bdev, out));
    Ok(())
}

/// Takes all of it away.
fn hide(bdev: &Arc<BlockDevice>) {
    if let Err(error) = try_hide(bdev) {
        pr_warn!("block: {:?} is still shown: {error}", bdev.dev());
    }
}

fn try_hide(bdev: &Arc<BlockDevice>) -> Result {
    let root = sysfs::root()?;
    let name = sysfs_name(bdev)?;
    let number = KString::from_fmt(format_args!("{}:{}", bdev.dev().major(), bdev.dev().minor()), GFP_KERNEL)?;
    for (dir, link) in [("class/block", &*name), ("dev/block", number.as_bytes()), ("block", &*name)] {
        if (dir != "block" || !bdev.is_partition())
            && let Some(link) = root.path_or_new(dir)?.child(link)
        {
            link.remove();
        }
    }
    if !bdev.is_partition() {
        bdi::remove(bdev)?;
    }
    let dir = directory(bdev)?;
    sysfs::uevent::emit(Action::Remove, &dir, "block", |out| attributes::uevent(bdev, out));
    dir.remove();
    let node = bdev.name()?;
    devtmpfs::remove_node(node.to_str().ok_or(EINVAL)?, Kind::Block, bdev.dev())
}
