// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: faults beside who changes other mappings, and the claimed map by itself.

#[macros::kunit_tests(mm_pass)]
mod tests {
    use crate::exec::ExecLayout;
    use crate::fault::FaultSignal;
    use crate::flags::Prot;
    use crate::mm_struct::Mm;
    use crate::mmap::MapArgs;
    use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
    use errno::Result;
    use errno::code::{EFAULT, ENOMEM};
    use kalloc::flags::GFP_KERNEL;
    use kalloc::{Arc, KBox};
    use ktime::sleep::sleep_ns;
    use mm_alloc::layout::PAGE_SIZE;
    use sync::{ClaimedMap, Completion, Gate, Mutex};
    use x86_mm::Kind;

    const MS: u64 = 1_000_000;
    const FLAGS: u32 = uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS;

    /// An address space whose faults have passes.
    fn space() -> Result<Arc<Mm>> {
        let mm = Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })?;
        mm.inner.open(&mm.inner.read());
        Ok(mm)
    }

    /// A mapping of so many pages that nothing is joined with.
    fn map(mm: &Mm, pages: usize) -> Result<usize> {
        let len = (pages + 2) * PAGE_SIZE;
        let at = mm.mmap(MapArgs { addr: 0, len, prot: Prot::RW, flags: FLAGS, file: None, pgoff: 0 })?;
        mm.munmap(at, PAGE_SIZE)?;
        mm.munmap(at + (pages + 1) * PAGE_SIZE, PAGE_SIZE)?;
        Ok(at + PAGE_SIZE)
    }

    fn touch(mm: &Mm, addr: usize) -> core::result::Result<bool, FaultSignal> {
        mm.handle(addr, true, false, false)
    }

    /// Runs `f` in a thread; counts in `done` when it is through.
    fn beside(done: &Arc<AtomicU32>, f: impl FnOnce() + Send + 'static) -> Result {
        let done = done.clone();
        task::kthread_run(b"beside", move || {
            f();
            done.fetch_add(1, SeqCst);
        })?;
        Ok(())
    }

    fn counter() -> Result<Arc<AtomicU32>> {
        Ok(Arc::new(AtomicU32::new(0), GFP_KERNEL)?)
    }

    fn becomes(done: &AtomicU32, count: u32) -> bool {
        for _ in 0..2000 {
            if done.load(SeqCst) == count {
                return true;
            }
            sleep_ns(MS);
        }
        false
    }

    #[test]
    fn faults_elsewhere_go_on() -> Result {
        let (mm, done) = (space()?, counter()?);
        let (one, other) = (map(&mm, 4)?, map(&mm, 4)?);
        let held = mm.inner.write_range(other, other + PAGE_SIZE);
        let at = mm.clone();
        beside(&done, move || {
            for page in 0..4 {
                assert_eq!(touch(&at, one + page * PAGE_SIZE), Ok(false));
            }
        })?;
        assert!(becomes(&done, 1));
        assert_eq!(mm.table.rss(Kind::Anon), 4);
        // Where it is claimed they wait, all of the mapping, and where nothing is.
        for addr in [other + 3 * PAGE_SIZE, other - PAGE_SIZE] {
            let at = mm.clone();
            beside(&done, move || assert!(touch(&at, addr).is_ok() == (addr > other)))?;
        }
        sleep_ns(20 * MS);
        assert_eq!((done.load(SeqCst), mm.table.rss(Kind::Anon)), (1, 4));
        drop(held);
        assert!(becomes(&done, 3));
        assert_eq!(mm.table.rss(Kind::Anon), 5);
        Ok(())
    }

    #[test]
    fn who_has_everything_has_no_faults() -> Result {
        let (mm, done) = (space()?, counter()?);
        let one = map(&mm, 1)?;
        let held = mm.inner.write();
        assert!(mm.inner.pass(one).is_none());
        let at = mm.clone();
        beside(&done, move || assert_eq!(touch(&at, one), Ok(false)))?;
        sleep_ns(20 * MS);
        assert_eq!(done.load(SeqCst), 0);
        drop(held);
        assert!(becomes(&done, 1));
        assert!(mm.inner.pass(one).is_some());
        Ok(())
    }

    #[test]
    fn who_changes_a_mapping_waits_for_its_faults() -> Result {
        let (mm, done) = (space()?, counter()?);
        let (one, other) = (map(&mm, 3)?, map(&mm, 3)?);
        let pass = mm.inner.pass(one).ok_or(EFAULT)?;
        // Others are changed meanwhile.
        mm.mprotect(other, PAGE_SIZE, uapi::PROT_READ)?;
        mm.munmap(other + PAGE_SIZE, PAGE_SIZE)?;
        let third = map(&mm, 1)?;
        for step in 0..3 {
            let at = mm.clone();
            beside(&done, move || match step {
                0 => assert!(at.mprotect(one + PAGE_SIZE, PAGE_SIZE, uapi::PROT_READ).is_ok()),
                1 => assert!(at.munmap(one + 2 * PAGE_SIZE, PAGE_SIZE).is_ok()),
                _ => drop(at.inner.write()),
            })?;
        }
        sleep_ns(20 * MS);
        assert_eq!(done.load(SeqCst), 0);
        assert_eq!((pass.start(), pass.end()), (one, one + 3 * PAGE_SIZE));
        // Who waits has not the lock: what looks at address spaces gets in, if not just when one of them tries.
        let gets_in = || mm.inner.try_read_beside().is_some();
        assert!((0..100).any(|_| gets_in() || {
            sleep_ns(MS);
            false
        }));
        drop(pass);
        assert!(becomes(&done, 3));
        assert_eq!(touch(&mm, one), Ok(false));
        assert_eq!(touch(&mm, one + PAGE_SIZE), Err(FaultSignal::AccessError));
        assert_eq!(touch(&mm, one + 2 * PAGE_SIZE), Err(FaultSignal::MapError));
        assert_eq!(touch(&mm, third), Ok(false));
        Ok(())
    }

    #[test]
    fn a_mapping_grows_beside_its_faults() -> Result {
        let mm = space()?;
        let at = map(&mm, 8)?;
        mm.munmap(at + PAGE_SIZE, 7 * PAGE_SIZE)?;
        let pass = mm.inner.pass(at).ok_or(EFAULT)?;
        let place = uapi::MAP_FIXED_NOREPLACE | FLAGS;
        let more = MapArgs { addr: at + PAGE_SIZE, len: PAGE_SIZE, prot: Prot::RW, flags: place, file: None, pgoff: 0 };
        mm.mmap(more)?;
        assert_eq!(
            mm.inner.pass(at + PAGE_SIZE).map(|pass| (pass.start(), pass.end())),
            Some((at, at + 2 * PAGE_SIZE))
        );
        assert_eq!(pass.end(), at + PAGE_SIZE);
        Ok(())
    }

    /// Threads that fault in mappings of their own while others come and go, next to them and over them.
    #[test]
    fn faults_and_changes() -> Result {
        const THREADS: usize = 3;
        const PAGES: usize = 16;
        const ROUNDS: usize = 200;
        let (mm, done) = (space()?, counter()?);
        for thread in 0..THREADS {
            let (own, at) = (map(&mm, PAGES)?, mm.clone());
            beside(&done, move || {
                for round in 0..ROUNDS {
                    let addr = own + round % PAGES * PAGE_SIZE;
                    assert_eq!(touch(&at, addr), Ok(false));
                    assert!(at.table.query(addr).is_present());
                    if round % PAGES == PAGES - 1 {
                        let length = PAGES * PAGE_SIZE;
                        assert!(at.madvise(own, length, uapi::MADV_DONTNEED).is_ok());
                    }
                    if round % 7 == thread {
                        sleep_ns(10_000);
                    }
                }
                assert!(at.munmap(own, PAGES * PAGE_SIZE).is_ok());
            })?;
        }
        let mut rounds = 0;
        // It ends without those who found something wrong, too.
        while done.load(SeqCst) != THREADS as u32 && rounds < 50_000 {
            let len = (2 + rounds % 5) * PAGE_SIZE;
            let other = mm.mmap(MapArgs { addr: 0, len, prot: Prot::RW, flags: FLAGS, file: None, pgoff: 0 })?;
            assert_eq!(touch(&mm, other), Ok(false));
            mm.mprotect(other + PAGE_SIZE, PAGE_SIZE, uapi::PROT_NONE)?;
            mm.munmap(other, PAGE_SIZE)?;
            if rounds.is_multiple_of(16) {
                drop(mm.fork()?);
            }
            mm.munmap(other, len)?;
            rounds += 1;
        }
        assert_eq!((done.load(SeqCst), mm.rss(), mm.inner.read().areas.len()), (THREADS as u32, 0, 0));
        Ok(())
    }

    /// A value that says where it is, and notices that it goes.
    struct Told {
        start: AtomicUsize,
        live: &'static AtomicUsize,
    }

    static LIVE: AtomicUsize = AtomicUsize::new(0);
    const GONE: usize = usize::MAX;

    impl Told {
        fn new(start: usize) -> Result<KBox<Self>> {
            LIVE.fetch_add(1, SeqCst);
            Ok(KBox::new(Self { start: AtomicUsize::new(start), live: &LIVE }, GFP_KERNEL)?)
        }
    }

    impl Drop for Told {
        fn drop(&mut self) {
            self.start.store(GONE, SeqCst);
            self.live.fetch_sub(1, SeqCst);
        }
    }

    struct Tried {
        map: Mutex<ClaimedMap<Told>>,
        gate: Arc<Gate<Told>>,
        end: Completion,
        bad: AtomicU32,
        stop: AtomicU32,
    }

    /// What is used stays while everything else is inserted, split, joined and removed, more of it than the copy had room for at first.
    #[test]
    fn what_is_used_stays() -> Result {
        const PLACES: usize = 256;
        const READERS: usize = 3;
        let map = ClaimedMap::new();
        let gate = map.open().ok_or(ENOMEM)?.clone();
        let (end, bad, stop) = (Completion::new(), AtomicU32::new(0), AtomicU32::new(0));
        let tried = Arc::new(Tried { map: Mutex::new(map), gate, end, bad, stop }, GFP_KERNEL)?;
        for reader in 0..READERS {
            let t = tried.clone();
            task::kthread_run(b"user", move || {
                let mut at = reader;
                while t.stop.load(SeqCst) == 0 {
                    at = (at * 5 + 1 + reader) % PLACES;
                    let Some(pass) = t.gate.enter(at) else {
                        sleep_ns(1000);
                        continue;
                    };
                    for look in 0..8 {
                        if pass.start.load(SeqCst) != pass.start() || !(pass.start()..pass.end()).contains(&at) {
                            t.bad.fetch_add(1, SeqCst);
                        }
                        if look == 4 && at.is_multiple_of(16) {
                            sleep_ns(1000);
                        }
                    }
                }
                t.end.complete();
            })?;
        }
        let mut seed = 1_usize;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % below
        };
        for round in 0..4000_usize {
            let mut map = tried.map.lock();
            let at = random(PLACES);
            let index = map.index(at);
            let found = map.get(index).filter(|slot| slot.start <= at).map(|slot| (slot.start, slot.end));
            match (found, random(4)) {
                (None, _) => {
                    let limit = map.get(index).map_or(PLACES, |slot| slot.start);
                    // Mostly small, so that there are many.
                    let stop = limit.min(at + 1 + random(3));
                    assert!(map.insert(at, stop, Told::new(at)?).is_ok());
                }
                (Some((start, end)), 0) if start < at && at < end => {
                    assert!(map.split(index, at, Told::new(at)?).is_ok());
                }
                (Some((start, end)), 1) if end - start > 1 => {
                    assert!(map.set_bounds(index, start + 1, end));
                    map.value_mut(index).ok_or(EFAULT)?.start = AtomicUsize::new(start + 1);
                }
                (Some(_), 2) if round.is_multiple_of(2) => drop(map.remove(index)),
                (Some(_), 3) if round.is_multiple_of(3) => map.remove_many(index, 2, drop),
                _ => {}
            }
            map.release();
            if round.is_multiple_of(64) {
                drop(map);
                sleep_ns(100_000);
            }
        }
        tried.stop.store(1, SeqCst);
        for _ in 0..READERS {
            tried.end.wait();
        }
        let mut map = tried.map.lock();
        assert_eq!((tried.bad.load(SeqCst), LIVE.load(SeqCst)), (0, map.len()));
        // The copy is what the map is.
        for at in 0..PLACES {
            let seen = tried.gate.enter(at).map(|pass| (pass.start(), pass.end()));
            assert_eq!(seen, map.containing(at).map(|slot| (slot.start, slot.end)));
        }
        *map = ClaimedMap::new();
        drop(map);
        assert_eq!(LIVE.load(SeqCst), 0);
        Ok(())
    }

    #[test]
    fn a_map_that_goes_waits_for_passes() -> Result {
        let done = counter()?;
        let mut map = ClaimedMap::new();
        map.reserve(100)?;
        for at in 0..100 {
            assert!(map.push(at * 2, at * 2 + 1, KBox::new(at, GFP_KERNEL)?).is_ok());
        }
        let gate = map.open().ok_or(ENOMEM)?.clone();
        let pass = gate.enter(20).ok_or(EFAULT)?;
        assert!(gate.enter(21).is_none());
        // With another in use it waits, but what is not used can be claimed at once.
        assert!(map.try_claim(40, 60));
        assert!(gate.enter(42).is_none() && gate.enter(60).is_some());
        map.release();
        assert!(gate.enter(42).is_some());
        assert!(!map.try_claim(10, 60));
        // Until somebody else releases it nobody comes in there.
        map.release();
        assert!(gate.enter(42).is_none());
        map.release();
        assert!(gate.enter(42).is_some());
        beside(&done, move || drop(map))?;
        sleep_ns(20 * MS);
        assert_eq!((done.load(SeqCst), *pass), (0, 10));
        drop(pass);
        assert!(becomes(&done, 1));
        assert!(gate.enter(20).is_none());
        Ok(())
    }
}
