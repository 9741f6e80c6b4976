// SPDX-License-Identifier: GPL-2.0
//! Requests on files and directories: flags, versions.

use crate::mounted::parts;
use crate::node::{iflags, to_core};
use errno::Result;
use errno::code::{EACCES, ENOTTY, EOPNOTSUPP, EPERM, EROFS};
use ext4_format::inode::flag;
use kernel::filesystem::cred::{CAP_LINUX_IMMUTABLE, capable};
use kernel::filesystem::uaccess::{get_user, put_user};
use kernel::filesystem::vfs::{File, Inode, current_time, iop, perm};

const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC_GETVERSION: u32 = 0x8008_7601;
const FS_IOC_FIEMAP: u32 = 0xc020_660b;
const EXT4_IOC_GETVERSION: u32 = 0x8008_6603;

/// A request. `ENOTTY` for what is not known.
pub(crate) fn ioctl(file: &File, cmd: u32, arg: usize) -> Result<usize> {
    let inode = file.inode();
    let (node, _) = parts(inode)?;
    match cmd {
        FS_IOC_GETFLAGS => {
            let flags = node.shared.tree.read().inode.raw.flags & flag::USER_VISIBLE;
            put_user(arg, flags)?;
            Ok(0)
        }
        FS_IOC_SETFLAGS => set_flags(inode, get_user::<u32>(arg)?).map(|()| 0),
        FS_IOC_GETVERSION | EXT4_IOC_GETVERSION => {
            let generation = node.shared.tree.read().inode.raw.generation;
            put_user(arg, generation)?;
            Ok(0)
        }
        FS_IOC_FIEMAP => crate::fiemap::fiemap(file, arg),
        _ => Err(ENOTTY),
    }
}

fn set_flags(inode: &Inode, wanted: u32) -> Result {
    let (node, mount) = parts(inode)?;
    if mount.core.read_only() {
        return Err(EROFS);
    }
    if !perm::owner_or_capable(inode)? {
        return Err(EACCES);
    }
    let _lock = inode.lock.write();
    let old = node.shared.tree.read().inode.raw.flags;
    if wanted & !flag::USER_VISIBLE != 0 {
        return Err(EOPNOTSUPP);
    }
    let changed = (old ^ wanted) & flag::USER_MODIFIABLE;
    if changed & (flag::IMMUTABLE | flag::APPEND) != 0 && !capable(CAP_LINUX_IMMUTABLE) {
        return Err(EPERM);
    }
    // Migrating between maps, journalled data and the like are not built in.
    if changed & (flag::EXTENTS | flag::JOURNAL_DATA | flag::DAX | flag::CASEFOLD) != 0 {
        return Err(EOPNOTSUPP);
    }
    let new = old ^ changed;
    inode.ctime.set(current_time());
    mount.run(8, |tx| {
        let mut tree = node.shared.tree.write();
        to_core(inode, &mut tree.inode);
        tree.inode.raw.flags = new;
        node.shared.note(mount.tid(tx), false);
        mount.core.write_inode(tx, &tree.inode)
    })?;
    inode.change_iflags(iflags(new), (iop::IMMUTABLE | iop::APPEND | iop::NOATIME) & !iflags(new));
    Ok(())
}
