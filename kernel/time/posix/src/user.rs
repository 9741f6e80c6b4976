// SPDX-License-Identifier: GPL-2.0
//! The ABI's time structures in user memory, all pairs of 64-bit words. Checked when read.

use errno::{Result, code::EINVAL};
use ktime::NSEC_PER_SEC;
use x86_mm::uaccess::{get_user, put_user};

const SEC_MAX: i64 = i64::MAX / NSEC_PER_SEC as i64;

/// Nanoseconds of seconds and nanoseconds; more than 64 bits hold becomes the far future. `EINVAL` if not in range.
pub(crate) fn from_timespec(sec: i64, nsec: i64) -> Result<u64> {
    if sec < 0 || !(0..NSEC_PER_SEC as i64).contains(&nsec) {
        return Err(EINVAL);
    }
    if sec >= SEC_MAX {
        return Ok(i64::MAX as u64);
    }
    Ok(sec as u64 * NSEC_PER_SEC + nsec as u64)
}

/// Nanoseconds of seconds and microseconds. `EINVAL` if not in range.
pub(crate) fn from_timeval(sec: i64, usec: i64) -> Result<u64> {
    if !(0..1_000_000).contains(&usec) {
        return Err(EINVAL);
    }
    from_timespec(sec, usec * 1000)
}

/// Reads a `struct timespec`.
pub(crate) fn get_timespec(at: usize) -> Result<u64> {
    let [sec, nsec] = get_user::<[i64; 2]>(at)?;
    from_timespec(sec, nsec)
}

/// Writes a `struct timespec`.
pub(crate) fn put_timespec(at: usize, ns: u64) -> Result {
    put_user(at, [ns / NSEC_PER_SEC, ns % NSEC_PER_SEC])
}

/// Seconds and microseconds.
pub(crate) fn timeval(ns: u64) -> [u64; 2] {
    [ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000]
}

/// Reads a `struct itimerspec`: interval and value.
pub(crate) fn get_itimerspec(at: usize) -> Result<(u64, u64)> {
    let [isec, insec, vsec, vnsec] = get_user::<[i64; 4]>(at)?;
    Ok((from_timespec(isec, insec)?, from_timespec(vsec, vnsec)?))
}

/// Writes a `struct itimerspec`.
pub(crate) fn put_itimerspec(at: usize, interval: u64, value: u64) -> Result {
    put_user(at, [interval / NSEC_PER_SEC, interval % NSEC_PER_SEC, value / NSEC_PER_SEC, value % NSEC_PER_SEC])
}
