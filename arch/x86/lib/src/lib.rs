// SPDX-License-Identifier: GPL-2.0
//! Busy waiting, and the frequency of the TSC that it goes by. Clocks (`arch/x86/kernel/clocks`) find the frequency; all of level 1
//! and drivers wait. No locks.

#![no_std]
#![forbid(unsafe_code)]

pub mod delay;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Frequency in Hz, 0 while unknown.
static HZ: AtomicU64 = AtomicU64::new(0);
static KHZ: AtomicU32 = AtomicU32::new(0);

/// The TSC's frequency in kHz; 0 while unknown.
#[inline]
pub fn khz() -> u32 {
    KHZ.load(Ordering::Relaxed)
}

/// The TSC's frequency in Hz; 0 while unknown.
#[inline]
pub fn hz() -> u64 {
    HZ.load(Ordering::Relaxed)
}

/// Sets the TSC's frequency, for whoever measures it.
pub fn set_hz(hz: u64) {
    HZ.store(hz, Ordering::Relaxed);
    KHZ.store(u32::try_from(hz / 1000).unwrap_or(0), Ordering::Relaxed);
}
