// SPDX-License-Identifier: GPL-2.0
//! Open directories. Positions are the server's. Lock: `read`, around what was read and not given yet; inside the inode's.

use crate::node::{Opened, ino_of};
use kalloc::{Arc, KVec};
use kernel::filesystem::sync::Mutex;
use kernel::filesystem::vfs::{DirContext, File, FileOps, FileType, fmode, seek};
use kernel::prelude::*;
use p9net::proto::Entries;
use p9net::proto::kind::TREADDIR;

/// Bytes that are read at once: what programs usually ask for.
const READ: usize = 32 * 1024;

/// Entries that were read.
struct Read {
    bytes: KVec<u8>,
    /// Where the next one begins.
    at: usize,
    /// Its position.
    pos: i64,
}

pub(crate) struct OpenDir {
    opened: Arc<Opened>,
    read: Mutex<Option<Read>>,
}

impl OpenDir {
    pub(crate) fn new(opened: Arc<Opened>) -> Self {
        Self { opened, read: Mutex::new(None) }
    }
}

impl FileOps for OpenDir {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn iterate(&self, _: &File, context: &mut DirContext<'_>) -> Result {
        let mut read = self.read.lock();
        loop {
            let left = match read.take() {
                Some(left) if left.pos == context.pos && left.at < left.bytes.len() => left,
                _ => {
                    let pos = context.pos;
                    let bytes = self.opened.fid.read_bytes(TREADDIR, pos.cast_unsigned(), READ)?;
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    Read { bytes, at: 0, pos }
                }
            };
            let mut entries = Entries::new(left.bytes.get(left.at..).unwrap_or(&[]));
            loop {
                let at = left.bytes.len() - entries.left();
                let Some(entry) = entries.next() else { break };
                let entry = entry?;
                let kind = FileType::of(u32::from(entry.kind) << 12);
                let next = entry.next.cast_signed();
                if !context.emit(entry.name, ino_of(&entry.qid), kind, next) {
                    let pos = context.pos;
                    *read = Some(Read { at, pos, ..left });
                    return Ok(());
                }
            }
        }
    }

    fn llseek(&self, _: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        seek::directory(pos, offset, whence, None)
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn fsync(&self, _: &File, datasync: bool) -> Result {
        self.opened.fid.fsync(datasync)
    }
}
