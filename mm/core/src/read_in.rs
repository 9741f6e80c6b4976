// SPDX-License-Identifier: GPL-2.0
//! Reading pages of files on devices into the cache.

use crate::io::ReadRun;
use crate::mapping::Mapping;
use crate::page_lock::{lock_page, try_lock_page, unlock_page, wait_unlocked_killable};
use errno::{Result, code::*};
use kalloc::flags::{__GFP_MOVABLE, GFP_HIGHUSER_MOVABLE, GFP_KERNEL};
use kalloc::{Flags, KVec};
use mm_alloc::{Page, PageFlags};

impl Mapping {
    /// The page `index`, up to date: read in alone if it is not there. EIO, ENOMEM, `ERESTARTSYS` (a fatal signal). May sleep.
    pub(crate) fn read_one(&self, index: u64) -> Result<Page> {
        let mut tried = false;
        loop {
            let page = match self.find(index) {
                Some(page) => page,
                None => {
                    tried = true;
                    match self.start_read(index)? {
                        Some(page) => page,
                        None => continue,
                    }
                }
            };
            wait_unlocked_killable(&page)?;
            if page.has(PageFlags::UPTODATE) {
                return Ok(page);
            }
            if page.has(PageFlags::TRUNCATED) {
                continue;
            }
            if tried {
                return Err(EIO);
            }
            // It could not be read ahead, or with others: once more, alone.
            tried = true;
            self.read_again(index, &page)?;
        }
    }

    /// Puts a new page at `index` and starts reading it. `None`: another was there first.
    fn start_read(&self, index: u64) -> Result<Option<Page>> {
        let _stays = self.invalidate_shared();
        let page = Page::alloc(GFP_HIGHUSER_MOVABLE)?;
        // New, so nobody holds its lock.
        try_lock_page(&page);
        if self.add(index, &page)?.is_some() {
            return Ok(None);
        }
        self.submit_read(index, page.clone());
        Ok(Some(page))
    }

    fn read_again(&self, index: u64, page: &Page) -> Result {
        let _stays = self.invalidate_shared();
        lock_page(page);
        if page.has(PageFlags::UPTODATE) || page.has(PageFlags::TRUNCATED) {
            unlock_page(page);
            return Ok(());
        }
        page.clear(PageFlags::ERROR);
        self.submit_read(index, page.clone());
        Ok(())
    }

    fn submit_read(&self, index: u64, page: Page) {
        let mut pages = KVec::new();
        match pages.push(page.clone(), GFP_KERNEL) {
            Ok(()) => self.ops().read_pages(self, ReadRun::new(index, pages, false)),
            Err(_) => unlock_page(&page),
        }
    }

    /// Starts reading those of the pages `[first, first + count)` that are not cached; the page `mark` (if it is new) will ask for
    /// more when it is reached. Ends early where memory ends. Returns how many were started.
    pub(crate) fn read_new(&self, first: u64, count: u64, mark: Option<u64>, ahead: bool, flags: Flags) -> u64 {
        let _stays = self.invalidate_shared();
        let mut started = 0;
        let mut at = first;
        let end = first.saturating_add(count);
        while at < end {
            let mut run = KVec::new();
            let begin = at;
            let mut stop = false;
            while at < end {
                if self.find(at).is_some() {
                    break;
                }
                let fresh = self.fresh(at, mark == Some(at), flags);
                let Ok(Some(page)) = fresh else {
                    stop = fresh.is_err();
                    break;
                };
                at += 1;
                if run.push(page.clone(), flags).is_err() {
                    // In the cache without data: whoever wants it reads it.
                    unlock_page(&page);
                    stop = true;
                    break;
                }
            }
            started += run.len() as u64;
            if !run.is_empty() {
                self.ops().read_pages(self, ReadRun::new(begin, run, ahead));
            } else if !stop {
                at += 1;
            }
            if stop {
                break;
            }
        }
        started
    }

    /// A new locked page in the cache; `None` if one is there.
    fn fresh(&self, index: u64, mark: bool, flags: Flags) -> Result<Option<Page>> {
        let page = Page::alloc(flags | __GFP_MOVABLE)?;
        try_lock_page(&page);
        if mark {
            page.set(PageFlags::READAHEAD);
        }
        Ok(self.add(index, &page)?.is_none().then_some(page))
    }
}
