// SPDX-License-Identifier: GPL-2.0
//! Nodes as inodes: looking up, listing, attributes of the inode. A directory's names are not complete in the dentry cache; a
//! cached name is asked whether its node is still in the tree. Locks: those of the crate's text.

use crate::file::AttrFile;
use crate::node::{Kind, Node};
use core::any::Any;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use vfs::inode::iop;
use vfs::perm::MAY_WRITE;
use vfs::{
    Dev, DirContext, File, FileOps, Inode, InodeInit, InodeOps, Kstat, Link, OpenFlags, SetAttr, SuperBlock, fmode,
};

/// A node's part of its inode.
pub struct NodeInode {
    /// The node.
    pub node: Arc<Node>,
}

/// An inode for `node` in `sb`. May sleep.
pub fn inode_for(sb: &Arc<SuperBlock>, node: Arc<Node>) -> Result<Arc<Inode>> {
    let (uid, gid) = node.owner();
    let mut iflags = iop::NOATIME;
    if node.parent().is_some() {
        iflags |= iop::REVALIDATE;
    }
    if matches!(node.kind, Kind::Dir(_)) {
        iflags |= iop::NO_NEGATIVE;
    }
    if node.has_fixed_modes() {
        iflags |= iop::PERMISSION;
    }
    let init = InodeInit { sb, ino: node.ino, mode: node.mode(), uid, gid, rdev: Dev::default(), iflags };
    let size = node.size();
    let inode = Inode::new(init, KBox::new(NodeInode { node }, GFP_KERNEL)?)?;
    inode.set_size(size);
    Ok(inode)
}

/// The inode of `name` in directory `node`. May sleep.
pub fn lookup(sb: &Arc<SuperBlock>, node: &Node, name: &[u8]) -> Result<Option<Arc<Inode>>> {
    node.child(name).map(|child| inode_for(sb, child)).transpose()
}

/// Gives the children of `node` from the context's position (at least 2) on. False: the reader is full.
pub fn iterate(node: &Node, context: &mut DirContext<'_>) -> bool {
    while let Some((cookie, child)) = node.next_child(context.pos.cast_unsigned()) {
        let next = cookie.cast_signed().saturating_add(1);
        if !context.emit(child.name(), child.ino, child.file_type(), next) {
            return false;
        }
    }
    true
}

impl InodeOps for NodeInode {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        if !self.node.is_active() {
            return Ok(None);
        }
        match lookup(dir.sb(), &self.node, name)? {
            // In procfs a name that is not there cannot be made either: `ENOENT`, where sysfs says `EACCES` or `EPERM`.
            None if dir.sb().magic == u64::from(uapi::PROC_SUPER_MAGIC) => Err(ENOENT),
            found => Ok(found),
        }
    }

    fn get_link<'a>(&'a self, _: &'a Inode) -> Result<Link<'a>> {
        match &self.node.kind {
            Kind::Text(text) => Ok(Link::Text(text.as_bytes())),
            Kind::Link(target) => {
                let target = target.upgrade().filter(|target| target.is_active()).ok_or(ENOENT)?;
                Ok(Link::Owned(self.node.relative_path(&target)?))
            }
            _ => Err(EINVAL),
        }
    }

    fn revalidate(&self, _: &Inode) -> bool {
        self.node.is_active()
    }

    fn permission(&self, inode: &Inode, mask: u32) -> Result {
        // Of nodes with fixed modes.
        let denied = match vfs::perm::mode_permission(inode, mask) {
            Err(error) => error,
            granted => return granted,
        };
        let Kind::Attribute(attribute, _) = &self.node.kind else { return Err(denied) };
        // What is asked beside writing the mode must give.
        if mask & MAY_WRITE != 0 && attribute.with(|attribute| Ok(attribute.may_write()))? {
            return vfs::perm::mode_permission(inode, mask & !MAY_WRITE);
        }
        Err(denied)
    }

    fn setattr(&self, inode: &Inode, attr: &SetAttr) -> Result {
        if self.node.has_fixed_modes() && (attr.mode.is_some() || attr.uid.is_some() || attr.gid.is_some()) {
            return Err(EPERM);
        }
        // Truncating (`echo > file`) is taken and means nothing, as in Linux.
        inode.apply(attr);
        if let Some(mode) = attr.mode {
            self.node.set_permissions(mode);
        }
        self.node.set_owner(inode.uid(), inode.gid());
        self.node.ctime.set(attr.ctime);
        Ok(())
    }

    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        inode.fill_stat(stat);
        if matches!(self.node.kind, Kind::Dir(_)) {
            stat.nlink = self.node.subdirectories().saturating_add(2);
            stat.mtime = self.node.mtime.get();
            stat.ctime = self.node.ctime.get();
        }
        (stat.uid, stat.gid) = self.node.owner();
        stat.mode = self.node.mode();
        stat.btime = self.node.born();
    }

    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        // In sysfs what permissions give to nobody is not for root either: a file that is not to be written has nobody to take it.
        let refused = |opens: bool, bits: u32| opens && self.node.mode() & bits == 0;
        if inode.sb().magic == u64::from(uapi::SYSFS_MAGIC)
            && !matches!(self.node.kind, Kind::Dir(_))
            && (refused(flags.writes(), 0o222) || refused(flags.reads(), 0o444))
        {
            return Err(EACCES);
        }
        match &self.node.kind {
            Kind::Dir(_) => Ok(KBox::new(DirFile, GFP_KERNEL)?),
            Kind::Attribute(attribute, _) => match attribute.with(|attribute| attribute.open(inode, flags))? {
                Some(ops) => Ok(ops),
                None => AttrFile::open(&self.node),
            },
            Kind::Link(_) | Kind::Text(_) => Err(ELOOP),
        }
    }
}

/// An open directory.
struct DirFile;

impl FileOps for DirFile
where
    Self: Any,
{
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        let inode = file.inode().private::<NodeInode>().ok_or(ENOTDIR)?;
        if context.emit_dots(file) {
            iterate(&inode.node, context);
        }
        Ok(())
    }

    fn fsync(&self, _: &File, _: bool) -> Result {
        Ok(())
    }

    fn can_poll(&self) -> bool {
        false
    }
}
