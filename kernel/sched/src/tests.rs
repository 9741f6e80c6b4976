// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: threads, sleeping and waking across CPUs, timers, policies, affinity, RCU.

use macros::kunit_tests;

#[kunit_tests(sched)]
mod in_kernel {
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
    use kalloc::Arc;
    use kalloc::flags::GFP_KERNEL;
    use ktime::{Clock, HrTimer, NSEC_PER_SEC, Restart, now_ns, sleep_ns};
    use sync::{Completion, Mutex, WaitQueue};
    use task::kthread_run;

    const MS: u64 = 1_000_000;

    struct Shared {
        turn: AtomicU32,
        count: AtomicU64,
        wait: WaitQueue,
        done: Completion,
        total: Mutex<u64>,
    }

    fn shared() -> Option<Arc<Shared>> {
        let shared = Shared {
            turn: AtomicU32::new(0),
            count: AtomicU64::new(0),
            wait: WaitQueue::new(),
            done: Completion::new(),
            total: Mutex::new(0),
        };
        Arc::new(shared, GFP_KERNEL).ok()
    }

    #[test]
    fn sleep_takes_its_time() {
        let start = now_ns();
        sleep_ns(20 * MS);
        let took = now_ns() - start;
        assert!(took >= 20 * MS);
        assert!(took < 5 * NSEC_PER_SEC);
    }

    /// A try that fails leaves the lock with who has it.
    #[test]
    fn failed_try_locks_nothing_unlocks_nothing() {
        let mutex = Mutex::new(0);
        let held = mutex.lock();
        for _ in 0..3 {
            assert!(mutex.try_lock().is_none());
            assert!(mutex.is_locked());
        }
        drop(held);
        assert!(mutex.try_lock().is_some());
        let sem = sync::RwSemaphore::new(0);
        let held = sem.write();
        for _ in 0..3 {
            assert!(sem.try_write().is_none() && sem.try_read().is_none());
        }
        drop(held);
        let held = sem.read();
        for _ in 0..3 {
            assert!(sem.try_write().is_none());
        }
        assert!(sem.try_read().is_some());
        drop(held);
        assert!(sem.try_write().is_some());
        let spin = locking::SpinLock::new(0);
        let held = spin.lock();
        for _ in 0..3 {
            assert!(spin.try_lock().is_none() && spin.try_lock_irqsave().is_none());
        }
        drop(held);
        assert!(spin.try_lock().is_some());
    }

    fn iowait_ns() -> u64 {
        (0..64).filter_map(crate::cpu_times).map(|times| times.iowait).sum()
    }

    #[test]
    fn waits_for_devices_are_counted() {
        let Some(s) = shared() else { return assert!(false) };
        let (before, blocked) = (iowait_ns(), crate::nr_iowait());
        let sleeper = s.clone();
        let thread = kthread_run(b"iowait", move || {
            sleeper.turn.store(1, SeqCst);
            sleeper.done.wait_io();
            // Not for a device, this time.
            sleeper.wait.wait_until(|| sleeper.turn.load(SeqCst) == 2);
            sleeper.turn.store(3, SeqCst);
            sleeper.wait.wake_up_all();
        });
        assert!(thread.is_ok());
        while crate::nr_iowait() == blocked {
            sleep_ns(MS);
        }
        sleep_ns(50 * MS);
        s.done.complete();
        while crate::nr_iowait() != blocked {
            sleep_ns(MS);
        }
        // Its CPU was idle for most of the time.
        let waited = iowait_ns() - before;
        assert!(waited >= 20 * MS);
        sleep_ns(10 * MS);
        assert_eq!(crate::nr_iowait(), blocked);
        s.turn.store(2, SeqCst);
        s.wait.wake_up_all();
        s.wait.wait_until(|| s.turn.load(SeqCst) == 3);
    }

