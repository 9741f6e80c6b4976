// SPDX-License-Identifier: GPL-2.0
//! `/sys/class/bdi/MAJOR:MINOR`: what the page cache does for a disk. Source: Linux's `Documentation/ABI/testing/sysfs-class-bdi`.

use crate::queue::{read_ahead, setting};
use block::BlockDevice;
use errno::Result;
use kalloc::Arc;
use kalloc::KString;
use kalloc::flags::GFP_KERNEL;
use sysfs::Node;
use sysfs::uevent::Action;

fn number(bdev: &BlockDevice) -> Result<KString> {
    let dev = bdev.dev();
    Ok(KString::from_fmt(format_args!("{}:{}", dev.major(), dev.minor()), GFP_KERNEL)?)
}

/// Makes a disk's directory, and the link to it in `home`, the disk's own.
pub(crate) fn add(home: &Arc<Node>, whole: &BlockDevice) -> Result {
    let root = sysfs::root()?;
    let (name, disk) = (number(whole)?, whole.disk());
    let class = root.path_or_new("class/bdi")?;
    let dir = root.path_or_new("devices/virtual/bdi")?.dir_or_new(name.as_bytes())?;
    dir.link(b"subsystem", &class)?;
    class.link(name.as_bytes(), &dir)?;
    home.link(b"bdi", &dir)?;
    sysfs::uevent::file(&dir, "bdi", |_| Ok(()))?;
    read_ahead(&dir, disk)?;
    setting(
        &dir,
        disk,
        "min_ratio",
        |disk| disk.dirty().get().0.into(),
        |disk, n| disk.dirty().set_min(u32::try_from(n)?),
    )?;
    setting(
        &dir,
        disk,
        "max_ratio",
        |disk| disk.dirty().get().1.into(),
        |disk, n| disk.dirty().set_max(u32::try_from(n)?),
    )?;
    // As Linux, whose answer is in `queue/stable_writes` now.
    sysfs::constant(&dir, "stable_pages_required", "0")?;
    sysfs::uevent::emit(Action::Add, &dir, "bdi", |_| Ok(()));
    Ok(())
}

/// Takes it away.
pub(crate) fn remove(whole: &BlockDevice) -> Result {
    let (root, name) = (sysfs::root()?, number(whole)?);
    if let Some(link) = root.path_or_new("class/bdi")?.child(name.as_bytes()) {
        link.remove();
    }
    if let Some(dir) = root.path_or_new("devices/virtual/bdi")?.child(name.as_bytes()) {
        sysfs::uevent::emit(Action::Remove, &dir, "bdi", |_| Ok(()));
        dir.remove();
    }
    Ok(())
}
