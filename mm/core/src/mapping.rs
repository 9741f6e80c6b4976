// SPDX-License-Identifier: GPL-2.0
//! `Mapping`: the cached pages of one file (Linux's `address_space`), and who has them mapped.
//!
//! A page in the cache has the mapping as its owner; one that leaves is marked `TRUNCATED` first and then unmapped everywhere,
//! so that a fault, which maps under the entry's lock and looks at the mark there, cannot bring it back.
//! Files that live in memory (tmpfs) have pages that are up to date, but for those that are only kept for the file and all zero
//! ([`Mapping::preallocate`]); their pages are locked on their way to swap space and back only (`swap::shmem`). Pages of other files are
//! read, written and taken out under the page's lock.
//! Locks: `invalidate` (sleeping; shared around reading in and around making writable, exclusively around taking out), the pages'
//! locks, the tree's lock, `users` (spin). Never the tree's lock and `users` at once. A look-up takes none.

mod users;

pub(crate) use users::MapLink;

use crate::bdi::BackingDev;
use crate::dirty::{MAX_RUN, WriteControl};
use crate::errseq::ErrSeq;
use crate::io::{ReadRun, WriteRun};
use crate::page_lock::{lock_page, unlock_page, wait_writeback};
use crate::page_tree::{PageTree, There};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::{SetOnce, SpinLock};
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags};
use sync::{RwReadGuard, RwSemaphore, RwWriteGuard};
use users::Users;

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
    /// Bytes `[pos, pos + len)`, within one page, are about to be written: reserve space for them (delayed allocation). The inode's
    /// lock is held exclusively. May sleep. ENOSPC, EDQUOT.
    fn prepare_write(&self, pos: u64, len: usize) -> Result {
        Ok(())
    }
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

/// The cached pages of a file.
pub struct Mapping {
    /// Who this is, for pages and futexes; never 0, never used twice.
    id: usize,
    /// Bytes of the file.
    size: AtomicU64,
    pub(crate) pages: PageTree,
    count: AtomicUsize,
    /// Pages of a file in memory that are in swap space: marks in the tree.
    pub(crate) swapped: AtomicUsize,
    /// `SHM_LOCK`: pages do not leave memory.
    unevictable: AtomicBool,
    invalidate: RwSemaphore<()>,
    users: SpinLock<Users>,
    ops: KBox<dyn MappingOps>,
    memory: bool,
    small_blocks: AtomicBool,
    bdi: SetOnce<Arc<BackingDev>>,
    /// Behind `ops`: it keeps the module that these may be in.
    host: SetOnce<KBox<dyn MappingHost>>,
    errors: ErrSeq,
}

static NEXT_ID: AtomicUsize = AtomicUsize::new(1);

