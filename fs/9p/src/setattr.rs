// SPDX-License-Identifier: GPL-2.0
//! Changing attributes. Lock: the inode's, held by the VFS.

use crate::node::Shared;
use kernel::filesystem::vfs::{Inode, SetAttr, Timespec};
use kernel::prelude::*;
use p9net::proto::{NewAttributes, setattr as valid};

fn pair(time: Timespec) -> (u64, u64) {
    (time.sec.cast_unsigned(), time.nsec.into())
}

/// Changes what `attr` names on the server, then here.
pub(crate) fn setattr(shared: &Shared, inode: &Inode, attr: &SetAttr) -> Result {
    let mut new = NewAttributes { valid: valid::CTIME, ..NewAttributes::default() };
    if let Some(mode) = attr.mode {
        new.valid |= valid::MODE;
        new.mode = mode & 0o7777 | inode.mode() & uapi::S_IFMT;
    }
    if let Some(uid) = attr.uid {
        new.valid |= valid::UID;
        new.uid = uid;
    }
    if let Some(gid) = attr.gid {
        new.valid |= valid::GID;
        new.gid = gid;
    }
    // A new size moves the times by itself.
    let times = attr.size.is_none();
    if let Some(time) = attr.atime.filter(|_| times) {
        new.valid |= valid::ATIME | if attr.times_set { valid::ATIME_SET } else { 0 };
        new.atime = pair(time);
    }
    if let Some(time) = attr.mtime.filter(|_| times) {
        new.valid |= valid::MTIME | if attr.times_set { valid::MTIME_SET } else { 0 };
        new.mtime = pair(time);
    }
    if let Some(size) = attr.size {
        new.valid |= valid::SIZE;
        new.size = size;
    }
    if let Some(mapping) = inode.mapping().filter(|mapping| mapping.page_count() != 0) {
        // What was written before must not move the times afterwards, nor bring an old end back.
        mapping.write_and_wait(0, u64::MAX)?;
    }
    shared.session.fid(inode)?.set_attributes(&new)?;
    if let Some(size) = attr.size {
        match inode.mapping() {
            Some(mapping) => {
                let _guard = mapping.invalidate_lock();
                inode.set_size(size);
                mapping.truncate(size);
                mapping.set_size(size);
            }
            None => inode.set_size(size),
        }
    }
    inode.apply(attr);
    if shared.session.asks() {
        shared.refresh_locked(inode)?;
    }
    Ok(())
}

/// The contents change: bits that make a program run as somebody else go, unless the task may keep them.
pub(crate) fn drop_privileges(shared: &Shared, inode: &Inode) -> Result {
    let mode = inode.mode();
    let mut new = mode & !uapi::S_ISUID;
    if mode & uapi::S_IXGRP != 0 {
        new &= !uapi::S_ISGID;
    }
    if new == mode || kernel::filesystem::cred::capable(kernel::filesystem::cred::CAP_FSETID) {
        return Ok(());
    }
    let change = NewAttributes { valid: valid::MODE | valid::CTIME, mode: new, ..NewAttributes::default() };
    shared.session.fid(inode)?.set_attributes(&change)?;
    inode.set_mode(new);
    Ok(())
}
