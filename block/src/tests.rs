// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel, on a disk in memory.

use macros::kunit_tests;

#[kunit_tests(block)]
mod in_kernel {
    use crate::*;
    use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use errno::{Result, code::*};
    use kalloc::flags::GFP_KERNEL;
    use kalloc::{Arc, KBox, KVec};
    use mm_alloc::{PAGE_SIZE, Page};

    /// A disk of pages; counts what it is asked.
    struct Ram {
        pages: KVec<Page>,
        requests: AtomicU64,
        flushes: AtomicU64,
        /// The sector that cannot be read.
        bad: u64,
    }

    impl Ram {
        fn copy(&self, bio: &Bio) -> Result {
            let mut at = bio.sector() as usize * 512;
            for piece in bio.segments() {
                for n in 0..piece.len as usize / 512 {
                    let (index, inside) = ((at + n * 512) / PAGE_SIZE, (at + n * 512) % PAGE_SIZE);
                    if bio.op() == Op::Read && (at / 512 + n) as u64 == self.bad {
                        return Err(ENODATA);
                    }
                    let page = self.pages.get(index).ok_or(EIO)?;
                    let offset = piece.offset as usize + n * 512;
                    match bio.op() {
                        Op::Read => piece.page.copy_range(offset, page, inside, 512)?,
                        _ => page.copy_range(inside, &piece.page, offset, 512)?,
                    }
                }
                at += piece.len as usize;
            }
            Ok(())
        }
    }

    impl BlockOps for Ram {
        fn submit_bio(&self, _: &Arc<Gendisk>, bio: KBox<Bio>) {
            self.requests.fetch_add(1, SeqCst);
            if bio.flags().any(OpFlags::PREFLUSH) {
                self.flushes.fetch_add(1, SeqCst);
            }
            let status = self.copy(&bio);
            bio.end(status);
        }
    }

    const PAGES: usize = 64;
    const SECTORS: u64 = (PAGES * PAGE_SIZE / 512) as u64;

