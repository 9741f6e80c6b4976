// SPDX-License-Identifier: GPL-2.0
//! `Mapping`: the cached pages of one file (Linux's `address_space`), and who has them mapped.
//!
//! A page in the cache has the mapping as its owner; one that leaves is marked `TRUNCATED` first and then unmapped everywhere,
//! so that a fault, which maps under the entry's lock and looks at the mark there, cannot bring it back.
//! Locks: `fill` (sleeping) around reading a page in, `pages` (spin), `users` (spin). Never `pages` and `users` at once.

use containers::XArray;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use errno::Result;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KBox, KVec};
use locking::SpinLock;
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags};
use sync::Mutex;
use x86_mm::PageTable;

/// Where a mapping's pages come from.
pub trait MappingOps: Send + Sync {
    /// Fills `page` with the file's page `index`. The page is new; nobody else sees it yet. May sleep. EIO and so on.
    fn read_page(&self, index: u64, page: &Page) -> Result;
    /// Pages live in memory only (tmpfs): they are never written back, and a fresh one is zero.
    fn is_memory(&self) -> bool {
        false
    }
    /// A page is about to be added: count it against the file system's limit. ENOSPC.
    fn charge(&self, _pages: u64) -> Result {
        Ok(())
    }
    /// Pages went.
    fn uncharge(&self, _pages: u64) {}
    /// A page is about to be written through a shared mapping: reserve space for it. May sleep. ENOSPC becomes SIGBUS.
    fn make_writable(&self, _index: u64) -> Result {
        Ok(())
    }
}

/// One mapping of a range of the file in some address space.
struct User {
    table: Arc<PageTable>,
    start: usize,
    end: usize,
    pgoff: u64,
}

/// Users by slot number; free slots form a list.
struct Users {
    slots: KVec<Option<User>>,
    free: KVec<usize>,
}

/// The cached pages of a file.
pub struct Mapping {
    /// Who this is, for pages and futexes; never 0, never used twice.
    id: usize,
    /// Bytes of the file.
    size: AtomicU64,
    pages: SpinLock<XArray<Page>>,
    count: AtomicUsize,
    fill: Mutex<()>,
    users: SpinLock<Users>,
    ops: KBox<dyn MappingOps>,
    memory: bool,
}

static NEXT_ID: AtomicUsize = AtomicUsize::new(1);

impl Mapping {
    /// The cache of a file of `size` bytes. ENOMEM.
    pub fn new(ops: KBox<dyn MappingOps>, size: u64) -> Result<Arc<Self>> {
        let memory = ops.is_memory();
        let mapping = Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            size: AtomicU64::new(size),
            pages: SpinLock::new(XArray::new()),
            count: AtomicUsize::new(0),
            fill: Mutex::new(()),
            users: SpinLock::new(Users { slots: KVec::new(), free: KVec::new() }),
            ops,
            memory,
        };
        Ok(Arc::new(mapping, GFP_KERNEL)?)
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

    /// Pages in the cache.
    pub fn page_count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether pages are memory only.
    #[inline(always)]
    pub fn is_memory(&self) -> bool {
        self.memory
    }

    /// The operations.
    pub fn ops(&self) -> &dyn MappingOps {
        &*self.ops
    }

