// SPDX-License-Identifier: GPL-2.0
//! Replay of fast commits while the log is opened: its records go to the core, which changes blocks in the metadata cache. No locks: nobody
//! else has the file system yet.

use crate::store::{Base, KernelStore};
use errno::Result;
use errno::code::EINVAL;
use ext4_core::Replayer;
use ext4_format::extent::Extent;
use jbd2::fast_commit::{Change, Record, Replay};
use kalloc::Arc;
use kernel::prelude::*;

/// Who replays. The file system is looked at when the first record comes: the log's transactions are home then.
pub(crate) struct FastCommits {
    base: Arc<Base>,
    inode_size: usize,
    replayer: Option<Replayer<KernelStore>>,
}

impl FastCommits {
    pub(crate) fn new(base: &Arc<Base>, inode_size: usize) -> Self {
        Self { base: base.clone(), inode_size, replayer: None }
    }

    fn replayer(&mut self) -> Result<&mut Replayer<KernelStore>> {
        if self.replayer.is_none() {
            // What was looked at before may be older than what the log had.
            self.base.cache.drop_unused();
            self.replayer = Some(Replayer::new(KernelStore(self.base.clone()))?);
        }
        self.replayer.as_mut().ok_or(EINVAL)
    }
}

impl Replay for FastCommits {
    fn inode_size(&self) -> usize {
        self.inode_size
    }

    fn announce(&mut self, ino: u32) -> Result {
        self.replayer()?.announce(ino)
    }

    fn announce_blocks(&mut self, start: u64, len: u32) -> Result {
        self.replayer()?.announce_blocks(start, len)
    }

    fn record(&mut self, record: &Record<'_>) -> Result {
        let replayer = self.replayer()?;
        match *record {
            Record::AddRange { ino, block, len, start, unwritten } => {
                replayer.add_range(ino, Extent { block, len, start, unwritten })
            }
            Record::DelRange { ino, block, len } => replayer.del_range(ino, block, len),
            Record::Inode { ino, bytes } => replayer.inode(ino, bytes),
            Record::Name { change: Change::Create, parent, ino, name } => replayer.create(parent, ino, name),
            Record::Name { change: Change::Link, parent, ino, name } => replayer.link(parent, ino, name),
            Record::Name { change: Change::Unlink, parent, ino, name } => replayer.unlink(parent, ino, name),
        }
    }

    fn finish(&mut self) -> Result {
        // Fast commits without a change have nothing to end.
        let Some(mut replayer) = self.replayer.take() else { return Ok(()) };
        replayer.finish()
    }

    fn changed(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result) -> Result {
        self.base.cache.each_dirty(each)
    }

    fn write_home(&mut self) -> Result {
        self.base.cache.sync()?;
        self.base.cache.device.flush_cache()?;
        pr_info!("EXT4-fs ({}): fast commits replayed\n", self.base.health.name);
        Ok(())
    }
}
