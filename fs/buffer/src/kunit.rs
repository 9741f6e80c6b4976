// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel, on a disk in memory that can fail: buffers, a device's pages, a file's pages.

use macros::kunit_tests;

#[kunit_tests(buffer)]
mod in_kernel {
    use crate::bios;
    use crate::direct::Direct;
    use crate::{Claim, DeviceCache};
    use block::testing::RamDisk;
    use block::*;
    use core::sync::atomic::Ordering::SeqCst;
    use errno::{Result, code::*};
    use kalloc::flags::GFP_KERNEL;
    use kalloc::{Arc, KBox, KVec};
    use mm::{Mapping, MappingOps, ReadRun, Readahead, WriteControl, WriteRun};
    use mm_alloc::PAGE_SIZE;
    use vfs::IovIter;

    const PAGES: usize = 512;

    fn with_disk(test: impl FnOnce(&RamDisk, &Arc<BlockDevice>, &Arc<DeviceCache>) -> Result) -> Result {
        let limits = QueueLimits { max_hw_sectors: 2560, max_sectors: 2560, ..QueueLimits::default() };
        let disk = RamDisk::disk("kunitbuf", PAGES, limits, u64::MAX, EIO)?;
        let ram = disk.driver::<RamDisk>().ok_or(ENXIO)?;
        for (n, page) in ram.pages.iter().enumerate() {
            page.write(0, &(n as u64).to_le_bytes())?;
        }
        let whole = disk.part(0).ok_or(ENXIO)?;
        let cache = DeviceCache::of(&whole)?;
        cache.refresh();
        let result = test(ram, &whole, &cache);
        disk.remove();
        result
    }

    #[test]
    fn buffers_are_written_when_dirty() -> Result {
        with_disk(|ram, _, cache| {
            let buffer = cache.bread(9, 1024)?;
            // Block 9 of 1 KB lies in page 2.
            assert_eq!(buffer.read().first(), Some(&0));
            let first = cache.bread(8, 1024)?;
            assert_eq!(first.read().first(), Some(&2));
            assert!(Arc::ptr_eq(&first, &cache.bread(8, 1024)?));
            buffer.write().fill(7);
            buffer.mark_dirty();
            assert_eq!(buffer.claim(), Claim::Claimed(true));
            cache.write_all()?;
            let on_disk = |offset| ram.pages.get(2).map_or(0, |page| page.read_u64(offset));
            assert_eq!(on_disk(1024), 0, "claimed by a journal, so not written");
            buffer.mark_dirty();
            first.write().fill(8);
            first.mark_dirty();
            let before = ram.writes.load(SeqCst);
            cache.write_all()?;
            assert_eq!(on_disk(1024), 0x0707_0707_0707_0707);
            assert_eq!(on_disk(0), 0x0808_0808_0808_0808);
            assert_eq!(ram.writes.load(SeqCst) - before, 1, "neighbours go together");
            assert!(!buffer.is_busy());
            assert!(cache.bread(PAGES as u64, 4096).is_err());
            assert!(cache.bread(1, 3000).is_err());
            Ok(())
        })
    }

    #[test]
    fn a_failed_write_is_remembered() -> Result {
        with_disk(|ram, _, cache| {
            let buffer = cache.bread(3, 4096)?;
            buffer.write().fill(1);
            buffer.mark_dirty();
            ram.fail_writes.store(true, SeqCst);
            assert_eq!(cache.write_all(), Err(EIO));
            assert!(buffer.has_failed() && !buffer.is_dirty());
            ram.fail_writes.store(false, SeqCst);
            buffer.clear_failed();
            buffer.mark_dirty();
            cache.write_all()?;
            assert!(!buffer.has_failed());
            buffer.forget();
            assert!(!buffer.is_uptodate());
            Ok(())
        })
    }

    #[test]
    fn an_error_that_nobody_waited_for_is_told_once() -> Result {
        with_disk(|ram, _, cache| {
            let buffer = cache.bread(3, 4096)?;
            buffer.write().fill(1);
            ram.fail_writes.store(true, SeqCst);
            buffer.mark_dirty();
            cache.write_dirty(false)?;
            buffer.wait_written();
            ram.fail_writes.store(false, SeqCst);
            assert!(buffer.has_failed());
            assert_eq!(cache.write_all(), Err(EIO));
            cache.write_all()
        })
    }