    #[test]
    fn ping_pong() {
        const ROUNDS: u64 = 2000;
        let Some(s) = shared() else { return assert!(false) };
        for me in 0..2u32 {
            let s = s.clone();
            let thread = kthread_run(b"pingpong", move || {
                for _ in 0..ROUNDS {
                    s.wait.wait_until(|| s.turn.load(SeqCst) == me);
                    s.count.fetch_add(1, SeqCst);
                    s.turn.store(1 - me, SeqCst);
                    s.wait.wake_up_all();
                }
                s.done.complete();
            });
            assert!(thread.is_ok());
        }
        s.done.wait();
        s.done.wait();
        assert_eq!(s.count.load(SeqCst), 2 * ROUNDS);
    }

    #[test]
    fn many_threads_one_mutex() {
        const THREADS: u32 = 16;
        const ROUNDS: u64 = 200;
        let Some(s) = shared() else { return assert!(false) };
        for _ in 0..THREADS {
            let s = s.clone();
            let thread = kthread_run(b"mutex", move || {
                for round in 0..ROUNDS {
                    let mut total = s.total.lock();
                    let seen = *total;
                    if round % 16 == 0 {
                        crate::sched_yield();
                    }
                    *total = seen + 1;
                    drop(total);
                    if round % 64 == 0 {
                        sleep_ns(100_000);
                    }
                }
                s.done.complete();
            });
            assert!(thread.is_ok());
        }
        for _ in 0..THREADS {
            s.done.wait();
        }
        assert_eq!(*s.total.lock(), u64::from(THREADS) * ROUNDS);
    }

    #[test]
    fn spinning_threads_share() {
        // More threads than CPUs that never sleep: preemption lets each have its part.
        let threads = crate::online_count() * 2 + 1;
        let Some(s) = shared() else { return assert!(false) };
        for _ in 0..threads {
            let s = s.clone();
            let thread = kthread_run(b"spin", move || {
                let end = now_ns() + 60 * MS;
                while now_ns() < end {
                    core::hint::spin_loop();
                }
                s.count.fetch_add(1, SeqCst);
                s.done.complete();
            });
            assert!(thread.is_ok());
        }
        for _ in 0..threads {
            s.done.wait();
        }
        assert_eq!(s.count.load(SeqCst), u64::from(threads));
    }

    #[test]
    fn affinity_is_kept() {
        let cpus = crate::online_cpus();
        let Some(s) = shared() else { return assert!(false) };
        let t = s.clone();
        let thread = kthread_run(b"mover", move || {
            for cpu in crate::wake::cpus(cpus) {
                crate::balance::set_allowed(&task::current(), 1 << cpu);
                for _ in 0..20 {
                    if x86_cpu::cpu_id() != cpu {
                        t.count.fetch_add(1, SeqCst);
                    }
                    crate::sched_yield();
                }
                sleep_ns(MS);
                if x86_cpu::cpu_id() != cpu {
                    t.count.fetch_add(1, SeqCst);
                }
            }
            t.done.complete();
        });
        assert!(thread.is_ok());
        s.done.wait();
        assert_eq!(s.count.load(SeqCst), 0);
    }

    #[test]
    fn real_time_goes_first() {
        let Some(s) = shared() else { return assert!(false) };
        let cpu = x86_cpu::cpu_id();
        // A fair thread that spins on this CPU until the real-time one, woken later on the same CPU, has run.
        let t = s.clone();
        let Ok(spinner) = task::kthread_create(b"spinner", move || {
            t.done.complete();
            let end = now_ns() + 2 * NSEC_PER_SEC;
            while t.turn.load(SeqCst) == 0 && now_ns() < end {
                core::hint::spin_loop();
            }
            t.count.store(u64::from(t.turn.load(SeqCst)), SeqCst);
            t.done.complete();
        }) else {
            return assert!(false);
        };
        crate::bind(&spinner, cpu);
        task::kthread::wake_up_new(spinner);
        s.done.wait();
        let t = s.clone();
        let Ok(urgent) = task::kthread_create(b"urgent", move || t.turn.store(1, SeqCst)) else {
            return assert!(false);
        };
        crate::bind(&urgent, cpu);
        let fifo = crate::Params { policy: crate::policy::FIFO, rt_priority: 10, nice: 0, reset_on_fork: false };
        assert!(crate::set_params(&urgent, fifo).is_ok());
        assert!(crate::set_params(&urgent, crate::Params { rt_priority: 0, ..fifo }).is_err());
        task::kthread::wake_up_new(urgent);
        s.done.wait();
        assert_eq!(s.count.load(SeqCst), 1);
    }

