// SPDX-License-Identifier: GPL-2.0
//! Names: create, link, unlink, rename and their kin.
//!
//! The caller (the VFS) holds the directories' locks exclusively, has looked the names up, and has checked permissions, flags
//! (`EPERM` of immutable and append-only files) and that a file does not move into itself. Each function is one operation; the
//! credits for it come from the `credits_for_*` beside it.

use crate::fs::Fs;
use crate::inode::Inode;
use crate::map::Create;
use crate::orphan::Noted;
use crate::tx::Tx;
use crate::xattr::SetMode;
use errno::{Result, code::*};
use ext4_format::dir::{NAME_LEN, ft};
use ext4_format::feature::ro_compat;
use ext4_format::inode::{BLOCK_BYTES, flag, mode};
use ext4_format::le;
use ext4_format::xattr::index;
use ext4_store::Store;

/// The most names of a file.
pub(crate) const LINK_MAX: u16 = 65000;

/// Who makes a file, and how.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    /// Type and permissions.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
    /// Access and default ACL that it inherits, as they are on the disk.
    pub acls: [Option<&'a [u8]>; 2],
}

impl<S: Store> Fs<S> {
    /// Credits for `create`, `mkdir`, `symlink`, `link`: allocation of an inode, an entry, attributes that are inherited.
    pub fn credits_for_create(&self, dir: &Inode) -> u32 {
        // Bitmaps and descriptors, both inodes, the orphan list or superblock; the first block of a directory or link.
        12 + self.credits_for_entry(dir) + 2 * self.credits_for_xattr(0) + 14
    }

    /// Credits for `unlink` and `rmdir`.
    pub fn credits_for_unlink(&self, _dir: &Inode) -> u32 {
        14
    }

    /// Credits for `rename`.
    pub fn credits_for_rename(&self, from: &Inode, to: &Inode) -> u32 {
        2 * self.credits_for_unlink(from) + self.credits_for_entry(to) + 8
    }