    /// A cache that was dirty is queued for the device's thread, and has the queue: both go with the device.
    #[test]
    fn nothing_is_left_of_a_device() -> Result {
        let mut left = None;
        with_disk(|_, _, cache| {
            let page = cache.mapping().get_or_read(1)?;
            page.write(0, &[1; 8])?;
            cache.mapping().set_dirty_range(1, &page, 0, 8);
            cache.write_all()?;
            left = Some(Arc::downgrade(cache));
            Ok(())
        })?;
        // One waits for RCU in another.
        for _ in 0..4 {
            rcu::barrier();
        }
        assert_eq!(left.map(|cache| cache.strong_count()), Some(0));
        Ok(())
    }

    #[test]
    fn pages_and_buffers_are_the_same() -> Result {
        with_disk(|ram, _, cache| {
            let buffer = cache.bread(21, 1024)?;
            buffer.write().fill(5);
            // Page 5 is read now: it shows the buffer, though the disk does not have it.
            let page = cache.mapping().get_or_read(5)?;
            assert_eq!((page.read_u64(0), page.read_u64(1024)), (5, 0x0505_0505_0505_0505));
            buffer.write().fill(6);
            assert_eq!(page.read_u64(1024), 0x0606_0606_0606_0606);
            page.write(1024, &[9; 1024])?;
            cache.mapping().set_dirty_range(5, &page, 1024, 2048);
            cache.show_in_buffers(5 * 4096 + 1024, 5 * 4096 + 2048)?;
            assert_eq!(buffer.read().first(), Some(&9));
            drop(page);
            cache.write_all()?;
            assert_eq!(ram.pages.get(5).map_or(0, |page| page.read_u64(1024)), 0x0909_0909_0909_0909);
            assert!(!cache.mapping().is_dirty() && !cache.mapping().is_writeback());
            drop(buffer);
            assert!(cache.drop_unused() >= 2);
            assert_eq!((cache.buffers(), cache.mapping().page_count()), (0, 0));
            Ok(())
        })
    }

    /// A file whose pages lie one after the other on the device; page 3 is a hole.
    struct Linear(Arc<BlockDevice>);

    impl MappingOps for Linear {
        fn read_pages(&self, _: &Mapping, mut run: ReadRun) {
            while !run.pages().is_empty() {
                let hole = run.first() == 3;
                let count = if run.first() < 3 { (3 - run.first()) as usize } else { usize::MAX };
                if hole {
                    run.zero_front(1);
                    continue;
                }
                let Ok(front) = run.split_front(count.min(run.pages().len())) else { return };
                let (pos, pages) = (front.pos(), front.pages().len());
                let Ok(io) = front.start() else { return };
                let _ = bios::transfer(&self.0, &io, 0, pages, pos, OpFlags::NONE);
            }
        }

        fn write_run(&self, run: WriteRun) -> Result {
            let (pos, pages) = (run.pos(), run.pages().len());
            let io = run.start()?;
            bios::transfer(&self.0, &io, 0, pages, pos, OpFlags::NONE)
        }
    }

    fn file(bdev: &Arc<BlockDevice>, cache: &DeviceCache) -> Result<Arc<Mapping>> {
        Mapping::new_on(KBox::new(Linear(bdev.clone()), GFP_KERNEL)?, (PAGES * PAGE_SIZE) as u64, cache.bdi())
    }

    #[test]
    fn a_file_is_read_ahead() -> Result {
        with_disk(|ram, bdev, cache| {
            let (file, state) = (file(bdev, cache)?, Readahead::new());
            let before = ram.reads.load(SeqCst);
            for index in 0..256 {
                let page = match file.find(index) {
                    Some(page) if page.is_ready() => page,
                    Some(page) => {
                        file.readahead_marked(&state, &page, index, 1);
                        file.get_or_read(index)?
                    }
                    None => {
                        file.readahead_missing(&state, index, 1);
                        file.get_or_read(index)?
                    }
                };
                assert_eq!(page.read_u64(0), if index == 3 { 0 } else { index });
                state.set_prev(index * PAGE_SIZE as u64 + 4095);
            }
            let reads = ram.reads.load(SeqCst) - before;
            // 4, 8, 16 and then 32 pages each, one of them cut by the hole.
            assert!(reads <= 14, "{reads} reads for 256 pages");
            assert!(file.page_count() >= 256);
            assert!(file.drop_clean(0, u64::MAX) >= 256);
            assert_eq!(file.page_count(), 0);
            Ok(())
        })
    }

