// SPDX-License-Identifier: GPL-2.0
//! The data page that kernel and vDSO share: written by the kernel alone, under a sequence counter, read by every program.
//! (This file is compiled into both.)

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64};

/// `DataPage::mode`: make the system call.
pub const MODE_SYSCALL: u32 = 0;
/// `DataPage::mode`: the cycles are the TSC's.
pub const MODE_TSC: u32 = 1;

/// Clocks with a base in the page: ids of `clock_gettime(2)` up to `CLOCK_TAI`.
pub const CLOCKS: usize = 12;
/// `CLOCK_REALTIME`.
pub const CLOCK_REALTIME: usize = 0;
/// `CLOCK_MONOTONIC`.
pub const CLOCK_MONOTONIC: usize = 1;
/// `CLOCK_MONOTONIC_RAW`.
pub const CLOCK_MONOTONIC_RAW: usize = 4;
/// `CLOCK_REALTIME_COARSE`.
pub const CLOCK_REALTIME_COARSE: usize = 5;
/// `CLOCK_MONOTONIC_COARSE`.
pub const CLOCK_MONOTONIC_COARSE: usize = 6;
/// `CLOCK_BOOTTIME`.
pub const CLOCK_BOOTTIME: usize = 7;
/// `CLOCK_TAI`.
pub const CLOCK_TAI: usize = 11;

/// The page.
#[repr(C, align(4096))]
pub struct DataPage {
    /// Odd while the kernel writes.
    pub seq: AtomicU32,
    /// `MODE_*`.
    pub mode: AtomicU32,
    /// Counter at the base.
    pub cycle_last: AtomicU64,
    /// Nanoseconds a cycle, 32 bits after the point.
    pub mult: AtomicU64,
    /// Fraction of a nanosecond at the base.
    pub frac: AtomicU64,
    /// As `mult`, for `CLOCK_MONOTONIC_RAW`.
    pub raw_mult: AtomicU64,
    /// As `frac`, for `CLOCK_MONOTONIC_RAW`.
    pub raw_frac: AtomicU64,
    /// Each clock's nanoseconds at the base.
    pub base_ns: [AtomicU64; CLOCKS],
    /// `tz_minuteswest`.
    pub minutes_west: AtomicI32,
    /// `tz_dsttime`.
    pub dst_time: AtomicI32,
}
