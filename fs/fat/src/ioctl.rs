// SPDX-License-Identifier: GPL-2.0
//! Requests on files and directories. Source: `linux/msdos_fs.h`.

use crate::inode_ops::dirty;
use crate::node::Node;
use fat_format::entry::attr;
use kernel::filesystem::uaccess::{get_user, put_user};
use kernel::filesystem::vfs::{File, current_time, perm};
use kernel::prelude::*;

const FAT_IOCTL_GET_ATTRIBUTES: u32 = 0x8004_7210;
const FAT_IOCTL_SET_ATTRIBUTES: u32 = 0x4004_7211;
const FAT_IOCTL_GET_VOLUME_ID: u32 = 0x8004_7213;
const FITRIM: u32 = 0xc018_5879;

/// A request. `ENOTTY` for what is not known.
pub(crate) fn ioctl(file: &File, cmd: u32, arg: usize) -> Result<usize> {
    let inode = file.inode();
    let shared = &Node::of(inode)?.shared;
    match cmd {
        FAT_IOCTL_GET_ATTRIBUTES => put_user(arg, u32::from(shared.attributes(inode.mode())))?,
        FAT_IOCTL_SET_ATTRIBUTES => set_attributes(file, get_user(arg)?)?,
        FAT_IOCTL_GET_VOLUME_ID => put_user(arg, shared.mounted.geo.serial)?,
        FITRIM => return Err(EOPNOTSUPP),
        _ => return Err(ENOTTY),
    }
    Ok(0)
}

fn set_attributes(file: &File, wanted: u32) -> Result {
    let inode = file.inode();
    let shared = &Node::of(inode)?.shared;
    let _write = file.path().mnt.want_write()?;
    let _lock = inode.lock.write();
    let old = shared.attributes(inode.mode());
    // The type stays.
    let fixed = attr::VOLUME | attr::DIR;
    let new = wanted as u8 & !fixed | old & fixed;
    if new == old {
        return Ok(());
    }
    if shared.is_root() {
        return Err(EINVAL);
    }
    if !perm::owner_or_capable(inode)? {
        return Err(EPERM);
    }
    let mode = shared.set_attributes(new, inode.mode());
    inode.set_mode(mode);
    inode.ctime.set(current_time());
    dirty(inode);
    Ok(())
}
