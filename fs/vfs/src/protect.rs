// SPDX-License-Identifier: GPL-2.0
//! Protection against tricks with links and files in directories that everybody may write to (`/proc/sys/fs/protected_*`,
//! `proc(5)`). Those of links are in force and those of files off until they are set, as Debian's kernel has them. Locks: none.

use crate::inode::Inode;
use crate::perm::{MAY_READ, MAY_WRITE, inode_permission, owner_or_capable};
use crate::types::FileType;
use core::sync::atomic::{AtomicU8, Ordering};
use errno::{Result, code::*};

/// `protected_symlinks`: a link in a sticky directory for all is followed only by its owner, or if the directory's owner made it.
pub static SYMLINKS: AtomicU8 = AtomicU8::new(1);
/// `protected_hardlinks`: only who may read and write a plain file may link to it.
pub static HARDLINKS: AtomicU8 = AtomicU8::new(1);
/// `protected_fifos`: `O_CREAT` does not open others' FIFOs in sticky directories for all (2: or for a group).
pub static FIFOS: AtomicU8 = AtomicU8::new(0);
/// `protected_regular`: the same for regular files.
pub static REGULAR: AtomicU8 = AtomicU8::new(0);

/// Whether symbolic links are protected at all.
pub(crate) fn symlinks() -> bool {
    SYMLINKS.load(Ordering::Relaxed) != 0
}

/// Whether the current task may follow `link`, which is in `dir`, at the end of a path. `EACCES`.
pub(crate) fn may_follow(dir: &Inode, link: &Inode) -> Result {
    const OPEN_TO_ALL: u32 = uapi::S_ISVTX | uapi::S_IWOTH;
    let follower = cred::current_cred()?.fsuid;
    let allowed = link.uid() == follower || dir.mode() & OPEN_TO_ALL != OPEN_TO_ALL || dir.uid() == link.uid();
    if allowed { Ok(()) } else { Err(EACCES) }
}

/// Whether the current task may give `inode` another name. `EPERM`.
pub(crate) fn may_link(inode: &Inode) -> Result {
    if HARDLINKS.load(Ordering::Relaxed) == 0 || owner_or_capable(inode)? {
        return Ok(());
    }
    let mode = inode.mode();
    let group_id = uapi::S_ISGID | uapi::S_IXGRP;
    let plain = inode.is_reg() && mode & uapi::S_ISUID == 0 && mode & group_id != group_id;
    if plain && inode_permission(inode, MAY_READ | MAY_WRITE).is_ok() { Ok(()) } else { Err(EPERM) }
}

/// Whether `O_CREAT` may open `inode`, which is in `dir` already. `EACCES`.
pub(crate) fn may_open_existing(dir: &Inode, inode: &Inode) -> Result {
    let level = match inode.file_type() {
        FileType::Fifo => FIFOS.load(Ordering::Relaxed),
        FileType::Reg => REGULAR.load(Ordering::Relaxed),
        _ => 0,
    };
    let mode = dir.mode();
    if level == 0 || mode & uapi::S_ISVTX == 0 || inode.uid() == dir.uid() {
        return Ok(());
    }
    if cred::current_cred()?.fsuid == inode.uid() {
        return Ok(());
    }
    let denied = mode & uapi::S_IWOTH != 0 || mode & uapi::S_IWGRP != 0 && level >= 2;
    if denied { Err(EACCES) } else { Ok(()) }
}
