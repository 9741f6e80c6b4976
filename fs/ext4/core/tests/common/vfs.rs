// SPDX-License-Identifier: GPL-2.0
//! What the VFS and the page cache do above `ext4_core`, in little: inodes are kept while they are used, data goes straight to
//! the disk, long operations are made of several.

use super::*;
use errno::{Result, code::*};
use ext4_core::{Create, NewFile, SetMode, Tx};
use std::collections::HashMap;
use std::sync::Arc;

pub struct Vfs {
    pub fs: Arc<Fs<HostStore>>,
    pub cache: HashMap<u32, Inode>,
}

fn new_file(mode: u16) -> NewFile<'static> {
    NewFile { mode, uid: 1000, gid: 100, rdev: (8, 300), acls: [None, None] }
}

impl Vfs {
    pub fn new(fs: Fs<HostStore>) -> Self {
        Self { fs: Arc::new(fs), cache: HashMap::new() }
    }

    /// Another user of the same file system, for another thread; two of them never use the same inode.
    pub fn share(&self) -> Self {
        Self { fs: self.fs.clone(), cache: HashMap::new() }
    }

    pub fn take(&mut self, ino: u32) -> Inode {
        self.cache.remove(&ino).unwrap_or_else(|| self.fs.inode(ino).expect("an inode that was there"))
    }

    pub fn put(&mut self, inode: Inode) {
        self.cache.insert(inode.ino, inode);
    }

    pub fn with<R>(&mut self, ino: u32, f: impl FnOnce(&Fs<HostStore>, &mut Inode) -> R) -> R {
        let mut inode = self.take(ino);
        let result = f(&self.fs, &mut inode);
        self.put(inode);
        result
    }

    fn op<R>(&self, credits: u32, f: impl FnOnce(&mut Tx<HostStore>) -> Result<R>) -> Result<R> {
        self.fs.run(credits, true, f)
    }

    pub fn create(&mut self, dir: u32, name: &[u8], mode: u16) -> Result<u32> {
        let mut parent = self.take(dir);
        let made = self.op(self.fs.credits_for_create(&parent), |tx| match mode & 0o170000 {
            0o040000 => self.fs.mkdir(tx, &mut parent, name, new_file(mode)),
            _ => self.fs.create(tx, &mut parent, name, new_file(mode)),
        });
        self.put(parent);
        let inode = made?;
        let ino = inode.ino;
        self.put(inode);
        Ok(ino)
    }

    pub fn symlink(&mut self, dir: u32, name: &[u8], target: &[u8]) -> Result<u32> {
        let mut parent = self.take(dir);
        let made = self
            .op(self.fs.credits_for_create(&parent), |tx| self.fs.symlink(tx, &mut parent, name, target, new_file(0)));
        self.put(parent);
        let inode = made?;
        let ino = inode.ino;
        self.put(inode);
        Ok(ino)
    }

    pub fn link(&mut self, dir: u32, name: &[u8], ino: u32) -> Result {
        let (mut parent, mut inode) = (self.take(dir), self.take(ino));
        let result = self.op(self.fs.credits_for_create(&parent), |tx| self.fs.link(tx, &mut parent, name, &mut inode));
        self.put(parent);
        self.put(inode);
        result
    }

    pub fn unlink(&mut self, dir: u32, name: &[u8], ino: u32) -> Result {
        let (mut parent, mut inode) = (self.take(dir), self.take(ino));
        let result = self.op(self.fs.credits_for_unlink(&parent), |tx| match inode.is_dir() {
            true => self.fs.rmdir(tx, &mut parent, name, &mut inode),
            false => self.fs.unlink(tx, &mut parent, name, &mut inode),
        });
        self.put(parent);
        self.forget(inode)?;
        result
    }

    /// The last user of an inode is gone.
    pub fn forget(&mut self, mut inode: Inode) -> Result {
        if inode.raw.links_count > 0 {
            self.put(inode);
            return Ok(());
        }
        for _ in 0..100_000 {
            let done = self.op(self.fs.credits_for_truncate(&inode), |tx| self.fs.evict(tx, &mut inode))?;
            if done {
                return Ok(());
            }
        }
        panic!("no end of evicting");
    }

    pub fn rename(&mut self, from: u32, name: &[u8], ino: u32, to: u32, new_name: &[u8], over: Option<u32>) -> Result {
        let (mut source, mut inode) = (self.take(from), self.take(ino));
        let mut target = (from != to).then(|| self.take(to));
        let mut over = over.map(|ino| self.take(ino));
        let credits = self.fs.credits_for_rename(&source, target.as_ref().unwrap_or(&source));
        let result = self.op(credits, |tx| {
            self.fs.rename(tx, &mut source, name, &mut inode, target.as_mut(), new_name, over.as_mut())
        });
        self.put(source);
        self.put(inode);
        if let Some(target) = target {
            self.put(target);
        }
        if let Some(over) = over {
            self.forget(over)?;
        }
        result
    }

