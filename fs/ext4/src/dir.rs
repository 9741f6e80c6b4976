// SPDX-License-Identifier: GPL-2.0
//! Open directories. Locks: `cursor` (the position is locked by the VFS, so nobody waits for it).

use crate::mounted::parts;
use errno::Result;
use ext4_core::Cursor;
use ext4_format::dir::ft;
use kernel::filesystem::sync::Mutex;
use kernel::filesystem::vfs::{DirContext, File, FileOps, FileType, fmode, seek};

/// An open directory.
pub(crate) struct DirFile {
    cursor: Mutex<Cursor>,
}

impl DirFile {
    pub(crate) fn new() -> Self {
        Self { cursor: Mutex::new(Cursor::default()) }
    }
}

fn kind(file_type: u8) -> FileType {
    match file_type {
        ft::DIR => FileType::Dir,
        ft::CHRDEV => FileType::Char,
        ft::BLKDEV => FileType::Block,
        ft::FIFO => FileType::Fifo,
        ft::SOCK => FileType::Sock,
        ft::SYMLINK => FileType::Link,
        _ => FileType::Reg,
    }
}

impl FileOps for DirFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        let (node, mount) = parts(file.inode())?;
        let mut cursor = self.cursor.lock();
        let pos = context.pos.cast_unsigned();
        if cursor.pos != pos {
            *cursor = Cursor { pos, skip: 0 };
        }
        let tree = node.shared.tree.read();
        let listed = mount.core.list(&tree.inode, &mut cursor, |found| {
            context.emit(found.name, found.ino.into(), kind(found.file_type), found.next.cast_signed())
        });
        drop(tree);
        context.pos = cursor.pos.cast_signed();
        file.accessed();
        listed
    }

    fn llseek(&self, _: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        let new = seek::directory(pos, offset, whence, Some(i64::MAX))?;
        *self.cursor.lock() = Cursor { pos: new.cast_unsigned(), skip: 0 };
        Ok(new)
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn fsync(&self, file: &File, datasync: bool) -> Result {
        crate::file::sync_inode(file.inode(), datasync)
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        crate::ioctl::ioctl(file, cmd, arg)
    }
}
