// SPDX-License-Identifier: GPL-2.0
//! Runs of pages on their way from or to a file system: what `MappingOps::read_pages` and `write_pages` work with. A run owns its
//! pages' locks; the I/O made of it ends when the last holder of a [`ReadIo`] or [`WriteIo`] (usually a bio) lets go.

use crate::mapping::Mapping;
use crate::page_lock::unlock_page;
use core::sync::atomic::{AtomicI32, Ordering};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use locking::SpinLock;
use mm_alloc::layout::PAGE_SHIFT;
use mm_alloc::{Page, PageFlags};
use workqueue::Work;

/// The first error of several pieces of I/O.
struct FirstError(AtomicI32);

impl FirstError {
    const fn new() -> Self {
        Self(AtomicI32::new(0))
    }

    fn set(&self, error: Error) {
        let _ = self.0.compare_exchange(0, error.to_errno(), Ordering::AcqRel, Ordering::Relaxed);
    }

    fn get(&self) -> Result {
        match self.0.load(Ordering::Acquire) {
            0 => Ok(()),
            errno => Err(Error::from_errno(errno)),
        }
    }
}

/// Ends the reading of one locked page.
fn read_done(page: &Page, result: Result) {
    match result {
        Ok(()) => {
            page.clear(PageFlags::ERROR);
            page.set(PageFlags::UPTODATE);
        }
        Err(_) => {
            page.set(PageFlags::ERROR);
        }
    }
    unlock_page(page);
}

/// Consecutive pages of a file that are to be read: in the cache, locked, not up to date. Dropping the run fails it: the pages
/// stay without data, and who needs one reads it again.
pub struct ReadRun {
    first: u64,
    pages: KVec<Page>,
    ahead: bool,
}

impl ReadRun {
    /// `ahead`: nobody waits for the pages.
    pub(crate) fn new(first: u64, pages: KVec<Page>, ahead: bool) -> Self {
        Self { first, pages, ahead }
    }

    /// Number of the first page.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// First byte.
    pub fn pos(&self) -> u64 {
        self.first << PAGE_SHIFT
    }

    /// The pages, in order.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// Whether nobody waits for the pages yet: a full queue or a lack of memory may drop the run.
    pub fn is_ahead(&self) -> bool {
        self.ahead
    }

    /// Takes the first `count` pages into a run of their own. ENOMEM: all of that run's pages failed.
    pub fn split_front(&mut self, count: usize) -> Result<ReadRun> {
        let count = count.min(self.pages.len());
        let mut pages = KVec::new();
        let room = pages.reserve(count, GFP_KERNEL);
        for page in self.pages.drain(..count) {
            match pages.push_within_capacity(page) {
                Ok(()) => {}
                Err(refused) => read_done(&refused.0, Err(ENOMEM)),
            }
        }
        let front = ReadRun { first: self.first, pages, ahead: self.ahead };
        self.first += count as u64;
        room?;
        Ok(front)
    }

    /// The first `count` pages are a hole: they become zeros and are done.
    pub fn zero_front(&mut self, count: usize) {
        let count = count.min(self.pages.len());
        for page in self.pages.drain(..count) {
            page.zero();
            read_done(&page, Ok(()));
        }
        self.first += count as u64;
    }

    /// The I/O for all pages of the run: each piece holds a reference. ENOMEM fails the run.
    pub fn start(mut self) -> Result<Arc<ReadIo>> {
        let io = ReadIo { pages: KVec::new(), error: FirstError::new() };
        let mut io = kalloc::UniqueArc::new(io, GFP_KERNEL)?;
        core::mem::swap(&mut io.pages, &mut self.pages);
        Ok(io.into())
    }
}

impl Drop for ReadRun {
    fn drop(&mut self) {
        for page in self.pages.iter() {
            read_done(page, Err(EIO));
        }
    }
}

/// A run that is being read. When the last reference goes (any context), its pages are up to date, unless [`ReadIo::fail`] was
/// called.
pub struct ReadIo {
    pages: KVec<Page>,
    error: FirstError,
}

impl ReadIo {
    /// The pages, in order.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// A piece of it failed: no page of the run becomes up to date. Each is read alone when it is wanted.
    pub fn fail(&self, error: Error) {
        self.error.set(error);
    }
}

impl Drop for ReadIo {
    fn drop(&mut self) {
        let result = self.error.get();
        for page in self.pages.iter() {
            read_done(page, result);
        }
    }
}

/// Consecutive dirty pages of a file that are to be written: locked, not under write-back. Dropping the run leaves them dirty.
pub struct WriteRun {
    mapping: Arc<Mapping>,
    first: u64,
    pages: KVec<Page>,
}

