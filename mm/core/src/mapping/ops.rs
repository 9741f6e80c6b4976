// SPDX-License-Identifier: GPL-2.0
//! What a file system says of its files' pages ([`MappingOps`]), and who hears of dirty ones ([`MappingHost`]).

use super::Mapping;
use crate::dirty::{MAX_RUN, WriteControl};
use crate::io::{ReadRun, WriteRun};
use errno::{Error, Result, code::*};
use kalloc::Arc;
use mm_alloc::Page;
use mm_alloc::layout::PAGE_SIZE;

/// Where a mapping's pages come from, and where they go.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait MappingOps: Send + Sync {
    /// Fills `page` with the file's page `index`. The page is new; nobody else sees it yet. May sleep. EIO and so on.
    fn read_page(&self, index: u64, page: &Page) -> Result {
        Err(EIO)
    }
    /// Starts reading the pages of `run`; returns without waiting if it can. Called with the mapping's `invalidate` lock held
    /// shared: nothing is truncated meanwhile. The default reads page by page with [`MappingOps::read_page`]. Errors are told
    /// through the run. May sleep.
    fn read_pages(&self, mapping: &Mapping, run: ReadRun) {
        let mut run = run;
        while !run.pages().is_empty() {
            let Ok(front) = run.split_front(1) else { return };
            let read = front.pages().first().map_or(Ok(()), |page| self.read_page(front.first(), page));
            if read.is_ok() {
                // Dropping it is success; without memory for it the page is read again.
                drop(front.start());
            }
        }
    }
    /// Starts writing what `wbc` asks for; returns without waiting for the I/O. The default takes run after run
    /// ([`Mapping::next_dirty_run`]) and gives each to [`MappingOps::write_run`]. A file system that must start a transaction
    /// before it takes page locks does so here, around each `next_dirty_run`. May sleep.
    fn write_pages(&self, mapping: &Arc<Mapping>, wbc: &mut WriteControl) -> Result {
        let mut result = Ok(());
        while let Some(run) = mapping.next_dirty_run(wbc, MAX_RUN)? {
            if let Err(error) = self.write_run(run) {
                mapping.write_error(error);
                result = result.and(Err(error));
            }
        }
        result
    }
    /// Starts writing a run: allocates space, calls [`WriteRun::start`], submits. May sleep.
    fn write_run(&self, run: WriteRun) -> Result {
        Err(EIO)
    }
    /// Pages live in memory only (tmpfs): they are never written back, and a fresh one is zero.
    fn is_memory(&self) -> bool {
        false
    }
    /// Blocks are smaller than a page: dirty sectors are told apart ([`crate::dirty_sectors`]).
    fn has_small_blocks(&self) -> bool {
        false
    }
    /// A page is about to be added: count it against the file system's limit. ENOSPC.
    fn charge(&self, pages: u64) -> Result {
        Ok(())
    }
    /// Pages went.
    fn uncharge(&self, pages: u64) {}
    /// Bytes `[pos, pos + len)`, within one page or at most `prepare_most` of them, are about to be written: reserve space for them (delayed
    /// allocation). The inode's lock is held exclusively. May sleep. ENOSPC, EDQUOT.
    fn prepare_write(&self, pos: u64, len: usize) -> Result {
        Ok(())
    }
    /// For how many bytes one `prepare_write` may be: 0 for no more than a page.
    fn prepare_most(&self) -> usize {
        0
    }
    /// Bytes `[from, to)` of what `prepare_write` prepared beyond one page are not written after all: a program's memory could not be read. The
    /// inode's lock is held exclusively. May sleep.
    fn cancel_write(&self, mapping: &Mapping, from: u64, to: u64) {}
    /// Whether a page that is dirty needs no `prepare_write` any more, wherever in it is written: it got the space of the whole page, and
    /// keeps it while the inode's lock is held.
    fn dirty_is_prepared(&self) -> bool {
        false
    }
    /// A page is about to be written through a shared mapping: reserve space for it (`page_mkwrite`). Called with the `invalidate`
    /// lock held shared, without the page's lock. May sleep. ENOSPC becomes SIGBUS.
    fn make_writable(&self, index: u64) -> Result {
        Ok(())
    }
    /// The file grows, and not from its end at `size` on: what a program left behind that end in mapped memory, in the end's page, is no part
    /// of the file. The default clears it in the cache. The inode's lock is held exclusively. May sleep.
    fn clear_behind_end(&self, mapping: &Mapping, size: u64) -> Result {
        mapping.clear_partial(size, PAGE_SIZE);
        Ok(())
    }
    /// Memory is short and clean page `index`, locked and without other users, is to go: give up what is kept for it. `false`
    /// refuses. Must not wait for I/O.
    fn release_page(&self, index: u64, page: &Page) -> bool {
        true
    }
}

/// Who is told what happens to a mapping's dirty pages (the VFS, for the inode).
pub trait MappingHost: Send + Sync {
    /// A page is dirty, and none was before. Must not sleep.
    fn dirtied(&self);
    /// A page could not be written. Any context.
    fn write_error(&self, error: Error);
}
