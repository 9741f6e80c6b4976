// SPDX-License-Identifier: GPL-2.0
//! A reader-writer spin lock. Writers have priority over new readers.

use core::sync::atomic::{AtomicU32, Ordering};
use x86_cpu::asm::cpu_relax;

const WRITER: u32 = 1 << 31;
const WAITING: u32 = 1 << 30;

/// What many readers or one writer have: `WRITER`, or how many readers.
pub struct RawRwSpinLock(AtomicU32);

impl RawRwSpinLock {
    /// An unlocked lock.
    #[expect(clippy::new_without_default, reason = "made in constants")]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Takes the lock for reading.
    #[inline]
    pub fn read(&self) {
        loop {
            let s = self.0.load(Ordering::Relaxed);
            if s & (WRITER | WAITING) == 0
                && self.0.compare_exchange_weak(s, s + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
            cpu_relax();
        }
    }

    /// Takes the lock for writing.
    #[inline]
    pub fn write(&self) {
        loop {
            let s = self.0.load(Ordering::Relaxed);
            if s & !WAITING == 0 {
                if self.0.compare_exchange_weak(s, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return;
                }
            } else if s & WAITING == 0 {
                self.0.fetch_or(WAITING, Ordering::Relaxed);
            }
            cpu_relax();
        }
    }

    /// A reader gives it back.
    #[inline]
    pub fn read_done(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// The writer gives it back.
    #[inline]
    pub fn write_done(&self) {
        self.0.fetch_and(!WRITER, Ordering::Release);
    }
}
