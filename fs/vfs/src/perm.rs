// SPDX-License-Identifier: GPL-2.0
//! Who may do what to a file: mode bits and capabilities. Source: `path_resolution(7)`, `capabilities(7)`. No locks.

use crate::inode::{Inode, iop};
use cred::{CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, Cred};
use errno::{Result, code::*};

/// Execute a file or search a directory.
pub const MAY_EXEC: u32 = 1;
/// Write.
pub const MAY_WRITE: u32 = 2;
/// Read.
pub const MAY_READ: u32 = 4;

/// Whether the current task may do all of `mask` to `inode`: the file system's own check or the generic one, and what no
/// capability overrides. `EACCES`, `EPERM`. Does not sleep.
#[inline]
pub fn inode_permission(inode: &Inode, mask: u32) -> Result {
    let flags = inode.iflags();
    if mask & MAY_WRITE != 0 {
        may_change(inode)?;
    }
    if flags & iop::PERMISSION != 0 {
        return inode.ops().permission(inode, mask);
    }
    generic_permission(inode, mask)
}

/// Whether anybody may write: devices, FIFOs and sockets are no part of their file system.
fn may_change(inode: &Inode) -> Result {
    if inode.sb().is_rdonly() && (inode.is_reg() || inode.is_dir() || inode.is_symlink()) {
        return Err(EROFS);
    }
    if inode.iflags() & iop::IMMUTABLE != 0 { Err(EPERM) } else { Ok(()) }
}

/// Whether the current task may search directory `inode`. The common case, a directory that everybody may search, looks at no
/// credentials.
#[inline(always)]
pub(crate) fn may_lookup(inode: &Inode) -> Result {
    if inode.iflags() & iop::PERMISSION == 0 && inode.mode() & 0o111 == 0o111 {
        return Ok(());
    }
    inode_permission(inode, MAY_EXEC)
}

/// Mode bits and capabilities of the current task.
pub fn generic_permission(inode: &Inode, mask: u32) -> Result {
    let section = rcu::read_lock();
    match cred::borrow(&section) {
        Some(cred) => check(&cred, inode, mask),
        // Early boot acts as root.
        None => check(&Cred::init(), inode, mask),
    }
}

/// Mode bits alone, by the effective ids: no capability helps. Does not sleep.
pub fn mode_permission(inode: &Inode, mask: u32) -> Result {
    let mode = inode.mode();
    let section = rcu::read_lock();
    let granted = match cred::borrow(&section) {
        Some(cred) if cred.euid != inode.uid() => mode >> if cred.in_egroup(inode.gid()) { 3 } else { 0 },
        _ => mode >> 6,
    };
    if mask & (MAY_READ | MAY_WRITE | MAY_EXEC) & !granted == 0 { Ok(()) } else { Err(EACCES) }
}

/// Tags of the entries of an ACL. Source: `acl(5)`, `linux/posix_acl.h`.
pub mod acl_tag {
    /// The owner.
    pub const USER_OBJ: u16 = 1;
    /// A named user.
    pub const USER: u16 = 2;
    /// The owning group.
    pub const GROUP_OBJ: u16 = 4;
    /// A named group.
    pub const GROUP: u16 = 8;
    /// The most that named users and all groups may.
    pub const MASK: u16 = 0x10;
    /// Everybody else.
    pub const OTHER: u16 = 0x20;
}

/// An entry of a POSIX ACL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AclEntry {
    /// Of [`acl_tag`].
    pub tag: u16,
    /// `MAY_*` bits.
    pub perm: u16,
    /// The user or group that is named.
    pub id: u32,
}

/// As [`generic_permission`] for an inode with an access ACL, whose entries are in order. Does not sleep.
pub fn acl_permission(inode: &Inode, mask: u32, acl: &[AclEntry]) -> Result {
    let section = rcu::read_lock();
    match cred::borrow(&section) {
        Some(cred) => check_acl(&cred, inode, mask, acl),
        None => check_acl(&Cred::init(), inode, mask, acl),
    }
}

