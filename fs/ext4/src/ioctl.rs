// SPDX-License-Identifier: GPL-2.0
//! Requests on files and directories, by number. Source: `linux/fs.h`, `linux/fiemap.h`, e2fsprogs' `ext2fs.h`.

use crate::mounted::parts;
use crate::{admin, fileattr, move_extent};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EACCES, ENOTTY, EOPNOTSUPP};
use kernel::filesystem::uaccess::put_user;
use kernel::filesystem::vfs::{File, perm};

const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC_GETVERSION: u32 = 0x8008_7601;
const FS_IOC_SETVERSION: u32 = 0x4008_7602;
const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
const FS_IOC_FIEMAP: u32 = 0xc020_660b;
const FS_IOC_GETFSLABEL: u32 = 0x8100_9431;
const FS_IOC_SETFSLABEL: u32 = 0x4100_9432;
const FITRIM: u32 = 0xc018_5879;
const EXT4_IOC_GETVERSION: u32 = 0x8008_6603;
const EXT4_IOC_SETVERSION: u32 = 0x4008_6604;
const EXT4_IOC_GROUP_EXTEND: u32 = 0x4008_6607;
const EXT4_IOC_GROUP_ADD: u32 = 0x4028_6608;
const EXT4_IOC_MIGRATE: u32 = 0x6609;
const EXT4_IOC_ALLOC_DA_BLKS: u32 = 0x660c;
const EXT4_IOC_MOVE_EXT: u32 = 0xc028_660f;
const EXT4_IOC_RESIZE_FS: u32 = 0x4008_6610;
const EXT4_IOC_SWAP_BOOT: u32 = 0x6611;
const EXT4_IOC_PRECACHE_EXTENTS: u32 = 0x6612;
const EXT4_IOC_CLEAR_ES_CACHE: u32 = 0x6628;
const EXT4_IOC_GETSTATE: u32 = 0x4004_6629;
const EXT4_IOC_CHECKPOINT: u32 = 0x4004_662b;
const EXT4_IOC_GETFSUUID: u32 = 0x8008_662c;
const EXT4_IOC_SETFSUUID: u32 = 0x4008_662c;
const EXT4_IOC_SHUTDOWN: u32 = 0x8004_587d;

/// `EXT4_STATE_FLAG_DA_ALLOC_CLOSE`.
const STATE_DA_ALLOC_CLOSE: u32 = 8;

/// A request. `ENOTTY` for what is not known.
pub(crate) fn ioctl(file: &File, cmd: u32, arg: usize) -> Result<usize> {
    let inode = file.inode();
    let (node, mount) = parts(inode)?;
    match cmd {
        FS_IOC_GETFLAGS => put_user(arg, fileattr::flags(node))?,
        FS_IOC_SETFLAGS => fileattr::set_flags(file, arg)?,
        FS_IOC_FSGETXATTR => fileattr::get_fsxattr(node, arg)?,
        FS_IOC_FSSETXATTR => fileattr::set_fsxattr(file, arg)?,
        FS_IOC_GETVERSION | EXT4_IOC_GETVERSION => put_user(arg, node.shared.tree.read().inode.raw.generation)?,
        FS_IOC_SETVERSION | EXT4_IOC_SETVERSION => fileattr::set_version(file, arg)?,
        FS_IOC_FIEMAP => return crate::fiemap::fiemap(file, arg),
        FS_IOC_GETFSLABEL => admin::get_label(mount, arg)?,
        FS_IOC_SETFSLABEL => admin::set_label(file, mount, arg)?,
        FITRIM => admin::trim(mount, arg)?,
        EXT4_IOC_RESIZE_FS => admin::resize(file, mount, arg, false)?,
        EXT4_IOC_GROUP_EXTEND => admin::resize(file, mount, arg, true)?,
        EXT4_IOC_MOVE_EXT => move_extent::ioctl(file, arg)?,
        EXT4_IOC_ALLOC_DA_BLKS => {
            if !perm::owner_or_capable(inode)? {
                return Err(EACCES);
            }
            crate::file::start_writing(inode);
        }
        EXT4_IOC_PRECACHE_EXTENTS => {
            // What is read of the tree stays in the cache of metadata.
            let tree = node.shared.tree.read();
            if !tree.inode.is_inline() {
                mount.core.runs(&tree.inode, 0, u64::from(u32::MAX), |_, _| Ok(true))?;
            }
        }
        EXT4_IOC_CLEAR_ES_CACHE => {
            // Extents have no cache but the metadata's: nothing to forget.
            if !perm::owner_or_capable(inode)? {
                return Err(EACCES);
            }
        }
        EXT4_IOC_GETSTATE => {
            let closing = node.shared.flush_on_close.load(Ordering::Relaxed);
            put_user(arg, if closing { STATE_DA_ALLOC_CLOSE } else { 0 })?;
        }
        EXT4_IOC_CHECKPOINT => admin::checkpoint(mount, arg)?,
        EXT4_IOC_GETFSUUID => admin::get_uuid(mount, arg)?,
        EXT4_IOC_SETFSUUID => admin::set_uuid(file, mount, arg)?,
        EXT4_IOC_SHUTDOWN => admin::shutdown(inode, mount, arg)?,
        // Not built in.
        EXT4_IOC_GROUP_ADD | EXT4_IOC_MIGRATE | EXT4_IOC_SWAP_BOOT => return Err(EOPNOTSUPP),
        _ => return Err(ENOTTY),
    }
    Ok(0)
}
