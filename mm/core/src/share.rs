// SPDX-License-Identifier: GPL-2.0
//! `Share`: which part of all that is written back goes to one device, of late. Counts are halved every period, so what was long ago
//! matters little; a period without any writing changes nothing for long. No locks: a count that is lost to another CPU does not matter.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Nanoseconds after which counts are halved.
const PERIOD_NS: u64 = 3_000_000_000;
/// Halvings after a time without writing.
const MOST: u64 = 4;
/// What a page counts: halves of few pages are still numbers.
const UNIT: u64 = 1 << 8;

/// What was written to all devices, and which period that is of.
pub(crate) struct Total {
    count: AtomicU64,
    period: AtomicU64,
    /// When the period began.
    since_ns: AtomicU64,
}

/// All devices of the machine.
pub(crate) static TOTAL: Total = Total::new();

impl Total {
    pub(crate) const fn new() -> Self {
        Self { count: AtomicU64::new(0), period: AtomicU64::new(0), since_ns: AtomicU64::new(0) }
    }

    /// Goes on to the period of `now_ns`, if that is another one.
    fn advance(&self, now_ns: u64) {
        let since = self.since_ns.load(Relaxed);
        let passed = now_ns.saturating_sub(since) / PERIOD_NS;
        if passed == 0 || self.since_ns.compare_exchange(since, now_ns, Relaxed, Relaxed).is_err() {
            return;
        }
        let steps = passed.min(MOST);
        let _ = self.count.fetch_update(Relaxed, Relaxed, |count| Some(count >> steps));
        self.period.fetch_add(steps, Relaxed);
    }
}

/// What was written to one device.
#[derive(Default)]
pub(crate) struct Share {
    count: AtomicU64,
    period: AtomicU64,
}

impl Share {
    pub(crate) const fn new() -> Self {
        Self { count: AtomicU64::new(0), period: AtomicU64::new(0) }
    }

    fn advance(&self, total: &Total) {
        let (own, now) = (self.period.load(Relaxed), total.period.load(Relaxed));
        if own != now && self.period.compare_exchange(own, now, Relaxed, Relaxed).is_ok() {
            let steps = now.wrapping_sub(own).min(63);
            let _ = self.count.fetch_update(Relaxed, Relaxed, |count| Some(count >> steps));
        }
    }

    /// `pages` were written. Any context.
    pub(crate) fn add(&self, total: &Total, pages: u64, now_ns: u64) {
        total.advance(now_ns);
        self.advance(total);
        self.count.fetch_add(pages.saturating_mul(UNIT), Relaxed);
        total.count.fetch_add(pages.saturating_mul(UNIT), Relaxed);
    }

    /// The part of `amount` that is the device's: all of it if nothing was written anywhere.
    pub(crate) fn of(&self, total: &Total, amount: u64) -> u64 {
        self.advance(total);
        let all = total.count.load(Relaxed);
        if all == 0 {
            return amount;
        }
        let own = self.count.load(Relaxed).min(all);
        (u128::from(amount) * u128::from(own) / u128::from(all)) as u64
    }
}

#[macros::kunit_tests(dirty_share)]
mod tests {
    use super::{PERIOD_NS, Share, Total};

    #[test]
    fn nothing_was_written() {
        assert_eq!(Share::new().of(&Total::new(), 1000), 1000);
    }

    #[test]
    fn shares_follow_what_is_written() {
        let (total, fast, slow) = (Total::new(), Share::new(), Share::new());
        fast.add(&total, 300, 1);
        slow.add(&total, 100, 2);
        assert_eq!((fast.of(&total, 1000), slow.of(&total, 1000)), (750, 250));
        // Who writes no more has half of it in the next period.
        fast.add(&total, 150, PERIOD_NS + 3);
        assert_eq!((fast.of(&total, 1000), slow.of(&total, 1000)), (857, 142));
        // After a long time without any writing they are what they were.
        slow.add(&total, 0, 1000 * PERIOD_NS);
        assert_eq!((fast.of(&total, 1000), slow.of(&total, 1000)), (857, 142));
        let late = Share::new();
        assert_eq!(late.of(&total, 1000), 0);
    }
}
