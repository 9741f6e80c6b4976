// SPDX-License-Identifier: GPL-2.0
//! Open directories. Positions are bytes of the directory; in the root, which has no entries for itself and its parent, 0 and 1 are
//! those and 2 is its first byte.

use crate::dir::{Scan, is_dot, name_buffer};
use crate::node::Node;
use fat_format::ENTRY;
use fat_format::entry::{DOT, attr};
use kernel::filesystem::vfs::{DirContext, File, FileOps, FileType, fmode, seek};
use kernel::prelude::*;

/// An open directory. It has no state of its own.
pub(crate) struct DirFile;

impl FileOps for DirFile {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        let shared = &Node::of(file.inode())?.shared;
        if shared.is_root() && context.pos < 2 && !context.emit_dots(file) {
            return Ok(());
        }
        let start = if shared.is_root() && context.pos == 2 { 0 } else { context.pos };
        let start = u64::try_from(start).ok().filter(|pos| pos % ENTRY as u64 == 0).ok_or(ENOENT)?;
        let mut buffer = name_buffer()?;
        let mut scan = Scan::new(shared, start)?;
        while let Some(hit) = scan.next()? {
            let next = hit.end.cast_signed();
            let kind = if hit.entry.attr & attr::DIR != 0 { FileType::Dir } else { FileType::Reg };
            let shown = if is_dot(&hit.entry) {
                // A damaged root may have them too.
                if shared.is_root() {
                    continue;
                }
                let own = hit.entry.name == DOT;
                let parent = file.path().dentry.parent_arc();
                let parent = parent.as_ref().and_then(|dentry| dentry.inode()).map_or(file.inode().ino, |dir| dir.ino);
                let ino = if own { file.inode().ino } else { parent };
                context.emit(if own { b"." } else { b".." }, ino, FileType::Dir, next)
            } else {
                let known = shared.mounted.number_at(hit.place);
                // One that is not known gets its number when it is looked up.
                let ino = known.unwrap_or_else(|| file.inode().sb().next_ino());
                context.emit(scan.name(&hit, &mut buffer), ino, kind, next)
            };
            if !shown {
                return Ok(());
            }
        }
        Ok(())
    }

    fn llseek(&self, file: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        seek::generic(file, pos, offset, whence)
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn fsync(&self, file: &File, _datasync: bool) -> Result {
        let inode = file.inode();
        let shared = &Node::of(inode)?.shared;
        shared.write(inode, false)?;
        kernel::filesystem::vfs::SuperDevice::sync(&*shared.mounted.device)
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        crate::ioctl::ioctl(file, cmd, arg)
    }
}
