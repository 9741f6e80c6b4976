// SPDX-License-Identifier: GPL-2.0
//! `EXT4_IOC_MIGRATE` and `chattr +e`: a file's block pointers become extents.

use crate::mounted::Mounted;
use crate::node::{Node, to_core};
use errno::Result;
use errno::code::{EAGAIN, EFBIG};
use kernel::filesystem::vfs::{File, Inode, perm};

/// How often a file that programs write through memory is tried.
const TRIES: u32 = 3;

/// The request. `EACCES`: not the owner; `EINVAL`: it has extents, or none are possible; `EFBIG`: more than one transaction.
pub(crate) fn ioctl(file: &File, node: &Node, mount: &Mounted) -> Result {
    let inode = file.inode();
    if !perm::owner_or_capable(inode)? {
        return Err(errno::code::EACCES);
    }
    let _write = file.path().mnt.want_write()?;
    let _lock = inode.lock.write();
    migrate(inode, node, mount)
}

/// Migrates a file whose `lock` the caller holds. May sleep. `EAGAIN`: it was written through memory all the time.
pub(crate) fn migrate(inode: &Inode, node: &Node, mount: &Mounted) -> Result {
    let mut result = Err(EAGAIN);
    for _ in 0..TRIES {
        result = once(inode, node, mount);
        if result != Err(EAGAIN) {
            break;
        }
    }
    result
}

fn once(inode: &Inode, node: &Node, mount: &Mounted) -> Result {
    let mapping = inode.mapping();
    if let Some(mapping) = mapping {
        mapping.write_and_wait(0, u64::MAX)?;
    }
    // From here on no program gets blocks through memory.
    let _invalidate = mapping.map(|mapping| mapping.invalidate_lock());
    let core = &mount.core;
    let credits = core.credits_for_migration(&core.plan_migration(&node.shared.tree.read().inode)?);
    // Half of what a transaction holds is for others.
    if mount.journal().is_some_and(|journal| credits > journal.max_credits() / 2) {
        return Err(EFBIG);
    }
    mount.run(credits, |tx| {
        let mut tree = node.shared.tree.write();
        // Written blocks wait for no place; those that are dirty again do.
        if tree.inode.reserved != 0 || !tree.delayed.is_empty() {
            return Err(EAGAIN);
        }
        to_core(inode, &mut tree.inode);
        let plan = core.plan_migration(&tree.inode)?;
        if core.credits_for_migration(&plan) > credits {
            return Err(EAGAIN);
        }
        node.shared.note(mount.tid(tx), true);
        core.migrate(tx, &mut tree.inode, &plan)?;
        crate::node::from_core(inode, &tree.inode);
        Ok(())
    })
}
