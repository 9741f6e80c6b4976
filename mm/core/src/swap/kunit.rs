// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: an area in memory, and address spaces that nobody runs in.

#[macros::kunit_tests(swap)]
mod tests {
    use crate::exec::ExecLayout;
    use crate::fault::FaultSignal;
    use crate::flags::Prot;
    use crate::huge::HugeMode;
    use crate::io::ReadRun;
    use crate::mapping::Mapping;
    use crate::mm_struct::Mm;
    use crate::mmap::MapArgs;
    use crate::swap::out::go_round;
    use crate::swap::{Area, SwapIo, SwapWrite, empty, madvise, shmem, write};
    use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    use errno::{Result, code::*};
    use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
    use kalloc::{Arc, KBox, KVec};
    use locking::SpinLock;
    use mm_alloc::Page;
    use mm_alloc::layout::{PAGE_SIZE, PMD_SIZE};
    use swap_map::SlotMap;
    use x86_mm::Kind;
    use x86_mm::huge::Room;

    const PAGES: usize = 64;

    /// What is on the device.
    struct Store {
        pages: SpinLock<containers::XArray<Page>>,
        broken: AtomicBool,
        /// A place that cannot be read.
        bad: AtomicU64,
        reads: AtomicUsize,
    }

    struct Device(Arc<Store>);

    impl SwapIo for Device {
        fn read(&self, run: ReadRun) {
            let first = run.first();
            let Ok(io) = run.start() else { return };
            self.0.reads.fetch_add(io.pages().len(), Ordering::Relaxed);
            for (i, page) in io.pages().iter().enumerate() {
                let place = first + i as u64;
                let bad = self.0.bad.load(Ordering::Relaxed) == place;
                match self.0.pages.lock().load(place) {
                    Some(there) if !bad && !self.0.broken.load(Ordering::Relaxed) => page.copy_from(there),
                    _ => io.fail(EIO),
                }
            }
        }

        fn write(&self, run: SwapWrite) {
            run.begin();
            for (i, page) in run.pages().iter().enumerate() {
                let stored = Page::alloc(GFP_KERNEL).and_then(|copy| {
                    copy.copy_from(page);
                    Ok(self.0.pages.lock().store(run.first() + i as u64, copy, GFP_ATOMIC)?)
                });
                if stored.is_err() || self.0.broken.load(Ordering::Relaxed) {
                    run.fail(EIO);
                }
            }
        }

        fn id(&self) -> usize {
            Arc::as_ptr(&self.0).addr()
        }
    }

    fn area() -> Result<(Arc<Area>, Arc<Store>)> {
        let store = Store {
            pages: SpinLock::new(containers::XArray::new()),
            broken: AtomicBool::new(false),
            bad: AtomicU64::new(u64::MAX),
            reads: AtomicUsize::new(0),
        };
        let store = Arc::new(store, GFP_KERNEL)?;
        let map = SlotMap::new(PAGES * 2, core::iter::empty())?;
        let device = KBox::new(Device(store.clone()), GFP_KERNEL)?;
        Ok((Area::enable(map, device, Some(9))?, store))
    }

