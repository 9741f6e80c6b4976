// SPDX-License-Identifier: GPL-2.0
//! Faults that find an entry of swap space. A page that is still in the swap cache is mapped at once; another is read in, with those
//! around it in swap space that are wanted too: what left memory together is likely to be wanted together.

use super::cache::{area_of, make_private, place_of};
use super::{Area, area, is_scarce};
use crate::fault::FaultSignal;
use crate::io::ReadRun;
use crate::mm_struct::Mm;
use crate::page_lock::{lock_page, try_lock_page, unlock_page};
use crate::vma::Vma;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::Result;
use kalloc::flags::{__GFP_NORETRY, __GFP_NOWARN, GFP_HIGHUSER_MOVABLE, GFP_KERNEL, GFP_NOWAIT};
use kalloc::{Flags, KVec};
use mm_alloc::stat::{self, Item};
use mm_alloc::{Page, PageFlags};
use swap_map::Cache;
use x86_mm::swap::SwapEntry;

/// `vm.page-cluster`: the binary logarithm of the number of pages that are read together.
pub static PAGE_CLUSTER: AtomicU32 = AtomicU32::new(3);
/// More than this is never read together.
const MOST_TOGETHER: u32 = 5;

type Fault<T = bool> = core::result::Result<T, FaultSignal>;

impl Mm {
    /// Brings back the page of `addr`, whose entry is `entry`. `Ok(true)`: it was read. If the entry changed meanwhile the program faults
    /// again. The address space's lock is held, shared is enough. May sleep.
    #[cold]
    #[inline(never)]
    pub(crate) fn swap_fault(&self, vma: &Vma, addr: usize, entry: SwapEntry, write: bool) -> Fault {
        let Some(area) = area(entry.area) else { return Ok(false) };
        let Some((page, major)) = area.bring_in(entry.offset, true)? else { return Ok(false) };
        if !major && page.clear(PageFlags::READAHEAD) {
            stat::add(Item::SwapRaHit, 1);
        }
        let mapped = self.map_back(vma, addr, entry, &page);
        unlock_page(&page);
        if !mapped? {
            return Ok(major);
        }
        if write || is_scarce() {
            // Its place is kept for others, or until memory is short, unless it is to change.
            make_private(&page);
        }
        drop(page);
        if write { self.write_private(vma, addr).map(|_| major) } else { self.check_stable().map(|_| major) }
    }

    /// Maps the locked page; false if the entry changed.
    fn map_back(&self, vma: &Vma, addr: usize, entry: SwapEntry, page: &Page) -> Fault {
        // The area may be another than it was looked for in: one of the same number.
        let Some(area) = area_of(page).filter(|_| place_of(page) == Some(entry)) else { return Ok(false) };
        if !page.has(PageFlags::UPTODATE) {
            return Err(FaultSignal::BusError);
        }
        let prot = vma.flags.prot().read_only();
        if !self.table.map_swapped(addr, entry, page.clone(), prot) {
            return Ok(false);
        }
        // The page is in the cache and locked: it stays.
        area.map.put(entry.offset);
        self.note_anon(vma);
        page.mark_accessed();
        Ok(true)
    }
}

impl Area {
    /// The page at `offset`, locked, with its contents or without (it cannot be read), and whether it was read just now. `None`: nobody
    /// names the place any more. With `around` neighbours are read too; that one of them cannot be read is no matter of this one. ENOMEM.
    /// May sleep.
    pub(super) fn bring_in(&self, offset: u64, around: bool) -> Result<Option<(Page, bool)>> {
        let mut read = false;
        // Read without its neighbours: if that failed it cannot be read.
        let mut alone = false;
        loop {
            let page = match self.find(offset) {
                Some(page) => page,
                None => match self.fresh(offset, GFP_HIGHUSER_MOVABLE)? {
                    Fresh::Unused => return Ok(None),
                    Fresh::Busy => {
                        // Somebody is just putting it in or taking it out, and may need this CPU for that.
                        ktime::sleep::sleep_ns(100_000);
                        continue;
                    }
                    Fresh::New(page) => {
                        (read, alone) = (true, !around);
                        if around {
                            self.read_around(offset, page.clone());
                        } else {
                            self.read_run(offset, &mut KVec::new(), page.clone());
                        }
                        page
                    }
                },
            };
            lock_page(&page);
            let here = place_of(&page) == Some(SwapEntry { area: self.number, offset });
            if here && (page.has(PageFlags::UPTODATE) || alone) {
                return Ok(Some((page, read)));
            }
            if here {
                // It could not be read with others: once more, alone.
                (read, alone) = (true, true);
                page.clear(PageFlags::ERROR);
                self.read_run(offset, &mut KVec::new(), page.clone());
                continue;
            }
            unlock_page(&page);
        }
    }

