// SPDX-License-Identifier: GPL-2.0
//! Reading directories: the context that `FileOps::iterate` fills, and reading from the dentry cache for file systems whose
//! directories are complete there. Source: `getdents(2)`.

use crate::dentry::Dentry;
use crate::file::{File, FileOps, fmode};
use crate::name::NAME_MAX;
use crate::types::FileType;
use errno::Result;
use kalloc::Arc;

/// Receives entries.
pub trait DirSink {
    /// One entry; `next` is the position behind it. False: it does not fit, stop before it.
    fn entry(&mut self, name: &[u8], ino: u64, kind: FileType, next: i64) -> bool;
}

/// Where a directory's reader is. `pos` counts as the file system likes; 0 is the start.
pub struct DirContext<'a> {
    /// The position of the next entry.
    pub pos: i64,
    sink: &'a mut dyn DirSink,
}

impl<'a> DirContext<'a> {
    /// From `pos` on, into `sink`.
    pub fn new(pos: i64, sink: &'a mut dyn DirSink) -> Self {
        Self { pos, sink }
    }

    /// Gives one entry and moves to `next`. False: the reader is full, return.
    pub fn emit(&mut self, name: &[u8], ino: u64, kind: FileType, next: i64) -> bool {
        if !self.sink.entry(name, ino, kind, next) {
            return false;
        }
        self.pos = next;
        true
    }

    /// Gives `.` and `..` if the position is before them (0 and 1); afterwards it is at least 2. False: full.
    pub fn emit_dots(&mut self, file: &File) -> bool {
        let ino = file.inode().ino;
        if self.pos == 0 && !self.emit(b".", ino, FileType::Dir, 1) {
            return false;
        }
        if self.pos == 1 {
            let parent = file.path().dentry.parent_arc();
            let parent = parent.as_ref().and_then(|dentry| dentry.inode()).map_or(ino, |inode| inode.ino);
            return self.emit(b"..", parent, FileType::Dir, 2);
        }
        true
    }
}

/// Entries taken from the cache at a time.
const BATCH: usize = 16;

/// Reads a directory that is complete in the dentry cache (`dcache_readdir`): positions are the entries' cookies.
pub fn dcache_readdir(file: &File, context: &mut DirContext<'_>) -> Result {
    if !context.emit_dots(file) {
        return Ok(());
    }
    let dir = &file.path().dentry;
    let mut batch: [Option<(u64, Arc<Dentry>)>; BATCH] = [const { None }; BATCH];
    let mut name = [0; NAME_MAX];
    loop {
        let count = dir.next_children(context.pos.cast_unsigned(), &mut batch);
        for slot in batch.iter_mut().take(count) {
            let Some((cookie, child)) = slot.take() else { continue };
            let inode = child.positive()?;
            let len = child.copy_name(&mut name);
            let bytes = name.get(..len).unwrap_or(&[]);
            if !context.emit(bytes, inode.ino, inode.file_type(), cookie.cast_signed().saturating_add(1)) {
                return Ok(());
            }
        }
        if count < BATCH {
            return Ok(());
        }
    }
}

/// Operations of a directory that is complete in the dentry cache.
pub struct DcacheDir;

impl FileOps for DcacheDir {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        dcache_readdir(file, context)
    }

    fn llseek(&self, _: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        crate::seek::directory(pos, offset, whence, None)
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn fsync(&self, _: &File, _: bool) -> Result {
        Ok(())
    }
}
