// SPDX-License-Identifier: GPL-2.0
//! A port in sysfs: a directory between the controller and the adapter of SCSI, and `/sys/class/ata_port`, by which udev names disks after
//! the port they are at.

use errno::{Result, code::EINVAL};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use kernel::hardware::{sysfs, vfs};
use sysfs::Node;
use sysfs::device::Device;
use sysfs::uevent::{self, Action};

/// A port's directory; dropped, it goes.
pub(crate) struct PortDir {
    name: KString,
    path: KString,
    node: Arc<Node>,
}

impl PortDir {
    /// Shows port `number` (of its controller, from 0 on), the `id`th of all, below `parent`. May sleep.
    pub(crate) fn new(parent: &str, id: u32, number: usize) -> Result<Self> {
        let name = KString::from_fmt(format_args!("ata{id}"), GFP_KERNEL)?;
        let path = KString::from_fmt(format_args!("{parent}/{name}"), GFP_KERNEL)?;
        let node = sysfs::root()?.path_or_new(path.to_str().ok_or(EINVAL)?)?;
        // From here on it goes with its value.
        let dir = Self { name, path, node };
        dir.node.fill_by_module();
        uevent::file(&dir.node, "", |_| Ok(()))?;
        let class = sysfs::device::add(&dir.class())?;
        class.fill_by_module();
        sysfs::attr(&class, "port_no", move |out| vfs::seq_print!(out, "{}\n", number + 1))?;
        sysfs::attr(&class, "nr_pmp_links", |out| vfs::seq_print!(out, "0\n"))?;
        sysfs::device::announce(&dir.class(), Action::Add);
        Ok(dir)
    }

    /// Where it is in `/sys`.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.to_str()
    }

    fn class(&self) -> Device<'_> {
        Device {
            class: "ata_port",
            name: self.name.to_str().unwrap_or_default(),
            dev: None,
            node: None,
            parent: Some(&self.node),
        }
    }
}

impl Drop for PortDir {
    fn drop(&mut self) {
        // What is gone already is fine.
        let _ = sysfs::device::remove(&self.class());
        self.node.remove();
    }
}
