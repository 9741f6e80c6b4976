// SPDX-License-Identifier: GPL-2.0
//! Looking up, making, removing, renaming. Every one is one or a few messages; the server has the last word.

use crate::file::RegFile;
use crate::node::{Node, Opened};
use crate::open_dir::OpenDir;
use crate::session::Session;
use kalloc::{Arc, KBox, KVec};
use kernel::filesystem::vfs::inode::owner_for_new;
use kernel::filesystem::vfs::{
    Dev, FileOps, Inode, InodeOps, Kstat, Link, OpenFlags, Rename, SetAttr, Timespec, idirty,
};
use kernel::prelude::*;
use p9net::Fid;
use p9net::proto::AT_REMOVEDIR;

/// Flags of opening that the server is told of: their numbers are the same there.
const OPEN_FLAGS: u32 = uapi::O_ACCMODE
    | uapi::O_APPEND
    | uapi::O_NONBLOCK
    | uapi::O_DSYNC
    | uapi::O_SYNC
    | uapi::O_DIRECT
    | uapi::O_DIRECTORY
    | uapi::O_NOFOLLOW
    | uapi::O_NOATIME
    | uapi::O_LARGEFILE;

impl Node {
    fn session(&self) -> &Arc<Session> {
        &self.shared.session
    }

    /// The new entry `name` of `dir`.
    fn found(&self, dir: &Arc<Inode>, dir_fid: &Fid, name: &[u8]) -> Result<Arc<Inode>> {
        let fid = dir_fid.walk(&[name])?;
        let inode = Node::inode(dir.sb(), self.session(), fid, Some((dir, name)))?;
        self.changed(dir);
        Ok(inode)
    }

    /// Entries of `dir` changed.
    fn changed(&self, dir: &Inode) {
        dir.touch_mtime();
        dir.clear_dirty(idirty::INODE);
    }