impl WriteRun {
    pub(crate) fn new(mapping: &Arc<Mapping>, first: u64, pages: KVec<Page>) -> Self {
        Self { mapping: mapping.clone(), first, pages }
    }

    /// The file's cache.
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// Number of the first page.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// First byte.
    pub fn pos(&self) -> u64 {
        self.first << PAGE_SHIFT
    }

    /// The pages, in order.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// Keeps the first `count` pages; the others stay dirty and come again.
    pub fn keep_front(&mut self, count: usize) {
        if count < self.pages.len() {
            for page in self.pages.drain(count..) {
                unlock_page(&page);
            }
        }
    }

    /// Takes the first `count` pages into a run of their own. ENOMEM: nothing changed.
    pub fn split_front(&mut self, count: usize) -> Result<WriteRun> {
        let count = count.min(self.pages.len());
        let mut pages = KVec::with_capacity(count, GFP_KERNEL)?;
        for page in self.pages.drain(..count) {
            // The capacity is there.
            let _ = pages.push_within_capacity(page);
        }
        let front = WriteRun { mapping: self.mapping.clone(), first: self.first, pages };
        self.first += count as u64;
        Ok(front)
    }

    /// Write-back begins: the pages are clean (a write from now on makes them dirty again), under write-back, and unlocked. Each
    /// piece of I/O holds a reference to what is returned. ENOMEM leaves the run to be dropped.
    pub fn start(self) -> Result<Arc<WriteIo>> {
        let io = WriteIo {
            mapping: self.mapping.clone(),
            first: self.first,
            pages: KVec::new(),
            error: FirstError::new(),
            epoch: 0,
            finish: SpinLock::new(None),
        };
        let mut io = kalloc::UniqueArc::new(io, GFP_KERNEL)?;
        let mut run = self;
        io.epoch = run.mapping.begin_writeback(run.first, &run.pages);
        core::mem::swap(&mut io.pages, &mut run.pages);
        Ok(io.into())
    }
}

impl Drop for WriteRun {
    fn drop(&mut self) {
        for page in self.pages.iter() {
            unlock_page(page);
        }
    }
}

/// What a file system does when the I/O of a run is done and before its pages are (unwritten extents become written). In a
/// worker's context, may sleep. Called once; its error replaces success.
pub type Finish = KBox<dyn FnMut(Result) -> Result + Send + Sync>;

/// What is still to be done by a thread, where, and the work that does it.
type Finishing = (Finish, Arc<Ending>, Arc<Work>);

/// A run under write-back. It ends when the last reference goes (any context): waiters go on; an error of [`WriteIo::fail`] is
/// remembered in the mapping and told to the next `fsync` of each open file.
pub struct WriteIo {
    mapping: Arc<Mapping>,
    first: u64,
    pages: KVec<Page>,
    error: FirstError,
    epoch: u32,
    finish: SpinLock<Option<Finishing>>,
}

impl WriteIo {
    /// Number of the first page.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The pages, in order.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// A piece of it failed.
    pub fn fail(&self, error: Error) {
        self.error.set(error);
    }

    /// Sets what runs in a worker when the I/O is done. ENOMEM. May sleep.
    pub fn set_finish(&self, finish: Finish) -> Result {
        let ending = Arc::new(Ending { parts: SpinLock::new(None) }, GFP_KERNEL)?;
        let cell = ending.clone();
        let work = Work::new(move || cell.run())?;
        *self.finish.lock_irqsave() = Some((finish, ending, work));
        Ok(())
    }
}

impl Drop for WriteIo {
    fn drop(&mut self) {
        let (result, epoch) = (self.error.get(), self.epoch);
        let (mapping, first, pages) = (self.mapping.clone(), self.first, core::mem::take(&mut self.pages));
        match self.finish.get_mut().take() {
            None => {
                mapping.end_writeback(first, &pages, result, epoch);
                drop(pages);
                // Its last reference must not go in an interrupt.
                rcu::defer_drop(mapping);
            }
            Some((finish, ending, work)) => {
                *ending.parts.lock_irqsave() = Some(Parts { mapping, first, pages, result, epoch, finish });
                work.queue();
            }
        }
        // The other reference is this value's own, which goes now and is not the last.
    }
}

struct Parts {
    mapping: Arc<Mapping>,
    first: u64,
    pages: KVec<Page>,
    result: Result,
    epoch: u32,
    finish: Finish,
}

/// A run whose I/O is done and that a worker is to finish.
struct Ending {
    parts: SpinLock<Option<Parts>>,
}

impl Ending {
    fn run(&self) {
        let parts = self.parts.lock_irqsave().take();
        let Some(Parts { mapping, first, pages, result, epoch, mut finish }) = parts else { return };
        let done = (*finish)(result);
        mapping.end_writeback(first, &pages, result.and(done), epoch);
    }
}
