// SPDX-License-Identifier: GPL-2.0
//! Pages leave a file: cut off, punched out, or dropped because they are clean and nobody has them. Locks: as in the module above.

use super::Mapping;
use crate::page_lock::{lock_page, try_lock_page, unlock_page, wait_writeback};
use crate::page_tree::There;
use core::sync::atomic::Ordering;
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags, lru};

impl Mapping {
    /// Makes the file `size` bytes long, dropping pages beyond and clearing the rest of the last one. The file system's lock on
    /// the inode is held, for a file on a device also [`Mapping::invalidate_lock`] until its blocks are freed. Waits for
    /// write-back of what goes. May sleep.
    pub fn truncate(&self, size: u64) {
        let old = self.size.swap(size, Ordering::AcqRel);
        // A file in memory may have pages beyond its end (`fallocate`), which go even if the end stays where it is.
        if size > old || size == old && !self.memory {
            return;
        }
        // Whoever puts a page in looks at the size under this lock (`page_for_fault`): from here on they see the new one.
        drop(self.pages.lock());
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

    /// Drops those of the pages `[first, last]` that are only kept for the file ([`Mapping::preallocate`]): nobody has used them.
    pub fn forget_kept(&self, first: u64, last: u64) {
        let mut from = first;
        while from <= last {
            let mut found = None;
            self.pages.each(from, last, None, |index, page| {
                if !page.has(PageFlags::UPTODATE) {
                    found = Some((index, page));
                }
                found.is_none()
            });
            let Some((index, page)) = found else { return };
            let mut tree = self.pages.lock();
            // It may be used since.
            if tree.holds(index, &page) && !page.has(PageFlags::UPTODATE) {
                page.set(PageFlags::TRUNCATED);
                drop(tree.erase(index));
                drop(tree);
                self.forgot(1);
            }
            from = index.saturating_add(1);
        }
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
            lru::remove(page);
        }
        unlock_page(page);
        ours
    }

    /// Drops the clean pages of `[first, last]` that nobody uses (`POSIX_FADV_DONTNEED`, `drop_caches`); how many. May sleep, but
    /// waits for nobody.
    pub fn drop_clean(&self, first: u64, last: u64) -> usize {
        let (mut from, mut dropped) = (first, 0);
        // A file system asks for each block of metadata that it writes past the device's pages.
        if self.memory || self.page_count() == 0 {
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

    /// Drops those of the pages `[first, last]` that are clean, from every address space, too: what they hold is old, since somebody wrote
    /// past the cache. Reading and write-back that are going on are waited for. What was made dirty meanwhile stays, as does what somebody
    /// is about to change. [`Mapping::invalidate_lock`] is held. May sleep.
    pub fn drop_old(&self, first: u64, last: u64) {
        let mut from = Some(first).filter(|_| !self.memory && self.page_count() != 0);
        while let Some(start) = from.filter(|start| *start <= last) {
            let mut found = None;
            self.pages.each(start, last, None, |index, page| {
                found = Some((index, page));
                false
            });
            let Some((index, page)) = found else { return };
            lock_page(&page);
            wait_writeback(&page);
            if !page.has(PageFlags::DIRTY) {
                self.unmap(index, index, true);
            }
            let dropped = self.drop_locked(index, &page);
            unlock_page(&page);
            if dropped {
                self.forgot(1);
            }
            from = index.checked_add(1);
        }
    }

    /// Drops one page if it is clean and nobody but the cache and the caller has it.
    pub(crate) fn drop_page(&self, index: u64, page: &Page) -> bool {
        if is_busy(page) || !try_lock_page(page) {
            return false;
        }
        let dropped = self.drop_locked(index, page);
        unlock_page(page);
        if dropped {
            self.forgot(1);
        }
        dropped
    }

    fn drop_locked(&self, index: u64, page: &Page) -> bool {
        // A first look, so that a page in use does not lose its place on its list.
        if is_busy(page) || page.ref_count() > UNUSED + u32::from(page.has(PageFlags::LRU)) {
            return false;
        }
        if !self.ops.release_page(index, page) {
            return false;
        }
        // Off its list first: the number of references to expect is the same then, whoever takes it off its list meanwhile. One who
        // has it off the list already has a reference, and keeps the page.
        let listed = lru::take(page).map(|(own, which)| {
            drop(own);
            which
        });
        let dropped = self.drop_unlisted(index, page);
        if let Some(which) = listed.filter(|_| !dropped) {
            lru::put_back(page.clone(), which);
        }
        dropped
    }

    fn drop_unlisted(&self, index: u64, page: &Page) -> bool {
        let mut tree = self.pages.lock();
        if !tree.holds(index, page) {
            return false;
        }
        // Frozen: nobody can find it any more. Dirty after all: somebody had it until just now.
        let Some(mut frozen) = page.freeze(UNUSED).filter(|_| !is_busy(page)) else { return false };
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

/// The cache's reference and the caller's.
const UNUSED: u32 = 2;

/// Whether something is still to be done with the page, or it left its file.
fn is_busy(page: &Page) -> bool {
    page.has(PageFlags::DIRTY) || page.has(PageFlags::WRITEBACK) || page.has(PageFlags::TRUNCATED)
}

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
                lru::remove(&page);
            }
            page.set_owner(0, 0);
            pages += 1;
        }
        self.forgot(pages);
    }
}