    fn disk(limits: QueueLimits) -> Result<Arc<Gendisk>> {
        let mut pages = KVec::new();
        for _ in 0..PAGES {
            pages.push(Page::alloc_zeroed(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let ram = Ram { pages, requests: AtomicU64::new(0), flushes: AtomicU64::new(0), bad: 300 };
        let params = GendiskParams {
            name: "kunitblk",
            major: 0,
            first_minor: 0,
            minors: 0,
            parent: None,
            removable: false,
            no_part: true,
        };
        let disk = Gendisk::new(&params, limits, KBox::new(ram, GFP_KERNEL)?)?;
        disk.set_capacity(SECTORS);
        disk.add()?;
        Ok(disk)
    }

    fn with_disk(limits: QueueLimits, test: impl FnOnce(&Arc<Gendisk>, &Arc<BlockDevice>) -> Result) -> Result {
        let disk = disk(limits)?;
        let whole = disk.part(0).ok_or(ENXIO)?;
        let result = test(&disk, &whole);
        disk.remove();
        result
    }

    fn pattern(count: usize, seed: u64) -> Result<KVec<Page>> {
        let mut pages = KVec::new();
        for n in 0..count {
            let page = Page::alloc_zeroed(GFP_KERNEL)?;
            page.write(0, &(seed + n as u64).to_le_bytes())?;
            page.write(PAGE_SIZE - 8, &(seed * 3 + n as u64).to_le_bytes())?;
            pages.push(page, GFP_KERNEL)?;
        }
        Ok(pages)
    }

    #[test]
    fn reads_what_was_written() {
        let result = with_disk(QueueLimits::default(), |disk, whole| {
            write_pages(whole, 8, &pattern(20, 7)?, OpFlags::NONE)?;
            let back = pattern(20, 0)?;
            read_pages(whole, 8, &back)?;
            for (n, page) in back.iter().enumerate() {
                assert_eq!(page.read_u64(0), 7 + n as u64);
                assert_eq!(page.read_u64(PAGE_SIZE - 8), 21 + n as u64);
            }
            let mut bytes = [0u8; 16];
            read_bytes(whole, 8 * 512 + PAGE_SIZE as u64 - 8, &mut bytes)?;
            assert_eq!(bytes.get(..8), Some(&21u64.to_le_bytes()[..]));
            assert_eq!(bytes.get(8..), Some(&8u64.to_le_bytes()[..]));
            assert!(disk.driver::<Ram>().is_some());
            Ok(())
        });
        assert_eq!(result, Ok(()));
        assert!(lookup_name(b"kunitblk").is_none());
    }

    #[test]
    fn large_bios_are_cut() {
        let limits = QueueLimits { max_hw_sectors: 24, max_sectors: 24, max_segments: 2, ..QueueLimits::default() };
        let result = with_disk(limits, |disk, whole| {
            let Some(ram) = disk.driver::<Ram>() else { return Err(EINVAL) };
            write_pages(whole, 0, &pattern(9, 100)?, OpFlags::PREFLUSH)?;
            // Two pieces a request, nine pages.
            assert_eq!(ram.requests.load(SeqCst), 5);
            // No cache, no flush.
            assert_eq!(ram.flushes.load(SeqCst), 0);
            let back = pattern(9, 0)?;
            read_pages(whole, 0, &back)?;
            for (n, page) in back.iter().enumerate() {
                assert_eq!(page.read_u64(0), 100 + n as u64);
            }
            disk.update_limits(|limits| limits.write_cache = true)?;
            write_pages(whole, 0, &pattern(9, 100)?, OpFlags::PREFLUSH)?;
            assert_eq!(ram.flushes.load(SeqCst), 1);
            issue_flush(whole)?;
            assert_eq!(ram.flushes.load(SeqCst), 2);
            Ok(())
        });
        assert_eq!(result, Ok(()));
        assert!(lookup_name(b"kunitblk").is_none());
    }

    #[test]
    fn errors_come_back() {
        let result = with_disk(QueueLimits::default(), |_, whole| {
            let pages = pattern(2, 0)?;
            assert_eq!(read_pages(whole, 296, &pages), Err(ENODATA));
            assert_eq!(read_pages(whole, SECTORS - 8, &pages), Err(EIO));
            assert_eq!(read_pages(whole, u64::MAX - 8, &pages), Err(EIO));
            assert_eq!(issue_discard(whole, 0, 8), Err(EOPNOTSUPP));
            // Zeros are written where the device cannot make them.
            write_pages(whole, 0, &pages, OpFlags::NONE)?;
            issue_zeroout(whole, 0, 8, false, false)?;
            let back = pattern(1, 5)?;
            read_pages(whole, 0, &back)?;
            assert_eq!(back.first().map(|page| page.read_u64(0)), Some(0));
            Ok(())
        });
        assert_eq!(result, Ok(()));
        assert!(lookup_name(b"kunitblk").is_none());
    }

    #[test]
    fn partitions_and_claims() {
        let result = with_disk(QueueLimits::default(), |disk, whole| {
            let part = disk.add_partition(2, 64, 32, PartitionInfo::default())?;
            assert_eq!(part.name()?.as_bytes(), b"kunitblk2");
            assert!(lookup(part.dev()).is_some_and(|found| Arc::ptr_eq(&found, &part)));
            assert_eq!(disk.add_partition(2, 0, 8, PartitionInfo::default()).err(), Some(EBUSY));
            write_pages(&part, 0, &pattern(1, 9)?, OpFlags::NONE)?;
            let back = pattern(1, 0)?;
            read_pages(whole, 64, &back)?;
            assert_eq!(back.first().map(|page| page.read_u64(0)), Some(9));
            assert_eq!(read_pages(&part, 32, &back), Err(EIO));
            let mounted = open_by_dev(part.dev(), true, Some(Holder(1)))?;
            assert_eq!(open_by_dev(whole.dev(), true, Some(Holder(2))).err(), Some(EBUSY));
            assert_eq!(open_by_dev(part.dev(), true, Some(Holder(2))).err(), Some(EBUSY));
            assert!(open_by_dev(part.dev(), true, Some(Holder(1))).is_ok());
            assert!(open_by_dev(part.dev(), true, None).is_ok());
            assert_eq!(disk.scan_partitions(), Err(EBUSY));
            assert_eq!(disk.delete_partition(2), Err(EBUSY));
            drop(mounted);
            assert!(open_by_dev(whole.dev(), true, Some(Holder(2))).is_ok());
            disk.delete_partition(2)?;
            assert!(lookup(part.dev()).is_none());
            Ok(())
        });
        assert_eq!(result, Ok(()));
        assert!(lookup_name(b"kunitblk").is_none());
    }

    #[test]
    fn gone_disks_answer() {
        let Ok(disk) = disk(QueueLimits::default()) else { return assert!(false) };
        let Some(whole) = disk.part(0) else { return assert!(false) };
        let Ok(handle) = open_by_dev(whole.dev(), false, None) else { return assert!(false) };
        disk.remove();
        let Ok(pages) = pattern(1, 0) else { return assert!(false) };
        assert_eq!(read_pages(handle.bdev(), 0, &pages), Err(EIO));
        assert!(open_by_dev(whole.dev(), false, None).is_err());
    }

    /// Takes every second request, and ends it in a worker.
    struct Slow {
        calls: AtomicU64,
        held: Arc<locking::SpinLock<KVec<KBox<mq::Request>>>>,
        work: Arc<workqueue::Work>,
    }

    impl mq::MqOps for Slow {
        fn queue_rq(&self, _: &mq::HwQueue, request: KBox<mq::Request>, _: bool) -> Result<(), mq::Refused> {
            let mut held = self.held.lock_irqsave();
            if self.calls.fetch_add(1, SeqCst) % 2 == 1 && held.len() != 0 {
                return Err(mq::Refused::Busy(request));
            }
            if request.sector() == 64 && request.op() == Op::Read {
                return Err(mq::Refused::Failed(request, EIO));
            }
            if let Err(request) = held.push_within_capacity(request) {
                return Err(mq::Refused::Busy(request));
            }
            drop(held);
            self.work.queue();
            Ok(())
        }
    }

    fn slow_disk() -> Result<(Arc<Gendisk>, Arc<mq::Queue>)> {
        let held = Arc::new(locking::SpinLock::new(KVec::with_capacity(8, GFP_KERNEL)?), GFP_KERNEL)?;
        let its = held.clone();
        let work = workqueue::Work::new(move || {
            loop {
                let request: Option<KBox<mq::Request>> = its.lock_irqsave().pop();
                let Some(request) = request else { return };
                request.complete(Ok(()));
            }
        })?;
        let slow = Slow { calls: AtomicU64::new(0), held, work };
        let queue = mq::Queue::new(mq::MqParams { hw_queues: 2, depth: 4 }, KBox::new(slow, GFP_KERNEL)?)?;
        let params = GendiskParams {
            name: "kunitmq",
            major: 0,
            first_minor: 0,
            minors: 0,
            parent: None,
            removable: false,
            no_part: true,
        };
        let limits = QueueLimits { max_segments: 1, write_cache: true, ..QueueLimits::default() };
        let disk = Gendisk::new(&params, limits, KBox::new(mq::MqDisk(queue.clone()), GFP_KERNEL)?)?;
        disk.set_capacity(SECTORS);
        disk.add()?;
        Ok((disk, queue))
    }

    #[test]
    fn requests_end_though_the_driver_is_busy() {
        let Ok((disk, queue)) = slow_disk() else { return assert!(false) };
        let Some(whole) = disk.part(0) else { return assert!(false) };
        for _ in 0..20 {
            let Ok(pages) = pattern(32, 1) else { return assert!(false) };
            // Many more requests than tags, each with a flush before and after it.
            assert_eq!(write_pages(&whole, 0, &pages, OpFlags::PREFLUSH | OpFlags::FUA), Ok(()));
            assert_eq!(issue_flush(&whole), Ok(()));
            assert_eq!(read_pages(&whole, 0, &pages), Err(EIO));
        }
        let totals = whole.totals();
        assert_eq!(totals.ios, [640, 640, 0, 20]);
        assert_eq!(totals.sectors, [5120, 5120, 0, 0]);
        assert_eq!(totals.in_flight, [0, 0]);
        disk.remove();
        queue.kill();
        // The last one to end gives its tag back just after it woke us.
        let deadline = ktime::now_ns() + 20_000_000_000;
        while queue.in_flight() != 0 && ktime::now_ns() < deadline {
            ktime::sleep_ns(1_000_000);
        }
        assert_eq!(queue.in_flight(), 0);
    }

    #[test]
    fn names() {
        for (index, name) in [(0, "vda"), (25, "vdz"), (26, "vdaa"), (701, "vdzz"), (702, "vdaaa")] {
            assert_eq!(disk_name("vd", index).map(|made| made.as_bytes() == name.as_bytes()), Ok(true));
        }
    }

    #[test]
    fn majors() {
        let Ok(major) = register_blkdev(0, "kunit") else { return assert!(false) };
        assert!(major > 200);
        assert_eq!(register_blkdev(major, "other"), Err(EBUSY));
        let mut found = false;
        for_each_major(|number, name| found |= number == major && name == "kunit");
        assert!(found);
        unregister_blkdev(major);
    }
}
