// SPDX-License-Identifier: GPL-2.0
//! Time limits and temporary signal masks of the calls here.

use errno::code::{EINTR, EINVAL, ERESTARTNOHAND};
use errno::{Error, Result};
use process::signal::syscalls::{restore_temporary_mask, set_temporary_mask};
use task::current;
use x86_mm::uaccess::{UserPtr, get_user, put_user};

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// Until when a call may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limit {
    /// Not at all.
    Now,
    /// Until this monotonic time.
    Until(u64),
    /// As long as it takes.
    Never,
}

impl Limit {
    pub(crate) fn after_ns(ns: u64) -> Self {
        if ns == 0 { Self::Now } else { Self::Until(ktime::now_ns().saturating_add(ns)) }
    }

    /// From a `timespec` (`unit` 1) or `timeval` (`unit` 1000) in user memory; null waits for ever. `EINVAL`, `EFAULT`.
    pub(crate) fn from_user(address: usize, unit: u64) -> Result<Self> {
        if address == 0 {
            return Ok(Self::Never);
        }
        let [seconds, part]: [i64; 2] = get_user(UserPtr::from(address))?;
        let seconds = u64::try_from(seconds).map_err(|_| EINVAL)?;
        let part = u64::try_from(part).map_err(|_| EINVAL)?;
        let ns = if unit == 1 {
            if part >= NSEC_PER_SEC {
                return Err(EINVAL);
            }
            part
        } else {
            // select(2): microseconds beyond a second are carried.
            part.saturating_mul(unit)
        };
        Ok(Self::after_ns(seconds.saturating_mul(NSEC_PER_SEC).saturating_add(ns)))
    }

    /// The deadline to sleep with.
    pub(crate) fn deadline(self) -> Option<u64> {
        match self {
            Self::Until(at) => Some(at),
            Self::Now | Self::Never => None,
        }
    }

    /// The end of a call: what is left is written back, and `result` given back. Where that is not wanted (`STICKY_TIMEOUTS`) or not
    /// possible, a wait that a signal ended is not begun again: it would last longer than it should.
    pub(crate) fn finish(self, result: Result<usize>, address: usize, unit: u64) -> Result<usize> {
        if address == 0 || self == Self::Never {
            return result;
        }
        let sticky = process::current_process().is_some_and(|p| p.personality() & uapi::STICKY_TIMEOUTS != 0);
        if (sticky || self.write_back(address, unit).is_err()) && result == Err(ERESTARTNOHAND) {
            return Err(EINTR);
        }
        result
    }

    fn write_back(self, address: usize, unit: u64) -> Result {
        let left = match self {
            Self::Until(at) => at.saturating_sub(ktime::now_ns()),
            Self::Now | Self::Never => 0,
        };
        let words = [left / NSEC_PER_SEC, left % NSEC_PER_SEC / unit];
        put_user(UserPtr::from(address), words)
    }
}

/// Runs `f` with the signal mask at `mask` (null: as it is).
pub(crate) fn with_mask(mask: usize, size: usize, f: impl FnOnce() -> Result<usize>) -> Result<usize> {
    set_temporary_mask(mask, size)?;
    let result = f();
    if mask != 0 {
        restore_temporary_mask(result == Err(ERESTARTNOHAND));
    }
    result
}

/// Whether a signal ends the wait.
pub(crate) fn interrupted() -> bool {
    current().signal_pending()
}

/// The error of a wait that a signal ended.
pub(crate) const INTERRUPTED: Error = ERESTARTNOHAND;
