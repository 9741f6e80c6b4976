// SPDX-License-Identifier: GPL-2.0
//! Waiting until a register says something: `kernel::io::poll`.
//!
//! ```
//! use kernel::io::{Io, Mmio, Region, poll::read_poll_timeout};
//! use kernel::time::Delta;
//!
//! fn wait_until_idle(io: Mmio<'_, Region<0x10>>) -> Result {
//!     let idle = |status: &u32| status & 1 == 0;
//!     read_poll_timeout(|| Ok(io.read32(0x8)), idle, Delta::from_micros(50), Delta::from_millis(20))?;
//!     Ok(())
//! }
//! ```

use crate::error::{Result, code::ETIMEDOUT};
use crate::processor::cpu_relax;
use crate::time::delay::{fsleep, udelay};
use crate::time::{Delta, Instant, Monotonic};

/// Calls `op` until `cond` likes what it gives, sleeping `sleep_delta` in between, and gives that. `ETIMEDOUT` after
/// `timeout_delta`, or what `op` fails with. May sleep.
#[track_caller]
pub fn read_poll_timeout<Op, Cond, T>(mut op: Op, mut cond: Cond, sleep_delta: Delta, timeout_delta: Delta) -> Result<T>
where
    Op: FnMut() -> Result<T>,
    Cond: FnMut(&T) -> bool,
{
    crate::task::might_sleep();
    let start = Instant::<Monotonic>::now();
    loop {
        // The clock is read first: however long we are kept from running, there is a look after the time is over.
        let over = start.elapsed() > timeout_delta;
        let value = op()?;
        if cond(&value) {
            return Ok(value);
        }
        if over {
            return Err(ETIMEDOUT);
        }
        if !sleep_delta.is_zero() {
            fsleep(sleep_delta);
        }
        cpu_relax();
    }
}

/// As [`read_poll_timeout`] where sleeping is not allowed: `op` is called `retry` times at most, with `delay_delta` of spinning in
/// between. `ETIMEDOUT`.
pub fn read_poll_timeout_atomic<Op, Cond, T>(mut op: Op, mut cond: Cond, delay_delta: Delta, retry: usize) -> Result<T>
where
    Op: FnMut() -> Result<T>,
    Cond: FnMut(&T) -> bool,
{
    for _ in 0..retry {
        let value = op()?;
        if cond(&value) {
            return Ok(value);
        }
        if !delay_delta.is_zero() {
            udelay(delay_delta);
        }
        cpu_relax();
    }
    Err(ETIMEDOUT)
}
