// SPDX-License-Identifier: GPL-2.0
//! What a new inode starts with.

use super::Inode;
use crate::super_block::SuperBlock;
use crate::types::Dev;
use errno::Result;
use kalloc::Arc;

/// What [`Inode::new`] needs.
pub struct InodeInit<'a> {
    /// File system.
    pub sb: &'a Arc<SuperBlock>,
    /// Number.
    pub ino: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device it is.
    pub rdev: Dev,
    /// Flags of [`iop`].
    pub iflags: u32,
}

/// Owner, group and mode of a file that the current task makes in `dir` (`inode_init_owner`): a set-group-id directory gives
/// its group, and the bit to directories.
pub fn owner_for_new(dir: &Inode, mode: u32) -> Result<(u32, u32, u32)> {
    let cred = cred::current_cred()?;
    if dir.mode() & uapi::S_ISGID == 0 {
        return Ok((cred.fsuid, cred.fsgid, mode));
    }
    let gid = dir.gid();
    let mut mode = mode;
    if mode & uapi::S_IFMT == uapi::S_IFDIR {
        mode |= uapi::S_ISGID;
    } else if mode & (uapi::S_ISGID | uapi::S_IXGRP) == uapi::S_ISGID | uapi::S_IXGRP
        && !cred.in_group(gid)
        && !cred.capable(cred::CAP_FSETID)
    {
        mode &= !uapi::S_ISGID;
    }
    Ok((cred.fsuid, gid, mode))
}
