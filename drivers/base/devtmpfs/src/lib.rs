// SPDX-License-Identifier: GPL-2.0
//! devtmpfs: the file system in which the kernel makes a node for every device that drivers register. There is one instance;
//! every mount shows it, and programs may add to it and change it like any tmpfs.
//!
//! Drivers call `create_device`, or `create_node` and `remove_node`; the boot code calls `init` before any of them, after `tmpfs::init`.
//! Locks: those of the VFS (directories on the way to a node, one at a time).

#![no_std]
#![forbid(unsafe_code)]

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use locking::SetOnce;
use uapi::{S_IFBLK, S_IFCHR, S_IFDIR};
use vfs::namei::kernel::kernel_make;
use vfs::namei::remove::kernel_remove;
use vfs::{Dev, FileSystemType, FsContext, Path, SuperBlock, register_filesystem};

struct Devtmpfs;

static TYPE: Devtmpfs = Devtmpfs;
static INSTANCE: SetOnce<Path> = SetOnce::new();

impl FileSystemType for Devtmpfs {
    fn name(&self) -> &'static str {
        "devtmpfs"
    }

    fn keeps_super(&self) -> bool {
        true
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let sb = &INSTANCE.get().ok_or(ENODEV)?.mnt.sb;
        // Every mount shows the one instance: options apply to it.
        sb.ops().remount(sb, context.flags, context.options)?;
        Ok(sb.clone())
    }
}

/// Makes the instance and the type. Once, at boot, before drivers. May sleep.
pub fn init() -> Result {
    let options = tmpfs::Options { mode: 0o755, ..tmpfs::Options::tmpfs() };
    let sb = tmpfs::new_super(&TYPE, 0, &options, uapi::TMPFS_MAGIC)?;
    let place = vfs::mounting::kern_mount(&sb, b"devtmpfs")?;
    INSTANCE.set(place).map_err(|_| EBUSY)?;
    register_filesystem(&TYPE)
}

/// What kind of device a node is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Character device.
    Char,
    /// Block device.
    Block,
}

/// Makes node `name` (perhaps with directories, `input/event0`) for device `dev`. `mode`: permissions. `EEXIST`. May sleep.
pub fn create_node(name: &str, kind: Kind, dev: Dev, mode: u32) -> Result {
    let (dir, last) = directory_of(name, true)?;
    let kind = if kind == Kind::Char { S_IFCHR } else { S_IFBLK };
    kernel_make(&dir, last, |dir| dir.ops().mknod(dir, last, kind | mode & 0o777, dev)).map(drop)
}

/// A device of a driver, as `sysfs` and devtmpfs show it.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// Its class (`tty`, `mem`).
    pub class: &'a str,
    /// Its name in both (a `/` in it is `!` in sysfs).
    pub name: &'a str,
    /// The node's name, if it is another one.
    pub node: Option<&'a str>,
    /// What the node is for.
    pub kind: Kind,
    /// Its number.
    pub dev: Dev,
    /// Permissions of the node.
    pub mode: u32,
    /// Where in `/sys` the device is that it belongs to (`devices/platform/serial8250`); `None` for virtual ones.
    pub parent: Option<&'a str>,
}

impl Device<'_> {
    /// What `f` makes of the device as sysfs has it.
    fn shown<R>(&self, f: impl FnOnce(&sysfs::device::Device<'_>) -> Result<R>) -> Result<R> {
        let parent = self.parent.map(|path| sysfs::root()?.path_or_new(path)).transpose()?;
        let mut name = KString::from_str(self.name, GFP_KERNEL)?.into_vec();
        for byte in name.iter_mut().filter(|byte| **byte == b'/') {
            *byte = b'!';
        }
        f(&sysfs::device::Device {
            class: self.class,
            name: core::str::from_utf8(&name).map_err(|_| EINVAL)?,
            node: self.node,
            dev: Some((self.dev, self.kind == Kind::Block)),
            parent: parent.as_ref(),
        })
    }

    /// Tells programs what happened to the device. May sleep.
    pub fn announce(&self, action: sysfs::uevent::Action) {
        let _ = self.shown(|shown| {
            sysfs::device::announce(shown, action);
            Ok(())
        });
    }
}

/// Shows `device` in `/sys` and makes its node, if nobody has made one (`device_create`). `EEXIST`: there is such a device. May sleep.
pub fn create_device(device: &Device<'_>) -> Result {
    create_device_with(device, |_| Ok(())).map(drop)
}

/// As [`create_device`]; `fill` adds attributes to the device's directory before programs hear of it. The directory.
pub fn create_device_with(
    device: &Device<'_>,
    fill: impl FnOnce(&Arc<sysfs::Node>) -> Result,
) -> Result<Arc<sysfs::Node>> {
    device.shown(|shown| {
        let node = sysfs::device::add(shown)?;
        let make = || match create_node(device.node.unwrap_or(device.name), device.kind, device.dev, device.mode) {
            // A program made it before: opening that node may be what loads the driver.
            Err(EEXIST) => Ok(()),
            made => made,
        };
        if let Err(error) = fill(&node).and_then(|()| make()) {
            let _ = sysfs::device::forget(shown);
            return Err(error);
        }
        sysfs::device::announce(shown, sysfs::uevent::Action::Add);
        Ok(node)
    })
}

/// Takes a device's node and its directory away (`device_destroy`). May sleep.
pub fn remove_device(device: &Device<'_>) {
    // A program may have removed or replaced the node, which is its right.
    let _ = remove_node(device.node.unwrap_or(device.name));
    // What is gone already is fine.
    let _ = device.shown(sysfs::device::remove);
}

/// Removes node `name`, and directories that are empty then. May sleep.
pub fn remove_node(name: &str) -> Result {
    let (dir, last) = directory_of(name, false)?;
    kernel_remove(&dir, last)?;
    let mut rest = name;
    while let Some((above, _)) = rest.rsplit_once('/') {
        let (dir, last) = directory_of(above, false)?;
        match kernel_remove(&dir, last) {
            Ok(()) => rest = above,
            // Others are still in it.
            Err(ENOTEMPTY) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The directory that node `name` is in, and its last component; directories on the way are made if `make`.
fn directory_of(name: &str, make: bool) -> Result<(Path, &[u8])> {
    let mut at = INSTANCE.get().ok_or(ENODEV)?.clone();
    let (above, last) = match name.rsplit_once('/') {
        Some((above, last)) => (above, last),
        None => ("", name),
    };
    for component in above.split('/').filter(|component| !component.is_empty()) {
        let component = component.as_bytes();
        let found = match vfs::dcache::lookup_cached(&at.dentry, component) {
            Some(found) => found,
            None if make => match kernel_make(&at, component, |dir| dir.ops().mkdir(dir, component, S_IFDIR | 0o755)) {
                Ok(made) => made,
                Err(EEXIST) => vfs::dcache::lookup_cached(&at.dentry, component).ok_or(ENOENT)?,
                Err(error) => return Err(error),
            },
            None => return Err(ENOENT),
        };
        at = Path { mnt: at.mnt.clone(), dentry: found };
    }
    Ok((at, last.as_bytes()))
}
