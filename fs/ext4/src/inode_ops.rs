// SPDX-License-Identifier: GPL-2.0
//! Operations on inodes: names in directories, attributes, the end of a file.
//!
//! Each is one operation of the core. The VFS may have changed times, owner and mode of an inode since the core last saw it: they
//! are given to the core before, and taken back after.

use crate::mounted::{Mounted, parts};
use crate::node::{Node, from_core, iget, new_vfs_inode, number, to_core};
use crate::options::ask;
use crate::store::KernelStore;
use crate::{acl, dir, file, truncate, xattr};
use errno::Result;
use errno::code::{EINVAL, EIO, ENXIO};
use ext4_core::{Inode as CoreInode, NewFile, Tx};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use kernel::filesystem::vfs::inode::owner_for_new;
use kernel::filesystem::vfs::perm::{acl_permission, generic_permission};
use kernel::filesystem::vfs::{Dev, FileOps, FileType, Inode, InodeOps, Kstat, Link, OpenFlags, Rename, SetAttr};
use uapi::{RENAME_EXCHANGE, RENAME_NOREPLACE};

/// Makes a file in a directory by `make`, which gets the operation, the directory and whose the file is to be.
fn add(
    dir: &Arc<Inode>,
    mode: u32,
    dev: Dev,
    mut make: impl FnMut(&Mounted, &mut Tx<KernelStore>, &mut CoreInode, NewFile<'_>) -> Result<CoreInode>,
) -> Result<Arc<Inode>> {
    let (node, mount) = parts(dir)?;
    let (uid, gid, mode) = owner_for_new(dir, mode)?;
    let gid = if mount.has(ask::GRPID) { dir.gid() } else { gid };
    let (inherited, credits) = {
        let tree = node.shared.tree.read();
        let inherited = acl::Inherited::of(mount, &tree.inode, mode)?;
        let credits = mount.core.credits_for_create(&tree.inode) + inherited.credits(mount);
        (inherited, credits)
    };
    let new =
        NewFile { mode: inherited.mode as u16, uid, gid, rdev: (dev.major(), dev.minor()), acls: inherited.acls() };
    let sync = node.shared.is_synchronous(dir);
    let (core, tid) = mount.run(credits, |tx| {
        mount.sync_if(tx, sync);
        let mut tree = node.shared.tree.write();
        to_core(dir, &mut tree.inode);
        let made = make(mount, tx, &mut tree.inode, new);
        from_core(dir, &tree.inode);
        node.shared.note(mount.tid(tx), true);
        node.shared.count(&tree);
        Ok((made?, mount.tid(tx)))
    })?;
    let inode = new_vfs_inode(dir.sb(), node.mount(), core)?;
    Node::of(&inode)?.shared.note(tid, true);
    dir.sb().insert_inode(&inode)?;
    Ok(inode)
}

/// Runs `f` on a directory and one of its inodes within one operation.
fn with_child(
    dir: &Inode,
    inode: &Inode,
    credits: u32,
    mut f: impl FnMut(&Mounted, &mut Tx<KernelStore>, &mut CoreInode, &mut CoreInode) -> Result,
) -> Result {
    let (parent, mount) = parts(dir)?;
    let child = Node::of(inode)?;
    let sync = parent.shared.is_synchronous(dir);
    mount.run(credits, |tx| {
        mount.sync_if(tx, sync);
        let mut tree = parent.shared.tree.write();
        let mut own = child.shared.tree.write();
        to_core(dir, &mut tree.inode);
        to_core(inode, &mut own.inode);
        let done = f(mount, tx, &mut tree.inode, &mut own.inode);
        from_core(dir, &tree.inode);
        from_core(inode, &own.inode);
        for node in [parent, child] {
            node.shared.note(mount.tid(tx), true);
        }
        done
    })
}

impl InodeOps for Node {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let found = {
            let tree = self.shared.tree.read();
            self.mount().core.lookup(&tree.inode, name)?
        };
        let Some((number, _)) = found else { return Ok(None) };
        match iget(dir.sb(), self.mount(), number) {
            Ok(inode) => Ok(Some(inode)),
            Err(error) if error == errno::code::ESTALE => {
                // An entry that leads to an inode which is not in use.
                let report = ext4_store::Report { what: "lookup", ino: number, block: 0, error: errno::code::EUCLEAN };
                Err(self.mount().base.health.report(&report))
            }
            Err(error) => Err(error),
        }
    }

    fn create(&self, dir: &Arc<Inode>, name: &[u8], mode: u32) -> Result<Arc<Inode>> {
        add(dir, mode, Dev::default(), |mount, tx, parent, new| mount.core.create(tx, parent, name, new))
    }

    fn mkdir(&self, dir: &Arc<Inode>, name: &[u8], mode: u32) -> Result<Arc<Inode>> {
        add(dir, mode, Dev::default(), |mount, tx, parent, new| mount.core.mkdir(tx, parent, name, new))
    }

    fn mknod(&self, dir: &Arc<Inode>, name: &[u8], mode: u32, dev: Dev) -> Result<Arc<Inode>> {
        add(dir, mode, dev, |mount, tx, parent, new| mount.core.create(tx, parent, name, new))
    }

    fn symlink(&self, dir: &Arc<Inode>, name: &[u8], target: &[u8]) -> Result<Arc<Inode>> {
        add(dir, uapi::S_IFLNK | 0o777, Dev::default(), |mount, tx, parent, new| {
            mount.core.symlink(tx, parent, name, target, new)
        })
    }

    fn tmpfile(&self, dir: &Arc<Inode>, mode: u32) -> Result<Arc<Inode>> {
        add(dir, mode, Dev::default(), |mount, tx, parent, new| mount.core.tmpfile(tx, parent, new))
    }

    fn link(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        let credits = self.mount().core.credits_for_create(&self.shared.tree.read().inode);
        with_child(dir, inode, credits, |mount, tx, parent, own| mount.core.link(tx, parent, name, own))
    }

    fn unlink(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        let credits = self.mount().core.credits_for_unlink(&self.shared.tree.read().inode);
        with_child(dir, inode, credits, |mount, tx, parent, own| mount.core.unlink(tx, parent, name, own))
    }

    fn rmdir(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        let credits = self.mount().core.credits_for_unlink(&self.shared.tree.read().inode);
        with_child(dir, inode, credits, |mount, tx, parent, own| mount.core.rmdir(tx, parent, name, own))
    }

    fn rename(&self, rename: &Rename<'_>) -> Result {
        if rename.flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE) != 0 {
            return Err(EINVAL);
        }
        rename_inodes(self.mount(), rename)?;
        // A file that replaces another is expected to be there whole after a crash.
        if rename.target.is_some() && self.mount().has(ask::AUTO_DA_ALLOC) {
            file::start_writing(rename.inode);
        }
        Ok(())
    }

    fn get_link<'a>(&'a self, inode: &'a Inode) -> Result<Link<'a>> {
        if !inode.is_symlink() {
            return Err(EINVAL);
        }
        if self.link.get().is_none() {
            let target = self.mount().core.read_link(&self.shared.tree.read().inode)?;
            // A lost race gives the text back: the winner's is the same.
            drop(self.link.set(target));
        }
        self.link.get().map(|target| Link::Text(target)).ok_or(EIO)
    }

    fn setattr(&self, inode: &Inode, attr: &SetAttr) -> Result {
        let resized = attr.size.filter(|size| *size != inode.size());
        if let Some(size) = resized {
            truncate::set_size(inode, size)?;
        }
        inode.apply(attr);
        if attr.mode.is_some() {
            acl::chmod(inode, self)?;
        }
        write_attributes(inode, false)?;
        if resized.is_some() && self.shared.is_synchronous(inode) { file::sync_inode(inode, false) } else { Ok(()) }
    }

    fn permission(&self, inode: &Inode, mask: u32) -> Result {
        let acl = if self.mount().has(ask::ACL) { self.acl.lock().clone() } else { None };
        acl.map_or_else(|| generic_permission(inode, mask), |acl| acl_permission(inode, mask, &acl))
    }

    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        inode.fill_stat(stat);
        inode.fill_btime(stat);
        stat.blocks = self.shared.sectors.load(core::sync::atomic::Ordering::Relaxed);
        // Data inside the inode has no block: the file must not look like one hole all the same.
        if inode.is_reg() && self.shared.is_inline() {
            stat.blocks += stat.size.div_ceil(512);
        }
    }

    fn open(&self, inode: &Arc<Inode>, _flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        match inode.file_type() {
            FileType::Dir => Ok(KBox::new(dir::DirFile::new(), GFP_KERNEL)?),
            FileType::Reg => {
                self.mount().base.health.usable()?;
                Ok(KBox::new(file::RegFile, GFP_KERNEL)?)
            }
            _ => Err(ENXIO),
        }
    }

    fn getxattr(&self, _inode: &Inode, name: &[u8]) -> Result<KVec<u8>> {
        xattr::get(&self.shared, name)
    }

    fn setxattr(&self, inode: &Inode, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result {
        xattr::set(inode, self, name, value, flags)
    }

    fn listxattr(&self, _inode: &Inode) -> Result<KVec<u8>> {
        xattr::list(&self.shared)
    }

    fn evict(&self, inode: &Inode) {
        if let Err(error) = truncate::evict(inode, self) {
            // It stays on the list of orphans, for the next mount or e2fsck.
            kernel::pr_warn!("EXT4-fs ({}): inode #{}: not freed: {error}\n", self.mount().base.health.name, inode.ino);
        }
    }

    fn swap_extents(&self, inode: &Inode, add: &mut dyn FnMut(u64, u64) -> Result) -> Result {
        crate::swapfile::extents(inode, add)
    }

    fn forget(&self, _inode: &Inode) {
        let mut tree = self.shared.tree.write();
        self.mount().core.discard_preallocations(&mut tree.inode);
    }
}

