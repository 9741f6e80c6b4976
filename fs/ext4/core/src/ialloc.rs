// SPDX-License-Identifier: GPL-2.0
//! Allocating inodes: files near their directory, directories spread over the disk (Orlov's way).

use crate::bitmap;
use crate::fs::Fs;
use crate::group::{Group, GroupState, INODES_CORRUPT};
use crate::inode::Inode;
use crate::tx::Tx;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use ext4_format::feature::ro_compat;
use ext4_format::group::{BLOCK_UNINIT, DescCsum};
use ext4_format::inode::{flag, mode};
use ext4_store::{MutexLike, Store};

impl<S: Store> Fs<S> {
    /// Allocates an inode for a file in `dir`, initialised with its flags; owner by `owner` (user, group), or the directory's
    /// group if that is set-group-ID. The caller links and writes it. `ENOSPC`, `EDQUOT`.
    pub(crate) fn new_inode_near(&self, tx: &mut Tx<S>, dir: &Inode, mode: u16, owner: (u32, u32)) -> Result<Inode> {
        let is_dir = mode & mode::IFMT == mode::IFDIR;
        let parent = self.geo.locate_inode(dir.ino).0;
        let count = self.groups_count();
        let first = if is_dir { self.orlov(dir, parent) } else { parent.min(count.saturating_sub(1)) };
        for step in 0..count {
            let number = ((u64::from(first) + u64::from(step)) % u64::from(count.max(1))) as u32;
            let group = self.group(number)?;
            let little_room = !is_dir && step == 0 && group.free_clusters.load(Ordering::Relaxed) == 0 && count > 1;
            if group.free_inodes.load(Ordering::Relaxed) == 0 || group.is(INODES_CORRUPT) || little_room {
                continue;
            }
            if let Some(index) = self.take_inode(tx, number, group, is_dir)? {
                let ino = number.saturating_mul(self.geo.inodes_per_group).saturating_add(index).saturating_add(1);
                return self.init_inode(tx, dir, ino, mode, owner);
            }
        }
        // The first group was passed over if it had no free block: better there than nowhere.
        if let Ok(group) = self.group(first)
            && !group.is(INODES_CORRUPT)
            && group.free_inodes.load(Ordering::Relaxed) > 0
            && let Some(index) = self.take_inode(tx, first, group, is_dir)?
        {
            let ino = first.saturating_mul(self.geo.inodes_per_group).saturating_add(index).saturating_add(1);
            return self.init_inode(tx, dir, ino, mode, owner);
        }
        Err(ENOSPC)
    }

    fn init_inode(&self, tx: &mut Tx<S>, dir: &Inode, ino: u32, mode: u16, owner: (u32, u32)) -> Result<Inode> {
        let is_dir = mode & mode::IFMT == mode::IFDIR;
        let fresh = self.fresh_inode(ino, mode);
        if fresh.is_err() {
            self.release_inode(tx, ino, is_dir)?;
        }
        let mut inode = fresh?;
        inode.raw.uid = owner.0;
        inode.raw.gid = owner.1;
        let mask = match mode & mode::IFMT {
            mode::IFDIR => u32::MAX,
            mode::IFREG => !flag::NOT_REGULAR,
            _ => flag::OTHER,
        };
        inode.raw.flags |= dir.raw.flags & flag::INHERITED & mask;
        if self.geo.has_ro_compat(ro_compat::PROJECT) && dir.has_flag(flag::PROJINHERIT) {
            inode.raw.projid = dir.raw.projid;
        }
        if let Err(error) = self.quota_inode(tx, &inode, 1) {
            self.release_inode(tx, ino, is_dir)?;
            return Err(error);
        }
        Ok(inode)
    }

    /// Takes a free inode of a group. `Ok(None)` if there is none after all.
    fn take_inode(&self, tx: &mut Tx<S>, number: u32, group: &Group<S>, is_dir: bool) -> Result<Option<u32>> {
        let mut state = group.state.lock();
        let Ok(buf) = self.load_inode_bitmap(group, &mut state) else { return Ok(None) };
        let per_group = self.geo.inodes_per_group;
        let reserved = if number == 0 { self.geo.first_ino.saturating_sub(1) } else { 0 };
        let uninit = state.desc.flags & ext4_format::group::INODE_UNINIT != 0;
        let index =
            if uninit { reserved } else { bitmap::next_zero(&ext4_store::Buffer::read(&buf), reserved, per_group) };
        if index >= per_group {
            if state.desc.free_inodes_count > 0 {
                group.mark(INODES_CORRUPT);
                self.corrupt("group_free_inodes", 0, group.inode_bitmap);
            }
            return Ok(None);
        }
        self.open_desc(tx, number, &mut state)?;
        self.take_index(tx, number, group, &mut state, &buf, (index, is_dir))?;
        Ok(Some(index))
    }

    /// Takes a free inode: bitmap, descriptor, counts.
    fn take_index(
        &self,
        tx: &mut Tx<S>,
        number: u32,
        group: &Group<S>,
        state: &mut GroupState<S>,
        buf: &S::Buf,
        (index, is_dir): (u32, bool),
    ) -> Result {
        let per_group = self.geo.inodes_per_group;
        self.change_inode_bitmap(tx, buf, state, index, true)?;
        if self.geo.desc_csum != DescCsum::None {
            if state.desc.flags & BLOCK_UNINIT != 0 {
                self.load_map(number, group, state)?;
                self.change_bitmap(tx, number, group, state, (0, 0), true)?;
            }
            let used = per_group - state.desc.itable_unused.min(per_group);
            if index >= used {
                state.desc.itable_unused = per_group - index - 1;
            }
        }
        state.desc.free_inodes_count = state.desc.free_inodes_count.saturating_sub(1);
        state.desc.used_dirs_count += u32::from(is_dir);
        self.write_desc(tx, number, group, state)?;
        let cpu = self.store.cpu();
        self.free_inodes.add(cpu, -1);
        self.dirs.add(cpu, i64::from(is_dir));
        Ok(())
    }

