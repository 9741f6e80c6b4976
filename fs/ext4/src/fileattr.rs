// SPDX-License-Identifier: GPL-2.0
//! Flags of files (`chattr`), project numbers and generations. Source: `ioctl_iflags(2)`, `linux/fs.h`.

use crate::journal_data;
use crate::mounted::parts;
use crate::node::{Node, iflags, to_core, writes_through};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{ENOTTY, EOPNOTSUPP, EPERM};
use ext4_format::feature::ro_compat;
use ext4_format::inode::flag;
use kernel::filesystem::cred::{CAP_LINUX_IMMUTABLE, CAP_SYS_RESOURCE, capable};
use kernel::filesystem::uaccess::{get_user, put_user};
use kernel::filesystem::vfs::{File, current_time, iop, perm};

/// Flags of `struct fsxattr` with those of the disk.
const XFLAGS: [(u32, u32); 6] = [
    (0x8, flag::IMMUTABLE),
    (0x10, flag::APPEND),
    (0x20, flag::SYNC),
    (0x40, flag::NOATIME),
    (0x80, flag::NODUMP),
    (0x200, flag::PROJINHERIT),
];

/// What `lsattr` shows.
pub(crate) fn flags(node: &Node) -> u32 {
    node.shared.tree.read().inode.raw.flags & flag::USER_VISIBLE
}

/// `FS_IOC_SETFLAGS`.
pub(crate) fn set_flags(file: &File, arg: usize) -> Result {
    let wanted = get_user::<u32>(arg)?;
    change(file, None, wanted, |old| old & !flag::USER_VISIBLE | wanted)
}

/// `FS_IOC_FSGETXATTR`.
pub(crate) fn get_fsxattr(node: &Node, arg: usize) -> Result {
    let tree = node.shared.tree.read();
    let raw = &tree.inode.raw;
    let xflags = XFLAGS.iter().filter(|(_, bit)| raw.flags & bit != 0).fold(0, |all, (xflag, _)| all | xflag);
    let projid = if node.mount().core.geo.has_ro_compat(ro_compat::PROJECT) { raw.projid } else { 0 };
    drop(tree);
    for (index, value) in [xflags, 0, 0, projid, 0, 0, 0].into_iter().enumerate() {
        put_user(arg.wrapping_add(index * 4), value)?;
    }
    Ok(())
}

/// `FS_IOC_FSSETXATTR`.
pub(crate) fn set_fsxattr(file: &File, arg: usize) -> Result {
    let (xflags, projid) = (get_user::<u32>(arg)?, get_user::<u32>(arg.wrapping_add(12))?);
    // Hints for extents are other file systems'.
    let known = XFLAGS.iter().fold(0, |all, (xflag, _)| all | xflag);
    if xflags & !known != 0 {
        return Err(EOPNOTSUPP);
    }
    change(file, Some(projid), 0, |old| {
        XFLAGS.iter().fold(old, |all, (xflag, bit)| if xflags & xflag != 0 { all | bit } else { all & !bit })
    })
}

/// Changes flags by `new`, and the project; `named` are the flags that the caller named. `EPERM` for others than the owner,
/// `EOPNOTSUPP` for flags that are not known or not for that type of file.
fn change(file: &File, projid: Option<u32>, named: u32, new: impl Fn(u32) -> u32) -> Result {
    let _write = file.path().mnt.want_write()?;
    let inode = file.inode();
    let (node, mount) = parts(inode)?;
    if !perm::owner_or_capable(inode)? {
        return Err(EPERM);
    }
    let _lock = inode.lock.write();
    let mut old = node.shared.tree.read().inode.raw.flags;
    let wanted = new(old);
    let alien = if inode.is_dir() { 0 } else { flag::NOT_REGULAR & flag::USER_MODIFIABLE };
    if named & !flag::USER_VISIBLE != 0 || wanted & alien != 0 {
        return Err(EOPNOTSUPP);
    }
    let mut changed = (old ^ wanted) & flag::USER_MODIFIABLE;
    if changed & (flag::IMMUTABLE | flag::APPEND) != 0 && !capable(CAP_LINUX_IMMUTABLE) {
        return Err(EPERM);
    }
    // From extents back to block pointers, and the like, are not built in.
    if changed & (flag::DAX | flag::CASEFOLD) != 0 || changed & old & flag::EXTENTS != 0 {
        return Err(EOPNOTSUPP);
    }
    if changed & flag::JOURNAL_DATA != 0 && !capable(CAP_SYS_RESOURCE) {
        return Err(EPERM);
    }
    if mount.journal().is_none() {
        // As on Linux: there is nothing that the flag could change.
        changed &= !flag::JOURNAL_DATA;
    }
    if changed & flag::EXTENTS != 0 {
        crate::migrate::migrate(inode, node, mount)?;
        old |= flag::EXTENTS;
        changed &= !flag::EXTENTS;
    }
    let new = old ^ changed;
    let projects = mount.core.geo.has_ro_compat(ro_compat::PROJECT);
    if !projects && projid.is_some_and(|projid| projid != 0) {
        return Err(EOPNOTSUPP);
    }
    if new & flag::PROJINHERIT != 0 && !projects {
        return Err(EOPNOTSUPP);
    }
    let projid = projid.filter(|_| projects);
    if let Some(projid) = projid {
        mount.core.quota_attach(inode.uid(), inode.gid(), projid)?;
    }
    if changed & flag::JOURNAL_DATA != 0 {
        journal_data::switch(inode, node, mount, new)?;
    }
    inode.ctime.set(current_time());
    mount
        .run(24, |tx| {
            let mut tree = node.shared.tree.write();
            to_core(inode, &mut tree.inode);
            tree.inode.raw.flags = new;
            node.shared.note(mount.tid(tx), false);
            match projid.filter(|projid| *projid != tree.inode.raw.projid) {
                Some(projid) => {
                    let (uid, gid) = (tree.inode.raw.uid, tree.inode.raw.gid);
                    mount.core.set_owner(tx, &mut tree.inode, uid, gid, projid)
                }
                None => mount.core.write_inode(tx, &tree.inode),
            }
        })
        .inspect_err(|_| {
            // The flag did not get to the disk: the data must not go as if it had.
            if changed & flag::JOURNAL_DATA != 0 {
                let _ = journal_data::switch(inode, node, mount, old);
            }
        })?;
    node.shared.write_through.store(writes_through(inode.is_dir(), new), Ordering::Relaxed);
    inode.change_iflags(iflags(new), (iop::IMMUTABLE | iop::APPEND | iop::NOATIME) & !iflags(new));
    Ok(())
}

/// `FS_IOC_SETVERSION`: the generation, which checksums depend on (`ENOTTY` with them).
pub(crate) fn set_version(file: &File, arg: usize) -> Result {
    let inode = file.inode();
    let (node, mount) = parts(inode)?;
    if !perm::owner_or_capable(inode)? {
        return Err(EPERM);
    }
    if mount.core.geo.csum {
        return Err(ENOTTY);
    }
    let _write = file.path().mnt.want_write()?;
    let generation = get_user::<u32>(arg)?;
    let _lock = inode.lock.write();
    inode.ctime.set(current_time());
    mount.run(4, |tx| {
        let mut tree = node.shared.tree.write();
        to_core(inode, &mut tree.inode);
        tree.inode.raw.generation = generation;
        node.shared.note(mount.tid(tx), false);
        mount.core.write_inode(tx, &tree.inode)
    })
}
