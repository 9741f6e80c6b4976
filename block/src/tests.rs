// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel, on a disk in memory.

use macros::kunit_tests;

#[kunit_tests(block)]
mod in_kernel {
    use crate::testing::{RamDisk, params};
    use crate::*;
    use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use errno::{Result, code::*};
    use kalloc::flags::GFP_KERNEL;
    use kalloc::{Arc, KBox, KVec};
    use mm_alloc::{PAGE_SIZE, Page};

    const PAGES: usize = 64;
    const SECTORS: u64 = (PAGES * PAGE_SIZE / 512) as u64;

    fn disk(limits: QueueLimits) -> Result<Arc<Gendisk>> {
        RamDisk::disk("kunitblk", PAGES, limits, 300, ENODATA)
    }

    fn with_disk(limits: QueueLimits, test: impl FnOnce(&Arc<Gendisk>, &Arc<BlockDevice>) -> Result) -> Result {
        let disk = disk(limits)?;
        let whole = disk.part(0).ok_or(ENXIO)?;
        let result = test(&disk, &whole);
        disk.remove();
        assert!(lookup_name(b"kunitblk").is_none());
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
    fn reads_what_was_written() -> Result {
        with_disk(QueueLimits::default(), |disk, whole| {
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
            assert!(disk.driver::<RamDisk>().is_some());
            Ok(())
        })
    }

    #[test]
    fn large_bios_are_cut() -> Result {
        let limits = QueueLimits { max_hw_sectors: 24, max_sectors: 24, max_segments: 2, ..QueueLimits::default() };
        with_disk(limits, |disk, whole| {
            let Some(ram) = disk.driver::<RamDisk>() else { return Err(EINVAL) };
            write_pages(whole, 0, &pattern(9, 100)?, OpFlags::PREFLUSH)?;
            // Two pieces a request, nine pages.
            assert_eq!(ram.writes.load(SeqCst), 5);
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
        })
    }

    #[test]
    fn errors_come_back() -> Result {
        with_disk(QueueLimits::default(), |_, whole| {
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
        })
    }

    #[test]
    fn partitions_and_claims() -> Result {
        with_disk(QueueLimits::default(), |disk, whole| {
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
        })
    }

    #[test]
    fn gone_disks_answer() -> Result {
        let disk = disk(QueueLimits::default())?;
        let whole = disk.part(0).ok_or(ENXIO)?;
        let handle = open_by_dev(whole.dev(), false, None)?;
        disk.remove();
        let pages = pattern(1, 0)?;
        assert_eq!(read_pages(handle.bdev(), 0, &pages), Err(EIO));
        assert!(open_by_dev(whole.dev(), false, None).is_err());
        Ok(())
    }

    /// Requests that a driver has.
    type Held = Arc<locking::SpinLock<KVec<KBox<mq::Request>>>>;

    /// Room for eight, and a worker that ends them.
    fn held() -> Result<(Held, Arc<workqueue::Work>)> {
        let held = Arc::new(locking::SpinLock::new(KVec::with_capacity(8, GFP_KERNEL)?), GFP_KERNEL)?;
        let its: Held = held.clone();
        let work = workqueue::Work::new(move || {
            loop {
                let request = its.lock_irqsave().pop();
                let Some(request) = request else { return };
                request.complete(Ok(()));
            }
        })?;
        Ok((held, work))
    }

    /// Takes every second request, and ends it in a worker.
    struct Slow {
        calls: AtomicU64,
        held: Held,
        work: Arc<workqueue::Work>,
    }

    impl DiskOps for Slow {}

    impl mq::MqOps for Slow {
        fn queue_rq(&self, _: &mq::HwQueue, request: KBox<mq::Request>, _: bool) -> Result<(), mq::Refused> {
            let mut held = self.held.lock_irqsave();
            if self.calls.fetch_add(1, SeqCst) % 2 == 1 && !held.is_empty() {
                return Err(mq::Refused::Busy(request));
            }
            if request.sector() == 64 && request.op() == Op::Read {
                return Err(mq::Refused::Failed(request, EIO));
            }
            if let Err(refused) = held.push_within_capacity(request) {
                return Err(mq::Refused::Busy(refused.0));
            }
            drop(held);
            self.work.queue();
            Ok(())
        }
    }

    fn slow_disk() -> Result<(Arc<Gendisk>, Arc<mq::Queue>)> {
        let (held, work) = held()?;
        let slow = Slow { calls: AtomicU64::new(0), held, work };
        let queue = mq::Queue::new(
            mq::MqParams { hw_queues: 2, poll_queues: 0, depth: 4, no_sched: false },
            KBox::new(slow, GFP_KERNEL)?,
        )?;
        let limits = QueueLimits { max_segments: 1, write_cache: true, ..QueueLimits::default() };
        let disk = Gendisk::new(&params("kunitmq"), limits, KBox::new(mq::MqDisk(queue.clone()), GFP_KERNEL)?)?;
        disk.set_capacity(SECTORS);
        disk.add()?;
        Ok((disk, queue))
    }

    #[test]
    fn requests_end_though_the_driver_is_busy() -> Result {
        busy("none")?;
        every_scheduler(busy)
    }

    /// Calls `f` with the name of each scheduler of this kernel.
    fn every_scheduler(mut f: impl FnMut(&str) -> Result) -> Result {
        // Not from inside of the table's lock: it is taken again.
        for name in ["mq-deadline", "kyber"].into_iter().filter(|name| mq::is_scheduler(name)) {
            f(name)?;
        }
        Ok(())
    }

    fn busy(scheduler: &str) -> Result {
        let (disk, queue) = slow_disk()?;
        queue.set_scheduler(scheduler)?;
        let whole = disk.part(0).ok_or(ENXIO)?;
        for _ in 0..20 {
            let pages = pattern(32, 1)?;
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
        Ok(())
    }

    /// Ends requests at once, and counts them.
    struct Quick(Arc<AtomicU64>);

    impl DiskOps for Quick {}

    impl mq::MqOps for Quick {
        fn queue_rq(&self, _: &mq::HwQueue, request: KBox<mq::Request>, _: bool) -> Result<(), mq::Refused> {
            self.0.fetch_add(1, SeqCst);
            request.complete(Ok(()));
            Ok(())
        }
    }

    /// Writes single pages in this order, each a bio, within one plug; how many requests came of it.
    fn plugged(
        queues: u32,
        limits: QueueLimits,
        order: &[u64],
        set: impl FnOnce(&mq::Queue) -> Result,
    ) -> Result<[u64; 2]> {
        let sent = Arc::new(AtomicU64::new(0), GFP_KERNEL)?;
        let params = mq::MqParams { hw_queues: queues, poll_queues: 0, depth: 16, no_sched: false };
        let queue = mq::Queue::new(params, KBox::new(Quick(sent.clone()), GFP_KERNEL)?)?;
        set(&queue)?;
        let disk =
            Gendisk::new(&testing::params("kunitplug"), limits, KBox::new(mq::MqDisk(queue.clone()), GFP_KERNEL)?)?;
        disk.set_capacity(SECTORS);
        disk.add()?;
        let whole = disk.part(0).ok_or(ENXIO)?;
        let plug = Plug::start();
        for index in order {
            let mut bio = Bio::new(&whole, Op::Write, OpFlags::NONE, 1, GFP_KERNEL)?;
            bio.set_sector(index * 8);
            bio.add_page(Page::alloc(GFP_KERNEL)?, 0, PAGE_SIZE as u32)?;
            submit_bio(bio);
        }
        assert_eq!(sent.load(SeqCst), 0, "kept back");
        drop(plug);
        let totals = whole.totals();
        assert_eq!(totals.sectors, [0, 8 * order.len() as u64, 0, 0]);
        assert_eq!(totals.ios.iter().sum::<u64>(), sent.load(SeqCst));
        disk.remove();
        queue.kill();
        assert_eq!(queue.in_flight(), 0);
        Ok([sent.load(SeqCst), totals.merges.iter().sum()])
    }

    /// Ends requests in a worker, but only those that it was told of.
    struct Told {
        held: Held,
        work: Arc<workqueue::Work>,
    }

    impl DiskOps for Told {}

    impl mq::MqOps for Told {
        fn queue_rq(&self, hw: &mq::HwQueue, request: KBox<mq::Request>, last: bool) -> Result<(), mq::Refused> {
            if let Err(request) = self.held.lock_irqsave().push_within_capacity(request) {
                return Err(mq::Refused::Busy(request.0));
            }
            if last {
                self.commit_rqs(hw);
            }
            Ok(())
        }

        fn commit_rqs(&self, _: &mq::HwQueue) {
            self.work.queue();
        }
    }

    #[test]
    fn flushes_and_what_is_put_in_order_do_not_wait_for_each_other() -> Result {
        let (held, work) = held()?;
        // A single tag: who waits for it waits for one that the hardware must know of.
        let params = mq::MqParams { hw_queues: 1, poll_queues: 0, depth: 1, no_sched: false };
        let queue = mq::Queue::new(params, KBox::new(Told { held, work }, GFP_KERNEL)?)?;
        assert!(queue.has_scheduler("mq-deadline"));
        let limits = QueueLimits { write_cache: true, ..QueueLimits::default() };
        let disk =
            Gendisk::new(&testing::params("kunittold"), limits, KBox::new(mq::MqDisk(queue.clone()), GFP_KERNEL)?)?;
        disk.set_capacity(SECTORS);
        disk.add()?;
        let whole = disk.part(0).ok_or(ENXIO)?;
        for flags in [[OpFlags::PREFLUSH, OpFlags::NONE], [OpFlags::NONE, OpFlags::PREFLUSH]] {
            let plug = Plug::start();
            for (index, flags) in flags.into_iter().enumerate() {
                let mut bio = Bio::new(&whole, Op::Write, flags, 1, GFP_KERNEL)?;
                bio.set_sector(index as u64 * 64);
                bio.add_page(Page::alloc(GFP_KERNEL)?, 0, PAGE_SIZE as u32)?;
                submit_bio(bio);
            }
            drop(plug);
            let deadline = ktime::now_ns() + 20_000_000_000;
            while queue.in_flight() != 0 && ktime::now_ns() < deadline {
                ktime::sleep_ns(1_000_000);
            }
            assert_eq!(queue.in_flight(), 0);
        }
        disk.remove();
        queue.kill();
        Ok(())
    }

    #[test]
    fn neighbours_are_joined() -> Result {
        let nothing = |_: &mq::Queue| Ok(());
        let limits = QueueLimits { max_hw_sectors: 2560, max_sectors: 2560, ..QueueLimits::default() };
        let up = [0, 1, 2, 3, 4, 5, 6, 7];
        for queues in [1, 2] {
            assert_eq!(plugged(queues, limits, &up, nothing)?, [1, 7]);
            // At the front, too.
            assert_eq!(plugged(queues, limits, &[7, 6, 5, 4], nothing)?, [1, 3]);
            assert_eq!(plugged(queues, limits, &[0, 2, 4, 6], nothing)?, [4, 0]);
            let none = |queue: &mq::Queue| {
                queue.set_nomerges(2);
                Ok(())
            };
            assert_eq!(plugged(queues, limits, &up, none)?, [8, 0]);
        }
        every_scheduler(|name| {
            assert_eq!(plugged(2, limits, &up, |queue| queue.set_scheduler(name))?, [1, 7]);
            assert_eq!(plugged(2, limits, &[0, 2, 4, 6], |queue| queue.set_scheduler(name))?, [4, 0]);
            Ok(())
        })?;
        // As large as the device takes.
        let few = QueueLimits { max_segments: 3, ..limits };
        assert_eq!(plugged(2, few, &up, nothing)?, [3, 5]);
        let small = QueueLimits { max_hw_sectors: 16, max_sectors: 16, ..limits };
        assert_eq!(plugged(2, small, &up, nothing)?, [4, 4]);
        Ok(())
    }

    /// First come, first served.
    struct Fifo(KVec<KBox<mq::Request>>);

    static FIFO: mq::SchedulerType = mq::SchedulerType {
        name: "kunit-fifo",
        tunables: &[],
        has_async_depth: false,
        urgent: |_| true,
        new: |depth| Ok(KBox::new(Fifo(KVec::with_capacity(depth as usize, GFP_KERNEL)?), GFP_KERNEL)?),
    };

    impl mq::Policy for Fifo {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn insert(&mut self, request: KBox<mq::Request>) -> Result<(), KBox<mq::Request>> {
            self.0.push_within_capacity(request).map_err(|error| error.0)
        }

        fn dispatch(&mut self, _: u64) -> Option<(KBox<mq::Request>, Option<u32>)> {
            Some((self.0.remove(0).ok()?, None))
        }

        fn take_any(&mut self, _: u64) -> Option<KBox<mq::Request>> {
            self.0.pop()
        }

        fn merge(&mut self, bio: KBox<Bio>, _: &QueueLimits) -> Result<(), KBox<Bio>> {
            Err(bio)
        }
    }

    #[test]
    fn schedulers_change() -> Result {
        let sent = Arc::new(AtomicU64::new(0), GFP_KERNEL)?;
        let params = mq::MqParams { hw_queues: 1, poll_queues: 0, depth: 64, no_sched: false };
        let queue = mq::Queue::new(params, KBox::new(Quick(sent), GFP_KERNEL)?)?;
        assert!(queue.has_scheduler("mq-deadline"));
        assert_eq!(queue.nr_requests(), 128);
        assert_eq!(queue.set_scheduler("kunit-none"), Err(EINVAL));
        queue.set_nr_requests(2)?;
        assert_eq!((queue.nr_requests(), queue.async_depth()), (4, Some(3)));
        assert_eq!(queue.set_nr_requests(5000), Err(EINVAL));
        let deadline = queue.with_scheduler(|its| its.map(|(_, id)| id)).ok_or(ENOENT)?;
        // Each shows what it was given.
        (0..5).try_for_each(|index| queue.set_tunable(deadline, index, 3 + index as u64))?;
        (0..5).try_for_each(|index| -> Result {
            assert_eq!(queue.tunable(deadline, index)?, 3 + index as u64);
            Ok(())
        })?;
        queue.set_nr_requests(256)?;
        assert_eq!((queue.nr_requests(), queue.tunable(deadline, 4)), (256, Ok(7)));
        mq::register_scheduler(&FIFO, None)?;
        assert_eq!(mq::register_scheduler(&FIFO, None), Err(EBUSY));
        queue.set_scheduler("kunit-fifo")?;
        assert_eq!((queue.has_scheduler("kunit-fifo"), queue.nr_requests()), (true, 128));
        // Another scheduler's are nothing to it.
        assert_eq!((queue.tunable(deadline, 0), queue.set_tunable(deadline, 0, 1)), (Err(ENODEV), Err(ENODEV)));
        let fifo = queue.with_scheduler(|its| its.map(|(kind, id)| (kind.tunables.len(), id)));
        assert_eq!(fifo.map(|(count, id)| (count, id != deadline)), Some((0, true)));
        queue.set_scheduler("none")?;
        mq::unregister_scheduler(&FIFO);
        assert_eq!(queue.set_scheduler("kunit-fifo"), Err(EINVAL));
        assert_eq!((queue.has_scheduler("none"), queue.nr_requests()), (true, 64));
        assert_eq!(queue.tunable(deadline, 0), Err(ENODEV));
        assert_eq!(queue.set_nr_requests(65), Err(EINVAL));
        queue.set_nr_requests(8)?;
        assert_eq!(queue.nr_requests(), 8);
        queue.set_scheduler("mq-deadline")?;
        assert_eq!(queue.nr_requests(), 128);
        Ok(())
    }

    #[test]
    fn partitions_have_alignments_of_their_own() {
        let limits = QueueLimits {
            physical_block_size: 4096,
            io_min: 4096,
            alignment_offset: 3584,
            max_discard_sectors: 64,
            max_hw_discard_sectors: 64,
            discard_granularity: 8192,
            ..QueueLimits::default()
        };
        // A disk whose first natural boundary is sector 7.
        assert_eq!([0, 7, 8, 63, 2048].map(|sector| limits.alignment_of(sector)), [3584, 0, 3584, 0, 3584]);
        assert_eq!([0, 1, 15, 16, 17].map(|sector| limits.discard_alignment_of(sector)), [0, 7680, 512, 0, 7680]);
        let none = QueueLimits::default();
        assert_eq!((none.alignment_of(9), none.discard_alignment_of(9)), (0, 0));
    }

    #[test]
    fn partitions_grow() -> Result {
        with_disk(QueueLimits::default(), |disk, _| {
            disk.new_partition(1, 8, 8, PartitionInfo::default())?;
            disk.new_partition(2, 64, 8, PartitionInfo::default())?;
            assert_eq!(disk.new_partition(256, 80, 8, PartitionInfo::default()), Err(EINVAL));
            assert_eq!(disk.resize_partition(3, 8, 8), Err(ENXIO));
            assert_eq!(disk.resize_partition(0, 0, 8), Err(ENXIO));
            assert_eq!(disk.resize_partition(1, 16, 8), Err(EINVAL));
            assert_eq!(disk.resize_partition(1, 8, 0), Err(EINVAL));
            assert_eq!(disk.resize_partition(1, 8, 57), Err(EBUSY));
            assert_eq!(disk.resize_partition(2, 64, SECTORS - 63), Err(EINVAL));
            disk.resize_partition(1, 8, 56)?;
            disk.resize_partition(2, 64, SECTORS - 64)?;
            let sizes = [1, 2].map(|number| disk.part(number).map(|part| part.nr_sectors()));
            assert_eq!(sizes, [Some(56), Some(SECTORS - 64)]);
            Ok(())
        })
    }

    /// Whatever fails, numbers come back; another disk's name and number stay as they are.
    #[test]
    fn numbers_come_back() -> Result {
        // What other tests had goes first.
        rcu::barrier();
        let before = crate::registry::ext_count();
        let first = disk(QueueLimits::default())?;
        assert_eq!(crate::registry::ext_count(), before + 1);
        let number = first.part(0).ok_or(ENXIO)?.dev();
        assert_eq!(disk(QueueLimits::default()).err(), Some(EEXIST));
        first.new_partition(1, 8, 8, PartitionInfo::default())?;
        assert_eq!(first.new_partition(1, 32, 8, PartitionInfo::default()).err(), Some(EBUSY));
        assert_eq!(crate::registry::ext_count(), before + 2);
        assert!(lookup(number).is_some() && lookup_name(b"kunitblk").is_some_and(|found| found.dev() == number));
        // Who has the device keeps its number, though nobody finds it any more.
        let held = first.part(1).ok_or(ENXIO)?;
        first.remove();
        assert!(lookup(number).is_none() && lookup(held.dev()).is_none());
        drop(first);
        rcu::barrier();
        assert!(crate::registry::ext_count() > before);
        drop(held);
        rcu::barrier();
        assert_eq!(crate::registry::ext_count(), before);
        Ok(())
    }

    #[test]
    fn a_taken_number_is_refused() -> Result {
        let made = |name: &str| -> Result<Arc<Gendisk>> {
            let first = params(name);
            let params = GendiskParams { major: 240, first_minor: 16, minors: 4, ..first };
            let ram = RamDisk {
                pages: KVec::new(),
                reads: AtomicU64::new(0),
                writes: AtomicU64::new(0),
                flushes: AtomicU64::new(0),
                fail_writes: false.into(),
                bad: AtomicU64::new(0),
                bad_error: EIO,
            };
            Gendisk::new(&params, QueueLimits::default(), KBox::new(ram, GFP_KERNEL)?)
        };
        let (first, second) = (made("kunitone")?, made("kunittwo")?);
        first.add()?;
        assert_eq!(second.add(), Err(EBUSY));
        assert!(lookup_name(b"kunittwo").is_none() && lookup(Dev::new(240, 16)).is_some());
        first.remove();
        second.add()?;
        second.remove();
        assert!(lookup(Dev::new(240, 16)).is_none());
        Ok(())
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
