// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: references to pages that leave, room that a file was promised, faults beyond its end, what is read ahead, and
//! locked memory.

#[macros::kunit_tests(mm_pages)]
mod tests {
    use crate::bdi::BackingDev;
    use crate::exec::ExecLayout;
    use crate::fault::FaultSignal;
    use crate::file::VmFile;
    use crate::flags::Prot;
    use crate::kunit_file::{Numbered, Open, Shown};
    use crate::mapping::{Mapping, MappingOps};
    use crate::mm_struct::Mm;
    use crate::mmap::MapArgs;
    use crate::proc::SmapsInfo;
    use crate::readahead::Readahead;
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use errno::{Result, code::*};
    use kalloc::flags::GFP_KERNEL;
    use kalloc::{Arc, KBox};
    use mm_alloc::layout::PAGE_SIZE;
    use mm_alloc::{Page, PageFlags, lru};
    use sync::Completion;
    use x86_mm::Kind;

    const PAGES: usize = 64;
    const LEN: usize = PAGES * PAGE_SIZE;

    /// Pages in memory, of which there may be `0` more.
    struct Limited(Arc<AtomicU64>);
    impl MappingOps for Limited {
        fn is_memory(&self) -> bool {
            true
        }
        fn charge(&self, pages: u64) -> Result {
            self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(pages)).map(drop).map_err(|_| ENOSPC)
        }
        fn uncharge(&self, pages: u64) {
            self.0.fetch_add(pages, Relaxed);
        }
    }

    fn disk() -> Result<Arc<Mapping>> {
        Mapping::new_on(KBox::new(Numbered, GFP_KERNEL)?, LEN as u64, &BackingDev::new(16, 8)?)
    }

    fn limited(room: u64) -> Result<(Arc<Mapping>, Arc<AtomicU64>)> {
        let left = Arc::new(AtomicU64::new(room), GFP_KERNEL)?;
        Ok((Mapping::new(KBox::new(Limited(left.clone()), GFP_KERNEL)?, LEN as u64)?, left))
    }

    fn space() -> Result<Arc<Mm>> {
        Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })
    }

    fn map(mm: &Mm, mapping: Option<&Arc<Mapping>>, prot: Prot, flags: u32) -> Result<usize> {
        let file = match mapping {
            Some(mapping) => {
                let file: Arc<dyn VmFile> = Arc::new(Open((mapping.clone(), Readahead::new())), GFP_KERNEL)?;
                Some(file)
            }
            None => None,
        };
        mm.mmap(MapArgs { addr: 0, len: LEN, prot, flags, file, pgoff: 0 })
    }

    fn byte(mm: &Mm, addr: usize) -> Option<u8> {
        let mut one = [0u8];
        (mm.read(addr, &mut one, true) == 1).then_some(one[0])
    }

    #[test]
    fn pages_of_all_lists_are_counted_and_found() -> Result {
        let total = || lru::len(lru::Which::Inactive) + lru::len(lru::Which::Active);
        let mapping = disk()?;
        for index in 0..PAGES as u64 {
            mapping.get_or_read(index)?;
        }
        assert!(total() >= PAGES);
        // Reclaim, which may have taken some for a moment, gives them back: nobody else has them off their lists for long.
        let mut batch = kalloc::KVec::with_capacity(2 * PAGES, GFP_KERNEL)?;
        lru::isolate(lru::Which::Inactive, PAGES, &mut batch);
        assert!(batch.len() <= PAGES && batch.iter().all(|page| !page.has(PageFlags::LRU)));
        let room = batch.capacity() - batch.len();
        lru::isolate(lru::Which::Inactive, usize::MAX, &mut batch);
        assert!(batch.len() <= batch.capacity() && room >= batch.capacity() - batch.len());
        for page in batch {
            lru::put_back(page, lru::Which::Inactive);
        }
        mapping.drop_clean(0, u64::MAX);
        assert_eq!(mapping.page_count(), 0);
        Ok(())
    }

    /// A file that counts what it hears of stores.
    struct Counted(Arc<Mapping>, AtomicU64);

    impl Shown for Counted {
        fn mapping(&self) -> Option<&Arc<Mapping>> {
            Some(&self.0)
        }

        fn stored(&self) {
            self.1.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_file_hears_of_stores_to_clean_pages() -> Result {
        let mm = space()?;
        let mapping = disk()?;
        let file = Arc::new(Open(Counted(mapping.clone(), AtomicU64::new(0))), GFP_KERNEL)?;
        let map = |flags| {
            let file: Arc<dyn VmFile> = file.clone();
            mm.mmap(MapArgs { addr: 0, len: LEN, prot: Prot::RW, flags, file: Some(file), pgoff: 0 })
        };
        let (shared, private) = (map(uapi::MAP_SHARED)?, map(uapi::MAP_PRIVATE)?);
        let store = |addr: usize| (mm.write(addr, &[7], false), file.0.1.load(Relaxed));
        assert_eq!(store(private), (1, 0));
        assert_eq!(store(shared), (1, 1));
        assert_eq!(store(shared + 1), (1, 1));
        assert_eq!(byte(&mm, shared + PAGE_SIZE), Some(2));
        assert_eq!(store(shared + PAGE_SIZE), (1, 2));
        mapping.truncate(0);
        Ok(())
    }

    #[test]
    fn a_page_that_a_reclaimer_has_is_kept() -> Result {
        let mapping = disk()?;
        let page = mapping.get_or_read(3)?;
        let Some((held, which)) = lru::take(&page) else { return Err(ENOENT) };
        assert!(!mapping.drop_page(3, &page));
        assert_eq!((page.ref_count(), page.has(PageFlags::LRU)), (3, false));
        lru::put_back(held, which);
        assert_eq!((page.ref_count(), page.has(PageFlags::LRU)), (3, true));
        // Another that has it keeps it too, and it stays on its list.
        let other = page.clone();
        assert!(!mapping.drop_page(3, &page));
        drop(other);
        assert!(page.has(PageFlags::LRU));
        assert!(mapping.drop_page(3, &page));
        assert_eq!((page.ref_count(), page.has(PageFlags::LRU), mapping.page_count()), (1, false, 0));
        // And who took it off its list to reclaim it has the list's reference as his own.
        let page = mapping.get_or_read(4)?;
        let Some((held, _)) = lru::take(&page) else { return Err(ENOENT) };
        drop(page);
        assert!(mapping.drop_page(4, &held));
        assert_eq!(held.ref_count(), 1);
        Ok(())
    }

    #[test]
    fn promised_room_is_there() -> Result {
        let (mapping, left) = limited(3)?;
        for index in [0, 1, 200] {
            assert!(mapping.preallocate(index)?);
        }
        assert_eq!(mapping.preallocate(5), Err(ENOSPC));
        assert!(!mapping.preallocate(200)?);
        // All ways to what was promised, with nothing left.
        mapping.get_or_read(0)?.write(0, &[1])?;
        mapping.add_new(1, Page::alloc_zeroed(GFP_KERNEL)?)?.write(0, &[1])?;
        mapping.get_or_read(200)?.write(0, &[1])?;
        assert_eq!(mapping.get_or_read(5).err(), Some(ENOSPC));
        assert_eq!(left.load(Relaxed), 0);
        // The end stays where it is, and what lies beyond goes.
        mapping.truncate(LEN as u64);
        assert_eq!((mapping.page_count(), left.load(Relaxed)), (2, 1));
        Ok(())
    }

    #[test]
    fn what_was_used_is_not_taken_back() -> Result {
        let (mapping, left) = limited(8)?;
        for index in 2..6 {
            assert!(mapping.preallocate(index)?);
        }
        mapping.get_or_read(4)?.write(0, &[9])?;
        mapping.forget_kept(0, 5);
        assert_eq!((mapping.page_count(), left.load(Relaxed)), (1, 7));
        assert!(mapping.get(4).is_some());
        Ok(())
    }

    #[test]
    fn a_fault_beyond_the_end_leaves_nothing() -> Result {
        let (mapping, left) = limited(8)?;
        let mm = space()?;
        let at = map(&mm, Some(&mapping), Prot::RW, uapi::MAP_SHARED)?;
        assert_eq!(mm.write(at + 2 * PAGE_SIZE, &[1], false), 1);
        mapping.truncate(PAGE_SIZE as u64);
        assert_eq!(byte(&mm, at + 2 * PAGE_SIZE), None);
        // A fault that looked at the size before the file was cut.
        assert_eq!(mapping.page_for_fault(2).err(), Some(EFAULT));
        assert_eq!((mapping.page_count(), left.load(Relaxed)), (0, 8));
        assert!(mapping.page_for_fault(0).is_ok_and(|(_, read)| !read));
        Ok(())
    }

    #[test]
    fn faults_that_read_are_major() -> Result {
        let (mapping, mm) = (disk()?, space()?);
        let at = map(&mm, Some(&mapping), Prot::RW, uapi::MAP_PRIVATE)?;
        mm.madvise(at, LEN, uapi::MADV_RANDOM)?;
        assert_eq!(mm.handle(at, false, false, false), Ok(true));
        assert_eq!(mm.handle(at + PAGE_SIZE, true, false, false), Ok(true));
        mapping.get_or_read(2)?;
        assert_eq!(mm.handle(at + 2 * PAGE_SIZE, true, false, false), Ok(false));
        let own = map(&mm, None, Prot::RW, uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS)?;
        assert_eq!(mm.handle(own, true, false, false), Ok(false));
        assert_eq!(mm.handle(own - 64 * LEN, true, false, false), Err(FaultSignal::MapError));
        Ok(())
    }

    #[test]
    fn the_mark_is_reached() -> Result {
        let (mapping, mm) = (disk()?, space()?);
        let at = map(&mm, Some(&mapping), Prot::RW, uapi::MAP_SHARED)?;
        mm.madvise(at, LEN, uapi::MADV_SEQUENTIAL)?;
        assert_eq!(byte(&mm, at), Some(1));
        let marked = |mapping: &Mapping| {
            (0..PAGES).find(|&i| mapping.find(i as u64).is_some_and(|page| page.has(PageFlags::READAHEAD)))
        };
        let mark = marked(&mapping).ok_or(ENOENT)?;
        let before = mapping.page_count();
        // Though all pages around it are mapped, it is not: so this reads on.
        assert_eq!(byte(&mm, at + (mark - 1) * PAGE_SIZE), Some(mark as u8));
        assert!(!mm.table.query(at + mark * PAGE_SIZE).is_present());
        assert_eq!(byte(&mm, at + mark * PAGE_SIZE), Some(mark as u8 + 1));
        assert!(mapping.page_count() > before);
        Ok(())
    }

    #[test]
    fn what_is_forced_has_a_bound() -> Result {
        let mapping = disk()?;
        mapping.read_forced(0, PAGES as u64);
        // The window is larger than the device's largest request.
        assert_eq!(mapping.page_count(), 16);
        Ok(())
    }

    #[test]
    fn a_debuggers_write_is_nobody_elses() -> Result {
        let mm = space()?;
        let at = map(&mm, None, Prot::RW, uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS)?;
        assert_eq!(mm.write(at, &[5], false), 1);
        mm.mprotect(at, LEN, uapi::PROT_READ)?;
        assert_eq!(mm.write(at, &[6], true), 1);
        let child = mm.fork()?;
        assert_eq!(mm.write(at, &[7], true), 1);
        assert_eq!((byte(&mm, at), byte(&child, at)), (Some(7), Some(6)));
        assert_eq!(child.write(at, &[8], true), 1);
        assert_eq!((byte(&mm, at), byte(&child, at)), (Some(7), Some(8)));
        Ok(())
    }

    #[test]
    fn locked_pages_of_files_stay() -> Result {
        let (mapping, mm) = (disk()?, space()?);
        let at = map(&mm, Some(&mapping), Prot::RW, uapi::MAP_SHARED)?;
        assert_eq!(byte(&mm, at), Some(1));
        let page = mapping.get(0).ok_or(ENOENT)?;
        assert!(!mapping.is_locked_at(0));
        {
            let mut inner = mm.inner.write();
            let lock = |vma: &crate::vma::Vma| Ok(vma.flags.with(crate::flags::VmFlags::LOCKED));
            mm.change_flags(&mut inner, at, at + PAGE_SIZE, false, lock)?;
        }
        assert!(mapping.is_locked_at(0) && !mapping.is_locked_at(1));
        // As reclaim has it: off its list, and not just used.
        let Some((held, _)) = lru::take(&page) else { return Err(ENOENT) };
        drop(page);
        let page = held;
        page.clear(PageFlags(PageFlags::REFERENCED.0 | PageFlags::ACTIVE.0));
        assert!(!crate::reclaim::take_cached(&mapping, &page));
        assert!(mm.table.query(at).is_present());
        mm.munlock(at, PAGE_SIZE)?;
        page.clear(PageFlags(PageFlags::REFERENCED.0 | PageFlags::ACTIVE.0));
        // The first look may find that the program used it.
        assert!(crate::reclaim::take_cached(&mapping, &page) || crate::reclaim::take_cached(&mapping, &page));
        assert!(mapping.find(0).is_none());
        Ok(())
    }

    #[test]
    fn shares_are_counted_by_mappings() -> Result {
        let (mapping, mm) = (disk()?, space()?);
        let at = map(&mm, Some(&mapping), Prot::RW, uapi::MAP_SHARED)?;
        mm.madvise(at, LEN, uapi::MADV_RANDOM)?;
        assert_eq!((byte(&mm, at), byte(&mm, at + PAGE_SIZE)), (Some(1), Some(2)));
        let figures = |mm: &Mm| {
            let mut info = SmapsInfo::default();
            mm.smaps(at, at + LEN, &mut info);
            (info.rss, info.pss(), info.shared_clean, info.private_clean)
        };
        let page = PAGE_SIZE as u64;
        // A page on a list, and in its file, is one program's all the same.
        assert_eq!(figures(&mm), (2 * page, 2 * page, 0, 2 * page));
        let other = space()?;
        let there = map(&other, Some(&mapping), Prot::RW, uapi::MAP_SHARED)?;
        other.madvise(there, LEN, uapi::MADV_RANDOM)?;
        assert_eq!(byte(&other, there), Some(1));
        assert_eq!(figures(&mm), (2 * page, page + page / 2, page, page));
        Ok(())
    }

    #[test]
    fn advice_has_linuxs_errors() -> Result {
        let mm = space()?;
        let anon = uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS;
        let at = map(&mm, None, Prot::RW, anon)?;
        let (mapping, _) = limited(64)?;
        let shared = map(&mm, Some(&mapping), Prot::RW, uapi::MAP_SHARED)?;
        let read_only = map(&mm, Some(&mapping), Prot(uapi::PROT_READ), uapi::MAP_SHARED)?;
        assert_eq!(mm.madvise(at, LEN, uapi::MADV_REMOVE), Err(EINVAL));
        // The file's own answer, also where nobody may write at the moment.
        assert_eq!(mm.madvise(read_only, LEN, uapi::MADV_REMOVE), Err(EOPNOTSUPP));
        assert_eq!(mm.madvise(shared, LEN, uapi::MADV_REMOVE), Err(EOPNOTSUPP));
        assert_eq!(mm.madvise(shared, LEN, uapi::MADV_FREE), Err(EINVAL));
        assert_eq!(mm.madvise(shared, LEN, uapi::MADV_WIPEONFORK), Err(EINVAL));
        assert_eq!(mm.madvise(at + 1, LEN, uapi::MADV_NORMAL), Err(EINVAL));
        assert_eq!(mm.madvise(at, LEN, uapi::MADV_HUGEPAGE + 1000), Err(EINVAL));
        let huge = if x86_mm::huge::ENABLED { Ok(()) } else { Err(EINVAL) };
        for advice in [uapi::MADV_HUGEPAGE, uapi::MADV_NOHUGEPAGE] {
            assert_eq!(mm.madvise(at, LEN, advice), huge);
        }
        // Too little for a huge page, and no room for one.
        assert_eq!(mm.madvise(at, LEN, uapi::MADV_COLLAPSE), Err(EINVAL));
        assert_eq!(mm.madvise(at, usize::MAX, uapi::MADV_NORMAL), Err(EINVAL));
        assert_eq!(mm.madvise(at, 0, uapi::MADV_DONTNEED), Ok(()));
        assert_eq!(mm.madvise(read_only, LEN, uapi::MADV_POPULATE_WRITE), Err(EINVAL));
        mm.munmap(at + PAGE_SIZE, PAGE_SIZE)?;
        for advice in [uapi::MADV_DONTDUMP, uapi::MADV_DONTNEED, uapi::MADV_COLD] {
            assert_eq!(mm.madvise(at, LEN, advice), Err(ENOMEM));
        }
        assert_eq!(mm.munlock(at, LEN), Err(ENOMEM));
        Ok(())
    }

    /// Memory that is moved, copied, split and joined while its file is cut: nothing of the file stays mapped.
    #[test]
    fn no_page_slips_past_who_cuts_the_file() -> Result {
        const ROUNDS: usize = 150;
        struct Turns {
            go: Completion,
            done: Completion,
            failed: AtomicU64,
        }
        let turns = Turns { go: Completion::new(), done: Completion::new(), failed: AtomicU64::new(0) };
        let turns = Arc::new(turns, GFP_KERNEL)?;
        let (mapping, _) = limited(u64::MAX / 2)?;
        let mm = space()?;
        let at = map(&mm, Some(&mapping), Prot::RW, uapi::MAP_SHARED)?;
        let other = map(&mm, None, Prot::RW, uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS)?;
        mm.munmap(other, LEN)?;
        let (mover, moved) = (turns.clone(), mm.clone());
        task::kthread_run(b"mover", move || {
            let flags = uapi::MREMAP_MAYMOVE | uapi::MREMAP_FIXED;
            for round in 0..ROUNDS {
                mover.go.wait();
                let (from, to) = if round % 2 == 0 { (at, other) } else { (other, at) };
                let half = to + LEN / 2;
                let done = moved.mremap(from, LEN, LEN, flags, to).and_then(|_| {
                    moved.mprotect(half, PAGE_SIZE, uapi::PROT_READ)?;
                    moved.mprotect(half, PAGE_SIZE, uapi::PROT_READ | uapi::PROT_WRITE)?;
                    moved.fork().map(drop)
                });
                mover.failed.fetch_add(u64::from(done.is_err()), Relaxed);
                mover.done.complete();
            }
        })?;
        for round in 0..ROUNDS {
            let now = if round % 2 == 0 { at } else { other };
            for page in 0..PAGES {
                assert_eq!(mm.write(now + page * PAGE_SIZE, &[1], false), 1);
            }
            assert_eq!(mm.table.rss(Kind::Shmem), PAGES);
            turns.go.complete();
            mapping.truncate(0);
            turns.done.wait();
            assert_eq!((mm.table.rss(Kind::Shmem), mapping.page_count()), (0, 0));
            mapping.set_size(LEN as u64);
        }
        assert_eq!(turns.failed.load(Relaxed), 0);
        Ok(())
    }

    /// What a transfer writes after a fork is its starter's, whoever writes first.
    #[test]
    fn pinned_pages_stay_the_parents() -> Result {
        let mm = space()?;
        let at = map(&mm, None, Prot::RW, uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS)?;
        assert_eq!(mm.write(at, &[1, 1], false), 2);
        assert_eq!(mm.write(at + PAGE_SIZE, &[1, 1], false), 2);
        let pinned = mm.pin_page(at, true)?;
        let child = mm.fork()?;
        assert_eq!((mm.table.rss(Kind::Anon), child.table.rss(Kind::Anon)), (2, 2));
        assert_eq!(mm.write(at, &[2], false), 1);
        pinned.write(1, &[3])?;
        assert_eq!((byte(&mm, at), byte(&mm, at + 1)), (Some(2), Some(3)));
        assert_eq!((byte(&child, at), byte(&child, at + 1)), (Some(1), Some(1)));
        // The other page is shared, as ever.
        let shared = mm.pin_page(at + PAGE_SIZE, false)?;
        assert!(child.pin_page(at + PAGE_SIZE, false)?.same(&shared));
        assert_eq!(child.write(at, &[4], false), 1);
        assert_eq!((byte(&mm, at), byte(&child, at)), (Some(2), Some(4)));
        drop(pinned);
        drop(child);
        mm.munmap(at, LEN)?;
        assert_eq!((mm.rss(), shared.ref_count()), (0, 1));
        Ok(())
    }

    /// What a transfer has stays the program's page where that may not write for a while.
    #[test]
    fn pinned_pages_outlive_other_rights() -> Result {
        let mm = space()?;
        let at = map(&mm, None, Prot::RW, uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS)?;
        assert_eq!(mm.write(at, &[1, 1], false), 2);
        let pinned = mm.pin_page(at, true)?;
        mm.mprotect(at, PAGE_SIZE, uapi::PROT_READ)?;
        // A debugger writes there too, and a child has a copy.
        assert_eq!(mm.write(at, &[2], true), 1);
        let child = mm.fork()?;
        pinned.write(1, &[3])?;
        assert_eq!((byte(&mm, at), byte(&mm, at + 1), byte(&child, at + 1)), (Some(2), Some(3), Some(1)));
        mm.mprotect(at, PAGE_SIZE, uapi::PROT_READ | uapi::PROT_WRITE)?;
        assert_eq!(mm.write(at, &[4], false), 1);
        mm.mprotect(at, PAGE_SIZE, uapi::PROT_NONE)?;
        mm.mprotect(at, PAGE_SIZE, uapi::PROT_READ | uapi::PROT_WRITE)?;
        mm.clear_soft_dirty();
        assert_eq!(mm.write(at + 2, &[5], false), 1);
        pinned.write(3, &[6])?;
        let bytes = [0, 1, 2, 3].map(|i| byte(&mm, at + i));
        assert_eq!(bytes, [Some(4), Some(3), Some(5), Some(6)]);
        // Alone again, it is shared with a child as any other.
        drop(pinned);
        drop(child);
        let child = mm.fork()?;
        assert_eq!((child.write(at, &[7], false), byte(&mm, at), byte(&child, at)), (1, Some(4), Some(7)));
        Ok(())
    }

    /// Nobody makes a page look like a free one, or like more than it is.
    #[test]
    fn internal_flags_are_the_allocators() -> Result {
        let page = Page::alloc(GFP_KERNEL)?;
        let before = page.frame().flag_bits();
        for flags in [PageFlags::BUDDY, PageFlags::SLAB, PageFlags::HEAD] {
            page.set(flags);
            page.try_set(flags);
            page.frame().set_flag(flags);
        }
        assert_eq!(page.frame().flag_bits(), before);
        Ok(())
    }
}