impl Mapping {
    /// The cache of a file of `size` bytes. ENOMEM.
    pub fn new(ops: KBox<dyn MappingOps>, size: u64) -> Result<Arc<Self>> {
        let (memory, small) = (ops.is_memory(), ops.has_small_blocks());
        let mapping = Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            size: AtomicU64::new(size),
            pages: PageTree::new(),
            count: AtomicUsize::new(0),
            swapped: AtomicUsize::new(0),
            unevictable: AtomicBool::new(false),
            invalidate: RwSemaphore::new(()),
            users: SpinLock::new(Users::new()),
            ops,
            memory,
            small_blocks: AtomicBool::new(small),
            bdi: SetOnce::new(),
            host: SetOnce::new(),
            errors: ErrSeq::new(),
        };
        let mapping = Arc::new(mapping, GFP_KERNEL)?;
        if memory {
            crate::swap::shmem::register(&mapping)?;
        }
        Ok(mapping)
    }

    /// The cache of a file on a device.
    pub fn new_on(ops: KBox<dyn MappingOps>, size: u64, bdi: &Arc<BackingDev>) -> Result<Arc<Self>> {
        let mapping = Self::new(ops, size)?;
        // The mapping is new, so the cell is empty.
        drop(mapping.bdi.set(bdi.clone()));
        crate::reclaim::register(&mapping)?;
        Ok(mapping)
    }

    /// Identity, for futex keys.
    #[inline(always)]
    pub fn id(&self) -> usize {
        self.id
    }

    /// Bytes of the file.
    #[inline(always)]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Sets the size after a write beyond it; to shrink use [`Mapping::truncate`]. The file system's lock on the inode is held.
    pub fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// Pages in swap space; [`Mapping::page_count`] has them too.
    #[inline(always)]
    pub fn swapped_count(&self) -> usize {
        self.swapped.load(Ordering::Relaxed)
    }

    /// Says whether pages have to stay in memory (`SHM_LOCK`).
    pub fn set_unevictable(&self, stay: bool) {
        self.unevictable.store(stay, Ordering::Relaxed);
    }

    pub(crate) fn is_unevictable(&self) -> bool {
        self.unevictable.load(Ordering::Relaxed)
    }

    /// Pages of the file that there are, in memory or in swap space.
    pub fn page_count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether pages are memory only.
    #[inline(always)]
    pub fn is_memory(&self) -> bool {
        self.memory
    }

    /// Whether dirty sectors are told apart.
    #[inline(always)]
    pub fn has_small_blocks(&self) -> bool {
        self.small_blocks.load(Ordering::Relaxed)
    }

    /// The operations.
    pub fn ops(&self) -> &dyn MappingOps {
        &*self.ops
    }

    /// The device, for files that are on one.
    #[inline]
    pub fn bdi(&self) -> Option<&Arc<BackingDev>> {
        self.bdi.get()
    }

    /// Says who is told of dirty pages. Once, before the first.
    pub fn set_host(&self, host: KBox<dyn MappingHost>) {
        // Only the file's inode sets it, when both are made.
        drop(self.host.set(host));
    }

    pub(crate) fn host(&self) -> Option<&dyn MappingHost> {
        self.host.get().map(|host| &**host)
    }

    /// Errors of writing back, for `fsync` of each open file.
    pub fn errors(&self) -> &ErrSeq {
        &self.errors
    }

    /// Writing back failed: the error is remembered. Any context.
    pub fn write_error(&self, error: Error) {
        self.errors.set(error);
        if let Some(host) = self.host() {
            host.write_error(error);
        }
    }

    /// Keeps pages from being taken out (truncation, holes) while something depends on where the file's blocks are. May sleep.
    pub fn invalidate_shared(&self) -> RwReadGuard<'_, ()> {
        self.invalidate.read()
    }

    /// Keeps pages from being read in, and from being made writable by programs: for whoever moves or frees the file's blocks. The
    /// inode's lock is held. May sleep.
    pub fn invalidate_lock(&self) -> RwWriteGuard<'_, ()> {
        self.invalidate.write()
    }

    /// The page `index`, if it is cached and up to date. Any task context; does not sleep; no lock.
    #[inline]
    pub fn get(&self, index: u64) -> Option<Page> {
        self.pages.get(index).filter(|page| page.has(PageFlags::UPTODATE))
    }

    /// The page `index`, if it is cached, whatever its state (it may be on its way in). No lock.
    #[inline]
    pub fn find(&self, index: u64) -> Option<Page> {
        self.pages.get(index)
    }

    /// The page `index`, read in if need be. Not limited by the size: the caller checks. May sleep.
    #[inline]
    pub fn get_or_read(&self, index: u64) -> Result<Page> {
        match self.get(index) {
            Some(page) => Ok(page),
            None => self.read_in(index),
        }
    }

    #[cold]
    #[inline(never)]
    fn read_in(&self, index: u64) -> Result<Page> {
        if self.memory {
            return match self.present(index)? {
                Some(page) => Ok(first_use(page)),
                None => self.add_new(index, Page::alloc_zeroed(GFP_KERNEL)?),
            };
        }
        self.read_one(index)
    }

    /// Puts a page at `index` of a file in memory, unless one is there: it is kept for the file, and counts as a hole until it is used
    /// for the first time (`fallocate(2)`). Whether it was put there. ENOSPC, ENOMEM. May sleep.
    pub fn preallocate(&self, index: u64) -> Result<bool> {
        if !self.memory {
            return Err(EINVAL);
        }
        if self.pages.get(index).is_some() {
            return Ok(false);
        }
        let page = Page::alloc_zeroed(GFP_KERNEL)?;
        page.set(PageFlags(MEMORY_FLAGS.0 & !PageFlags::UPTODATE.0));
        Ok(self.add(index, &page)?.is_none())
    }

    /// The page `index` for overwriting it completely: a new page is not read in and its contents are undefined. May sleep.
    pub fn get_for_overwrite(&self, index: u64) -> Result<Page> {
        match self.get(index) {
            Some(page) => Ok(page),
            None => self.add_new(index, Page::alloc(GFP_KERNEL)?),
        }
    }

    /// Puts a page that is already filled into the cache; gives the page that is there if another was first. May sleep.
    pub fn add_new(&self, index: u64, page: Page) -> Result<Page> {
        page.set(if self.memory { MEMORY_FLAGS } else { PageFlags::UPTODATE });
        loop {
            let there = match self.add(index, &page)? {
                None => return Ok(page),
                Some(There::Page(there)) => there,
                Some(There::Mark(_)) => match self.present(index)? {
                    Some(there) => there,
                    None => continue,
                },
            };
            if there.has(PageFlags::UPTODATE) {
                return Ok(there);
            }
            if self.memory {
                return Ok(first_use(there));
            }
            // It is on its way in, or could not be read.
            match self.read_one(index) {
                Ok(read) => return Ok(read),
                Err(_) if there.has(PageFlags::TRUNCATED) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts a page that is already filled into the cache of a file on a device, unless one is there (in whatever state): what was
    /// read beside the wanted pages. Never waits for another page; may be called while pages are locked. ENOMEM.
    pub fn offer(&self, index: u64, page: &Page) -> Result {
        page.set(PageFlags::UPTODATE);
        self.add(index, page).map(drop)
    }

    /// Puts `page` into the cache in the state it is in; gives what is there if there is something.
    pub(crate) fn add(&self, index: u64, page: &Page) -> Result<Option<There>> {
        self.ops.charge(1)?;
        page.private().store(0, Ordering::Relaxed);
        page.set_owner(self.id, index);
        match self.pages.insert(index, page, GFP_KERNEL) {
            Ok(None) => {}
            other => {
                self.ops.uncharge(1);
                return other;
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        stat::add(Item::FilePages, 1);
        if self.memory {
            stat::add(Item::Shmem, 1);
        } else {
            mm_alloc::lru::add(core::slice::from_ref(page));
            crate::reclaim::check_free();
        }
        Ok(None)
    }

    /// Calls `f` for the cached pages from `first`, in order, until it says `false`. `f` must not sleep.
    pub fn for_each_from(&self, first: u64, mut f: impl FnMut(u64, &Page) -> bool) {
        self.pages.each(first, u64::MAX, None, |index, page| f(index, &page));
    }

    /// Makes the file `size` bytes long, dropping pages beyond and clearing the rest of the last one. The file system's lock on
    /// the inode is held, for a file on a device also [`Mapping::invalidate_lock`] until its blocks are freed. Waits for
    /// write-back of what goes. May sleep.
    pub fn truncate(&self, size: u64) {
        let old = self.size.swap(size, Ordering::AcqRel);
        if size >= old {
            return;
        }
        self.clear_partial(size, PAGE_SIZE - (size as usize % PAGE_SIZE));
        self.remove(size.div_ceil(PAGE_SIZE as u64), u64::MAX);
    }

    /// Drops the pages `[first, last]` from the cache and from every address space. Contents are lost; write-back that is going on
    /// is waited for. Locks as for [`Mapping::truncate`]. May sleep.
    pub fn remove(&self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let mut from = first;
        loop {
            // In batches: the pages must live until they are unmapped.
            let mut gone = [const { None }; 32];
            let mut count = 0;
            self.pages.each_there(from, last, |index, there| {
                if let Some(slot) = gone.get_mut(count) {
                    *slot = Some((index, there));
                    count += 1;
                }
                count < 32
            });
            if count == 0 {
                break;
            }
            let (start, mut taken) = (from, 0);
            for (index, there) in gone.iter().flatten() {
                match there {
                    There::Page(page) => taken += usize::from(self.take_out(*index, page)),
                    There::Mark(mark) => self.forget_swapped(*index, *mark),
                }
                from = *index;
            }
            self.forgot(taken);
            self.unmap(start, from, false);
            drop(gone);
            // The last one again: another may have been put there.
        }
        // Pages beyond the end may be mapped privately only.
        self.unmap(first, last, false);
    }

    /// Takes one page out of the tree, unless it is gone already.
    fn take_out(&self, index: u64, page: &Page) -> bool {
        if self.memory {
            let mut tree = self.pages.lock();
            let ours = tree.holds(index, page);
            if ours {
                page.set(PageFlags::TRUNCATED);
                // `page` is another reference.
                drop(tree.erase(index));
            }
            return ours;
        }
        lock_page(page);
        wait_writeback(page);
        let mut tree = self.pages.lock();
        let ours = tree.holds(index, page);
        if ours {
            page.set(PageFlags::TRUNCATED);
            drop(tree.erase(index));
        }
        drop(tree);
        if ours {
            self.cancel_dirty(page);
            mm_alloc::lru::remove(page);
        }
        unlock_page(page);
        ours
    }

    /// Drops the clean pages of `[first, last]` that nobody uses (`POSIX_FADV_DONTNEED`, `drop_caches`); how many. May sleep, but
    /// waits for nobody.
    pub fn drop_clean(&self, first: u64, last: u64) -> usize {
        let (mut from, mut dropped) = (first, 0);
        if self.memory {
            return 0;
        }
        loop {
            let mut batch = [const { None }; 32];
            let mut count = 0;
            self.pages.each(from, last, None, |index, page| {
                if let Some(slot) = batch.get_mut(count) {
                    *slot = Some((index, page));
                    count += 1;
                }
                count < 32
            });
            let mut next = None;
            for (index, page) in batch.iter().flatten() {
                dropped += usize::from(self.drop_page(*index, page));
                next = index.checked_add(1);
            }
            match next.filter(|_| count == 32) {
                Some(next) => from = next,
                None => break,
            }
        }
        dropped
    }

    /// Drops one page if it is clean and nobody but the cache and the caller has it.
    pub(crate) fn drop_page(&self, index: u64, page: &Page) -> bool {
        if page.has(PageFlags::DIRTY) || page.has(PageFlags::WRITEBACK) || !crate::page_lock::try_lock_page(page) {
            return false;
        }
        let dropped = self.drop_locked(index, page);
        unlock_page(page);
        if dropped {
            mm_alloc::lru::remove(page);
            self.forgot(1);
        }
        dropped
    }

    fn drop_locked(&self, index: u64, page: &Page) -> bool {
        /// The cache's reference and the caller's.
        const UNUSED: u32 = 2;
        let busy = |page: &Page| {
            page.has(PageFlags::DIRTY) || page.has(PageFlags::WRITEBACK) || page.has(PageFlags::TRUNCATED)
        };
        if busy(page) || page.ref_count() != UNUSED + u32::from(page.has(PageFlags::LRU)) {
            return false;
        }
        if !self.ops.release_page(index, page) {
            return false;
        }
        let mut tree = self.pages.lock();
        let refs = UNUSED + u32::from(page.has(PageFlags::LRU));
        // Frozen: nobody can find it any more. Dirty after all: somebody had it until just now.
        if !tree.holds(index, page) {
            return false;
        }
        let Some(mut frozen) = page.freeze(refs).filter(|_| !busy(page)) else { return false };
        page.set(PageFlags::TRUNCATED);
        tree.erase_frozen(index, &mut frozen);
        true
    }

    /// Clears `[at, at + len)` of a page that is cached (`len` may reach the page's end at most).
    pub fn clear_partial(&self, at: u64, len: usize) {
        let offset = at as usize % PAGE_SIZE;
        if offset == 0 {
            return;
        }
        if let Some(page) = self.get_present(at >> PAGE_SHIFT) {
            // In bounds: the offset and the length are within one page.
            let _ = page.fill(offset, len.min(PAGE_SIZE - offset), 0);
        }
    }

    /// Makes a hole of zeros: whole pages are dropped, partial ones cleared (`FALLOC_FL_PUNCH_HOLE`, `MADV_REMOVE`). May sleep.
    pub fn punch(&self, start: u64, end: u64) {
        let page = PAGE_SIZE as u64;
        let (first, last) = (start.div_ceil(page), end / page);
        if first > last {
            // Inside one page.
            self.clear_partial(start, end.saturating_sub(start) as usize);
            return;
        }
        self.clear_partial(start, PAGE_SIZE);
        if !end.is_multiple_of(page)
            && let Some(cached) = self.get_present(last)
        {
            let _ = cached.fill(0, (end % page) as usize, 0);
        }
        if first < last {
            self.remove(first, last - 1);
        }
    }

    /// The page `index`, if the file has it, of a file in memory also from swap space, which is waited for. An error is none here.
    fn get_present(&self, index: u64) -> Option<Page> {
        match self.get(index) {
            None if self.memory => self.present(index).ok().flatten().filter(|page| page.has(PageFlags::UPTODATE)),
            page => page,
        }
    }

    /// Pages that were in swap space went.
    pub(crate) fn forgot_swapped(&self, pages: usize) {
        self.count.fetch_sub(pages, Ordering::Relaxed);
        self.ops.uncharge(pages as u64);
    }

    fn forgot(&self, pages: usize) {
        self.count.fetch_sub(pages, Ordering::Relaxed);
        stat::add(Item::FilePages, -(pages as i64));
        if self.memory {
            stat::add(Item::Shmem, -(pages as i64));
        }
        self.ops.uncharge(pages as u64);
    }
}

/// A page that was preallocated is used: all zeros, which it is already, are the file's contents now.
pub(crate) fn first_use(page: Page) -> Page {
    page.set(MEMORY_FLAGS);
    page
}

/// How pages of tmpfs are marked once they are used: they are current.
pub(crate) const MEMORY_FLAGS: PageFlags = PageFlags(PageFlags::UPTODATE.0 | PageFlags::SWAP_BACKED.0);

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.memory {
            crate::swap::shmem::unregister(self.id);
            self.forget_all_swapped();
        } else {
            crate::reclaim::unregister(self.id);
        }
        // Page by page: what the nodes still held would only be freed after a grace period.
        let mut pages = 0;
        while let Some((index, page)) = self.pages.next(0, u64::MAX, None) {
            page.set(PageFlags::TRUNCATED);
            drop(self.pages.lock().erase(index));
            self.cancel_dirty(&page);
            if !self.memory {
                mm_alloc::lru::remove(&page);
            }
            page.set_owner(0, 0);
            pages += 1;
        }
        self.forgot(pages);
    }
}