    pub fn exchange(&mut self, from: u32, name: &[u8], ino: u32, to: u32, new_name: &[u8], other: u32) -> Result {
        let (mut source, mut inode, mut second) = (self.take(from), self.take(ino), self.take(other));
        let mut target = (from != to).then(|| self.take(to));
        let credits = self.fs.credits_for_rename(&source, target.as_ref().unwrap_or(&source));
        let result = self.op(credits, |tx| {
            self.fs.exchange(tx, &mut source, name, &mut inode, target.as_mut(), new_name, &mut second)
        });
        for inode in [Some(source), Some(inode), Some(second), target].into_iter().flatten() {
            self.put(inode);
        }
        result
    }

    pub fn xattr(&mut self, ino: u32, name: &[u8], value: Option<&[u8]>) -> Result {
        let mut inode = self.take(ino);
        let credits = self.fs.credits_for_xattr(value.map_or(65536, |value| value.len()));
        let result = self.op(credits, |tx| self.fs.xattr_set(tx, &mut inode, 1, name, value, SetMode::Any));
        self.put(inode);
        result
    }

    /// Fills the part of a block that a write does not.
    fn put_data(&self, block: u64, new: bool, offset: usize, bytes: &[u8]) {
        if new {
            self.fs.store.write_data(block, 0, &vec![0; self.fs.geo.block_size]);
        }
        self.fs.store.write_data(block, offset, bytes);
    }

    fn leave_inline(&self, inode: &mut Inode) -> Result {
        self.op(24 + self.fs.credits_for_map(inode), |tx| {
            self.fs.inline_leave(tx, inode, |_, block, data| {
                self.put_data(block, true, 0, data);
                Ok(())
            })
        })
    }

    /// Writes; gives how many bytes before an error.
    pub fn write(&mut self, ino: u32, pos: u64, bytes: &[u8], way: u64) -> Result<usize> {
        let mut inode = self.take(ino);
        let result = self.write_inode_data(&mut inode, pos, bytes, way);
        self.put(inode);
        result
    }

    fn write_inode_data(&self, inode: &mut Inode, pos: u64, bytes: &[u8], way: u64) -> Result<usize> {
        let fs = &self.fs;
        if self.op(20, |tx| fs.inline_write(tx, inode, pos, bytes))? {
            return Ok(bytes.len());
        }
        if inode.is_inline() {
            self.leave_inline(inode)?;
        }
        let bs = fs.geo.block_size as u64;
        let end = pos + bytes.len() as u64;
        let mut at = pos;
        while at < end {
            let lblk = (at / bs) as u32;
            let left = end.div_ceil(bs) as u32 - lblk;
            let delayed = way == 2 && fs.geo.cluster_bits == 0 && fs.map(inode, lblk, 1)?.allocated().is_none();
            let unwritten = way == 1 && inode.uses_extents();
            let how = Create { unwritten, convert: !unwritten, reserved: delayed, exact: false };
            let reserved = if delayed { fs.reserve(inode, 1, true) } else { Ok(()) };
            let made = reserved.and_then(|()| {
                self.op(fs.credits_for_map(inode), |tx| {
                    fs.map_create(tx, inode, lblk, if delayed { 1 } else { left }, how)
                })
            });
            let found = match made {
                Ok(found) => found,
                Err(error) => {
                    let reserved = inode.reserved;
                    fs.unreserve(inode, reserved);
                    self.op(2, |tx| fs.write_inode(tx, inode))?;
                    return if at > pos { Ok((at - pos) as usize) } else { Err(error) };
                }
            };
            let was_unwritten = matches!(found.state, State::Unwritten(_));
            let start = found.allocated().unwrap();
            for i in 0..found.len {
                let from = at.max((u64::from(found.lblk) + u64::from(i)) * bs);
                let to = end.min((u64::from(found.lblk) + u64::from(i) + 1) * bs);
                self.put_data(
                    start + u64::from(i),
                    found.new || was_unwritten,
                    (from % bs) as usize,
                    &bytes[(from - pos) as usize..(to - pos) as usize],
                );
                at = to;
            }
            if was_unwritten {
                // There is always room to split an extent: some clusters are kept for that.
                self.op(fs.credits_for_map(inode) * 2, |tx| fs.convert_written(tx, inode, found.lblk, found.len))
                    .unwrap();
            }
            inode.raw.size = inode.raw.size.max(at);
        }
        self.op(2, |tx| fs.write_inode(tx, inode))?;
        Ok(bytes.len())
    }

    /// Zeros part of a block that holds data.
    fn zero(&self, inode: &Inode, from: u64, to: u64) -> Result {
        let bs = self.fs.geo.block_size as u64;
        if from < to {
            if let Some(block) = self.fs.map(inode, (from / bs) as u32, 1)?.block() {
                self.fs.store.write_data(block, (from % bs) as usize, &vec![0; (to - from) as usize]);
            }
        }
        Ok(())
    }