    /// The page `index`, if it is cached. Any task context; does not sleep.
    #[inline]
    pub fn get(&self, index: u64) -> Option<Page> {
        self.pages.lock().load(index).cloned()
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
            return self.add_new(index, Page::alloc_zeroed(GFP_KERNEL)?);
        }
        let _fill = self.fill.lock();
        if let Some(page) = self.get(index) {
            return Ok(page);
        }
        let page = Page::alloc(GFP_KERNEL)?;
        self.ops.read_page(index, &page)?;
        self.add_new(index, page)
    }

    /// The page `index` for overwriting it completely: a new page is not read in and its contents are undefined. May sleep.
    pub fn get_for_overwrite(&self, index: u64) -> Result<Page> {
        if let Some(page) = self.get(index) {
            return Ok(page);
        }
        let _fill = if self.memory { None } else { Some(self.fill.lock()) };
        self.add_new(index, Page::alloc(GFP_KERNEL)?)
    }

    /// Puts a page that is already filled into the cache; gives the page that is there if another was first.
    pub fn add_new(&self, index: u64, page: Page) -> Result<Page> {
        self.ops.charge(1)?;
        page.set_owner(self.id, index);
        page.set(if self.memory { MEMORY_FLAGS } else { PageFlags::UPTODATE });
        let mut pages = self.pages.lock();
        if let Some(there) = pages.load(index).cloned() {
            drop(pages);
            self.ops.uncharge(1);
            return Ok(there);
        }
        if let Err(error) = pages.store(index, page.clone(), GFP_ATOMIC) {
            drop(pages);
            self.ops.uncharge(1);
            return Err(error.into());
        }
        drop(pages);
        self.count.fetch_add(1, Ordering::Relaxed);
        stat::add(Item::FilePages, 1);
        if self.memory {
            stat::add(Item::Shmem, 1);
        }
        Ok(page)
    }

    /// Runs `f` with the cache's lock held: `f` must be short and must not allocate with sleeping.
    pub(crate) fn with_pages<R>(&self, f: impl FnOnce(&XArray<Page>) -> R) -> R {
        f(&self.pages.lock())
    }

    /// Calls `f` for the cached pages from `first`, in order, until it says `false`. The cache's lock is held: `f` must be short.
    pub fn for_each_from(&self, first: u64, mut f: impl FnMut(u64, &Page) -> bool) {
        for (index, page) in self.pages.lock().iter_from(first) {
            if !f(index, page) {
                return;
            }
        }
    }

    /// Makes the file `size` bytes long, dropping pages beyond and clearing the rest of the last one. The file system's lock on
    /// the inode is held. May sleep.
    pub fn truncate(&self, size: u64) {
        let old = self.size.swap(size, Ordering::AcqRel);
        if size >= old {
            return;
        }
        self.clear_partial(size, PAGE_SIZE - (size as usize % PAGE_SIZE));
        self.remove(size.div_ceil(PAGE_SIZE as u64), u64::MAX);
    }

    /// Drops the pages `[first, last]` from the cache and from every address space. Contents are lost. May sleep.
    pub fn remove(&self, first: u64, last: u64) {
        if first > last {
            return;
        }
        loop {
            // In batches: the pages must live until they are unmapped, and the lock is not held for long.
            let mut gone: KVec<Page> = KVec::new();
            let room = gone.reserve(64, GFP_KERNEL).is_ok();
            let limit = if room { 64 } else { 1 };
            let mut single = None;
            let mut taken = 0usize;
            {
                let mut pages = self.pages.lock();
                while taken < limit {
                    let Some(index) = pages.find(first).map(|(index, _)| index).filter(|index| *index <= last) else {
                        break;
                    };
                    let Some(page) = pages.erase(index) else { break };
                    page.set(PageFlags::TRUNCATED);
                    taken += 1;
                    match room {
                        true => drop(gone.push(page, GFP_ATOMIC)),
                        false => single = Some(page),
                    }
                }
            }
            if taken == 0 {
                break;
            }
            self.forgot(taken);
            self.unmap(first, last, false);
            drop((gone, single));
        }
        // Pages beyond the end may be mapped privately only.
        self.unmap(first, last, false);
    }

    /// Clears `[at, at + len)` of a page that is cached (`len` may reach the page's end at most).
    pub fn clear_partial(&self, at: u64, len: usize) {
        let offset = at as usize % PAGE_SIZE;
        if offset == 0 {
            return;
        }
        if let Some(page) = self.get(at >> PAGE_SHIFT) {
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
        if end % page != 0
            && let Some(cached) = self.get(last)
        {
            let _ = cached.fill(0, (end % page) as usize, 0);
        }
        if first < last {
            self.remove(first, last - 1);
        }
    }

    fn forgot(&self, pages: usize) {
        self.count.fetch_sub(pages, Ordering::Relaxed);
        stat::add(Item::FilePages, -(pages as i64));
        if self.memory {
            stat::add(Item::Shmem, -(pages as i64));
        }
        self.ops.uncharge(pages as u64);
    }

    /// Unmaps the file's pages `[first, last]` in every address space; with `keep_private` copies stay.
    pub fn unmap(&self, first: u64, last: u64, keep_private: bool) {
        let mut slot = 0;
        loop {
            let next = {
                let users = self.users.lock();
                users.slots.iter().enumerate().skip(slot).find_map(|(i, user)| {
                    let user = user.as_ref()?;
                    let (start, end) = user.range_of(first, last)?;
                    Some((i, user.table.clone(), start, end))
                })
            };
            let Some((i, table, start, end)) = next else { return };
            table.zap_shared(start, end, keep_private);
            slot = i + 1;
        }
    }

    /// Takes write access from shared mappings of `[first, last]`, so that the next write is noticed (write-back).
    pub fn write_protect(&self, first: u64, last: u64) {
        let mut slot = 0;
        loop {
            let next = {
                let users = self.users.lock();
                users.slots.iter().enumerate().skip(slot).find_map(|(i, user)| {
                    let user = user.as_ref()?;
                    let (start, end) = user.range_of(first, last)?;
                    Some((i, user.table.clone(), start, end))
                })
            };
            let Some((i, table, start, end)) = next else { return };
            table.clean(start, end);
            slot = i + 1;
        }
    }

    /// Whether any address space maps the file.
    pub fn is_mapped(&self) -> bool {
        let users = self.users.lock();
        users.slots.len() > users.free.len()
    }
}

