// SPDX-License-Identifier: GPL-2.0
//! devtmpfs: the file system in which the kernel makes a node for every device that drivers register. There is one instance;
//! every mount shows it, and programs may add to it and change it like any tmpfs: what they made, the kernel leaves alone.
//!
//! Drivers call `create_device`, or `create_node` and `remove_node`; the boot code calls `init` before any of them, after `tmpfs::init`.
//! Locks: those of the VFS (directories on the way to a node, one at a time).

#![no_std]
#![forbid(unsafe_code)]

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use locking::SetOnce;
use uapi::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFMT};
use vfs::inode::{Inode, iop};
use vfs::namei::kernel::kernel_make;
use vfs::namei::remove::kernel_remove_if;
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

impl Kind {
    /// The type of its nodes.
    fn file_type(self) -> u32 {
        if self == Self::Char { S_IFCHR } else { S_IFBLK }
    }
}

/// Makes node `name` (perhaps with directories, `input/event0`) for device `dev`, unless a program made one by that name before: opening
/// that may be what loads the driver. `mode`: permissions. May sleep.
pub fn create_node(name: &str, kind: Kind, dev: Dev, mode: u32) -> Result {
    let (dir, last) = directory_of(name, true)?;
    let mode = kind.file_type() | mode & 0o777;
    match kernel_make(&dir, last, |dir| dir.ops().mknod(dir, last, mode, dev).map(marked)) {
        Ok(_) | Err(EEXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the kernel made is known by this.
fn marked(inode: Arc<Inode>) -> Arc<Inode> {
    inode.change_iflags(iop::FOR_DEVICE, 0);
    inode
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

/// Shows `device` in `/sys` and makes its node (`device_create`). `EEXIST`: there is such a device. May sleep.
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
        let make = || create_node(device.node.unwrap_or(device.name), device.kind, device.dev, device.mode);
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
    // Without memory the node stays; what is gone already is fine.
    let _ = remove_node(device.node.unwrap_or(device.name), device.kind, device.dev);
    let _ = device.shown(sysfs::device::remove);
}

/// Removes node `name` of device `dev`, and the kernel's directories that are empty then. A program may have removed it, or put another in
/// its place, which stays. May sleep.
pub fn remove_node(name: &str, kind: Kind, dev: Dev) -> Result {
    match try_remove(name, kind, dev) {
        Err(ENOENT) => Ok(()),
        result => result,
    }
}

fn try_remove(name: &str, kind: Kind, dev: Dev) -> Result {
    let is_marked = |inode: &Inode| inode.iflags() & iop::FOR_DEVICE != 0;
    let is_its = |inode: &Inode| {
        let is_its = is_marked(inode) && inode.mode() & S_IFMT == kind.file_type() && inode.rdev == dev;
        if is_its {
            // By another name that a program gave it nobody else gets at the next device of this number.
            inode.set_owner(0, 0);
            inode.set_mode(inode.mode() & !0o777);
        }
        is_its
    };
    let (dir, last) = directory_of(name, false)?;
    if !kernel_remove_if(&dir, last, is_its)? {
        return Ok(());
    }
    let mut rest = name;
    while let Some((above, _)) = rest.rsplit_once('/') {
        let (dir, last) = directory_of(above, false)?;
        match kernel_remove_if(&dir, last, is_marked) {
            Ok(true) => rest = above,
            // A program's, or others are still in it.
            Ok(false) | Err(ENOTEMPTY) => break,
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
            None if make => {
                match kernel_make(&at, component, |dir| dir.ops().mkdir(dir, component, S_IFDIR | 0o755).map(marked)) {
                    Ok(made) => made,
                    Err(EEXIST) => vfs::dcache::lookup_cached(&at.dentry, component).ok_or(ENOENT)?,
                    Err(error) => return Err(error),
                }
            }
            None => return Err(ENOENT),
        };
        at = Path { mnt: at.mnt.clone(), dentry: found };
    }
    Ok((at, last.as_bytes()))
}

#[macros::kunit_tests(devtmpfs)]
mod tests {
    use super::*;
    use vfs::namei::kernel::kernel_lookup;
    use vfs::namei::remove::kernel_remove;

    const NODE: &str = "kunit_devtmpfs/node";
    const MINE: Dev = Dev::new(509, 1);

    /// What a look-up finds, as its device.
    fn found() -> Result<Option<Dev>> {
        let (dir, last) = match directory_of(NODE, false) {
            Err(ENOENT) => return Ok(None),
            found => found?,
        };
        Ok(kernel_lookup(&dir, last)?.and_then(|node| node.inode().map(|inode| inode.rdev)))
    }

    #[test]
    fn the_kernel_takes_its_own_away() -> Result {
        create_node(NODE, Kind::Char, MINE, 0o600)?;
        // Of another device, or another kind.
        remove_node(NODE, Kind::Char, Dev::new(509, 2))?;
        remove_node(NODE, Kind::Block, MINE)?;
        assert_eq!(found(), Ok(Some(MINE)));
        remove_node(NODE, Kind::Char, MINE)?;
        assert_eq!(directory_of(NODE, false).err(), Some(ENOENT));
        remove_node(NODE, Kind::Char, MINE)
    }

    #[test]
    fn what_a_program_made_stays() -> Result {
        let root = INSTANCE.get().ok_or(ENODEV)?;
        let above = b"kunit_devtmpfs";
        kernel_make(root, above, |dir| dir.ops().mkdir(dir, above, S_IFDIR | 0o755))?;
        create_node(NODE, Kind::Char, MINE, 0o600)?;
        remove_node(NODE, Kind::Char, MINE)?;
        let (dir, last) = directory_of(NODE, false)?;
        kernel_make(&dir, last, |dir| dir.ops().mknod(dir, last, S_IFCHR | 0o600, MINE))?;
        create_node(NODE, Kind::Char, MINE, 0o600)?;
        remove_node(NODE, Kind::Char, MINE)?;
        assert_eq!(found(), Ok(Some(MINE)));
        kernel_remove(&dir, last)?;
        kernel_remove(root, above)
    }
}
