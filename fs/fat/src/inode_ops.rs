// SPDX-License-Identifier: GPL-2.0
//! Looking up, making, removing, renaming. The VFS holds the directories' locks, and those of what goes.

use crate::dir::{Hit, Stored};
use crate::file::{self, RegFile};
use crate::node::{NOWHERE, Node, Shared};
use crate::open_dir::DirFile;
use fat_format::date::Stamp;
use fat_format::entry::{DOT, DOTDOT, Entry, Kind, attr};
use kalloc::{Arc, KBox};
use kernel::filesystem::cred;
use kernel::filesystem::vfs::{
    FileOps, FileType, Inode, InodeOps, Kstat, OpenFlags, Rename, SetAttr, SuperDevice, current_time, idirty,
};
use kernel::prelude::*;
use uapi::{MS_DIRSYNC, MS_SYNCHRONOUS, RENAME_EXCHANGE, RENAME_NOREPLACE};

/// Contents of a directory changed.
fn touch(dir: &Inode, shared: &Shared) {
    dir.set_size(shared.dir_size());
    dir.touch_mtime();
}

/// A directory was changed: that is on the disk before it is said to be done, if the mount asks for it.
fn settle(dir: &Inode, shared: &Shared) -> Result {
    match dir.sb().flags() & (MS_SYNCHRONOUS | MS_DIRSYNC) {
        0 => Ok(()),
        _ => SuperDevice::sync(&*shared.mounted.device),
    }
}

/// As [`settle`], for what is gone from its old place and cannot be said not to be: an error is found by `fsync`.
fn settle_gone(dir: &Inode, shared: &Shared) {
    let _ = settle(dir, shared);
}

/// An entry of now.
fn entry_now(shared: &Shared, attr: u8, start: u32) -> Entry {
    let now = current_time();
    let created = Stamp::from_unix(now.sec, now.nsec, shared.mounted.options.west());
    let changed = Stamp { hundredths: 0, ..created };
    Entry { attr, created, changed, accessed: created.date, start, ..Entry::default() }
}

impl Node {
    fn get(&self, dir: &Inode, hit: &Hit) -> Result<Arc<Inode>> {
        let mounted = &self.shared.mounted;
        mounted.inode_at(hit.place, || Node::inode(dir.sb(), mounted, &hit.entry, hit.place))
    }

    fn make(&self, dir: &Arc<Inode>, stored: &Stored) -> Result<Arc<Inode>> {
        let mounted = &self.shared.mounted;
        let place = self.shared.add(stored)?;
        let entry = match stored.last().map(|bytes| Kind::parse(bytes, mounted.wide())) {
            Some(Kind::Entry(entry)) => entry,
            _ => return Err(EIO),
        };
        touch(dir, &self.shared);
        let inode = mounted.inode_at(place, || Node::inode(dir.sb(), mounted, &entry, place));
        if inode.is_err() {
            // It has a name that nobody was told of.
            if let Ok(hit) = self.shared.find_place(place) {
                let _ = self.shared.remove(&hit);
            }
        }
        inode
    }

    /// Takes the name of `inode` away.
    fn take(&self, inode: &Inode) -> Result {
        let shared = &Node::of(inode)?.shared;
        let place = core::mem::replace(&mut *shared.place.lock(), NOWHERE);
        let gone = self.shared.find_place(place).and_then(|hit| self.shared.remove(&hit));
        if gone.is_err() {
            *shared.place.lock() = place;
        }
        gone
    }

    /// First cluster, as `..` of a directory in this one has it.
    fn start_for_parent(&self) -> u32 {
        if self.shared.is_root() { 0 } else { self.shared.chain.lock().start }
    }

    /// The clusters of a new directory, with its own entries.
    fn new_directory(&self, entry: &Entry) -> Result<u32> {
        let new = Shared::unnamed(&self.shared.mounted);
        let cluster = new.grow_zeroed()?;
        let own = Entry { name: DOT, start: cluster, ..*entry };
        let parent = Entry { name: DOTDOT, start: self.start_for_parent(), ..*entry };
        let wide = self.shared.mounted.wide();
        match new.add(&[own.store(wide), parent.store(wide)]) {
            Ok(_) => Ok(cluster),
            Err(error) => self.shared.mounted.free_chain(cluster, true).and(Err(error)),
        }
    }

