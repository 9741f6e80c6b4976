// SPDX-License-Identifier: GPL-2.0
//! POSIX ACLs: `system.posix_acl_*` with what they change in the mode, inheritance, and the check of permissions.
//! Source: `acl(5)`; POSIX.1e draft 17.
//!
//! A node with an access ACL keeps its entries in `Node::acl` (a spin lock: permissions are checked while walking under RCU), and
//! its inode has `iop::PERMISSION`.

use crate::mounted::Mounted;
use crate::node::{Node, Shared, from_core, to_core};
use crate::options::ask;
use errno::Result;
use errno::code::{EACCES, EINVAL, ENODATA, EOPNOTSUPP};
use ext4_core::{Inode as CoreInode, SetMode};
use ext4_format::acl::{from_disk, to_disk};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KVec};
use kernel::filesystem::cred;
use kernel::filesystem::vfs::namei::create::current_umask;
use kernel::filesystem::vfs::perm::{AclEntry, acl_tag};
use kernel::filesystem::vfs::{Inode, current_time, iop};

/// Entries of an ACL.
pub(crate) type Acl = KVec<AclEntry>;

/// Which of the two ACLs: the number of its namespace on the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Access = 2,
    Default = 3,
}

impl Kind {
    /// By the attribute's name.
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"system.posix_acl_access" => Some(Self::Access),
            b"system.posix_acl_default" => Some(Self::Default),
            _ => None,
        }
    }
}

/// The entries of an attribute's value (version 2).
fn parse(value: &[u8]) -> Result<Acl> {
    let mut acl = KVec::new();
    for entry in value.get(4..).unwrap_or(&[]).chunks_exact(8) {
        let &[t0, t1, p0, p1, a, b, c, d] = entry else { return Err(EINVAL) };
        let entry = AclEntry {
            tag: u16::from_le_bytes([t0, t1]),
            perm: u16::from_le_bytes([p0, p1]),
            id: u32::from_le_bytes([a, b, c, d]),
        };
        acl.push(entry, GFP_NOFS)?;
    }
    Ok(acl)
}

/// The value of entries.
fn value_of(acl: &[AclEntry]) -> Result<KVec<u8>> {
    let mut out = KVec::from_slice(&2u32.to_le_bytes(), GFP_NOFS)?;
    for entry in acl {
        out.extend_from_slice(&entry.tag.to_le_bytes(), GFP_NOFS)?;
        out.extend_from_slice(&entry.perm.to_le_bytes(), GFP_NOFS)?;
        out.extend_from_slice(&entry.id.to_le_bytes(), GFP_NOFS)?;
    }
    Ok(out)
}

/// Whether the entries are an ACL: in order, each of the single kinds at most once, the three of the mode there, and a mask if
/// there are named users or groups (`posix_acl_valid`).
fn check(acl: &[AclEntry]) -> Result {
    let mut order = 0u16;
    let (mut named, mut mask) = (false, false);
    let mut bases = 0;
    for entry in acl {
        if entry.perm & !7 != 0 {
            return Err(EINVAL);
        }
        let again = matches!(entry.tag, acl_tag::USER | acl_tag::GROUP);
        if entry.tag < order || (entry.tag == order && !again) {
            return Err(EINVAL);
        }
        order = entry.tag;
        match entry.tag {
            acl_tag::USER_OBJ | acl_tag::GROUP_OBJ | acl_tag::OTHER => bases += 1,
            acl_tag::USER | acl_tag::GROUP if entry.id != u32::MAX => named = true,
            acl_tag::MASK => mask = true,
            _ => return Err(EINVAL),
        }
    }
    if bases != 3 || (named && !mask) { Err(EINVAL) } else { Ok(()) }
}

/// The permissions that an ACL says, and whether they are all that it says.
fn mode_of(acl: &[AclEntry]) -> (u32, bool) {
    let (mut mode, mut only) = (0, true);
    for entry in acl {
        let perm = u32::from(entry.perm & 7);
        match entry.tag {
            acl_tag::USER_OBJ => mode |= perm << 6,
            acl_tag::GROUP_OBJ => mode |= perm << 3,
            acl_tag::OTHER => mode |= perm,
            acl_tag::MASK => {
                mode = mode & !0o70 | perm << 3;
                only = false;
            }
            _ => only = false,
        }
    }
    (mode, only)
}

/// How far the bits of a mode are shifted that an entry stands for, if it does: those of the group are the mask's, with a mask.
fn shift_of(entry: &AclEntry, has_mask: bool) -> Option<u32> {
    match entry.tag {
        acl_tag::USER_OBJ => Some(6),
        acl_tag::OTHER => Some(0),
        acl_tag::MASK => Some(3),
        acl_tag::GROUP_OBJ if !has_mask => Some(3),
        _ => None,
    }
}

