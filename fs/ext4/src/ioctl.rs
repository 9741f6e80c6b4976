// SPDX-License-Identifier: GPL-2.0
//! Requests on files and directories, by number. Source: `linux/fs.h`, `linux/fiemap.h`, e2fsprogs' `ext2fs.h`.

use crate::mounted::parts;
use crate::{admin, fileattr, move_extent};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EACCES, EBADF, EINVAL, ENOTTY, EOPNOTSUPP};
use kernel::filesystem::uaccess::{get_user, put_user};
use kernel::filesystem::vfs::{File, fmode, perm};

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
const FS_IOC_GETFSMAP: u32 = 0xc0c0_583b;
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
/// Ours alone: `_IOW('f', 0xf0, [u64; 2])`, a block of the file and the block of the device that it should get.
const EXT4_IOC_SET_GOAL: u32 = 0x4010_66f0;

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
        FS_IOC_GETFSMAP => crate::fsmap::ioctl(file, mount, arg)?,
        EXT4_IOC_SET_GOAL => set_goal(file, arg)?,
        FS_IOC_GETFSLABEL => admin::get_label(mount, arg)?,
        FS_IOC_SETFSLABEL => admin::set_label(file, mount, arg)?,
        FITRIM => admin::trim(mount, arg)?,
        EXT4_IOC_RESIZE_FS => admin::resize(file, mount, arg, false)?,
        EXT4_IOC_GROUP_EXTEND => admin::resize(file, mount, arg, true)?,
        EXT4_IOC_MOVE_EXT => move_extent::ioctl(file, arg)?,
        EXT4_IOC_MIGRATE => crate::migrate::ioctl(file, node, mount)?,
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
        EXT4_IOC_GROUP_ADD | EXT4_IOC_SWAP_BOOT => return Err(EOPNOTSUPP),
        _ => return Err(ENOTTY),
    }
    Ok(0)
}

/// `EXT4_IOC_SET_GOAL`: the next block that the file gets at a place, by `fallocate` say, should be a certain one. What a tool that puts files
/// near each other, or makes room, says to a file of its own; only a wish. `EBADF`: not open for writing; `EINVAL`: no such block.
fn set_goal(file: &File, arg: usize) -> Result {
    if file.mode() & fmode::WRITE == 0 {
        return Err(EBADF);
    }
    let [lblk, goal] = get_user::<[u64; 2]>(arg)?;
    let lblk = u32::try_from(lblk).map_err(|_| EINVAL)?;
    let (node, mount) = parts(file.inode())?;
    let _lock = file.inode().lock.write();
    let mut tree = node.shared.tree.write();
    if !tree.inode.is_regular() || !tree.inode.uses_extents() || tree.inode.is_inline() {
        return Err(EOPNOTSUPP);
    }
    mount.core.set_goal(&mut tree.inode, lblk, goal)
}