/// Moves or exchanges names. The VFS holds the locks of both directories and of what moves or goes.
fn rename_inodes(mount: &Mounted, rename: &Rename<'_>) -> Result {
    let (from, moved) = (Node::of(rename.old_dir)?, Node::of(rename.inode)?);
    let across = !Arc::ptr_eq(rename.old_dir, rename.new_dir);
    let to = if across { Some(Node::of(rename.new_dir)?) } else { None };
    let over = rename.target.map(|target| Node::of(target)).transpose()?;
    let credits = {
        let tree = from.shared.tree.read();
        let other = to.map(|to| to.shared.tree.read());
        mount.core.credits_for_rename(&tree.inode, other.as_ref().map_or(&tree.inode, |other| &other.inode))
    };
    let sync =
        from.shared.is_synchronous(rename.old_dir) || to.is_some_and(|to| to.shared.is_synchronous(rename.new_dir));
    mount.run(credits, |tx| {
        mount.sync_if(tx, sync);
        let mut tree = from.shared.tree.write();
        let mut to_tree = to.map(|to| to.shared.tree.write());
        let mut own = moved.shared.tree.write();
        let mut over_tree = over.map(|over| over.shared.tree.write());
        to_core(rename.old_dir, &mut tree.inode);
        to_core(rename.inode, &mut own.inode);
        if let Some(to_tree) = &mut to_tree {
            to_core(rename.new_dir, &mut to_tree.inode);
        }
        if let (Some(target), Some(over_tree)) = (rename.target, &mut over_tree) {
            to_core(target, &mut over_tree.inode);
        }
        let new_dir = to_tree.as_mut().map(|tree| &mut tree.inode);
        let other = over_tree.as_mut().map(|tree| &mut tree.inode);
        let (name, new_name) = (rename.old_name, rename.new_name);
        let done = if rename.flags & RENAME_EXCHANGE != 0 {
            let other = other.ok_or(EINVAL)?;
            mount.core.exchange(tx, &mut tree.inode, name, &mut own.inode, new_dir, new_name, other)
        } else {
            mount.core.rename(tx, &mut tree.inode, name, &mut own.inode, new_dir, new_name, other)
        };
        from_core(rename.old_dir, &tree.inode);
        from_core(rename.inode, &own.inode);
        if let Some(to_tree) = &to_tree {
            from_core(rename.new_dir, &to_tree.inode);
        }
        if let (Some(target), Some(over_tree)) = (rename.target, &over_tree) {
            from_core(target, &over_tree.inode);
        }
        for node in [Some(from), Some(moved), to, over].into_iter().flatten() {
            node.shared.note(mount.tid(tx), true);
        }
        done
    })
}

/// Writes the attributes that the VFS has into the inode on the disk, within a transaction.
pub(crate) fn write_attributes(inode: &Inode, _wait: bool) -> Result {
    let (node, mount) = parts(inode)?;
    // Data that has reached the disk, or was never there (holes), counts for the size now.
    let settled = inode.mapping().is_none_or(|mapping| !mapping.is_dirty() && !mapping.is_writeback());
    mount.core.run(4, true, |tx| {
        let mut tree = node.shared.tree.write();
        to_core(inode, &mut tree.inode);
        if settled && inode.is_reg() && tree.delayed.is_empty() && inode.size() > tree.inode.raw.size {
            tree.inode.raw.size = inode.size();
        }
        let sized = settled;
        mount.core.write_inode(tx, &tree.inode)?;
        node.shared.note(mount.tid(tx), sized);
        Ok(())
    })?;
    debug_assert!(number(inode).is_ok());
    Ok(())
}
