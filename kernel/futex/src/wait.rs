// SPDX-License-Identifier: GPL-2.0
//! Waiting on one futex.

use crate::bucket::{self, Waiter, announce, index_of, lock, retreat};
use crate::key_of;
use crate::pi::Target;
use errno::Result;
use errno::code::{EAGAIN, EINVAL, ENOMEM, ERESTART_RESTARTBLOCK, ERESTARTSYS, ETIMEDOUT};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use ktime::{Clock, sleep::schedule_until};
use mm::FutexKey;
use process::ns::time::{self, Shifted};
use task::{State, TaskLocal, current, restart};
use x86_mm::uaccess::get_user;

static WAITER: TaskLocal<Arc<Waiter>> = TaskLocal::new();

/// A moment to give up.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) clock: Clock,
    pub(crate) ns: u64,
}

impl Deadline {
    /// Moment `ns` of real time, or of monotonic time as the current task's name space has it.
    pub(crate) fn meant(ns: u64, realtime: bool) -> Self {
        match realtime {
            true => Self { clock: Clock::Realtime, ns },
            false => Self { clock: Clock::Monotonic, ns: time::meant(Shifted::Monotonic, ns) },
        }
    }
}

/// The current task's waiter. May sleep the first time.
pub(crate) fn waiter() -> Result<Arc<Waiter>> {
    let task = current();
    if let Some(waiter) = WAITER.get(&task) {
        return Ok(waiter.clone());
    }
    let waiter = Waiter::new()?;
    WAITER.set(&task, KBox::new(waiter.clone(), GFP_KERNEL)?).map_err(|_| ENOMEM)?;
    Ok(waiter)
}

/// Puts the waiter on its bucket if the word at `addr` holds `expected`: `EAGAIN` if not. The task's state is set before, so a
/// wake-up from here on is not lost.
pub(crate) fn enqueue(
    waiter: &Arc<Waiter>,
    addr: usize,
    key: FutexKey,
    expected: u32,
    bits: u32,
    pi: Option<&Arc<Target>>,
) -> Result {
    let index = index_of(&key);
    loop {
        announce(index);
        let mut queue = lock(index);
        // With preemption off this does not fault a page in; it fails instead.
        match get_user::<u32>(addr) {
            Ok(value) if value == expected => {
                current().set_state(State::INTERRUPTIBLE);
                queue.insert(waiter, current().to_arc(), key, bits, pi.cloned());
                return Ok(());
            }
            Ok(_) => {
                drop(queue);
                retreat(index);
                return Err(EAGAIN);
            }
            Err(_) => {
                drop(queue);
                retreat(index);
                // May sleep; EFAULT if there is no page to be had.
                get_user::<u32>(addr)?;
            }
        }
    }
}

/// Sleeps until the waiter is woken; else says why not.
fn sleep(waiter: &Waiter, deadline: Option<Deadline>) -> Result {
    let task = current();
    loop {
        if waiter.woken() {
            break;
        }
        if task.signal_pending() {
            task.set_state(State::RUNNING);
            return if bucket::cancel(waiter) { Err(ERESTARTSYS) } else { Ok(()) };
        }
        match deadline {
            None => task::schedule(),
            Some(Deadline { clock, ns }) => {
                if schedule_until(clock, ns) && !waiter.woken() {
                    task.set_state(State::RUNNING);
                    return if bucket::cancel(waiter) { Err(ETIMEDOUT) } else { Ok(()) };
                }
            }
        }
        // Who was woken is not shown asleep once more.
        if waiter.woken() {
            break;
        }
        task.set_state(State::INTERRUPTIBLE);
    }
    task.set_state(State::RUNNING);
    Ok(())
}

/// `FUTEX_WAIT` and `FUTEX_WAIT_BITSET`. May sleep.
pub(crate) fn wait(addr: usize, shared: bool, expected: u32, bits: u32, deadline: Option<Deadline>) -> Result<usize> {
    if bits == 0 {
        return Err(EINVAL);
    }
    let waiter = waiter()?;
    enqueue(&waiter, addr, key_of(addr, shared)?, expected, bits, None)?;
    match sleep(&waiter, deadline) {
        Ok(()) => Ok(0),
        Err(ERESTARTSYS) if deadline.is_some() => {
            if let Some(Deadline { clock, ns }) = deadline {
                let kind = u64::from(shared) | u64::from(clock == Clock::Realtime) << 1;
                restart::set(go_on, [addr as u64, u64::from(expected), u64::from(bits), ns, kind, 0]);
            }
            Err(ERESTART_RESTARTBLOCK)
        }
        Err(error) => Err(error),
    }
}

fn go_on(args: &[u64; 6]) -> Result<usize> {
    let [addr, expected, bits, ns, kind, _] = *args;
    let clock = if kind & 2 != 0 { Clock::Realtime } else { Clock::Monotonic };
    wait(addr as usize, kind & 1 != 0, expected as u32, bits as u32, Some(Deadline { clock, ns }))
}