    /// Marks an inode as used, if it is not yet: one that was allocated after the last transaction.
    pub(crate) fn mark_inode_used(&self, tx: &mut Tx<S>, ino: u32, is_dir: bool) -> Result {
        let (number, index) = self.geo.locate_inode(ino);
        let group = self.group(number)?;
        let mut state = group.state.lock();
        let buf = self.load_inode_bitmap(group, &mut state)?;
        let uninit = state.desc.flags & ext4_format::group::INODE_UNINIT != 0;
        if !uninit && bitmap::test(&ext4_store::Buffer::read(&buf), index) {
            return Ok(());
        }
        self.open_desc(tx, number, &mut state)?;
        self.take_index(tx, number, group, &mut state, &buf, (index, is_dir))
    }

    /// Whether an inode is in use by its bitmap. The number is one of the file system.
    pub(crate) fn inode_in_use(&self, ino: u32) -> Result<bool> {
        let (number, index) = self.geo.locate_inode(ino);
        let group = self.group(number)?;
        let mut state = group.state.lock();
        let buf = self.load_inode_bitmap(group, &mut state)?;
        let uninit = state.desc.flags & ext4_format::group::INODE_UNINIT != 0;
        Ok(!uninit && bitmap::test(&ext4_store::Buffer::read(&buf), index))
    }

    /// Frees an inode in its bitmap.
    fn release_inode(&self, tx: &mut Tx<S>, ino: u32, is_dir: bool) -> Result {
        let (number, index) = self.geo.locate_inode(ino);
        let group = self.group(number)?;
        let mut state = group.state.lock();
        let buf = self.load_inode_bitmap(group, &mut state)?;
        self.open_desc(tx, number, &mut state)?;
        self.change_inode_bitmap(tx, &buf, &mut state, index, false)?;
        state.desc.free_inodes_count = (state.desc.free_inodes_count + 1).min(self.geo.inodes_per_group);
        state.desc.used_dirs_count = state.desc.used_dirs_count.saturating_sub(u32::from(is_dir));
        self.write_desc(tx, number, group, &mut state)?;
        drop(state);
        let cpu = self.store.cpu();
        self.free_inodes.add(cpu, 1);
        self.dirs.add(cpu, -i64::from(is_dir));
        Ok(())
    }

    /// Frees an inode that has no blocks and no names any more.
    pub(crate) fn free_inode(&self, tx: &mut Tx<S>, inode: &mut Inode) -> Result {
        if inode.ino < self.geo.first_ino || inode.ino > self.inodes_count() {
            return Err(self.corrupt("free_inode", inode.ino, 0));
        }
        let is_dir = inode.is_dir();
        self.quota_inode(tx, inode, -1)?;
        inode.raw.links_count = 0;
        inode.raw.dtime = self.now().sec as u32;
        // As Linux leaves it: mode and blocks gone with the content.
        inode.raw.size = 0;
        self.write_inode(tx, inode)?;
        self.release_inode(tx, inode.ino, is_dir)
    }

    /// The group to begin with for a new directory.
    fn orlov(&self, dir: &Inode, parent: u32) -> u32 {
        let count = self.groups_count().max(1);
        let inodes = (self.free_inodes.rough().max(0) as u64 / u64::from(count)) as u32;
        let clusters = (self.free_clusters.rough().max(0) as u64 / u64::from(count)).min(u64::from(u32::MAX)) as u32;
        let load = |group: &Group<S>| {
            let get = |value: &core::sync::atomic::AtomicU32| value.load(Ordering::Relaxed);
            (get(&group.free_inodes), get(&group.free_clusters), get(&group.used_dirs))
        };
        if dir.ino == ext4_format::inode::ino::ROOT || dir.has_flag(flag::TOPDIR) {
            // Far from the others: few directories, more than the mean of inodes and blocks.
            let start = self.store.random() % count;
            let mut best: Option<(u32, u32)> = None;
            for step in 0..count {
                let number = ((u64::from(start) + u64::from(step)) % u64::from(count)) as u32;
                let Ok(group) = self.group(number) else { continue };
                let (free, room, dirs) = load(group);
                if free > 0 && free >= inodes && room >= clusters && best.is_none_or(|(_, least)| dirs < least) {
                    best = Some((number, dirs));
                    if dirs == 0 {
                        break;
                    }
                }
            }
            if let Some((number, _)) = best {
                return number;
            }
        } else {
            // Near the parent, where there is no want of inodes and blocks and not too many directories.
            let flex = 1u32 << self.geo.log_groups_per_flex.min(8);
            let least_inodes = inodes.saturating_sub(self.geo.inodes_per_group / 4).max(1);
            let least_room = clusters.saturating_sub(self.geo.clusters_per_group / 4);
            let most_dirs =
                (self.dirs.rough().max(0) as u64 / u64::from(count)) as u32 + self.geo.inodes_per_group / 16 + flex;
            for step in 0..count {
                let number = ((u64::from(parent) + u64::from(step)) % u64::from(count)) as u32;
                let Ok(group) = self.group(number) else { continue };
                let (free, room, dirs) = load(group);
                if free >= least_inodes && room >= least_room && dirs < most_dirs {
                    return number;
                }
            }
        }
        parent.min(count - 1)
    }
}