fn has_mask(acl: &[AclEntry]) -> bool {
    acl.iter().any(|entry| entry.tag == acl_tag::MASK)
}

/// Takes from the ACL of a new file what its creator did not ask for (`posix_acl_create_masq`). Returns the new permissions, and
/// whether they are all that the ACL says.
fn mask_for_create(acl: &mut [AclEntry], mode: u32) -> (u32, bool) {
    let mut mode = mode;
    let mut only = true;
    let has_mask = has_mask(acl);
    for entry in acl {
        only &= matches!(entry.tag, acl_tag::USER_OBJ | acl_tag::GROUP_OBJ | acl_tag::OTHER);
        let Some(shift) = shift_of(entry, has_mask) else { continue };
        entry.perm &= (mode >> shift) as u16 & 7;
        mode = mode & !(7 << shift) | u32::from(entry.perm) << shift;
    }
    (mode, only)
}

/// Gives an ACL new permissions (`chmod`).
fn set_mode(acl: &mut [AclEntry], mode: u32) {
    let has_mask = has_mask(acl);
    for entry in acl {
        let Some(shift) = shift_of(entry, has_mask) else { continue };
        entry.perm = (mode >> shift) as u16 & 7;
    }
}

/// The ACL that an inode has on the disk, whether ACLs count at the moment or not: a remount may change that.
pub(crate) fn load(mount: &Mounted, inode: &CoreInode, kind: Kind) -> Result<Option<Acl>> {
    if !inode.may_have_xattrs() {
        return Ok(None);
    }
    match mount.core.xattr_get(inode, kind as u8, b"") {
        Ok(disk) => parse(&from_disk(&disk)?).map(Some),
        Err(error) if error == ENODATA => Ok(None),
        Err(error) => Err(error),
    }
}

/// Remembers the access ACL of an inode.
pub(crate) fn remember(inode: &Inode, node: &Node, acl: Option<Acl>) -> Result {
    let acl = acl.map(|acl| Arc::new(acl, GFP_NOFS)).transpose()?;
    let there = acl.is_some();
    let old = core::mem::replace(&mut *node.acl.lock(), acl);
    // A walk under RCU may be about to look at it.
    drop(old);
    if there {
        inode.change_iflags(iop::PERMISSION, 0)
    } else {
        inode.change_iflags(0, iop::PERMISSION)
    }
    Ok(())
}

/// The value of an ACL's attribute.
pub(crate) fn get(shared: &Shared, kind: Kind) -> Result<KVec<u8>> {
    if !shared.mount.has(ask::ACL) {
        return Err(EOPNOTSUPP);
    }
    let tree = shared.tree.read();
    if !tree.inode.may_have_xattrs() {
        return Err(ENODATA);
    }
    from_disk(&shared.mount.core.xattr_get(&tree.inode, kind as u8, b"")?)
}

/// Sets or removes an ACL. The inode's lock is held; the VFS has checked that the caller owns it.
pub(crate) fn set(inode: &Inode, node: &Node, kind: Kind, value: Option<&[u8]>) -> Result {
    let mount = node.mount();
    if !mount.has(ask::ACL) || inode.is_symlink() {
        return Err(EOPNOTSUPP);
    }
    let acl = match value {
        Some(value) => {
            to_disk(value)?;
            Some(parse(value)?).filter(|acl| !acl.is_empty())
        }
        None => None,
    };
    if let Some(acl) = &acl {
        check(acl)?;
    }
    if kind == Kind::Default {
        if !inode.is_dir() {
            return if acl.is_some() { Err(EACCES) } else { Ok(()) };
        }
        return store(inode, node, kind, acl.as_deref());
    }
    let mut mode = inode.mode();
    let mut kept = acl;
    if let Some(acl) = &kept {
        let (permissions, only) = mode_of(acl);
        mode = mode & !0o777 | permissions;
        if only {
            kept = None;
        }
        let cred = cred::current_cred()?;
        if !cred.in_group(inode.gid()) && !cred.capable(cred::CAP_FSETID) {
            mode &= !uapi::S_ISGID;
        }
    }
    let old = inode.mode();
    inode.set_mode(mode);
    if let Err(error) = store(inode, node, kind, kept.as_deref()) {
        inode.set_mode(old);
        return Err(error);
    }
    remember(inode, node, kept)
}