/// How pages of tmpfs are marked: they are always current.
const MEMORY_FLAGS: PageFlags = PageFlags(PageFlags::UPTODATE.0 | PageFlags::SWAP_BACKED.0);

impl User {
    /// The addresses at which pages `[first, last]` are mapped here.
    fn range_of(&self, first: u64, last: u64) -> Option<(usize, usize)> {
        let pages = ((self.end - self.start) >> PAGE_SHIFT) as u64;
        let low = first.saturating_sub(self.pgoff);
        let high = last.saturating_add(1).saturating_sub(self.pgoff).min(pages);
        let start = self.start + ((low.min(pages) as usize) << PAGE_SHIFT);
        let end = self.start + ((high as usize) << PAGE_SHIFT);
        (start < end).then_some((start, end))
    }
}

/// A VMA's entry in its mapping's list of users; leaves it when dropped.
pub(crate) struct MapLink {
    mapping: Arc<Mapping>,
    slot: usize,
}

impl MapLink {
    /// Enters `[start, end)` of an address space, which shows the file from page `pgoff` on.
    pub(crate) fn new(
        mapping: &Arc<Mapping>,
        table: &Arc<PageTable>,
        start: usize,
        end: usize,
        pgoff: u64,
    ) -> Result<Self> {
        let user = Some(User { table: table.clone(), start, end, pgoff });
        let mut users = mapping.users.lock();
        let slot = match users.free.pop() {
            Some(slot) => {
                if let Some(entry) = users.slots.get_mut(slot) {
                    *entry = user;
                }
                slot
            }
            None => {
                let slot = users.slots.len();
                // Room for its return to the free list is made now, so that leaving cannot fail.
                users.free.reserve(slot + 1, GFP_ATOMIC)?;
                users.slots.push(user, GFP_ATOMIC)?;
                slot
            }
        };
        drop(users);
        Ok(Self { mapping: mapping.clone(), slot })
    }

    /// Says that the VMA's bounds changed.
    pub(crate) fn update(&self, start: usize, end: usize, pgoff: u64) {
        let mut users = self.mapping.users.lock();
        if let Some(Some(user)) = users.slots.get_mut(self.slot) {
            (user.start, user.end, user.pgoff) = (start, end, pgoff);
        }
    }
}

impl Drop for MapLink {
    fn drop(&mut self) {
        let mut users = self.mapping.users.lock();
        let user = users.slots.get_mut(self.slot).and_then(Option::take);
        // There is room: `new` reserved as many as there are slots.
        let _ = users.free.push_within_capacity(self.slot);
        drop(users);
        // The address space's last reference must not go under the lock.
        drop(user);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let pages = *self.count.get_mut();
        for (_, page) in self.pages.get_mut().iter() {
            page.set_owner(0, 0);
        }
        self.forgot(pages);
    }
}