    #[test]
    fn a_bad_page_hurts_itself_alone() -> Result {
        with_disk(|ram, bdev, cache| {
            ram.bad.store(10 * (PAGE_SIZE / 512) as u64, SeqCst);
            let file = file(bdev, cache)?;
            file.read_forced(8, 8);
            for index in 8..16 {
                let read = file.get_or_read(index).map(|page| page.read_u64(0));
                assert_eq!(read, if index == 10 { Err(EIO) } else { Ok(index) });
            }
            ram.bad.store(u64::MAX, SeqCst);
            assert_eq!(file.get_or_read(10).map(|page| page.read_u64(0)), Ok(10));
            Ok(())
        })
    }

    #[test]
    fn dirty_pages_are_written_in_runs() -> Result {
        with_disk(|ram, bdev, cache| {
            let file = file(bdev, cache)?;
            for index in [0, 20, 21, 22, 70, 400] {
                let page = file.get_or_read(index)?;
                page.write(8, &(index + 1000).to_le_bytes())?;
                file.set_dirty(index, &page);
                file.set_dirty(index, &page);
            }
            assert_eq!(cache.bdi().dirty(), 6);
            let before = ram.writes.load(SeqCst);
            file.write_and_wait(0, 300 * PAGE_SIZE as u64)?;
            assert_eq!(ram.writes.load(SeqCst) - before, 3);
            assert_eq!((cache.bdi().dirty(), cache.bdi().writeback()), (1, 0));
            file.write_pages(&mut WriteControl::background(100))?;
            cache.bdi().wait_started();
            assert!(!file.is_dirty());
            for index in [0usize, 20, 21, 22, 70, 400] {
                let there = ram.pages.get(index).map_or(0, |page| page.read_u64(8));
                assert_eq!(there, index as u64 + 1000);
            }
            Ok(())
        })
    }

    #[test]
    fn errors_are_told_once() -> Result {
        with_disk(|ram, bdev, cache| {
            let file = file(bdev, cache)?;
            let since = core::sync::atomic::AtomicU32::new(file.errors().sample());
            let other = core::sync::atomic::AtomicU32::new(file.errors().sample());
            let page = file.get_or_read(1)?;
            file.set_dirty(1, &page);
            ram.fail_writes.store(true, SeqCst);
            let _ = file.write_and_wait(0, u64::MAX);
            assert_eq!(file.errors().check_and_advance(&since), Err(EIO));
            assert_eq!(file.errors().check_and_advance(&since), Ok(()));
            assert_eq!(file.errors().check_and_advance(&other), Err(EIO));
            // Seen by then: who opens the file now is not told.
            let late = core::sync::atomic::AtomicU32::new(file.errors().sample());
            assert_eq!(file.errors().check_and_advance(&late), Ok(()));
            Ok(())
        })
    }

    #[test]
    fn truncation_forgets_dirty_pages() -> Result {
        with_disk(|ram, bdev, cache| {
            let file = file(bdev, cache)?;
            for index in 0..100 {
                let page = file.get_or_read(index)?;
                page.write(8, &[1; 8])?;
                file.set_dirty(index, &page);
            }
            assert_eq!(cache.bdi().dirty(), 100);
            {
                let _guard = file.invalidate_lock();
                file.truncate(10 * PAGE_SIZE as u64 + 5);
            }
            assert_eq!((cache.bdi().dirty(), file.page_count()), (11, 11));
            file.write_and_wait(0, u64::MAX)?;
            assert_eq!(ram.pages.get(11).map_or(1, |page| page.read_u64(8)), 0);
            drop(file);
            assert_eq!((cache.bdi().dirty(), cache.bdi().writeback()), (0, 0));
            Ok(())
        })
    }