    fn check_name(&self, name: &[u8]) -> Result {
        if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
            return Err(EINVAL);
        }
        if name.len() > NAME_LEN { Err(ENAMETOOLONG) } else { Ok(()) }
    }

    /// Makes a regular file, device, FIFO or socket.
    pub fn create(&self, tx: &mut Tx<S>, dir: &mut Inode, name: &[u8], new: NewFile<'_>) -> Result<Inode> {
        self.check_name(name)?;
        let mut inode = self.new_inode_near(tx, dir, new.mode, (new.uid, new.gid))?;
        if matches!(inode.kind(), mode::IFCHR | mode::IFBLK) {
            inode.set_rdev(new.rdev.0, new.rdev.1);
        }
        self.finish_new(tx, dir, name, &mut inode, new.acls)?;
        Ok(inode)
    }

    /// Makes a file without a name (`O_TMPFILE`): an orphan, until it is linked.
    pub fn tmpfile(&self, tx: &mut Tx<S>, dir: &Inode, new: NewFile<'_>) -> Result<Inode> {
        let mut inode = self.new_inode_near(tx, dir, new.mode, (new.uid, new.gid))?;
        inode.raw.links_count = 0;
        if let Err(error) = self.write_new(tx, &mut inode, new.acls) {
            self.undo_new(tx, &mut inode)?;
            return Err(error);
        }
        self.orphan_add(tx, &mut inode)?;
        Ok(inode)
    }

    /// Writes a new inode with its ACLs.
    fn write_new(&self, tx: &mut Tx<S>, inode: &mut Inode, acls: [Option<&[u8]>; 2]) -> Result {
        self.write_inode(tx, inode)?;
        for (kind, acl) in [index::POSIX_ACL_ACCESS, index::POSIX_ACL_DEFAULT].into_iter().zip(acls) {
            if acl.is_some() {
                self.xattr_set(tx, inode, kind, b"", acl, SetMode::Any)?;
            }
        }
        Ok(())
    }

    /// Writes a new inode and gives it its name; freed again if that fails.
    fn finish_new(
        &self,
        tx: &mut Tx<S>,
        dir: &mut Inode,
        name: &[u8],
        inode: &mut Inode,
        acls: [Option<&[u8]>; 2],
    ) -> Result {
        let result = self
            .write_new(tx, inode, acls)
            .and_then(|()| self.add_entry(tx, dir, name, inode.ino, ft::of_mode(inode.raw.mode)));
        if let Err(error) = result {
            self.undo_new(tx, inode)?;
            return Err(error);
        }
        Ok(())
    }

    /// Frees a new inode that gets no name.
    fn undo_new(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result {
        inode.raw.links_count = 0;
        if self.remove_range(tx, inode, 0, u64::from(u32::MAX))? {
            self.drop_xattrs(tx, inode)?;
            self.free_inode(tx, inode)
        } else {
            self.orphan_add(tx, inode)
        }
    }

    /// Makes a directory. `EMLINK` if the parent may not have more.
    pub fn mkdir(&self, tx: &mut Tx<S>, dir: &mut Inode, name: &[u8], new: NewFile<'_>) -> Result<Inode> {
        self.check_name(name)?;
        if self.is_full_of_links(dir) {
            return Err(EMLINK);
        }
        let mut inode = self.new_inode_near(tx, dir, new.mode & !mode::IFMT | mode::IFDIR, (new.uid, new.gid))?;
        inode.raw.links_count = 2;
        if self.dir_may_be_inline(&inode) {
            inode.raw.flags = inode.raw.flags & !flag::EXTENTS | flag::INLINE_DATA;
        }
        if let Err(error) = self.init_dir(tx, &mut inode, dir.ino) {
            self.undo_new(tx, &mut inode)?;
            return Err(error);
        }
        // The entry has the directory written.
        let links = dir.raw.links_count;
        self.add_dir_link(dir);
        if let Err(error) = self.finish_new(tx, dir, name, &mut inode, new.acls) {
            dir.raw.links_count = links;
            self.write_inode(tx, dir)?;
            return Err(error);
        }
        Ok(inode)
    }

    /// Makes a symbolic link. `ENAMETOOLONG` if the target does not fit a block.
    pub fn symlink(
        &self,
        tx: &mut Tx<S>,
        dir: &mut Inode,
        name: &[u8],
        target: &[u8],
        new: NewFile<'_>,
    ) -> Result<Inode> {
        self.check_name(name)?;
        if target.is_empty() {
            return Err(ENOENT);
        }
        if target.len() >= self.geo.block_size {
            return Err(ENAMETOOLONG);
        }
        let mut inode = self.new_inode_near(tx, dir, mode::IFLNK | 0o777, (new.uid, new.gid))?;
        if target.len() < BLOCK_BYTES {
            inode.raw.flags &= !flag::EXTENTS;
            inode.raw.block = [0; BLOCK_BYTES];
            le::put(&mut inode.raw.block, 0, target);
        } else {
            let made = self.map_create(tx, &mut inode, 0, 1, Create { exact: true, ..Create::default() });
            let written = made
                .and_then(|found| self.create_block(tx, found.block().ok_or(EIO)?, |data| le::put(data, 0, target)));
            if let Err(error) = written {
                self.undo_new(tx, &mut inode)?;
                return Err(error);
            }
        }
        inode.raw.size = target.len() as u64;
        self.finish_new(tx, dir, name, &mut inode, [None, None])?;
        Ok(inode)
    }

    /// One name more for a file. `EMLINK`.
    pub fn link(&self, tx: &mut Tx<S>, dir: &mut Inode, name: &[u8], inode: &mut Inode) -> Result {
        self.check_name(name)?;
        if inode.raw.links_count >= LINK_MAX {
            return Err(EMLINK);
        }
        if self.geo.has_ro_compat(ro_compat::PROJECT)
            && dir.has_flag(flag::PROJINHERIT)
            && dir.raw.projid != inode.raw.projid
        {
            return Err(EXDEV);
        }
        self.add_entry(tx, dir, name, inode.ino, ft::of_mode(inode.raw.mode))?;
        inode.raw.links_count += 1;
        // A file made without a name has one now.
        if inode.raw.links_count == 1 {
            self.orphan_remove(tx, inode)?;
        }
        self.touch(inode, false);
        self.write_inode(tx, inode)
    }

    /// Takes a name from a file that is no directory; without another name it becomes an orphan, for [`Self::evict`] once it
    /// is closed.
    pub fn unlink(&self, tx: &mut Tx<S>, dir: &mut Inode, name: &[u8], inode: &mut Inode) -> Result {
        self.remove_entry(tx, dir, name)?;
        self.drop_link(tx, inode)
    }

    fn drop_link(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result {
        if inode.raw.links_count == 0 {
            return Err(self.corrupt("links_count", inode.ino, 0));
        }
        inode.raw.links_count -= 1;
        self.touch(inode, false);
        self.write_dropped(tx, inode)
    }

    /// Writes an inode that has lost a name; with the last it becomes an orphan.
    fn write_dropped(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result {
        if inode.raw.links_count == 0 && inode.orphan == Noted::No {
            // Which writes it.
            return self.orphan_add(tx, inode);
        }
        self.write_inode(tx, inode)
    }

    /// Takes away an empty directory. `ENOTEMPTY`.
    pub fn rmdir(&self, tx: &mut Tx<S>, dir: &mut Inode, name: &[u8], inode: &mut Inode) -> Result {
        if !self.is_empty_dir(inode)? {
            return Err(ENOTEMPTY);
        }
        self.remove_entry(tx, dir, name)?;
        self.drop_dir(tx, dir, inode)
    }

    fn drop_dir(&self, tx: &mut Tx<S>, parent: &mut Inode, inode: &mut Inode) -> Result {
        inode.raw.links_count = 0;
        inode.raw.size = 0;
        self.touch(inode, false);
        self.write_dropped(tx, inode)?;
        self.drop_dir_link(parent);
        self.write_inode(tx, parent)
    }

    /// Whether a directory may not have one subdirectory more.
    pub fn is_full_of_links(&self, dir: &Inode) -> bool {
        dir.raw.links_count >= LINK_MAX
            && !(self.geo.has_ro_compat(ro_compat::DIR_NLINK) && (self.is_indexed(dir) || dir.raw.links_count == 1))
    }

    /// A subdirectory more. With `dir_nlink` a count of 1 stands for more than can be counted.
    fn add_dir_link(&self, dir: &mut Inode) {
        let links = dir.raw.links_count;
        if links == 1 {
            return;
        }
        let full = links >= LINK_MAX && self.geo.has_ro_compat(ro_compat::DIR_NLINK);
        dir.raw.links_count = if full { 1 } else { links.saturating_add(1) };
    }

    fn drop_dir_link(&self, dir: &mut Inode) {
        if dir.raw.links_count > 2 {
            dir.raw.links_count -= 1;
        }
    }

    /// A directory is in `parent` now. Its contents did not change for that.
    fn set_parent(&self, tx: &mut Tx<S>, dir: &mut Inode, parent: u32) -> Result {
        let mtime = dir.raw.mtime;
        self.set_entry(tx, dir, b"..", parent, ft::DIR)?;
        dir.raw.mtime = mtime;
        self.write_inode(tx, dir)
    }

    /// Gives `inode`, which is `name` in `from`, the name `new_name` in `to` (`None`: the same directory). What had that name
    /// before is `over`: it loses it. `whiteout` leaves a character device 0:0 in its place (`RENAME_WHITEOUT`), for which the
    /// caller made the inode.
    #[allow(clippy::too_many_arguments)]
    pub fn rename(
        &self,
        tx: &mut Tx<S>,
        from: &mut Inode,
        name: &[u8],
        inode: &mut Inode,
        mut to: Option<&mut Inode>,
        new_name: &[u8],
        over: Option<&mut Inode>,
    ) -> Result {
        self.check_name(new_name)?;
        let file_type = ft::of_mode(inode.raw.mode);
        let moves_dir = inode.is_dir() && to.is_some();
        if let Some(over) = &over
            && over.is_dir()
            && !self.is_empty_dir(over)?
        {
            return Err(ENOTEMPTY);
        }
        {
            let target: &mut Inode = match &mut to {
                Some(to) => to,
                None => &mut *from,
            };
            if moves_dir && over.is_none() && self.is_full_of_links(target) {
                return Err(EMLINK);
            }
            if self.geo.has_ro_compat(ro_compat::PROJECT)
                && target.has_flag(flag::PROJINHERIT)
                && target.raw.projid != inode.raw.projid
            {
                return Err(EXDEV);
            }
            match &over {
                Some(_) => self.set_entry(tx, target, new_name, inode.ino, file_type)?,
                None => self.add_entry(tx, target, new_name, inode.ino, file_type)?,
            }
        }
        self.remove_entry(tx, from, name)?;
        self.touch(inode, false);
        self.write_inode(tx, inode)?;
        if moves_dir && let Some(to) = &mut to {
            self.set_parent(tx, inode, to.ino)?;
            self.drop_dir_link(from);
            self.write_inode(tx, from)?;
            self.add_dir_link(to);
            self.write_inode(tx, to)?;
        }
        if let Some(over) = over {
            let target: &mut Inode = match &mut to {
                Some(to) => to,
                None => from,
            };
            if over.is_dir() {
                self.drop_dir(tx, target, over)?;
            } else {
                self.drop_link(tx, over)?;
            }
        }
        Ok(())
    }

    /// Exchanges two names (`RENAME_EXCHANGE`); `to` is None if both are in `from`.
    #[allow(clippy::too_many_arguments)]
    pub fn exchange(
        &self,
        tx: &mut Tx<S>,
        from: &mut Inode,
        name: &[u8],
        inode: &mut Inode,
        mut to: Option<&mut Inode>,
        new_name: &[u8],
        other: &mut Inode,
    ) -> Result {
        self.set_entry(tx, from, name, other.ino, ft::of_mode(other.raw.mode))?;
        {
            let target: &mut Inode = match &mut to {
                Some(to) => to,
                None => &mut *from,
            };
            self.set_entry(tx, target, new_name, inode.ino, ft::of_mode(inode.raw.mode))?;
        }
        if let Some(to) = to {
            if inode.is_dir() {
                self.set_parent(tx, inode, to.ino)?;
            }
            if other.is_dir() {
                self.set_parent(tx, other, from.ino)?;
            }
            if inode.is_dir() != other.is_dir() {
                let (gains, loses) = if inode.is_dir() { (&mut *to, &mut *from) } else { (&mut *from, &mut *to) };
                self.add_dir_link(gains);
                self.drop_dir_link(loses);
                self.write_inode(tx, gains)?;
                self.write_inode(tx, loses)?;
            }
        }
        self.touch(inode, false);
        self.touch(other, false);
        self.write_inode(tx, inode)?;
        self.write_inode(tx, other)
    }

    /// A step of freeing an inode without a name that nobody has open: its blocks, attributes, and then itself. False if
    /// another operation must go on.
    pub fn evict(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result<bool> {
        if inode.raw.links_count != 0 {
            return Err(EINVAL);
        }
        self.discard_preallocations(inode);
        if inode.raw.blocks != 0 {
            // The size of a link tells where its target is.
            if !inode.is_symlink() {
                inode.raw.size = 0;
            }
            if !self.remove_range(tx, inode, 0, u64::from(u32::MAX))? {
                return Ok(false);
            }
        }
        let needed = 12 + if self.has_value_inodes(inode) { 200 } else { 6 };
        if !self.has_credits(tx, needed)? {
            return Ok(false);
        }
        self.drop_xattrs(tx, inode)?;
        self.orphan_remove(tx, inode)?;
        self.free_inode(tx, inode)?;
        Ok(true)
    }

    /// Credits to begin an `evict` or `truncate` with.
    pub fn credits_for_truncate(&self, inode: &Inode) -> u32 {
        self.credits_for_free(inode).max(24) + if self.has_value_inodes(inode) { 200 } else { 18 }
    }
}
