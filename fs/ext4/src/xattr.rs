// SPDX-License-Identifier: GPL-2.0
//! Extended attributes: `user.*`, `trusted.*`, `security.*` and the two names of POSIX ACLs, as the core stores them.

use crate::acl::{self, Kind};
use crate::mounted::parts;
use crate::node::{Node, Shared, from_core, to_core};
use crate::options::ask;
use errno::Result;
use errno::code::{EINVAL, EOPNOTSUPP};
use ext4_core::SetMode;
use kalloc::KVec;
use kalloc::flags::GFP_NOFS;
use kernel::filesystem::cred;
use kernel::filesystem::vfs::Inode;

/// Namespaces with their numbers on the disk.
const SPACES: [(u8, &[u8]); 3] = [(1, b"user."), (4, b"trusted."), (6, b"security.")];
/// Names that are a namespace of their own.
const NAMES: [(u8, &[u8]); 2] = [(2, b"system.posix_acl_access"), (3, b"system.posix_acl_default")];

fn split<'a>(shared: &Shared, name: &'a [u8]) -> Result<(u8, &'a [u8])> {
    let (index, rest) = SPACES
        .iter()
        .find_map(|(index, prefix)| name.strip_prefix(*prefix).map(|rest| (*index, rest)))
        .ok_or(EOPNOTSUPP)?;
    if rest.is_empty() {
        return Err(EINVAL);
    }
    if index == 1 && !shared.mount.has(ask::USER_XATTR) {
        return Err(EOPNOTSUPP);
    }
    Ok((index, rest))
}

/// The value of an attribute.
pub(crate) fn get(shared: &Shared, name: &[u8]) -> Result<KVec<u8>> {
    if let Some(kind) = Kind::of(name) {
        return acl::get(shared, kind);
    }
    let (index, name) = split(shared, name)?;
    shared.mount.core.xattr_get(&shared.tree.read().inode, index, name)
}

/// Sets or removes an attribute.
pub(crate) fn set(inode: &Inode, node: &Node, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result {
    if let Some(kind) = Kind::of(name) {
        return acl::set(inode, node, kind, value);
    }
    let (_, mount) = parts(inode)?;
    let shared = &*node.shared;
    let (index, name) = split(shared, name)?;
    let mode = match flags {
        uapi::XATTR_CREATE => SetMode::Create,
        uapi::XATTR_REPLACE => SetMode::Replace,
        _ => SetMode::Any,
    };
    let credits = mount.core.credits_for_xattr(value.map_or(0, <[u8]>::len)) + 4;
    mount.run(credits, |tx| {
        let mut tree = shared.tree.write();
        to_core(inode, &mut tree.inode);
        let done = mount.core.xattr_set(tx, &mut tree.inode, index, name, value, mode);
        from_core(inode, &tree.inode);
        shared.note(mount.tid(tx), false);
        shared.count(&tree);
        done
    })
}

/// The names, each ended by a NUL.
pub(crate) fn list(shared: &Shared) -> Result<KVec<u8>> {
    let trusted = cred::capable(cred::CAP_SYS_ADMIN);
    let (user, acl) = (shared.mount.has(ask::USER_XATTR), shared.mount.has(ask::ACL));
    let mut names = KVec::new();
    shared.mount.core.xattr_list(&shared.tree.read().inode, |index, name| {
        if (index == 4 && !trusted) || (index == 1 && !user) || (matches!(index, 2 | 3) && !acl) {
            return Ok(());
        }
        let known = SPACES.iter().chain(&NAMES).find(|(number, _)| *number == index);
        if let Some((_, prefix)) = known {
            names.extend_from_slice(prefix, GFP_NOFS)?;
            names.extend_from_slice(name, GFP_NOFS)?;
            names.push(0, GFP_NOFS)?;
        }
        Ok(())
    })?;
    Ok(names)
}