    #[test]
    fn what_is_old_goes_and_what_is_dirty_stays() -> Result {
        with_disk(|ram, bdev, cache| {
            let file = file(bdev, cache)?;
            for index in 0..8 {
                drop(file.get_or_read(index)?);
            }
            let page = file.get_or_read(3)?;
            page.write(8, &[7; 8])?;
            file.set_dirty(3, &page);
            drop(page);
            // Somebody has it, perhaps to change it.
            let held = file.get_or_read(5)?;
            for page in &ram.pages {
                page.write(16, &[9; 8])?;
            }
            {
                let _guard = file.invalidate_lock();
                file.drop_old(1, 6);
            }
            let there = |index: u64| file.find(index).is_some();
            assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(there), [true, false, false, true, false, true, false, true]);
            drop(held);
            let new = |index: u64| file.get_or_read(index).map(|page| page.read_u64(16) != 0);
            assert_eq!((new(0), new(1), new(3)), (Ok(false), Ok(true), Ok(false)));
            file.write_and_wait(0, u64::MAX)?;
            assert_eq!(ram.pages.get(3).map_or(0, |page| page.read_u64(8)), u64::from_le_bytes([7; 8]));
            Ok(())
        })
    }

    #[test]
    fn memory_of_the_kernels_own_is_read_and_written_directly() -> Result {
        with_disk(|ram, bdev, _| {
            // Two pages, a hole, a page and a part; the file ends within the last sector.
            let (hole, most) = (PAGE_SIZE + 512, 4 * PAGE_SIZE + 1000);
            let mut bytes = KVec::from_elem(0xffu8, 5 * PAGE_SIZE, GFP_KERNEL)?;
            let mut to = IovIter::kernel_dest(&mut bytes);
            let mut direct = Direct::new(bdev, false, false, most, false)?;
            direct.send(&mut to, 8, 2 * PAGE_SIZE)?;
            direct.zeros(&mut to, hole)?;
            direct.send(&mut to, 32, PAGE_SIZE + 512)?;
            assert_eq!((direct.wait_into(&mut to), to.count()), (Ok(most), 5 * PAGE_SIZE - most));
            // An error leaves all as it is.
            let mut direct = Direct::new(bdev, false, false, 512, false)?;
            direct.send(&mut to, 8, 512)?;
            direct.fail(ENOSPC);
            assert_eq!((direct.wait_into(&mut to), to.count()), (Err(ENOSPC), 5 * PAGE_SIZE - most));
            let at = |offset: usize| bytes.get(offset).copied();
            let after = 2 * PAGE_SIZE + hole;
            assert_eq!((at(0), at(PAGE_SIZE), at(after), at(after + PAGE_SIZE)), (Some(1), Some(2), Some(4), Some(5)));
            assert!(bytes.iter().skip(2 * PAGE_SIZE).take(hole).all(|byte| *byte == 0));
            assert_eq!((at(most - 1), at(most), at(5 * PAGE_SIZE - 1)), (Some(0), Some(0xff), Some(0xff)));

            let bytes = KVec::from_elem(7u8, PAGE_SIZE + 512, GFP_KERNEL)?;
            let mut from = IovIter::kernel_source(&bytes);
            let mut direct = Direct::new(bdev, true, false, bytes.len(), false)?;
            direct.send(&mut from, 80, PAGE_SIZE)?;
            assert_eq!(from.count(), 512);
            direct.send(&mut from, 88, 512)?;
            assert_eq!((direct.send(&mut from, 89, 512), direct.wait()), (Err(EFAULT), Ok(PAGE_SIZE + 512)));
            let on_disk = |page: usize, offset: usize| ram.pages.get(page).map_or(0, |page| page.read_u64(offset));
            let sevens = u64::from_le_bytes([7; 8]);
            assert_eq!(
                [on_disk(10, 0), on_disk(10, 4088), on_disk(11, 504), on_disk(11, 512)],
                [sevens, sevens, sevens, 0]
            );
            Ok(())
        })
    }
}