    #[test]
    fn slices() {
        let me = task::current();
        assert_eq!((crate::slice_ns(&me), crate::rr_interval_ns(&me)), (0, crate::rq::SLICE_NS));
        for (asked, given) in [(1, 100_000), (2 * MS, 2 * MS), (NSEC_PER_SEC, 100 * MS)] {
            crate::set_slice_ns(&me, asked);
            assert_eq!((crate::slice_ns(&me), crate::rr_interval_ns(&me)), (given, given));
        }
        crate::set_slice_ns(&me, 0);
        assert_eq!(crate::slice_ns(&me), 0);
    }

    /// Of two that never sleep on one CPU each gets its part by its weight; the sleeper between them is not kept out.
    #[test]
    fn weights_share_a_cpu() {
        let cpu = x86_cpu::cpu_id();
        let Some(s) = shared() else { return assert!(false) };
        let mut threads = kalloc::KVec::new();
        for nice in [0, 5] {
            let t = s.clone();
            let Ok(thread) = task::kthread_create(b"weighs", move || {
                while t.turn.load(SeqCst) == 0 {
                    core::hint::spin_loop();
                }
                t.done.complete();
            }) else {
                return assert!(false);
            };
            crate::bind(&thread, cpu);
            crate::set_nice(&thread, nice);
            task::kthread::wake_up_new(thread.clone());
            assert!(threads.push(thread, GFP_KERNEL).is_ok());
        }
        // Until the lighter one has had enough to tell; the sleeper runs between them.
        let end = now_ns() + 10 * NSEC_PER_SEC;
        while crate::runtime_ns(&threads[1]) < 60 * MS && now_ns() < end {
            sleep_ns(5 * MS);
        }
        let (heavy, light) = (crate::runtime_ns(&threads[0]), crate::runtime_ns(&threads[1]));
        s.turn.store(1, SeqCst);
        s.done.wait();
        s.done.wait();
        assert!(light >= 60 * MS);
        // 1024 to 335, and a tick or two.
        assert!(heavy > 2 * light && heavy < 4 * light);
    }

    #[test]
    fn lent_priority_counts() {
        let Some(s) = shared() else { return assert!(false) };
        let cpu = x86_cpu::cpu_id();
        // A fair thread with a lent priority spins; the real-time one of a lower priority has to wait for it.
        let t = s.clone();
        let Ok(spinner) = task::kthread_create(b"lent", move || {
            t.done.complete();
            let end = now_ns() + 50 * MS;
            while now_ns() < end {
                core::hint::spin_loop();
            }
            t.count.store(u64::from(t.turn.load(SeqCst)) + 1, SeqCst);
            t.done.complete();
        }) else {
            return assert!(false);
        };
        crate::bind(&spinner, cpu);
        crate::set_boost(&spinner, 20);
        assert_eq!(crate::urgency(&spinner), 20);
        task::kthread::wake_up_new(spinner.clone());
        s.done.wait();
        let t = s.clone();
        let Ok(urgent) = task::kthread_create(b"urgent", move || {
            t.turn.store(1, SeqCst);
            t.done.complete();
        }) else {
            return assert!(false);
        };
        crate::bind(&urgent, cpu);
        let fifo = crate::Params { policy: crate::policy::FIFO, rt_priority: 10, nice: 0, reset_on_fork: false };
        assert!(crate::set_params(&urgent, fifo).is_ok());
        task::kthread::wake_up_new(urgent);
        s.done.wait();
        s.done.wait();
        assert_eq!(s.count.load(SeqCst), 1);
        crate::set_boost(&spinner, 0);
        assert_eq!(crate::urgency(&spinner), 0);
    }