    /// Opens the file on the server: what was asked for, or, where pages are written later, more, so that what is around the bytes of a
    /// write can be read.
    fn open_on_server(&self, inode: &Inode, flags: OpenFlags) -> Result<Opened> {
        let fid = self.session().fid(inode)?;
        let wanted = flags.0 & OPEN_FLAGS;
        let (reads, writes) = (flags.reads(), flags.writes());
        if writes && crate::file::writes_later(self.session(), flags) {
            let more = wanted & !(uapi::O_ACCMODE | uapi::O_APPEND) | uapi::O_RDWR;
            match fid.walk(&[])?.open(more) {
                Ok(fid) => return Ok(Opened { fid, reads: true, writes }),
                Err(EACCES | EPERM) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Opened { fid: fid.walk(&[])?.open(wanted)?, reads, writes })
    }

    /// The file just made, if the current task did it: it may be open in a way that its mode forbids to everybody later.
    fn open_made(&self, inode: &Inode, flags: OpenFlags) -> Option<Opened> {
        let made = self.shared.take_made()?;
        if flags.any(uapi::O_APPEND | uapi::O_DSYNC)
            && let Ok(opened) = self.open_on_server(inode, flags)
        {
            return Some(opened);
        }
        Some(made)
    }
}

/// Removes an entry, by the message that the server knows.
fn remove(dir_fid: &Fid, name: &[u8], flags: u32) -> Result {
    match dir_fid.unlink_at(name, flags) {
        Err(EOPNOTSUPP) => dir_fid.walk(&[name])?.remove(),
        other => other,
    }
}

impl InodeOps for Node {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let dir_fid = self.session().fid(dir)?;
        match dir_fid.walk(&[name]).and_then(|fid| Node::inode(dir.sb(), self.session(), fid, Some((dir, name)))) {
            Ok(inode) => Ok(Some(inode)),
            Err(ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, dir: &Arc<Inode>, name: &[u8], mode: u32) -> Result<Arc<Inode>> {
        let (_, gid, mode) = owner_for_new(dir, mode)?;
        let dir_fid = self.session().fid(dir)?;
        let flags = uapi::O_RDWR | uapi::O_CREAT | uapi::O_EXCL | uapi::O_LARGEFILE;
        let fid = dir_fid.walk(&[])?.create(name, flags, mode, gid)?;
        let inode = self.found(dir, &dir_fid, name)?;
        Node::of(&inode)?.shared.set_made(Opened { fid, reads: true, writes: true });
        Ok(inode)
    }

    fn mkdir(&self, dir: &Arc<Inode>, name: &[u8], mode: u32) -> Result<Arc<Inode>> {
        let (_, gid, mode) = owner_for_new(dir, mode | uapi::S_IFDIR)?;
        let dir_fid = self.session().fid(dir)?;
        dir_fid.mkdir(name, mode, gid)?;
        let made = self.found(dir, &dir_fid, name)?;
        dir.inc_nlink();
        Ok(made)
    }

    fn mknod(&self, dir: &Arc<Inode>, name: &[u8], mode: u32, dev: Dev) -> Result<Arc<Inode>> {
        let (_, gid, mode) = owner_for_new(dir, mode)?;
        let dir_fid = self.session().fid(dir)?;
        dir_fid.mknod(name, mode, (dev.major(), dev.minor()), gid)?;
        self.found(dir, &dir_fid, name)
    }

    fn symlink(&self, dir: &Arc<Inode>, name: &[u8], target: &[u8]) -> Result<Arc<Inode>> {
        let (_, gid, _) = owner_for_new(dir, uapi::S_IFLNK)?;
        let dir_fid = self.session().fid(dir)?;
        dir_fid.symlink(name, target, gid)?;
        self.found(dir, &dir_fid, name)
    }

    fn link(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        let session = self.session();
        let file = session.fid(inode)?;
        session.fid(dir)?.link(name, &file)?;
        inode.inc_nlink();
        self.changed(dir);
        Ok(())
    }

    fn unlink(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        let dir_fid = self.session().fid(dir)?;
        remove(&dir_fid, name, 0)?;
        inode.drop_nlink();
        Node::of(inode)?.shared.lost_a_name();
        self.changed(dir);
        Ok(())
    }

    fn rmdir(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result {
        let dir_fid = self.session().fid(dir)?;
        remove(&dir_fid, name, AT_REMOVEDIR)?;
        inode.set_nlink(0);
        dir.drop_nlink();
        self.changed(dir);
        Ok(())
    }

    fn rename(&self, rename: &Rename<'_>) -> Result {
        let &Rename { old_dir, old_name, inode, new_dir, new_name, target, flags, .. } = rename;
        if flags != 0 {
            return Err(EINVAL);
        }
        let session = self.session();
        // Room first: nothing may fail once the server has done it.
        let place = KVec::from_slice(new_name, GFP_KERNEL)?;
        let (old_fid, new_fid) = (session.fid(old_dir)?, session.fid(new_dir)?);
        match old_fid.rename_at(old_name, &new_fid, new_name) {
            Err(EOPNOTSUPP) => session.fid(inode)?.rename(&new_fid, new_name)?,
            other => other?,
        }
        Node::of(inode)?.shared.moved(new_dir, place);
        let is_dir = inode.is_dir();
        if let Some(target) = target {
            if is_dir {
                target.set_nlink(0);
                new_dir.drop_nlink();
            } else {
                target.drop_nlink();
                Node::of(target)?.shared.lost_a_name();
            }
        }
        if is_dir && !Arc::ptr_eq(old_dir, new_dir) {
            old_dir.drop_nlink();
            new_dir.inc_nlink();
        }
        self.changed(old_dir);
        self.changed(new_dir);
        Ok(())
    }

    fn get_link<'a>(&'a self, inode: &'a Inode) -> Result<Link<'a>> {
        Ok(Link::Owned(self.session().fid(inode)?.readlink()?))
    }

    fn revalidate(&self, _: &Inode) -> bool {
        // It must be asked for: see `check`.
        !self.session().asks() && !self.shared.is_stale()
    }

    fn check(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result<bool> {
        match self.session().fid(dir).and_then(|fid| self.shared.check(inode, dir, &fid, name)) {
            Ok(()) => Ok(true),
            Err(ENOENT | ESTALE) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn refresh(&self, inode: &Arc<Inode>) -> Result {
        self.shared.refresh(inode).map(drop)
    }

    fn setattr(&self, inode: &Inode, attr: &SetAttr) -> Result {
        crate::setattr::setattr(&self.shared, inode, attr)
    }

    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        inode.fill_stat(stat);
        // The server does not say.
        stat.result_mask &= !uapi::STATX_BTIME;
        stat.btime = Timespec::default();
        let blksize = self.shared.blksize();
        if blksize != 0 && self.session().asks() {
            stat.blksize = blksize;
        }
    }

    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        let opened = match self.open_made(inode, flags) {
            Some(opened) => opened,
            None => self.open_on_server(inode, flags)?,
        };
        let opened = Arc::new(opened, GFP_KERNEL)?;
        if inode.is_dir() {
            return Ok(KBox::new(OpenDir::new(opened), GFP_KERNEL)?);
        }
        if !inode.is_reg() {
            return Err(ENXIO);
        }
        self.shared.add_open(&opened)?;
        Ok(KBox::new(RegFile::new(self.shared.clone(), opened, inode, flags)?, GFP_KERNEL)?)
    }

    fn getxattr(&self, inode: &Inode, name: &[u8]) -> Result<KVec<u8>> {
        crate::xattr::get(self.session(), inode, name)
    }

    fn setxattr(&self, inode: &Inode, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result {
        crate::xattr::set(self.session(), inode, name, value, flags)
    }

    fn listxattr(&self, inode: &Inode) -> Result<KVec<u8>> {
        crate::xattr::list(self.session(), inode)
    }

    /// Neither a name nor an open file leads to it: pages that were written to are nobody's.
    fn evict(&self, inode: &Inode) {
        if let Some(mapping) = inode.mapping() {
            let _guard = mapping.invalidate_lock();
            mapping.truncate(0);
        }
    }
}
