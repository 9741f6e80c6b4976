// SPDX-License-Identifier: GPL-2.0
//! Condition variables over futexes with priority inheritance: a waiter says beforehand to which lock it will be moved, and a
//! broadcast moves all waiters to the lock, the most patient of which gets it at once if it is free.

use crate::bucket::{self, index_of};
use crate::pi::{self, Attempt, Target};
use crate::wait::{Deadline, enqueue, waiter};
use crate::{MATCH_ANY, key_of};
use errno::Result;
use errno::code::{EAGAIN, EFAULT, EINTR, EINVAL, ERESTARTNOINTR};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use x86_mm::uaccess::get_user;

/// `FUTEX_WAIT_REQUEUE_PI`: waits at `addr`, and comes back as the owner of the futex at `to`. May sleep.
pub(crate) fn wait(addr: usize, shared: bool, expected: u32, deadline: Option<Deadline>, to: usize) -> Result<usize> {
    if addr == to {
        return Err(EINVAL);
    }
    let (key, to_key) = (key_of(addr, shared)?, key_of(to, shared)?);
    if key == to_key {
        return Err(EINVAL);
    }
    let (place, lock) = (waiter()?, pi::Waiter::new()?);
    let target = Arc::new(Target { key: to_key, waiter: lock.clone() }, GFP_KERNEL)?;
    enqueue(&place, addr, key, expected, MATCH_ANY, Some(&target))?;
    let Err(why) = pi::wait(&lock, deadline) else { return pi::own(to, &lock) };
    if bucket::cancel(&place) {
        return Err(if why == EINTR { ERESTARTNOINTR } else { why });
    }
    // It was moved already.
    if !pi::give_up(&to_key, &lock) {
        return pi::own(to, &lock);
    }
    Err(if why == EINTR { EAGAIN } else { why })
}

/// `FUTEX_CMP_REQUEUE_PI`: how many waiters were moved or given the lock. May sleep (page faults).
pub(crate) fn requeue(from: usize, to: usize, shared: bool, wake: usize, move_: usize, expected: u32) -> Result<usize> {
    // More than one could not own the lock.
    if from == to || wake != 1 {
        return Err(EINVAL);
    }
    let (from_key, to_key) = (key_of(from, shared)?, key_of(to, shared)?);
    if from_key == to_key {
        return Err(EINVAL);
    }
    let mut done = 0;
    loop {
        match move_some(from, to, &from_key, &to_key, move_.saturating_add(1), expected, &mut done) {
            Ok(()) => return Ok(done),
            Err(EFAULT) => {
                get_user::<u32>(from)?;
                pi::fault_in(to)?;
            }
            Err(EAGAIN) if done > 0 => return Ok(done),
            Err(error) => return Err(error),
        }
    }
}

/// Moves waiters until there are `limit`, all under the bucket's lock. `EFAULT`: a page is to be brought in first.
fn move_some(
    from: usize,
    to: usize,
    from_key: &mm::FutexKey,
    to_key: &mm::FutexKey,
    limit: usize,
    expected: u32,
    done: &mut usize,
) -> Result {
    let mut queue = bucket::lock(index_of(from_key));
    if get_user::<u32>(from)? != expected {
        return Err(EAGAIN);
    }
    while *done < limit
        && let Some((order, target)) = queue.first_target(from_key)
    {
        let target = target.filter(|t| t.key == *to_key).ok_or(EINVAL)?;
        match pi::attempt(to, to_key, &target.waiter, false)? {
            Attempt::Taken => {
                drop(queue.take(order));
                target.waiter.grant();
            }
            Attempt::Queued => drop(queue.take(order)),
            // Not in atomic context, where the owner could not finish what it does.
            Attempt::Retry => return Err(EFAULT),
        }
        *done += 1;
    }
    Ok(())
}
