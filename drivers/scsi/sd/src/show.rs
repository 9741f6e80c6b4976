// SPDX-License-Identifier: GPL-2.0
//! `/sys/class/scsi_disk/H:C:T:L`. Source: Linux's `drivers/scsi/sd.c` (names and texts).

use crate::disk::Disk;
use crate::learn;
use device::Device;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use kernel::hardware::{device, sysfs, vfs};
use sysfs::Node;
use sysfs::device::Device as ClassDevice;
use sysfs::uevent::Action;
use vfs::{SeqBuf, seq_print};

/// A disk's directory; dropped, it goes.
pub(crate) struct Files {
    name: KString,
    parent: Arc<Node>,
}

impl Files {
    fn class(&self) -> Result<ClassDevice<'_>> {
        let name = self.name.to_str().ok_or(EINVAL)?;
        Ok(ClassDevice { class: "scsi_disk", name, dev: None, node: None, parent: Some(&self.parent) })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Ok(class) = self.class() {
            // What is gone already is fine.
            let _ = sysfs::device::remove(&class);
        }
    }
}

fn live(disk: &Arc<Disk>) -> impl Fn() -> Result<Arc<Disk>> + Send + Sync + use<> {
    let weak = Arc::downgrade(disk);
    move || weak.upgrade().ok_or(ENODEV)
}

/// What `cache_type` says, by (volatile cache, FUA). Linux's fourth one cannot be had from a disk's mode page alone.
const CACHE_TYPES: [(&[u8], bool); 2] = [(b"write through", false), (b"write back", true)];

/// Shows a disk. May sleep.
pub(crate) fn add(device: &Device, disk: &Arc<Disk>) -> Result<Files> {
    let parent = device.node().ok_or(ENODEV)?.clone();
    let files = Files { name: KString::from_bytes(device.name(), GFP_KERNEL)?, parent };
    let class = files.class()?;
    let dir = sysfs::device::add(&class)?;
    dir.fill_by_module();
    let (d, w) = (live(disk), live(disk));
    let show =
        move |out: &mut SeqBuf| out.put(if d()?.facts().write_cache { b"write back\n" } else { b"write through\n" });
    sysfs::attr_rw(&dir, "cache_type", show, move |data| set_cache_type(&*w()?, data).map(|()| data.len()))?;
    let d = live(disk);
    sysfs::attr(&dir, "FUA", move |out| seq_print!(out, "{}\n", u8::from(d()?.facts().fua)))?;
    let d = live(disk);
    sysfs::attr(&dir, "provisioning_mode", move |out| seq_print!(out, "{}\n", d()?.facts().discard.name()))?;
    let d = live(disk);
    sysfs::attr(&dir, "thin_provisioning", move |out| seq_print!(out, "{}\n", u8::from(d()?.facts().thin)))?;
    let d = live(disk);
    sysfs::attr(&dir, "max_write_same_blocks", move |out| seq_print!(out, "{}\n", d()?.facts().max_write_same))?;
    sysfs::device::announce(&class, Action::Add);
    Ok(files)
}

/// `cache_type`: tells the disk, or, after `temporary `, only believes it.
fn set_cache_type(disk: &Disk, data: &[u8]) -> Result {
    let text = data.trim_ascii();
    let (text, temporary) = match text.strip_prefix(b"temporary ") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (_, on) = *CACHE_TYPES.iter().find(|(name, _)| *name == text).ok_or(EINVAL)?;
    if !temporary {
        learn::set_write_cache(disk.unit(), on).map_err(|_| EINVAL)?;
        disk.look_again();
        return Ok(());
    }
    let _learning = disk.learning.lock();
    let mut facts = disk.facts();
    facts.write_cache = on;
    facts.fua &= on;
    disk.set_facts(facts)?;
    disk.shown()
        .ok_or(ENODEV)?
        .update_limits(|limits| (limits.write_cache, limits.fua) = (facts.write_cache, facts.fua))
}