    fn exchange(&self, rename: &Rename<'_>, target: &Arc<Inode>) -> Result {
        let (from, to) = (&self.shared, &Node::of(rename.new_dir)?.shared);
        let (one, other) = (&Node::of(rename.inode)?.shared, &Node::of(target)?.shared);
        let mounted = &from.mounted;
        let (place, other_place) = (*one.place.lock(), *other.place.lock());
        mounted.reserve_at(place)?;
        mounted.reserve_at(other_place)?;
        *other.place.lock() = NOWHERE;
        *one.place.lock() = other_place;
        *other.place.lock() = place;
        mounted.attach(other_place, rename.inode)?;
        mounted.attach(place, target)?;
        one.write(rename.inode, false)?;
        other.write(target, false)?;
        if !Arc::ptr_eq(rename.old_dir, rename.new_dir) {
            if one.is_dir {
                one.set_parent(Node::of(rename.new_dir)?.start_for_parent())?;
            }
            if other.is_dir {
                other.set_parent(self.start_for_parent())?;
            }
            let (more, less) = match (one.is_dir, other.is_dir) {
                (true, false) => (rename.new_dir, rename.old_dir),
                (false, true) => (rename.old_dir, rename.new_dir),
                _ => (rename.old_dir, rename.old_dir),
            };
            if !Arc::ptr_eq(more, less) {
                more.inc_nlink();
                less.drop_nlink();
            }
        }
        touch(rename.old_dir, from);
        touch(rename.new_dir, to);
        Ok(())
    }

    fn move_to(&self, rename: &Rename<'_>) -> Result {
        let (from, to) = (&self.shared, &Node::of(rename.new_dir)?.shared);
        let moved = &Node::of(rename.inode)?.shared;
        let mounted = &from.mounted;
        let across = !Arc::ptr_eq(rename.old_dir, rename.new_dir);
        let old_place = *moved.place.lock();
        let new_place = match rename.target {
            Some(target) => {
                let over = &Node::of(target)?.shared;
                if over.is_dir && !over.is_empty()? {
                    return Err(ENOTEMPTY);
                }
                let place = *over.place.lock();
                mounted.reserve_at(place)?;
                *over.place.lock() = NOWHERE;
                place
            }
            None => {
                let place = to.add(&to.stored(rename.new_name, &moved.entry(rename.inode))?)?;
                if let Err(error) = mounted.reserve_at(place) {
                    // Two entries must not have the same clusters.
                    let _ = to.find_place(place).and_then(|hit| to.remove(&hit));
                    return Err(error);
                }
                place
            }
        };
        *moved.place.lock() = new_place;
        mounted.attach(new_place, rename.inode)?;
        moved.write(rename.inode, false)?;
        from.remove(&from.find_place(old_place)?)?;
        if moved.is_dir {
            if across {
                moved.set_parent(Node::of(rename.new_dir)?.start_for_parent())?;
                rename.old_dir.drop_nlink();
                if rename.target.is_none() {
                    rename.new_dir.inc_nlink();
                }
            } else if rename.target.is_some() {
                rename.old_dir.drop_nlink();
            }
        }
        touch(rename.old_dir, from);
        if across {
            touch(rename.new_dir, to);
        }
        if let Some(target) = rename.target {
            target.set_nlink(0);
            target.touch_ctime();
        }
        Ok(())
    }

    fn chmod(&self, inode: &Inode, attr: &SetAttr) -> Result<Option<u32>> {
        let options = &self.shared.mounted.options;
        let other_owner = attr.uid.is_some_and(|uid| uid != options.uid);
        let other_group = attr.gid.is_some_and(|gid| gid != options.gid);
        let strange = attr.mode.is_some_and(|mode| mode & 0o7000 != 0);
        if other_owner || other_group || strange {
            return Err(EPERM);
        }
        // A mode that cannot be stored is no error and changes nothing.
        Ok(attr.mode.filter(|mode| self.shared.sane_mode(inode.mode(), *mode)))
    }
}