fn store(inode: &Inode, node: &Node, kind: Kind, acl: Option<&[AclEntry]>) -> Result {
    let mount = node.mount();
    let disk = acl.map(|acl| to_disk(&value_of(acl)?)).transpose()?;
    inode.ctime.set(current_time());
    let credits = mount.core.credits_for_xattr(disk.as_ref().map_or(0, |disk| disk.len())) + 4;
    mount.run(credits, |tx| {
        let mut tree = node.shared.tree.write();
        to_core(inode, &mut tree.inode);
        let done = mount.core.xattr_set(tx, &mut tree.inode, kind as u8, b"", disk.as_deref(), SetMode::Any);
        from_core(inode, &tree.inode);
        node.shared.note(mount.tid(tx), false);
        node.shared.count(&tree);
        match done {
            // Nothing to remove: the mode may have changed.
            Err(error) if error == ENODATA => mount.core.write_inode(tx, &tree.inode),
            done => done,
        }
    })
}

/// The mode of an inode with an access ACL was changed by `chmod`: so is the ACL.
pub(crate) fn chmod(inode: &Inode, node: &Node) -> Result {
    if !node.mount().has(ask::ACL) {
        return Ok(());
    }
    let Some(old) = node.acl.lock().clone() else { return Ok(()) };
    let mut acl = KVec::from_slice(&old, GFP_NOFS)?;
    set_mode(&mut acl, inode.mode());
    store(inode, node, Kind::Access, Some(&acl))?;
    remember(inode, node, Some(acl))
}

/// What a new file gets from the default ACL of its directory.
pub(crate) struct Inherited {
    /// Its mode, with the creator's umask or the ACL taken off.
    pub(crate) mode: u32,
    /// Its ACLs, as they are on the disk.
    access: Option<KVec<u8>>,
    default: Option<KVec<u8>>,
}

impl Inherited {
    /// For a file of `mode`, which no umask was taken off (`SB_POSIXACL`).
    pub(crate) fn of(mount: &Mounted, dir: &CoreInode, mode: u32) -> Result<Self> {
        let nothing = |mode| Ok(Self { mode, access: None, default: None });
        if mode & uapi::S_IFMT == uapi::S_IFLNK {
            return nothing(mode);
        }
        if !mount.has(ask::ACL) {
            return nothing(mode & !current_umask());
        }
        let Some(mut acl) = load(mount, dir, Kind::Default)? else { return nothing(mode & !current_umask()) };
        let is_dir = mode & uapi::S_IFMT == uapi::S_IFDIR;
        let default = if is_dir { Some(to_disk(&value_of(&acl)?)?) } else { None };
        let (mode, only) = mask_for_create(&mut acl, mode);
        let access = if only { None } else { Some(to_disk(&value_of(&acl)?)?) };
        Ok(Self { mode, access, default })
    }

    /// Credits for these.
    pub(crate) fn credits(&self, mount: &Mounted) -> u32 {
        [&self.access, &self.default].into_iter().flatten().map(|acl| mount.core.credits_for_xattr(acl.len())).sum()
    }

    /// Its ACLs: access, default.
    pub(crate) fn acls(&self) -> [Option<&[u8]>; 2] {
        [self.access.as_deref(), self.default.as_deref()]
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(ext4_acl)]
mod tests {
    use super::*;

    fn entry(tag: u16, perm: u16, id: u32) -> AclEntry {
        AclEntry { tag, perm, id }
    }

    #[test]
    fn modes_and_acls() {
        let mut acl = [
            entry(acl_tag::USER_OBJ, 7, u32::MAX),
            entry(acl_tag::USER, 6, 1000),
            entry(acl_tag::GROUP_OBJ, 5, u32::MAX),
            entry(acl_tag::MASK, 7, u32::MAX),
            entry(acl_tag::OTHER, 5, u32::MAX),
        ];
        assert_eq!(check(&acl), Ok(()));
        assert_eq!(mode_of(&acl), (0o775, false));
        assert_eq!(mask_for_create(&mut acl, 0o100640), (0o100640, false));
        assert_eq!((acl[2].perm, acl[3].perm, acl[4].perm), (5, 4, 0));
        set_mode(&mut acl, 0o751);
        assert_eq!((acl[0].perm, acl[2].perm, acl[3].perm, acl[4].perm), (7, 5, 5, 1));
        let without_mask = [acl[0], acl[1], acl[2], acl[4]];
        assert_eq!(check(&without_mask), Err(EINVAL));
        let mut plain = [acl[0], acl[2], acl[4]];
        assert_eq!(check(&plain), Ok(()));
        assert_eq!(mask_for_create(&mut plain, 0o100666), (0o100640, true));
        assert_eq!(check(&[acl[0], acl[0], acl[2], acl[4]]), Err(EINVAL));
    }
}