    /// A new locked page in the cache at `offset`, to be read.
    fn fresh(&self, offset: u64, flags: Flags) -> Result<Fresh> {
        let page = Page::alloc(flags)?;
        match self.map.enter_cache(offset) {
            Cache::Unused => return Ok(Fresh::Unused),
            Cache::Busy => return Ok(Fresh::Busy),
            Cache::Entered => {}
        }
        // New, so nobody holds its lock.
        try_lock_page(&page);
        if let Err(error) = self.add(offset, &page, flags) {
            self.map.leave_cache(offset);
            return Err(error);
        }
        Ok(Fresh::New(page))
    }

    /// Reads `page` and those of its neighbours that somebody wants and that are not here.
    fn read_around(&self, offset: u64, page: Page) {
        let cluster = 1u64 << PAGE_CLUSTER.load(Ordering::Relaxed).min(MOST_TOGETHER);
        let first = (offset & !(cluster - 1)).max(1);
        let end = (offset | (cluster - 1)).saturating_add(1).min(self.map.len());
        let _plug = task_io::Plug::start();
        let mut run: KVec<Page> = KVec::new();
        let mut start = first;
        // Nobody waits for memory while the wanted page is not under way.
        let flags = GFP_NOWAIT | __GFP_NOWARN;
        let mut wanted = Some(page);
        for at in first..end {
            let next = if at == offset {
                wanted.take()
            } else if self.map.count(at) == 0 || self.find(at).is_some() {
                None
            } else {
                match self.fresh(at, flags) {
                    Ok(Fresh::New(page)) => {
                        page.set(PageFlags::READAHEAD);
                        stat::add(Item::SwapRa, 1);
                        Some(page)
                    }
                    _ => None,
                }
            };
            match next {
                Some(page) => {
                    if run.is_empty() {
                        start = at;
                    }
                    self.push(&mut run, &mut start, at, page);
                }
                None => self.submit(start, core::mem::take(&mut run)),
            }
        }
        self.submit(start, run);
    }

    /// Begins to read a page that nobody waits for, if it is not here.
    pub(super) fn read_ahead(&self, offset: u64) {
        let flags = GFP_HIGHUSER_MOVABLE | __GFP_NORETRY | __GFP_NOWARN;
        if self.find(offset).is_none()
            && let Ok(Fresh::New(page)) = self.fresh(offset, flags)
        {
            self.read_run(offset, &mut KVec::new(), page);
        }
    }

    /// Adds a page to a run of pages to be read.
    fn push(&self, run: &mut KVec<Page>, start: &mut u64, at: u64, page: Page) {
        if run.reserve(1, GFP_KERNEL).is_err() {
            // Without contents; whoever wants it reads it.
            self.submit(*start, core::mem::take(run));
            unlock_page(&page);
            *start = at + 1;
            return;
        }
        // There is room.
        let _ = run.push_within_capacity(page);
    }

    fn read_run(&self, offset: u64, run: &mut KVec<Page>, page: Page) {
        let mut start = offset;
        self.push(run, &mut start, offset, page);
        self.submit(start, core::mem::take(run));
    }

    fn submit(&self, first: u64, pages: KVec<Page>) {
        if !pages.is_empty() {
            stat::add(Item::PswpIn, pages.len() as i64);
            self.io.read(ReadRun::new(first, pages, false));
        }
    }
}

/// What [`Area::fresh`] found.
enum Fresh {
    New(Page),
    /// Nobody names the place.
    Unused,
    /// It is in the cache, or on its way in or out.
    Busy,
}
