// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel.

use macros::kunit_tests;

#[kunit_tests(workqueue)]
mod in_kernel {
    use crate::{DelayedWork, Work, spawn};
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
    use kalloc::Arc;
    use kalloc::flags::GFP_KERNEL;

    /// How long a test waits for what must come, whatever else the machine does.
    const PATIENCE_NS: u64 = 20_000_000_000;

    #[test]
    fn runs_once_a_queueing() {
        let Ok(count) = Arc::new(AtomicU32::new(0), GFP_KERNEL) else { return assert!(false) };
        let c = count.clone();
        let work = Work::new(move || {
            c.fetch_add(1, SeqCst);
        });
        let Ok(work) = work else { return assert!(false) };
        for n in 1..=100 {
            assert!(work.queue());
            work.flush();
            assert_eq!(count.load(SeqCst), n);
        }
        assert!(!work.is_busy());
    }

    #[test]
    fn sleeping_items_hold_up_nobody() {
        const ITEMS: u32 = 8;
        let Ok(arrived) = Arc::new(AtomicU32::new(0), GFP_KERNEL) else { return assert!(false) };
        let Ok(met) = Arc::new(AtomicU32::new(0), GFP_KERNEL) else { return assert!(false) };
        let deadline = ktime::now_ns() + PATIENCE_NS;
        for _ in 0..ITEMS {
            let (arrived, met) = (arrived.clone(), met.clone());
            // Each sleeps until all are at work: one after the other they would never meet.
            let spawned = spawn(move || {
                arrived.fetch_add(1, SeqCst);
                while arrived.load(SeqCst) < ITEMS && ktime::now_ns() < deadline {
                    ktime::sleep_ns(1_000_000);
                }
                met.fetch_add(u32::from(arrived.load(SeqCst) == ITEMS), SeqCst);
            });
            assert!(spawned.is_ok());
        }
        while met.load(SeqCst) < ITEMS && ktime::now_ns() < deadline {
            ktime::sleep_ns(1_000_000);
        }
        assert_eq!(met.load(SeqCst), ITEMS);
    }

    #[test]
    fn delayed() {
        const DELAY_NS: u64 = 5_000_000;
        let Ok(count) = Arc::new(AtomicU32::new(0), GFP_KERNEL) else { return assert!(false) };
        let Ok(ran_at) = Arc::new(AtomicU64::new(0), GFP_KERNEL) else { return assert!(false) };
        let (c, at) = (count.clone(), ran_at.clone());
        let work = DelayedWork::new(move || {
            at.store(ktime::now_ns(), SeqCst);
            c.fetch_add(1, SeqCst);
        });
        let Ok(work) = work else { return assert!(false) };
        let start = ktime::now_ns();
        work.queue_after(DELAY_NS);
        while count.load(SeqCst) == 0 && ktime::now_ns() < start + PATIENCE_NS {
            ktime::sleep_ns(1_000_000);
        }
        assert_eq!(count.load(SeqCst), 1);
        assert!(ran_at.load(SeqCst) >= start + DELAY_NS);
        // A flush does not wait for the time to come.
        work.queue_after(10 * PATIENCE_NS);
        work.flush();
        assert_eq!(count.load(SeqCst), 2);
        work.queue_after(1_000_000_000);
        work.cancel_sync();
        assert_eq!(count.load(SeqCst), 2);
    }
}