    fn space() -> Result<(Arc<Mm>, usize)> {
        let mm = Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })?;
        let flags = uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS;
        let at = mm.mmap(MapArgs { addr: 0, len: PAGES * PAGE_SIZE, prot: Prot::RW, flags, file: None, pgoff: 0 })?;
        for page in 0..PAGES {
            assert!(set(&mm, at, page, page as u8 + 1));
        }
        Ok((mm, at))
    }

    fn byte(mm: &Mm, at: usize, page: usize) -> Option<u8> {
        let mut one = [0u8];
        (mm.read(at + page * PAGE_SIZE + 77, &mut one, false) == 1).then_some(one[0])
    }

    fn set(mm: &Mm, at: usize, page: usize, value: u8) -> bool {
        mm.write(at + page * PAGE_SIZE + 77, &[value], false) == 1
    }

    fn out(mm: &Arc<Mm>, at: usize) -> Result {
        madvise(mm, at, PAGES * PAGE_SIZE, uapi::MADV_PAGEOUT)
    }

    fn close(area: &Area) -> Result {
        area.close();
        empty(area)?;
        area.retire();
        assert_eq!(area.map().used(), 0);
        Ok(())
    }

    #[test]
    fn pages_leave_and_come_back() -> Result {
        let (area, store) = area()?;
        let (mm, at) = space()?;
        out(&mm, at)?;
        assert_eq!((mm.table.rss(Kind::Anon), mm.table.rss(Kind::Swap)), (0, PAGES));
        assert_eq!(area.map().used(), PAGES as u64);
        for page in 0..PAGES {
            assert_eq!(byte(&mm, at, page), Some(page as u8 + 1));
        }
        assert!(store.reads.load(Ordering::Relaxed) >= PAGES);
        assert_eq!((mm.table.rss(Kind::Anon), mm.table.rss(Kind::Swap)), (PAGES, 0));
        assert!(set(&mm, at, 3, 99));
        out(&mm, at)?;
        assert_eq!(byte(&mm, at, 3), Some(99));
        mm.munmap(at, PAGES * PAGE_SIZE)?;
        assert_eq!(mm.table.rss(Kind::Swap), 0);
        close(&area)
    }

    #[test]
    fn what_comes_back_has_its_key() -> Result {
        const RW: u32 = uapi::PROT_READ | uapi::PROT_WRITE;
        let (area, _) = area()?;
        let (mm, at) = space()?;
        let key = mm.inner.write().keys.take();
        if let Some(key) = key.filter(|_| x86_cpu::cpuid::features().pku) {
            mm.pkey_mprotect(at, 8 * PAGE_SIZE, RW, Some(key.into()))?;
            out(&mm, at)?;
            assert_eq!(mm.table.rss(Kind::Swap), PAGES);
            // Changed while it is away.
            mm.pkey_mprotect(at, PAGE_SIZE, RW, Some(0))?;
            assert_eq!([0, 1, 8].map(|page| byte(&mm, at, page)), [Some(1), Some(2), Some(9)]);
            assert!(set(&mm, at, 2, 99));
            let keys = [0, 1, 2, 8].map(|page| mm.table.query(at + page * PAGE_SIZE).key());
            assert_eq!(keys, [0, key, key, 0]);
        }
        mm.munmap(at, PAGES * PAGE_SIZE)?;
        close(&area)
    }

    #[test]
    fn children_share_until_they_write() -> Result {
        let (area, _) = area()?;
        let (mm, at) = space()?;
        out(&mm, at)?;
        let child = mm.fork()?;
        assert_eq!(child.table.rss(Kind::Swap), PAGES);
        assert!(set(&child, at, 0, 200) && set(&mm, at, 1, 201));
        assert_eq!((byte(&mm, at, 0), byte(&child, at, 0)), (Some(1), Some(200)));
        assert_eq!((byte(&mm, at, 1), byte(&child, at, 1)), (Some(201), Some(2)));
        drop(mm);
        for page in 1..PAGES {
            assert_eq!(byte(&child, at, page), Some(page as u8 + 1));
        }
        drop(child);
        close(&area)
    }

    #[test]
    fn a_huge_page_leaves_page_by_page() -> Result {
        if !x86_mm::huge::ENABLED {
            kunit::kunit_skip!("no huge pages");
        }
        let mm = Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })?;
        let (len, flags) = (2 * PMD_SIZE, uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS);
        let at = mm.mmap(MapArgs { addr: 0, len, prot: Prot::RW, flags, file: None, pgoff: 0 })?;
        mm.madvise(at, len, uapi::MADV_HUGEPAGE)?;
        let (at, all) = (at.next_multiple_of(PMD_SIZE), PMD_SIZE / PAGE_SIZE);
        let before = HugeMode::get();
        HugeMode::Madvise.set()?;
        let written = (0..all).all(|page| set(&mm, at, page, page as u8));
        before.set()?;
        assert!(written);
        if mm.table.room(at) != Room::Huge {
            kunit::kunit_skip!("no 2 MB in one piece");
        }
        let (area, _) = area()?;
        out(&mm, at + 9 * PAGE_SIZE)?;
        assert_eq!((mm.table.rss(Kind::Anon), mm.table.rss(Kind::Swap)), (all - PAGES, PAGES));
        assert_eq!(mm.table.room(at), Room::Table);
        assert!((0..all).all(|page| byte(&mm, at, page) == Some(page as u8)));
        // What is away comes back first where all is to be in one piece again.
        out(&mm, at + 100 * PAGE_SIZE)?;
        match madvise(&mm, at, PMD_SIZE, uapi::MADV_COLLAPSE) {
            // Others took what there was.
            Err(ENOMEM) => {}
            result => {
                result?;
                assert_eq!((mm.table.room(at), mm.table.rss(Kind::Swap)), (Room::Huge, 0));
            }
        }
        assert!((0..all).all(|page| byte(&mm, at, page) == Some(page as u8)));
        // The clock's hand takes a child's pages one by one, of which the parent's stay mapped at once.
        let (child, other) = (mm.fork()?, mm.fork()?);
        go_round(&child, 3);
        assert!(child.table.rss(Kind::Swap) != 0 && mm.table.rss(Kind::Anon) == all);
        assert!(set(&mm, at, 1, 100) && set(&child, at, 2, 200));
        assert_eq!((byte(&mm, at, 1), byte(&child, at, 1)), (Some(100), Some(1)));
        assert_eq!((byte(&mm, at, 2), byte(&child, at, 2)), (Some(2), Some(200)));
        drop((mm, other));
        assert!((3..all).all(|page| byte(&child, at, page) == Some(page as u8)));
        drop(child);
        close(&area)
    }

    #[test]
    fn an_area_is_emptied() -> Result {
        let (area, _) = area()?;
        let (mm, at) = space()?;
        out(&mm, at)?;
        let child = mm.fork()?;
        close(&area)?;
        assert_eq!((mm.table.rss(Kind::Swap), child.table.rss(Kind::Swap)), (0, 0));
        for page in 0..PAGES {
            assert_eq!((byte(&mm, at, page), byte(&child, at, page)), (Some(page as u8 + 1), Some(page as u8 + 1)));
        }
        assert!(set(&child, at, 5, 77));
        assert_eq!(byte(&mm, at, 5), Some(6));
        Ok(())
    }

    #[test]
    fn what_is_not_needed_takes_no_place() -> Result {
        let (area, store) = area()?;
        let (mm, at) = space()?;
        let free = |mm: &Arc<Mm>, from: usize, count: usize| {
            madvise(mm, at + from * PAGE_SIZE, count * PAGE_SIZE, uapi::MADV_FREE)
        };
        out(&mm, at)?;
        free(&mm, 0, 8)?;
        assert_eq!((mm.table.rss(Kind::Swap), area.map().used()), (PAGES - 8, PAGES as u64 - 8));
        // What came back gives its place up, but not what a child has there.
        assert_eq!([0, 7, 8, 9].map(|page| byte(&mm, at, page)), [Some(0), Some(0), Some(9), Some(10)]);
        let child = mm.fork()?;
        assert_eq!(byte(&mm, at, 20), Some(21));
        free(&mm, 8, PAGES - 8)?;
        assert_eq!((mm.table.rss(Kind::Swap), byte(&child, at, 20)), (0, Some(21)));
        mm.drop_lazy_once();
        for page in 8..PAGES {
            assert_eq!(byte(&child, at, page), Some(page as u8 + 1));
        }
        drop(child);
        // It is dropped, not written.
        for page in 0..PAGES {
            assert!(set(&mm, at, page, 5));
        }
        free(&mm, 0, 32)?;
        assert!(set(&mm, at, 3, 6));
        let reads = store.reads.load(Ordering::Relaxed);
        out(&mm, at)?;
        assert_eq!((mm.table.rss(Kind::Anon), mm.table.rss(Kind::Swap)), (0, PAGES - 31));
        assert_eq!([0, 3, 31].map(|page| byte(&mm, at, page)), [Some(0), Some(6), Some(0)]);
        assert!(store.reads.load(Ordering::Relaxed) > reads);
        assert_eq!(byte(&mm, at, 32), Some(5));
        drop(mm);
        close(&area)
    }

    #[test]
    fn errors_lose_nothing_that_is_in_memory() -> Result {
        let (area, store) = area()?;
        let (mm, at) = space()?;
        store.broken.store(true, Ordering::Relaxed);
        out(&mm, at)?;
        // What could not be written is still there.
        for page in 0..PAGES {
            assert_eq!(byte(&mm, at, page), Some(page as u8 + 1));
        }
        store.broken.store(false, Ordering::Relaxed);
        for page in 0..PAGES {
            assert!(set(&mm, at, page, 9));
        }
        out(&mm, at)?;
        store.broken.store(true, Ordering::Relaxed);
        // What cannot be read is an error, not other bytes.
        assert_eq!(byte(&mm, at, 7), None);
        store.broken.store(false, Ordering::Relaxed);
        assert_eq!(byte(&mm, at, 7), Some(9));
        drop(mm);
        close(&area)
    }

    #[test]
    fn a_bad_page_hurts_itself_alone() -> Result {
        let (area, store) = area()?;
        let (mm, at) = space()?;
        out(&mm, at)?;
        let place = mm.table.query(at + 9 * PAGE_SIZE).swap().ok_or(ENOENT)?;
        store.bad.store(place.offset, Ordering::Relaxed);
        // A page beside it is read with it.
        assert_eq!(mm.handle(at + 8 * PAGE_SIZE, false, false, false), Ok(true));
        for page in 0..PAGES {
            assert_eq!(byte(&mm, at, page), (page != 9).then_some(page as u8 + 1));
        }
        // And again, though a page without contents is in the cache.
        for write in [false, true] {
            assert_eq!(mm.handle(at + 9 * PAGE_SIZE, write, false, false), Err(FaultSignal::BusError));
        }
        store.bad.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(byte(&mm, at, 9), Some(10));
        drop(mm);
        close(&area)
    }

    fn file() -> Result<Arc<Mapping>> {
        let file = crate::shmem::anon_shared((PAGES * PAGE_SIZE) as u64)?;
        let mapping = file.mapping().cloned().ok_or(EINVAL)?;
        for page in 0..PAGES {
            mapping.get_or_read(page as u64)?.write(77, &[page as u8 + 1])?;
        }
        Ok(mapping)
    }

    fn file_out(mapping: &Arc<Mapping>) -> Result {
        let mut pages = KVec::new();
        for page in 0..PAGES {
            if let Some(page) = shmem::force_out(mapping, page as u64) {
                pages.push(page, GFP_KERNEL)?;
            }
        }
        write::start(pages);
        Ok(())
    }

    fn file_byte(mapping: &Arc<Mapping>, page: usize) -> Result<Option<u8>> {
        let mut one = [0u8];
        let Some(page) = mapping.present(page as u64)? else { return Ok(None) };
        page.read(77, &mut one)?;
        Ok(Some(one[0]))
    }

    #[test]
    fn files_in_memory_leave_and_come_back() -> Result {
        let (area, store) = area()?;
        let mapping = file()?;
        file_out(&mapping)?;
        assert_eq!((mapping.page_count(), mapping.swapped_count()), (PAGES, PAGES));
        assert_eq!(area.map().used(), PAGES as u64);
        assert!(mapping.get(3).is_none());
        // Nothing may be put where a page is in swap space.
        assert!(!mapping.preallocate(4)?);
        // A fault that reads is a major one; the next finds the page.
        assert!(mapping.page_for_fault(5)?.1 && !mapping.page_for_fault(5)?.1);
        file_out(&mapping)?;
        for page in 0..PAGES {
            assert_eq!(file_byte(&mapping, page)?, Some(page as u8 + 1));
        }
        assert!(store.reads.load(Ordering::Relaxed) >= PAGES);
        assert_eq!((mapping.page_count(), mapping.swapped_count(), area.map().used()), (PAGES, 0, 0));
        file_out(&mapping)?;
        // Page 16 is cut in its middle: it comes back for that.
        mapping.truncate((16 * PAGE_SIZE + 70) as u64);
        assert_eq!((mapping.page_count(), mapping.swapped_count()), (17, 16));
        assert_eq!(
            (file_byte(&mapping, 15)?, file_byte(&mapping, 16)?, file_byte(&mapping, 17)?),
            (Some(16), Some(0), None)
        );
        mapping.punch(0, (2 * PAGE_SIZE) as u64);
        assert_eq!((mapping.page_count(), file_byte(&mapping, 1)?, file_byte(&mapping, 2)?), (15, None, Some(3)));
        drop(mapping);
        assert_eq!(area.map().used(), 0);
        close(&area)
    }

    #[test]
    fn an_area_with_pages_of_files_is_emptied() -> Result {
        let (area, _) = area()?;
        let mapping = file()?;
        file_out(&mapping)?;
        close(&area)?;
        assert_eq!(mapping.swapped_count(), 0);
        for page in 0..PAGES {
            assert_eq!(file_byte(&mapping, page)?, Some(page as u8 + 1));
        }
        Ok(())
    }

    #[test]
    fn moved_memory_keeps_its_pages() -> Result {
        let (area, _) = area()?;
        let (mm, at) = space()?;
        out(&mm, at)?;
        let len = PAGES * PAGE_SIZE;
        let to = mm.mremap(at, len, len * 2, uapi::MREMAP_MAYMOVE, 0)?;
        for page in 0..PAGES {
            assert_eq!(byte(&mm, to, page), Some(page as u8 + 1));
        }
        drop(mm);
        close(&area)
    }
}
