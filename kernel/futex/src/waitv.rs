// SPDX-License-Identifier: GPL-2.0
//! `futex_waitv(2)`: waiting on up to 128 futexes at once.

use crate::bucket::{self, Waiter};
use crate::syscall::read_limit;
use crate::wait::{Deadline, enqueue};
use crate::{MATCH_ANY, key_of};
use errno::Result;
use errno::code::{EINVAL, ERESTARTSYS, ETIMEDOUT};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use ktime::sleep::schedule_until;
use mm::FutexKey;
use task::{State, current};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::get_user;

/// `FUTEX_WAITV_MAX`.
const MAX: usize = 128;
const FUTEX_32: u32 = 2;
const FUTEX_PRIVATE_FLAG: u32 = 128;
/// Size of `struct futex_waitv`.
const SIZE: usize = 24;

struct Item {
    waiter: Arc<Waiter>,
    addr: usize,
    key: FutexKey,
    expected: u32,
}

/// `futex_waitv(2)`: the index of a futex that was woken.
pub fn sys_futex_waitv(regs: &PtRegs) -> Result<usize> {
    let (list, count, flags, limit) = (regs.arg0(), regs.arg1() as u32 as usize, regs.arg2() as u32, regs.arg3());
    if flags != 0 || list == 0 || !(1..=MAX).contains(&count) {
        return Err(EINVAL);
    }
    let deadline = match limit {
        0 => None,
        at => {
            let clock = regs.arg4() as i32;
            if !matches!(clock, 0 | 1) {
                return Err(EINVAL);
            }
            Some(Deadline::meant(read_limit(at)?, clock == 0))
        }
    };
    let items = read(list, count)?;
    let (queued, result) = queue_all(&items);
    let done = result.and_then(|()| sleep(&items, deadline));
    current().set_state(State::RUNNING);
    // Whatever ended the wait, a futex that was woken meanwhile is the answer.
    let mut woken = None;
    for (index, item) in items.iter().enumerate().take(queued) {
        if !bucket::cancel(&item.waiter) {
            woken = Some(index);
        }
    }
    match woken {
        Some(index) => Ok(index),
        None => done.map(|()| 0),
    }
}

fn read(list: usize, count: usize) -> Result<KVec<Item>> {
    let mut items = KVec::with_capacity(count, GFP_KERNEL)?;
    for index in 0..count {
        let [value, addr, rest] = get_user::<[u64; 3]>(list.wrapping_add(index.wrapping_mul(SIZE)))?;
        let (flags, reserved) = (rest as u32, rest >> 32);
        if flags & !(FUTEX_32 | FUTEX_PRIVATE_FLAG) != 0 || flags & FUTEX_32 == 0 || reserved != 0 {
            return Err(EINVAL);
        }
        let key = key_of(addr as usize, flags & FUTEX_PRIVATE_FLAG == 0)?;
        items.push(Item { waiter: Waiter::new()?, addr: addr as usize, key, expected: value as u32 }, GFP_KERNEL)?;
    }
    Ok(items)
}

/// Puts the waiters on their buckets: how many, and the error that ended it.
fn queue_all(items: &[Item]) -> (usize, Result) {
    for (index, item) in items.iter().enumerate() {
        if let Err(error) = enqueue(&item.waiter, item.addr, item.key, item.expected, MATCH_ANY, None) {
            return (index, Err(error));
        }
    }
    (items.len(), Ok(()))
}

fn sleep(items: &[Item], deadline: Option<Deadline>) -> Result {
    let task = current();
    loop {
        task.set_state(State::INTERRUPTIBLE);
        if items.iter().any(|item| item.waiter.woken()) {
            return Ok(());
        }
        if task.signal_pending() {
            return Err(ERESTARTSYS);
        }
        match deadline {
            None => task::schedule(),
            Some(Deadline { clock, ns }) => {
                if schedule_until(clock, ns) {
                    return Err(ETIMEDOUT);
                }
            }
        }
    }
}
