// SPDX-License-Identifier: GPL-2.0
//! Records of names.

use super::{Late, Replayer};
use crate::dir::Cursor;
use crate::inode::Inode;
use crate::map::State;
use crate::namei::LINK_MAX;
use crate::orphan::Noted;
use errno::{Result, code::*};
use ext4_format::dir::{NAME_LEN, ft};
use ext4_format::feature::ro_compat;
use ext4_format::inode::flag;
use ext4_store::Store;
use kalloc::{KVec, flags::GFP_KERNEL};

impl<S: Store> Replayer<S> {
    fn check_name(&self, parent: u32, ino: u32, name: &[u8]) -> Result {
        let bad = name.is_empty()
            || name.len() > NAME_LEN
            || name.contains(&b'/')
            || name.contains(&0)
            || matches!(name, b"." | b"..")
            || parent == ino;
        if bad { Err(self.fs.corrupt("fast_commit_name", parent, ino.into())) } else { Ok(()) }
    }

    /// Counts a name of an inode that was made here: then all that it has are known.
    fn count_name(&mut self, ino: u32, change: i32) {
        if let Some(names) = self.made.get_mut(&ino) {
            *names = names.saturating_add_signed(change);
        }
    }

    /// Puts a name into its directory, if that is there. True if it is there now, and stands for the inode; whether it is new.
    fn add_name(&mut self, parent: u32, inode: &Inode, name: &[u8]) -> Result<(bool, bool)> {
        let Some(mut dir) = self.load_dir(parent)? else { return Ok((false, false)) };
        if let Some((found, _)) = self.fs.lookup(&dir, name)? {
            return Ok((found == inode.ino, false));
        }
        let (ino, kind) = (inode.ino, ft::of_mode(inode.raw.mode));
        self.run(self.fs.credits_for_create(&dir), |fs, tx| fs.add_entry(tx, &mut dir, name, ino, kind))?;
        Ok((true, true))
    }

    /// A file was made: its record was replayed before. `EINVAL` if there is no such inode.
    #[inline(never)]
    pub fn create(&mut self, parent: u32, ino: u32, name: &[u8]) -> Result {
        self.check_name(parent, ino, name)?;
        let mut inode = self.load(ino)?.ok_or(EINVAL)?;
        if inode.is_dir() {
            if self.load_dir(parent)?.is_none() {
                return Ok(());
            }
            self.make_dir(parent, &mut inode)?;
        }
        let (there, _) = self.add_name(parent, &inode, name)?;
        if !there {
            return Ok(());
        }
        self.count_name(ino, 1);
        if !inode.is_dir() && inode.raw.links_count != 1 {
            // Further names have records of their own.
            inode.raw.links_count = 1;
            self.run(4, |fs, tx| fs.write_inode(tx, &inode))?;
        }
        Ok(())
    }

    /// A new directory gets its first entries. `EUCLEAN` if it has some, and is another's.
    fn make_dir(&self, parent: u32, inode: &mut Inode) -> Result {
        let fs = &*self.fs;
        let there = inode.is_inline() || fs.map(inode, 0, 1)?.state != State::Hole;
        if there {
            let above = fs.lookup(inode, b"..")?.map(|(above, _)| above);
            return if above == Some(parent) { Ok(()) } else { Err(fs.corrupt("fast_commit_dir", inode.ino, 0)) };
        }
        // It may have grown, and have got an index, before it was written.
        inode.raw.flags &= !flag::INDEX;
        (inode.raw.size, inode.raw.links_count) = (0, 2);
        self.run(self.fs.credits_for_map(inode) + 8, |fs, tx| {
            fs.init_dir(tx, inode, parent)?;
            fs.write_inode(tx, inode)
        })
    }

    /// A file has got one name more.
    #[inline(never)]
    pub fn link(&mut self, parent: u32, ino: u32, name: &[u8]) -> Result {
        self.check_name(parent, ino, name)?;
        let Some(mut inode) = self.load(ino)? else {
            // A file made without a name: its record follows.
            let name = KVec::from_slice(name, GFP_KERNEL)?;
            return Ok(self.late.push(Late { parent, ino, name }, GFP_KERNEL)?);
        };
        if inode.is_dir() {
            return Ok(());
        }
        let (there, new) = self.add_name(parent, &inode, name)?;
        if there {
            self.count_name(ino, 1);
        }
        if !new {
            return Ok(());
        }
        inode.raw.links_count = inode.raw.links_count.saturating_add(1);
        self.run(8, |fs, tx| {
            if inode.raw.links_count == 1 {
                fs.orphan_remove(tx, &mut inode)?;
            }
            fs.touch(&mut inode, false);
            fs.write_inode(tx, &inode)
        })?;
        if inode.orphan == Noted::No {
            self.noted.remove(&ino);
        }
        Ok(())
    }

    /// A name is gone.
    #[inline(never)]
    pub fn unlink(&mut self, parent: u32, ino: u32, name: &[u8]) -> Result {
        self.check_name(parent, ino, name)?;
        self.late.retain(|late| (late.parent, late.ino) != (parent, ino) || &*late.name != name);
        let (Some(mut inode), Some(mut dir)) = (self.load(ino)?, self.load_dir(parent)?) else { return Ok(()) };
        if self.fs.lookup(&dir, name)?.is_none_or(|(found, _)| found != ino) {
            return Ok(());
        }
        if inode.is_dir() && !self.fs.is_empty_dir(&inode)? {
            return Ok(());
        }
        self.count_name(ino, -1);
        // One without a name is freed at the end: the records may be replayed for the second time, and a name come that is there already.
        let links = if inode.is_dir() { 0 } else { inode.raw.links_count.saturating_sub(1) };
        self.run(self.fs.credits_for_unlink(&dir) + 8, |fs, tx| {
            fs.remove_entry(tx, &mut dir, name)?;
            inode.raw.links_count = links;
            fs.touch(&mut inode, false);
            fs.write_inode(tx, &inode)
        })
    }

    /// A directory's count of names by its subdirectories: records do not tell it.
    pub(super) fn count_links(&self, dir: &mut Inode) -> Result {
        let fs = &*self.fs;
        if fs.geo.has_ro_compat(ro_compat::DIR_NLINK) && dir.raw.links_count == 1 {
            // More than can be counted.
            return Ok(());
        }
        let (mut count, mut failed) = (2u32, Ok(()));
        let listed = fs.list(dir, &mut Cursor::default(), |found| {
            if matches!(found.name, b"." | b"..") {
                return true;
            }
            let is_dir = match found.file_type {
                ft::DIR => true,
                0 => match self.load(found.ino) {
                    Ok(inode) => inode.is_some_and(|inode| inode.is_dir()),
                    Err(error) => {
                        failed = Err(error);
                        return false;
                    }
                },
                _ => false,
            };
            count = count.saturating_add(is_dir.into());
            true
        });
        match listed.and(failed) {
            Err(error) if matches!(error, ENOMEM | EIO) => return Err(error),
            // A damaged directory keeps what it says.
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        let most = u32::from(LINK_MAX);
        dir.raw.links_count =
            if count > most && fs.geo.has_ro_compat(ro_compat::DIR_NLINK) { 1 } else { count.min(0xffff) as u16 };
        Ok(())
    }
}
