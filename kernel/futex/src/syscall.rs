// SPDX-License-Identifier: GPL-2.0
//! `futex(2)`: the operations by number.

use crate::requeue::{requeue, wake_op};
use crate::wait::{Deadline, wait};
use crate::{MATCH_ANY, pi, requeue_pi, wake};
use errno::Result;
use errno::code::{EINVAL, ENOSYS};
use ktime::{Clock, NSEC_PER_SEC};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::get_user;

const FUTEX_WAIT: u32 = 0;
const FUTEX_WAKE: u32 = 1;
const FUTEX_REQUEUE: u32 = 3;
const FUTEX_CMP_REQUEUE: u32 = 4;
const FUTEX_WAKE_OP: u32 = 5;
const FUTEX_LOCK_PI: u32 = 6;
const FUTEX_UNLOCK_PI: u32 = 7;
const FUTEX_TRYLOCK_PI: u32 = 8;
const FUTEX_WAIT_BITSET: u32 = 9;
const FUTEX_WAKE_BITSET: u32 = 10;
const FUTEX_WAIT_REQUEUE_PI: u32 = 11;
const FUTEX_CMP_REQUEUE_PI: u32 = 12;
const FUTEX_LOCK_PI2: u32 = 13;
const FUTEX_PRIVATE_FLAG: u32 = 128;
const FUTEX_CLOCK_REALTIME: u32 = 256;

/// Reads a time limit; `EINVAL` if it is not one.
pub(crate) fn read_limit(at: usize) -> Result<u64> {
    let [sec, nsec] = get_user::<[i64; 2]>(at)?;
    if sec < 0 || !(0..NSEC_PER_SEC as i64).contains(&nsec) {
        return Err(EINVAL);
    }
    Ok((sec as u64).saturating_mul(NSEC_PER_SEC).saturating_add(nsec as u64).min(i64::MAX as u64))
}

/// A moment to give up on one of two clocks, if there is one.
fn absolute(at: usize, realtime: bool) -> Result<Option<Deadline>> {
    match at {
        0 => Ok(None),
        at => Ok(Some(Deadline::meant(read_limit(at)?, realtime))),
    }
}

/// A count that the ABI passes as `int`; negative ones are refused where Linux refuses them.
fn count(value: usize) -> Result<usize> {
    usize::try_from(value as i32).map_err(|_| EINVAL)
}

/// As [`count`] for plain wake-ups, where less than one still wakes one.
fn wake_count(value: usize) -> usize {
    usize::try_from(value as i32).unwrap_or(1).max(1)
}

/// `futex(2)`.
pub fn sys_futex(regs: &PtRegs) -> Result<usize> {
    let (addr, op, val) = (regs.arg0(), regs.arg1() as u32, regs.arg2());
    let (limit, addr2, val3) = (regs.arg3(), regs.arg4(), regs.arg5() as u32);
    let shared = op & FUTEX_PRIVATE_FLAG == 0;
    let realtime = op & FUTEX_CLOCK_REALTIME != 0;
    let command = op & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    if realtime && !matches!(command, FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI2) {
        return Err(ENOSYS);
    }
    match command {
        FUTEX_WAKE => wake(addr, shared, wake_count(val), MATCH_ANY),
        FUTEX_WAKE_BITSET => wake(addr, shared, wake_count(val), val3),
        FUTEX_WAIT => {
            let deadline = match limit {
                0 => None,
                // Relative, measured from now.
                at => Some(Deadline { clock: Clock::Monotonic, ns: ktime::now_ns().saturating_add(read_limit(at)?) }),
            };
            wait(addr, shared, val as u32, MATCH_ANY, deadline)
        }
        FUTEX_WAIT_BITSET => wait(addr, shared, val as u32, val3, absolute(limit, realtime)?),
        FUTEX_LOCK_PI => pi::lock(addr, shared, absolute(limit, true)?),
        FUTEX_LOCK_PI2 => pi::lock(addr, shared, absolute(limit, realtime)?),
        FUTEX_TRYLOCK_PI => pi::try_lock(addr, shared),
        FUTEX_UNLOCK_PI => pi::unlock(addr, shared),
        FUTEX_WAIT_REQUEUE_PI => requeue_pi::wait(addr, shared, val as u32, absolute(limit, realtime)?, addr2),
        FUTEX_CMP_REQUEUE_PI => requeue_pi::requeue(addr, addr2, shared, count(val)?, count(limit)?, val3),
        // The fourth argument is a second count here.
        FUTEX_REQUEUE => requeue(addr, addr2, shared, count(val)?, count(limit)?, None),
        FUTEX_CMP_REQUEUE => requeue(addr, addr2, shared, count(val)?, count(limit)?, Some(val3)),
        FUTEX_WAKE_OP => wake_op(addr, addr2, shared, wake_count(val), wake_count(limit), val3),
        _ => Err(ENOSYS),
    }
}
