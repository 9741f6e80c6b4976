// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: the lock of address spaces, whose readers do not meet.

#[macros::kunit_tests(mm_lock)]
mod tests {
    use crate::exec::ExecLayout;
    use crate::flags::Prot;
    use crate::mm_struct::Mm;
    use crate::mmap::MapArgs;
    use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use errno::Result;
    use kalloc::Arc;
    use kalloc::flags::GFP_KERNEL;
    use ktime::sleep::sleep_ns;
    use mm_alloc::layout::PAGE_SIZE;
    use sync::{BiasedRwSemaphore as RwSemaphore, Completion};
    use x86_mm::Kind;

    const MS: u64 = 1_000_000;
    /// More meetings than it takes, also after a writer was there.
    const MANY: usize = 200;

    struct Shared {
        pair: RwSemaphore<(u64, u64)>,
        go: Completion,
        done: Completion,
        state: AtomicU32,
        bad: AtomicU32,
    }

    fn shared() -> Result<Arc<Shared>> {
        let shared = Shared {
            pair: RwSemaphore::new((0, 0)),
            go: Completion::new(),
            done: Completion::new(),
            state: AtomicU32::new(0),
            bad: AtomicU32::new(0),
        };
        Ok(Arc::new(shared, GFP_KERNEL)?)
    }

    /// Has the semaphore biased: a thread has it while this one comes and goes.
    fn warm(s: &Arc<Shared>) -> Result {
        let other = s.clone();
        task::kthread_run(b"reader", move || {
            let held = other.pair.read();
            other.state.store(1, SeqCst);
            other.go.wait();
            drop(held);
            other.done.complete();
        })?;
        while s.state.load(SeqCst) != 1 {
            sleep_ns(MS);
        }
        for _ in 0..MANY {
            drop(s.pair.read());
        }
        s.go.complete();
        s.done.wait();
        Ok(())
    }

    #[test]
    fn alone_there_is_no_bias() -> Result {
        let s = shared()?;
        for _ in 0..MANY {
            drop(s.pair.read());
            drop(s.pair.write());
        }
        assert!(!s.pair.is_biased());
        Ok(())
    }

    #[test]
    fn writers_wait_for_all_readers() -> Result {
        let s = shared()?;
        warm(&s)?;
        assert!(s.pair.is_biased());
        let held = s.pair.read();
        s.state.store(2, SeqCst);
        // The first takes the bias away; the second, which finds none, waits for the reader too.
        for _ in 0..2 {
            let writer = s.clone();
            task::kthread_run(b"writer", move || {
                let mut pair = writer.pair.write();
                pair.0 += 5;
                pair.1 += 5;
                writer.state.fetch_add(1, SeqCst);
                drop(pair);
                writer.done.complete();
            })?;
            sleep_ns(20 * MS);
        }
        assert_eq!((s.state.load(SeqCst), *held), (2, (0, 0)));
        // Who looks for memory to be freed gets in beside the writers, who have nothing yet.
        assert!(s.pair.try_read_beside().is_some());
        drop(held);
        s.done.wait();
        s.done.wait();
        assert_eq!((s.state.load(SeqCst), *s.pair.read()), (4, (10, 10)));
        assert!(!s.pair.is_biased());
        // And it comes back when readers meet again.
        warm(&s)?;
        assert!(s.pair.is_biased());
        assert_eq!(s.pair.try_read().map(|pair| *pair), Some((10, 10)));
        Ok(())
    }

    #[test]
    fn more_readers_than_words() -> Result {
        let s = shared()?;
        warm(&s)?;
        const READERS: u32 = 12;
        s.state.store(0, SeqCst);
        for _ in 0..READERS {
            let reader = s.clone();
            task::kthread_run(b"sleeper", move || {
                let pair = reader.pair.read();
                reader.state.fetch_add(1, SeqCst);
                reader.go.wait();
                if *pair != (0, 0) {
                    reader.bad.fetch_add(1, SeqCst);
                }
                drop(pair);
                reader.done.complete();
            })?;
        }
        while s.state.load(SeqCst) != READERS {
            sleep_ns(MS);
        }
        let writer = s.clone();
        task::kthread_run(b"writer", move || {
            *writer.pair.write() = (1, 1);
            writer.done.complete();
        })?;
        sleep_ns(5 * MS);
        for _ in 0..READERS {
            s.go.complete();
        }
        for _ in 0..=READERS {
            s.done.wait();
        }
        assert_eq!((s.bad.load(SeqCst), *s.pair.read()), (0, (1, 1)));
        Ok(())
    }

    #[test]
    fn readers_see_whole_writes() -> Result {
        const THREADS: u64 = 4;
        const ROUNDS: u64 = 3000;
        let s = shared()?;
        warm(&s)?;
        for thread in 0..THREADS {
            let s = s.clone();
            task::kthread_run(b"rwsem", move || {
                for round in 0..ROUNDS {
                    if (round + thread) % 100 == 0 {
                        let mut pair = s.pair.write();
                        pair.0 += 1;
                        sleep_ns(1_000);
                        pair.1 += 1;
                    } else {
                        let pair = s.pair.read();
                        let first = pair.0;
                        if round % 16 == 0 {
                            sleep_ns(1_000);
                        }
                        if first != pair.1 {
                            s.bad.fetch_add(1, SeqCst);
                        }
                    }
                }
                s.done.complete();
            })?;
        }
        for _ in 0..THREADS {
            s.done.wait();
        }
        assert_eq!((s.bad.load(SeqCst), *s.pair.read()), (0, (THREADS * ROUNDS / 100, THREADS * ROUNDS / 100)));
        Ok(())
    }

    /// Threads that fault in one address space at once, on whatever CPU, while another changes it.
    #[test]
    fn pages_are_counted_on_all_cpus() -> Result {
        const THREADS: usize = 4;
        const PAGES: usize = 256;
        const LEN: usize = THREADS * PAGES * PAGE_SIZE;
        let (s, mm) = (shared()?, Mm::new_exec(&ExecLayout { randomize: true, stack_limit: 8 << 20, legacy: false })?);
        let flags = uapi::MAP_PRIVATE | uapi::MAP_ANONYMOUS;
        let map = |len| mm.mmap(MapArgs { addr: 0, len, prot: Prot::RW, flags, file: None, pgoff: 0 });
        let at = map(LEN)?;
        for thread in 0..THREADS {
            let (s, mm) = (s.clone(), mm.clone());
            task::kthread_run(b"faults", move || {
                for page in 0..PAGES {
                    let addr = at + (thread * PAGES + page) * PAGE_SIZE;
                    if mm.write(addr, &[thread as u8 + 1], false) != 1 {
                        s.bad.fetch_add(1, SeqCst);
                    }
                    if page % 64 == 0 {
                        sleep_ns(100_000);
                    }
                }
                s.done.complete();
            })?;
        }
        for _ in 0..20 {
            let other = map(PAGE_SIZE)?;
            assert_eq!(mm.write(other, &[1], false), 1);
            mm.munmap(other, PAGE_SIZE)?;
        }
        for _ in 0..THREADS {
            s.done.wait();
        }
        assert_eq!((s.bad.load(SeqCst), mm.table.rss(Kind::Anon)), (0, THREADS * PAGES));
        let mut byte = [0];
        for page in 0..THREADS * PAGES {
            assert_eq!(mm.read(at + page * PAGE_SIZE, &mut byte, false), 1);
            assert_eq!(byte, [(page / PAGES) as u8 + 1]);
        }
        mm.munmap(at, LEN)?;
        assert_eq!(mm.rss(), 0);
        Ok(())
    }
}