impl InodeOps for Node {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        match self.shared.find(name)? {
            Some(hit) => self.get(dir, &hit).map(Some),
            None => Ok(None),
        }
    }

    fn create(&self, dir: &Arc<Inode>, name: &[u8], _mode: u32) -> Result<Arc<Inode>> {
        let stored = self.shared.stored(name, &entry_now(&self.shared, attr::ARCH, 0))?;
        let made = self.make(dir, &stored)?;
        settle(dir, &self.shared)?;
        Ok(made)
    }

    fn mkdir(&self, dir: &Arc<Inode>, name: &[u8], _mode: u32) -> Result<Arc<Inode>> {
        let entry = entry_now(&self.shared, attr::DIR, 0);
        // Names that cannot be are found before anything is given away.
        let mut stored = self.shared.stored(name, &entry)?;
        let start = self.new_directory(&entry)?;
        if let Some(last) = stored.last_mut() {
            Entry { start, ..entry }.update(last, self.shared.mounted.wide());
        }
        let made = self.make(dir, &stored);
        match &made {
            Ok(_) => {
                dir.inc_nlink();
                settle(dir, &self.shared)?;
            }
            Err(_) => self.shared.mounted.free_chain(start, true)?,
        }
        made
    }

    fn unlink(&self, dir: &Arc<Inode>, _name: &[u8], inode: &Arc<Inode>) -> Result {
        self.take(inode)?;
        inode.set_nlink(0);
        inode.touch_ctime();
        touch(dir, &self.shared);
        settle_gone(dir, &self.shared);
        Ok(())
    }

    fn rmdir(&self, dir: &Arc<Inode>, _name: &[u8], inode: &Arc<Inode>) -> Result {
        if !Node::of(inode)?.shared.is_empty()? {
            return Err(ENOTEMPTY);
        }
        self.take(inode)?;
        dir.drop_nlink();
        inode.set_nlink(0);
        inode.touch_ctime();
        touch(dir, &self.shared);
        settle_gone(dir, &self.shared);
        Ok(())
    }

    fn rename(&self, rename: &Rename<'_>) -> Result {
        if rename.flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE) != 0 {
            return Err(EINVAL);
        }
        self.shared.mounted.writable()?;
        match rename.target {
            Some(target) if rename.flags & RENAME_EXCHANGE != 0 => self.exchange(rename, target)?,
            _ => self.move_to(rename)?,
        }
        settle_gone(rename.new_dir, &self.shared);
        Ok(())
    }

    fn setattr(&self, inode: &Inode, attr: &SetAttr) -> Result {
        self.shared.mounted.writable()?;
        if let Some(size) = attr.size.filter(|size| *size != inode.size()) {
            file::set_size(inode, &self.shared, size)?;
        }
        match self.chmod(inode, attr) {
            Ok(mode) => {
                inode.apply(&SetAttr { mode, uid: None, gid: None, ..*attr });
                Ok(())
            }
            Err(_) if self.shared.mounted.options.quiet => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn may_set_times(&self, inode: &Inode) -> bool {
        let allowed = self.shared.mounted.options.allow_utime;
        let in_group = cred::current_cred().is_ok_and(|cred| cred.in_group(inode.gid()));
        (if in_group { allowed >> 3 } else { allowed }) & 0o2 != 0
    }

    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        self.shared.getattr(inode, stat);
    }

    fn open(&self, inode: &Arc<Inode>, _flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        match inode.file_type() {
            FileType::Dir => Ok(KBox::new(DirFile, GFP_KERNEL)?),
            _ => Ok(KBox::new(RegFile, GFP_KERNEL)?),
        }
    }

    fn listxattr(&self, _inode: &Inode) -> Result<kalloc::KVec<u8>> {
        Err(EOPNOTSUPP)
    }

    fn evict(&self, inode: &Inode) {
        if let Some(mapping) = inode.mapping() {
            let _guard = mapping.invalidate_lock();
            mapping.truncate(0);
        }
        if self.shared.mounted.writable().is_ok() {
            // An error was told.
            let _ = self.shared.chain.lock().cut(&self.shared.mounted, 0, self.shared.is_dir);
        }
    }

    fn forget(&self, inode: &Inode) {
        let shared = &self.shared;
        let used = shared.clusters(inode.size());
        if shared.is_dir || shared.allocated() <= used || shared.mounted.writable().is_err() {
            return;
        }
        // Space that was reserved behind the end.
        let _ = file::cut_chain(shared, used).and_then(|()| shared.write(inode, false));
    }
}

/// An inode's attributes are to be written.
pub(crate) fn dirty(inode: &Inode) {
    inode.mark_dirty(idirty::INODE);
}
