// SPDX-License-Identifier: GPL-2.0
//! Changing attributes: what may change, by whom, and what changes along with it. Locks: the inode's `lock`, exclusively.
//! Source: `chmod(2)`, `chown(2)`, `utimensat(2)`, `truncate(2)`.

use crate::filecaps;
use crate::inode::{Inode, iop};
use crate::types::{Timespec, current_time};
use cred::{CAP_CHOWN, CAP_FOWNER, CAP_FSETID, Cred};
use errno::{Result, code::*};
use kalloc::Arc;

/// What is to change; `None` leaves a field as it is (`struct iattr`).
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttr {
    /// Permissions (without the type).
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Bytes.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<Timespec>,
    /// Last change of the contents.
    pub mtime: Option<Timespec>,
    /// Times above are the caller's choice (not "now"): only the owner may.
    pub times_set: bool,
    /// The moment of the change: the new `ctime`.
    pub ctime: Timespec,
}

const SUID: u32 = uapi::S_ISUID;
const SGID: u32 = uapi::S_ISGID;
const XGRP: u32 = uapi::S_IXGRP;

/// The mode without what makes a program run as somebody else, if the current task must not keep it (`file_remove_privs`). Without the
/// group's right to execute it the group's bit is for locks, and stays for who is in the group.
fn without_privileges(inode: &Inode, cred: &Cred) -> u32 {
    let mut mode = inode.mode() & !SUID;
    if mode & SGID != 0 && (mode & XGRP != 0 || !cred.in_group(inode.gid()) && !cred.capable(CAP_FSETID)) {
        mode &= !SGID;
    }
    mode
}

/// Checks `attr` for the current task, completes it and applies it. The caller has checked that the mount is writable. May
/// sleep.
pub fn notify_change(inode: &Inode, mut attr: SetAttr) -> Result {
    let _lock = inode.lock.write();
    attr.ctime = current_time();
    check(inode, &mut attr)?;
    inode.ops().setattr(inode, &attr)
}

fn check(inode: &Inode, attr: &mut SetAttr) -> Result {
    let flags = inode.iflags();
    let changes = attr.mode.is_some() || attr.uid.is_some() || attr.gid.is_some() || attr.times_set;
    if changes && flags & (iop::IMMUTABLE | iop::APPEND) != 0 {
        return Err(EPERM);
    }
    let cred = cred::current_cred()?;
    let owner = cred.fsuid == inode.uid();
    if let Some(uid) = attr.uid
        && !(owner && uid == inode.uid() || cred.capable(CAP_CHOWN))
    {
        return Err(EPERM);
    }
    if let Some(gid) = attr.gid {
        let own_group = owner && (cred.in_group(gid) || gid == inode.gid());
        if !own_group && !cred.capable(CAP_CHOWN) {
            return Err(EPERM);
        }
    }
    let sets_times = attr.times_set && (owner || !inode.ops().may_set_times(inode));
    if (attr.mode.is_some() || sets_times) && !owner && !cred.capable(CAP_FOWNER) {
        return Err(EPERM);
    }
    if let Some(mode) = attr.mode {
        attr.mode = Some(checked_mode(inode, &cred, mode, attr.gid));
    }
    Ok(())
}

/// A set-group-id bit for a group that the caller is not in is dropped.
fn checked_mode(inode: &Inode, cred: &Cred, mode: u32, gid: Option<u32>) -> u32 {
    let gid = gid.unwrap_or(inode.gid());
    if mode & SGID != 0 && !cred.in_group(gid) && !cred.capable(CAP_FSETID) { mode & !SGID } else { mode }
}

/// `chown`. `None` leaves an id. Set-id bits and capabilities of files (not directories) go.
pub fn chown(inode: &Inode, uid: Option<u32>, gid: Option<u32>) -> Result {
    let mut attr = SetAttr { uid, gid, ..SetAttr::default() };
    if inode.is_dir() {
        return notify_change(inode, attr);
    }
    let _lock = inode.lock.write();
    attr.ctime = current_time();
    // A change of mode, for which one must be the owner: who changes nothing else must not take another's bits away.
    let new = without_privileges(inode, &*cred::current_cred()?);
    if new != inode.mode() {
        attr.mode = Some(new & 0o7777);
    }
    check(inode, &mut attr)?;
    filecaps::take_away(inode)?;
    inode.ops().setattr(inode, &attr)
}

/// The contents of `inode` change: its capabilities go, and set-id bits unless the task may keep them. `lock` is held exclusively. May
/// sleep.
#[inline]
pub fn remove_privileges(inode: &Inode) -> Result {
    if !inode.is_reg() {
        return Ok(());
    }
    filecaps::take_away(inode)?;
    let mode = inode.mode();
    if mode & (SUID | SGID) == 0 {
        return Ok(());
    }
    let new = without_privileges(inode, &*cred::current_cred()?);
    if new != mode && !cred::capable(CAP_FSETID) {
        inode.set_mode(new);
        inode.touch_ctime();
    }
    Ok(())
}

/// Whether a write has rights to take away ([`remove_privileges`]), or has to look whether it has. No lock.
pub fn has_privileges(inode: &Inode) -> bool {
    inode.is_reg() && (inode.iflags() & iop::NO_CAPS == 0 || inode.mode() & (SUID | SGID) != 0)
}

/// Whether a file may become `size` bytes long (`inode_newsize_ok`): `EFBIG` over the caller's limit (with `SIGXFSZ`) or the file
/// system's. File systems ask for what `fallocate` makes longer. No lock.
pub fn may_grow(inode: &Inode, size: u64) -> Result {
    if size <= inode.size() {
        return Ok(());
    }
    if size > rlimit::current(uapi::RLIMIT_FSIZE) {
        crate::hooks::send_current(uapi::SIGXFSZ);
        return Err(EFBIG);
    }
    if size > inode.sb().max_bytes { Err(EFBIG) } else { Ok(()) }
}

/// Sets the size of a regular file (`do_truncate`). The caller has write access. `touch`: the times move even if the size stays.
/// `EFBIG` (with `SIGXFSZ`) over the limits. May sleep.
pub fn truncate(inode: &Arc<Inode>, size: u64, touch: bool) -> Result {
    may_grow(inode, size)?;
    let _lock = inode.lock.write();
    if inode.iflags() & iop::IMMUTABLE != 0 {
        return Err(EPERM);
    }
    if inode.iflags() & iop::SWAPFILE != 0 {
        return Err(ETXTBSY);
    }
    let now = current_time();
    remove_privileges(inode)?;
    let mtime = (touch || size != inode.size()).then_some(now);
    inode.ops().setattr(inode, &SetAttr { size: Some(size), mtime, ctime: now, ..SetAttr::default() })
}
