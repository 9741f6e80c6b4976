// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel.

use macros::kunit_tests;

#[kunit_tests(workqueue)]
mod in_kernel {
    use crate::{DelayedWork, Work, spawn};
    use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use kalloc::Arc;
    use kalloc::flags::GFP_KERNEL;

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
        let Ok(count) = Arc::new(AtomicU32::new(0), GFP_KERNEL) else { return assert!(false) };
        let start = ktime::now_ns();
        for _ in 0..8 {
            let c = count.clone();
            let spawned = spawn(move || {
                ktime::sleep_ns(50_000_000);
                c.fetch_add(1, SeqCst);
            });
            assert!(spawned.is_ok());
        }
        while count.load(SeqCst) < 8 {
            ktime::sleep_ns(1_000_000);
        }
        assert!(ktime::now_ns() - start < 350_000_000);
    }

    #[test]
    fn delayed() {
        let Ok(count) = Arc::new(AtomicU32::new(0), GFP_KERNEL) else { return assert!(false) };
        let c = count.clone();
        let work = DelayedWork::new(move || {
            c.fetch_add(1, SeqCst);
        });
        let Ok(work) = work else { return assert!(false) };
        work.queue_after(5_000_000);
        assert_eq!(count.load(SeqCst), 0);
        work.flush();
        assert_eq!(count.load(SeqCst), 1);
        work.queue_after(1_000_000_000);
        work.cancel_sync();
        assert_eq!(count.load(SeqCst), 1);
    }
}
