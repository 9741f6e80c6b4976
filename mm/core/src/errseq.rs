// SPDX-License-Identifier: GPL-2.0
//! `ErrSeq`: an error that happened in the background and that everyone who cares is told once. The word holds the last error, a
//! count of errors, and whether anybody has looked since the last; who samples it later compares counts (Linux's `errseq_t`).

use core::sync::atomic::{AtomicU32, Ordering};
use errno::{Error, Result};

const ERRNO: u32 = 0xfff;
const SEEN: u32 = 0x1000;
const STEP: u32 = 0x2000;

/// An error and how often it happened.
#[derive(Default)]
pub struct ErrSeq(AtomicU32);

impl ErrSeq {
    /// No error yet.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// An error happened. Any context.
    pub fn set(&self, error: Error) {
        let errno = error.to_errno().unsigned_abs() & ERRNO;
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |old| {
            // Nobody has seen the last one: it need not be counted again.
            let count = old & !(ERRNO | SEEN);
            let count = if old & SEEN != 0 { count.wrapping_add(STEP) } else { count };
            Some(count | errno)
        });
    }

    /// Where to compare from: errors that nobody was told of yet will still be reported.
    pub fn sample(&self) -> u32 {
        let now = self.0.load(Ordering::Acquire);
        if now & SEEN == 0 { 0 } else { now }
    }

    /// The error that happened since `since`, if one did.
    pub fn check(&self, since: u32) -> Result {
        let now = self.0.load(Ordering::Acquire);
        if now == since || now & ERRNO == 0 { Ok(()) } else { Err(Error::from_errno((now & ERRNO) as i32)) }
    }

    /// As [`Self::check`], and `since` moves on, so that the same error is reported once.
    pub fn check_and_advance(&self, since: &AtomicU32) -> Result {
        let now = self.0.load(Ordering::Acquire);
        let old = since.load(Ordering::Relaxed);
        if now == old {
            return Ok(());
        }
        let seen = now | SEEN;
        if now != seen {
            // Another error meanwhile is left for the next call.
            let _ = self.0.compare_exchange(now, seen, Ordering::AcqRel, Ordering::Relaxed);
        }
        since.store(seen, Ordering::Relaxed);
        if old == seen || now & ERRNO == 0 { Ok(()) } else { Err(Error::from_errno((now & ERRNO) as i32)) }
    }
}