/// Mode bits, the ACL and capabilities of `cred`.
pub fn check_acl(cred: &Cred, inode: &Inode, mask: u32, acl: &[AclEntry]) -> Result {
    let mode = inode.mode();
    let mask = mask & (MAY_READ | MAY_WRITE | MAY_EXEC);
    // The owner's entry is the mode's; an ACL whose mask grants nothing need not be looked at.
    if cred.fsuid == inode.uid() || mode & 0o70 == 0 {
        return check(cred, inode, mask);
    }
    if acl_grants(cred, inode, mask, acl) { Ok(()) } else { override_mode(cred, inode, mask) }
}

fn acl_grants(cred: &Cred, inode: &Inode, mask: u32, acl: &[AclEntry]) -> bool {
    let limit = acl.iter().find(|entry| entry.tag == acl_tag::MASK).map_or(7, |entry| u32::from(entry.perm));
    let grants = |entry: &AclEntry| u32::from(entry.perm) & mask == mask;
    if let Some(entry) = acl.iter().find(|entry| entry.tag == acl_tag::USER && entry.id == cred.fsuid) {
        return grants(entry) && limit & mask == mask;
    }
    let ours = |entry: &&AclEntry| match entry.tag {
        acl_tag::GROUP_OBJ => cred.in_group(inode.gid()),
        acl_tag::GROUP => cred.in_group(entry.id),
        _ => false,
    };
    let mut in_group = false;
    for entry in acl.iter().filter(ours) {
        in_group = true;
        if grants(entry) {
            return limit & mask == mask;
        }
    }
    !in_group && acl.iter().any(|entry| entry.tag == acl_tag::OTHER && grants(entry))
}

/// Mode bits and capabilities of `cred`, by its file-access ids.
pub fn check(cred: &Cred, inode: &Inode, mask: u32) -> Result {
    let mode = inode.mode();
    let granted = if cred.fsuid == inode.uid() {
        mode >> 6
    } else if cred.in_group(inode.gid()) {
        mode >> 3
    } else {
        mode
    };
    let mask = mask & (MAY_READ | MAY_WRITE | MAY_EXEC);
    if mask & !granted == 0 {
        return Ok(());
    }
    override_mode(cred, inode, mask)
}

/// What capabilities allow though the mode does not.
fn override_mode(cred: &Cred, inode: &Inode, mask: u32) -> Result {
    let mode = inode.mode();
    if inode.is_dir() {
        if mask & MAY_WRITE == 0 && cred.capable(CAP_DAC_READ_SEARCH) {
            return Ok(());
        }
        return if cred.capable(CAP_DAC_OVERRIDE) { Ok(()) } else { Err(EACCES) };
    }
    if mask == MAY_READ && cred.capable(CAP_DAC_READ_SEARCH) {
        return Ok(());
    }
    // Nobody executes a file that has no execute bit at all.
    if (mask & MAY_EXEC == 0 || mode & 0o111 != 0) && cred.capable(CAP_DAC_OVERRIDE) {
        return Ok(());
    }
    Err(EACCES)
}

/// Whether the current task owns `inode` or may act as its owner.
pub fn owner_or_capable(inode: &Inode) -> Result<bool> {
    let cred = cred::current_cred()?;
    Ok(cred.fsuid == inode.uid() || cred.capable(CAP_FOWNER))
}

/// Whether the sticky bit of `dir` keeps the current task from removing `inode`.
pub(crate) fn sticky_denies(dir: &Inode, inode: &Inode) -> Result<bool> {
    if dir.mode() & uapi::S_ISVTX == 0 {
        return Ok(false);
    }
    let cred = cred::current_cred()?;
    Ok(cred.fsuid != inode.uid() && cred.fsuid != dir.uid() && !cred.capable(CAP_FOWNER))
}