    /// Zeros the ends of a range that are not whole blocks; gives the whole blocks.
    fn zero_ends(&self, inode: &Inode, from: u64, to: u64) -> Result<(u32, u32)> {
        let bs = self.fs.geo.block_size as u64;
        let (first, last) = (from.div_ceil(bs), to / bs);
        if from / bs == to / bs {
            self.zero(inode, from, to)?;
            return Ok((0, 0));
        }
        self.zero(inode, from, first * bs)?;
        self.zero(inode, last * bs, to)?;
        Ok((first as u32, last as u32))
    }

    fn remove(&self, inode: &mut Inode, from: u32, to: u64) -> Result {
        for _ in 0..100_000 {
            if self.op(self.fs.credits_for_truncate(inode), |tx| self.fs.remove_range(tx, inode, from, to))? {
                return Ok(());
            }
        }
        panic!("no end of removing");
    }

    pub fn truncate(&mut self, ino: u32, size: u64) -> Result {
        let mut inode = self.take(ino);
        let result = self.truncate_inode(&mut inode, size);
        self.put(inode);
        result
    }

    fn truncate_inode(&self, inode: &mut Inode, size: u64) -> Result {
        let fs = &self.fs;
        if inode.is_inline() {
            if self.op(20, |tx| fs.inline_truncate(tx, inode, size))? {
                return Ok(());
            }
            self.leave_inline(inode)?;
        }
        let bs = fs.geo.block_size as u64;
        if size < inode.raw.size {
            self.zero(inode, size, size.next_multiple_of(bs))?;
        }
        self.op(8, |tx| {
            inode.raw.size = size;
            fs.orphan_add(tx, inode)?;
            fs.write_inode(tx, inode)
        })?;
        for _ in 0..100_000 {
            if self.op(fs.credits_for_truncate(inode), |tx| fs.truncate(tx, inode))? {
                return Ok(());
            }
        }
        panic!("no end of truncating");
    }

    pub fn punch(&mut self, ino: u32, from: u64, to: u64) -> Result {
        let mut inode = self.take(ino);
        let result = (|| {
            if inode.is_inline() {
                self.leave_inline(&mut inode)?;
            }
            let (first, last) = self.zero_ends(&inode, from, to)?;
            if first < last { self.remove(&mut inode, first, last.into()) } else { Ok(()) }
        })();
        self.put(inode);
        result
    }

    pub fn fallocate(&mut self, ino: u32, from: u64, to: u64, keep: bool) -> Result {
        let mut inode = self.take(ino);
        let fs = &self.fs;
        let result = (|| {
            if inode.is_inline() {
                self.leave_inline(&mut inode)?;
            }
            let bs = fs.geo.block_size as u64;
            let (mut at, end) = ((from / bs) as u32, to.div_ceil(bs) as u32);
            while at < end {
                at = self.op(fs.credits_for_map(&inode), |tx| fs.preallocate(tx, &mut inode, at, end))?;
            }
            if !keep {
                inode.raw.size = inode.raw.size.max(to);
            }
            self.op(2, |tx| fs.write_inode(tx, &inode))
        })();
        self.put(inode);
        result
    }

    pub fn zero_range(&mut self, ino: u32, from: u64, to: u64) -> Result {
        let mut inode = self.take(ino);
        let fs = &self.fs;
        let result = (|| {
            if !inode.uses_extents() {
                return Err(EOPNOTSUPP);
            }
            let (first, last) = self.zero_ends(&inode, from, to)?;
            for at in first..last {
                self.op(2 * fs.credits_for_map(&inode), |tx| fs.convert_unwritten(tx, &mut inode, at, 1))?;
            }
            Ok(())
        })();
        self.put(inode);
        result
    }

    pub fn shift(&mut self, ino: u32, lblk: u32, len: u32, right: bool) -> Result {
        let mut inode = self.take(ino);
        let fs = &self.fs;
        let result = (|| {
            let mut shift = fs.shift_begin(&inode, lblk, len, right)?;
            fs.discard_preallocations(&mut inode);
            if !right {
                self.remove(&mut inode, lblk, u64::from(lblk) + u64::from(len))?;
            }
            for _ in 0..100_000 {
                if self.op(fs.credits_for_shift(&inode), |tx| fs.shift_step(tx, &mut inode, &mut shift))? {
                    let bytes = u64::from(len) << fs.geo.block_bits;
                    inode.raw.size = if right { inode.raw.size + bytes } else { inode.raw.size - bytes };
                    return self.op(2, |tx| fs.write_inode(tx, &inode));
                }
            }
            panic!("no end of shifting");
        })();
        self.put(inode);
        result
    }

    /// The bytes of the disk after everything was written.
    pub fn image(&mut self) -> Vec<u8> {
        for inode in self.cache.values_mut() {
            self.fs.discard_preallocations(inode);
        }
        self.cache.clear();
        self.op(4, |tx| self.fs.sync_super(tx)).unwrap();
        self.fs.store.image()
    }
}

/// The file system has found nothing wrong, and neither does e2fsck; the image is left in `image`.
pub fn check(vfs: &mut Vfs, image: &Path) {
    assert_eq!(vfs.fs.store.reports(), Vec::<String>::new());
    std::fs::write(image, vfs.image()).unwrap();
    if let Some(text) = fsck(image) {
        panic!("{text}");
    }
}