    #[test]
    fn timers_fire_in_order_and_cancel() {
        let Some(s) = shared() else { return assert!(false) };
        let make = |value: u32| {
            let s = s.clone();
            HrTimer::new(Clock::Monotonic, move |_: &Arc<HrTimer>| {
                // Each multiplies and adds: the result tells the order.
                let old = s.count.load(SeqCst);
                s.count.store(old * 10 + u64::from(value), SeqCst);
                s.done.complete();
                Restart::No
            })
        };
        let (Ok(a), Ok(b), Ok(c)) = (make(1), make(2), make(3)) else { return assert!(false) };
        {
            // Absolute, and with interrupts off: however slow the machine is, none fires before all are queued.
            let _irq = x86_cpu::irqflags::IrqGuard::new();
            let now = now_ns();
            c.start(now + 3 * MS);
            a.start(now + MS);
            b.start(now + 2 * MS);
        }
        s.done.wait();
        s.done.wait();
        s.done.wait();
        assert_eq!(s.count.load(SeqCst), 123);
        a.start_after(NSEC_PER_SEC);
        assert!(a.is_active());
        assert!(a.cancel());
        assert!(!a.cancel());
    }

    #[test]
    fn periodic_timer() {
        let Some(s) = shared() else { return assert!(false) };
        let t = s.clone();
        let timer = HrTimer::new(Clock::Realtime, move |timer: &Arc<HrTimer>| {
            timer.forward_now(MS);
            if t.count.fetch_add(1, SeqCst) == 9 {
                t.done.complete();
                return Restart::No;
            }
            Restart::Yes
        });
        let Ok(timer) = timer else { return assert!(false) };
        timer.start_after(MS);
        s.done.wait();
        assert_eq!(s.count.load(SeqCst), 10);
        assert!(!timer.cancel());
    }

    #[test]
    fn rcu_readers_and_writers() {
        struct Value {
            number: u64,
            twice: u64,
            drops: Arc<AtomicU64>,
        }
        impl Drop for Value {
            fn drop(&mut self) {
                self.twice = 1;
                self.drops.fetch_add(1, SeqCst);
            }
        }
        const WRITES: u64 = 300;
        let Some(s) = shared() else { return assert!(false) };
        let Ok(drops) = Arc::new(AtomicU64::new(0), GFP_KERNEL) else { return assert!(false) };
        let Ok(cell) = Arc::new(rcu::RcuArc::<Value>::null(), GFP_KERNEL) else { return assert!(false) };
        for _ in 0..3 {
            let (s, cell) = (s.clone(), cell.clone());
            let reader = kthread_run(b"reader", move || {
                while s.turn.load(SeqCst) == 0 {
                    for _ in 0..100 {
                        let section = rcu::read_lock();
                        if let Some(value) = cell.load(&section)
                            && value.number * 2 != value.twice
                        {
                            s.count.fetch_add(1, SeqCst);
                        }
                    }
                    crate::sched_yield();
                }
                s.done.complete();
            });
            assert!(reader.is_ok());
        }
        for number in 0..WRITES {
            let value = Value { number, twice: number * 2, drops: drops.clone() };
            cell.replace(Arc::new(value, GFP_KERNEL).ok());
            if number % 100 == 50 {
                rcu::synchronize();
            }
            if number % 10 == 0 {
                crate::sched_yield();
            }
        }
        s.turn.store(1, SeqCst);
        for _ in 0..3 {
            s.done.wait();
        }
        cell.replace(None);
        rcu::barrier();
        assert_eq!(s.count.load(SeqCst), 0);
        assert_eq!(drops.load(SeqCst), WRITES);
    }

    #[test]
    fn accounting() {
        let before = crate::runtime_ns(&task::current());
        let end = now_ns() + 30 * MS;
        while now_ns() < end {
            core::hint::spin_loop();
        }
        let after = crate::runtime_ns(&task::current());
        assert!(after > before);
        assert!(after - before <= NSEC_PER_SEC * 10);
        let times = crate::task_times(&task::current());
        assert_eq!(times.user + times.system, times.runtime);
        assert!(crate::context_switches() > 0);
        assert!(crate::cpu_times(x86_cpu::cpu_id()).is_some());
        assert!(crate::cpu_times(63).is_none());
    }
}
