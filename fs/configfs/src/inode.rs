// SPDX-License-Identifier: GPL-2.0
//! Directories as inodes: `mkdir` and `rmdir` go to the item, the rest is `kernfs`.

use crate::item::Item;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use kernfs::NodeInode;
use vfs::inode::iop;
use vfs::{Dev, DirContext, File, FileOps, Inode, InodeInit, InodeOps, Kstat, OpenFlags, SetAttr, SuperBlock, fmode};

/// A directory's part of its inode.
struct ItemInode {
    item: Arc<Item>,
    base: NodeInode,
}

/// An inode for `item`. May sleep.
pub(crate) fn inode_for(sb: &Arc<SuperBlock>, item: &Arc<Item>) -> Result<Arc<Inode>> {
    let node = item.node.clone();
    let (uid, gid) = node.owner();
    let iflags = iop::NOATIME | iop::NO_NEGATIVE | if node.parent().is_some() { iop::REVALIDATE } else { 0 };
    let init = InodeInit { sb, ino: node.ino, mode: node.mode(), uid, gid, rdev: Dev::default(), iflags };
    Inode::new(init, KBox::new(ItemInode { item: item.clone(), base: NodeInode { node } }, GFP_KERNEL)?)
}

impl InodeOps for ItemInode {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        match self.item.child(name) {
            Some(child) => inode_for(dir.sb(), &child).map(Some),
            None => kernfs::lookup(dir.sb(), &self.item.node, name),
        }
    }

    fn mkdir(&self, dir: &Arc<Inode>, name: &[u8], _: u32) -> Result<Arc<Inode>> {
        inode_for(dir.sb(), &self.item.mkdir(name)?)
    }

    fn rmdir(&self, _: &Arc<Inode>, name: &[u8], _: &Arc<Inode>) -> Result {
        self.item.rmdir(name)
    }

    fn revalidate(&self, inode: &Inode) -> bool {
        self.base.revalidate(inode)
    }

    fn setattr(&self, inode: &Inode, attr: &SetAttr) -> Result {
        self.base.setattr(inode, attr)
    }

    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        self.base.getattr(inode, stat);
    }

    fn open(&self, _: &Arc<Inode>, _: OpenFlags) -> Result<KBox<dyn FileOps>> {
        Ok(KBox::new(OpenDir(self.item.clone()), GFP_KERNEL)?)
    }
}

/// An open directory.
struct OpenDir(Arc<Item>);

impl FileOps for OpenDir {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        if context.emit_dots(file) {
            kernfs::iterate(&self.0.node, context);
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
