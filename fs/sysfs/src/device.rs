// SPDX-License-Identifier: GPL-2.0
//! Class devices: what a driver gives the machine, under `devices/`, with the links that `udev` and people follow
//! (`class/tty/ttyS0`, `dev/char/4:64`). Locks: none of its own.

use crate::uevent::{self, Action};
use crate::{Node, attr, root};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use vfs::{Dev, SeqBuf};

/// A device to be shown.
#[derive(Clone, Copy)]
pub struct Device<'a> {
    /// Its class (`tty`, `mem`, `block`...).
    pub class: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its node in `/dev`, if that is not called as the device is.
    pub node: Option<&'a str>,
    /// Its number and whether it is a block device, if programs can open it.
    pub dev: Option<(Dev, bool)>,
    /// The node it belongs to; without one it is a virtual device.
    pub parent: Option<&'a Arc<Node>>,
}

impl<'a> Device<'a> {
    fn node_name(&self) -> &'a str {
        self.node.unwrap_or(self.name)
    }
}

/// The variables of a device's event.
fn variables(dev: Option<(Dev, bool)>, name: &[u8], out: &mut SeqBuf) -> Result {
    let Some((dev, _)) = dev else { return Ok(()) };
    vfs::seq_print!(out, "MAJOR={}\nMINOR={}\nDEVNAME=", dev.major(), dev.minor())?;
    // A `!` in a device's name stands for a slash.
    for &byte in name {
        out.byte(if byte == b'!' { b'/' } else { byte })?;
    }
    out.byte(b'\n')
}

/// Tells programs that a device of a class is there, when everything of it is: its node too. May sleep.
pub fn announce(device: &Device<'_>, action: Action) {
    if let Ok(Some(dir)) = directory(device) {
        uevent::emit(action, &dir, device.class, |out| variables(device.dev, device.node_name().as_bytes(), out));
    }
}

/// The directory of a device that is shown.
fn directory(device: &Device<'_>) -> Result<Option<Arc<Node>>> {
    let home = match device.parent {
        Some(parent) => parent.clone(),
        None => root()?.path_or_new("devices/virtual")?,
    };
    Ok(home.child(device.class.as_bytes()).and_then(|class| class.child(device.name.as_bytes())))
}

/// Shows a device: its directory. `EEXIST`. May sleep.
pub fn add(device: &Device<'_>) -> Result<Arc<Node>> {
    let root = root()?;
    let class = root.path_or_new("class")?.dir_or_new(device.class.as_bytes())?;
    let home = match device.parent {
        Some(parent) => parent.dir_or_new(device.class.as_bytes())?,
        None => root.path_or_new("devices/virtual")?.dir_or_new(device.class.as_bytes())?,
    };
    let dir = home.mkdir(device.name.as_bytes())?;
    dir.link(b"subsystem", &class)?;
    if let Some(parent) = device.parent {
        dir.link(b"device", parent)?;
    }
    class.link(device.name.as_bytes(), &dir)?;
    let name = KString::from_str(device.node_name(), GFP_KERNEL)?;
    let dev = device.dev;
    uevent::file(&dir, device.class, move |out| variables(dev, name.as_bytes(), out))?;
    if let Some((dev, block)) = dev {
        attr(&dir, "dev", move |out| vfs::seq_print!(out, "{}:{}\n", dev.major(), dev.minor()))?;
        let by_number = root.path_or_new(if block { "dev/block" } else { "dev/char" })?;
        let name = KString::from_fmt(format_args!("{}:{}", dev.major(), dev.minor()), GFP_KERNEL)?;
        by_number.link(name.as_bytes(), &dir)?;
    }
    Ok(dir)
}

/// Takes a device and its links away. May sleep.
pub fn remove(device: &Device<'_>) -> Result {
    let root = root()?;
    if let Some(dir) = directory(device)? {
        // Linux tells of it when the links are gone and the path can still be named.
        announce(device, Action::Remove);
        dir.remove();
    }
    let class = root.path_or_new("class")?.child(device.class.as_bytes());
    if let Some(link) = class.and_then(|class| class.child(device.name.as_bytes())) {
        link.remove();
    }
    if let Some((dev, block)) = device.dev {
        let by_number = root.path_or_new(if block { "dev/block" } else { "dev/char" })?;
        let name = KString::from_fmt(format_args!("{}:{}", dev.major(), dev.minor()), GFP_KERNEL)?;
        if let Some(link) = by_number.child(name.as_bytes()) {
            link.remove();
        }
    }
    Ok(())
}
