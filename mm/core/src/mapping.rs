// SPDX-License-Identifier: GPL-2.0
//! `Mapping`: the cached pages of one file (Linux's `address_space`), and who has them mapped.
//!
//! A page in the cache has the mapping as its owner; one that leaves is marked `TRUNCATED` first and then unmapped everywhere,
//! so that a fault, which maps under the entry's lock and looks at the mark there, cannot bring it back.
//! Files that live in memory (tmpfs) have pages that are up to date, but for those that are only kept for the file and all zero
//! ([`Mapping::preallocate`]); their pages are locked on their way to swap space and back only (`swap::shmem`). Pages of other files are
//! read, written and taken out under the page's lock.
//! Locks: `invalidate` (sleeping; shared around reading in and around making writable, exclusively around taking out), the pages'
//! locks, `moves` (sleeping), the tree's lock, `users` (spin). Never the tree's lock and `users` at once. A look-up takes none.

mod ops;
mod remove;
mod users;

pub use ops::{MappingHost, MappingOps};
pub(crate) use users::MapLink;

use crate::bdi::BackingDev;
use crate::errseq::ErrSeq;
use crate::page_tree::{PageTree, There};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use errno::{Error, Result, code::*};
use kalloc::flags::{GFP_HIGHUSER_MOVABLE, GFP_KERNEL};
use kalloc::{Arc, KBox};
use locking::{SetOnce, SpinLock};
use mm_alloc::layout::PAGE_SIZE;
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags};
use sync::{RwReadGuard, RwSemaphore, RwWriteGuard};
use users::Users;

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
    /// Held shared while pages go from one user to another, exclusively by who must see all users' pages.
    moves: RwSemaphore<()>,
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
            moves: RwSemaphore::new(()),
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
            loop {
                match self.present(index)? {
                    None => return self.add_new(index, Page::alloc_zeroed(GFP_HIGHUSER_MOVABLE)?),
                    Some(page) => match self.first_use(index, page) {
                        Some(page) => return Ok(page),
                        None => continue,
                    },
                }
            }
        }
        self.read_one(index)
    }

    /// The page `index` of a file in memory for a program that touched it, made if the file has none there; and whether it came from
    /// swap space. EFAULT beyond the file's end, also if that came nearer just now. ENOSPC, ENOMEM, EIO. May sleep.
    pub(crate) fn page_for_fault(&self, index: u64) -> Result<(Page, bool)> {
        loop {
            let (there, read) = self.look_up(index)?;
            if let Some(page) = there {
                match self.first_use(index, page) {
                    Some(page) => return Ok((page, read)),
                    None => continue,
                }
            }
            let page = Page::alloc_zeroed(GFP_HIGHUSER_MOVABLE)?;
            page.set(MEMORY_FLAGS);
            // Asked under the lock of the tree: who cuts the file changes its size, takes that lock, and only then looks for pages.
            if self.add_if(index, &page, || self.has_page(index))?.is_none() {
                return Ok((page, false));
            }
        }
    }

    /// Whether page `index` is below the file's end at this moment.
    #[inline(always)]
    pub(crate) fn has_page(&self, index: u64) -> bool {
        index < self.size().div_ceil(PAGE_SIZE as u64)
    }

    /// A page that may be preallocated is used: all zeros, which it is already, are the file's contents now. `None`: it is the file's no
    /// more.
    fn first_use(&self, index: u64, page: Page) -> Option<Page> {
        if !page.has(PageFlags::UPTODATE) {
            // Under the lock, since pages that nobody used may be taken back (`forget_kept`).
            let tree = self.pages.lock();
            if !tree.holds(index, &page) {
                return None;
            }
            page.set(MEMORY_FLAGS);
        }
        Some(page)
    }

    /// Puts a page at `index` of a file in memory, unless one is there: it is kept for the file, and counts as a hole until it is used
    /// for the first time (`fallocate(2)`). One that was kept already counts as data from now on, as on Linux. Whether it was put there.
    /// ENOSPC, ENOMEM. May sleep.
    pub fn preallocate(&self, index: u64) -> Result<bool> {
        if !self.memory {
            return Err(EINVAL);
        }
        while let Some(page) = self.pages.get(index) {
            if self.first_use(index, page).is_some() {
                return Ok(false);
            }
        }
        let page = Page::alloc_zeroed(GFP_HIGHUSER_MOVABLE)?;
        page.set(PageFlags(MEMORY_FLAGS.0 & !PageFlags::UPTODATE.0));
        Ok(self.add(index, &page)?.is_none())
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
                match self.first_use(index, there) {
                    Some(there) => return Ok(there),
                    None => continue,
                }
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
        self.add_if(index, page, || true)
    }

    /// As [`Mapping::add`], if `allowed`, asked under the tree's lock, says so; else EFAULT.
    fn add_if(&self, index: u64, page: &Page, allowed: impl Fn() -> bool) -> Result<Option<There>> {
        if let Err(full) = self.ops.charge(1) {
            // What is there has been counted: kept for the file, or in swap space.
            return self.pages.lock().look(index).map(Some).ok_or(full);
        }
        page.private().store(0, Ordering::Relaxed);
        page.set_owner(self.id, index);
        // Before it can be found: with none counted there is nothing to write.
        self.count.fetch_add(1, Ordering::Relaxed);
        match self.pages.insert(index, page, GFP_KERNEL, allowed) {
            Ok(None) => {}
            other => {
                self.count.fetch_sub(1, Ordering::Relaxed);
                self.ops.uncharge(1);
                return other;
            }
        }
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
}

/// How pages of tmpfs are marked once they are used: they are current.
pub(crate) const MEMORY_FLAGS: PageFlags = PageFlags(PageFlags::UPTODATE.0 | PageFlags::SWAP_BACKED.0);
