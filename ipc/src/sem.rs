// SPDX-License-Identifier: GPL-2.0
//! Semaphores: `semget(2)`, `semop(2)`, `semtimedop(2)`. A set's state is under one spin lock; who cannot go on sleeps on a queue
//! of his own, and whoever changes values does the operations of those who can (so the order is kept).

use crate::ids::{Header, Object, READ, WRITE, now, pid};
use crate::ns::{self, Counts, Ns};
use crate::sem_ops::{Op, Outcome, PENDING, SEM_UNDO, Semaphore, Sleeper, State};
use crate::undo;
use crate::user;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use errno::code::{E2BIG, EAGAIN, EFBIG, EIDRM, EINTR, EINVAL, ENOSPC};
use errno::{Error, Result};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec};
use locking::SpinLock;
use sync::WaitQueue;
use x86_cpu::regs::PtRegs;

/// A set of semaphores.
pub(crate) struct Set {
    pub(crate) header: Header,
    /// Semaphores in it.
    pub(crate) count: usize,
    pub(crate) state: SpinLock<State>,
    counts: Arc<Counts>,
}

impl Object for Set {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        self.counts.semaphores.fetch_sub(self.count as u64, Ordering::Relaxed);
    }
}

impl Set {
    fn new(ns: &Ns, key: i32, count: usize, flags: u32) -> Result<Arc<Self>> {
        if count == 0 {
            return Err(EINVAL);
        }
        let [_, most, ..] = ns.limits.sem();
        if ns.counts.semaphores.load(Ordering::Relaxed).saturating_add(count as u64) > most.into() {
            return Err(ENOSPC);
        }
        let semaphores = KVec::from_elem(Semaphore::default(), count, GFP_KERNEL)?;
        let state =
            State { semaphores, adjustments: KVec::new(), sleepers: KVec::new(), op_time: 0, change_time: now() };
        let header = Header::new(key, flags)?;
        let set = Self { header, count, state: SpinLock::new(state), counts: ns.counts.clone() };
        // Counted before it may be dropped.
        ns.counts.semaphores.fetch_add(count as u64, Ordering::Relaxed);
        Ok(Arc::new(set, GFP_KERNEL)?)
    }

    /// Takes it away; who sleeps hears of it.
    pub(crate) fn remove(&self, ns: &Ns) -> Result {
        if !ns.sets.remove(self) {
            return Err(EIDRM);
        }
        let (sleepers, adjustments) = {
            let mut state = self.state.lock();
            (core::mem::take(&mut state.sleepers), core::mem::take(&mut state.adjustments))
        };
        drop(adjustments);
        for sleeper in sleepers {
            sleeper.finish(Err(EIDRM));
        }
        Ok(())
    }
}

/// `semget(key, count, flags)`.
pub fn sys_semget(regs: &PtRegs) -> Result<usize> {
    let (key, count, flags) = (regs.arg0() as i32, regs.arg1() as i32, regs.arg2() as u32);
    let ns = ns::current()?;
    let [most, _, _, sets] = ns.limits.sem();
    let count = usize::try_from(count).ok().filter(|count| *count <= most as usize).ok_or(EINVAL)?;
    let existing = |set: &Set| if count > set.count { Err(EINVAL) } else { Ok(()) };
    ns.sets.get(key, flags, sets, existing, || Set::new(&ns, key, count, flags))
}

/// `semop(id, operations, count)`.
pub fn sys_semop(regs: &PtRegs) -> Result<usize> {
    semtimedop(regs.arg0() as i32, regs.arg1(), regs.arg2() as u32, None)
}

/// `semtimedop(id, operations, count, timeout)`.
pub fn sys_semtimedop(regs: &PtRegs) -> Result<usize> {
    let timeout = match regs.arg3() {
        0 => None,
        address => Some(user::read::<[i64; 2]>(address)?),
    };
    semtimedop(regs.arg0() as i32, regs.arg1(), regs.arg2() as u32, timeout)
}

fn read_ops(address: usize, count: usize) -> Result<KVec<Op>> {
    let mut ops = KVec::with_capacity(count, GFP_KERNEL)?;
    for index in 0..count {
        let [num, change, flags] = user::read::<[u16; 3]>(address.wrapping_add(index * size_of::<[u16; 3]>()))?;
        ops.push(Op { num, change: change.cast_signed(), flags }, GFP_KERNEL)?;
    }
    Ok(ops)
}

/// The moment on the monotonic clock when `timeout` has passed. `EINVAL`.
fn deadline(timeout: Option<[i64; 2]>) -> Result<Option<u64>> {
    const SECOND: u64 = 1_000_000_000;
    let Some([seconds, nanoseconds]) = timeout else { return Ok(None) };
    let seconds = u64::try_from(seconds).map_err(|_| EINVAL)?;
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|ns| *ns < SECOND).ok_or(EINVAL)?;
    Ok(Some(ktime::now_ns().saturating_add(seconds.saturating_mul(SECOND)).saturating_add(nanoseconds)))
}

fn semtimedop(id: i32, address: usize, count: u32, timeout: Option<[i64; 2]>) -> Result<usize> {
    let ns = ns::current()?;
    let [_, _, most, _] = ns.limits.sem();
    if count > most {
        return Err(E2BIG);
    }
    if count < 1 || id < 0 {
        return Err(EINVAL);
    }
    let ops = read_ops(address, count as usize)?;
    let deadline = deadline(timeout)?;
    let undoes = ops.iter().any(|op| op.flags & SEM_UNDO != 0);
    let alters = ops.iter().any(|op| op.change != 0);
    let set = ns.sets.find(id)?;
    let undo = if undoes { undo::owner(&set)? } else { 0 };
    if ops.iter().any(|op| usize::from(op.num) >= set.count) {
        return Err(EFBIG);
    }
    set.header.check(if alters { WRITE } else { READ })?;
    let pid = pid();
    let mut state = set.state.lock();
    if set.header.is_removed() {
        return Err(EIDRM);
    }
    let blocking = match state.perform(&ops, &pid, undo) {
        Outcome::Done => {
            state.op_time = now();
            if alters {
                state.wake();
            }
            return Ok(0);
        }
        Outcome::Failed(error) => return Err(error),
        Outcome::Wait(index) => index,
    };
    drop(state);
    let sleeper = Sleeper {
        ops,
        pid,
        undo,
        blocking: AtomicUsize::new(blocking),
        result: AtomicI32::new(PENDING),
        queue: WaitQueue::new(),
    };
    let sleeper = Arc::new(sleeper, GFP_KERNEL)?;
    if sleep(&set, &sleeper)? {
        // A signal ends the wait as the operations do: what counts is the result.
        let _ = sleeper.queue.wait_interruptible_deadline(deadline, || sleeper.is_done());
    }
    wait_over(&set, &sleeper, deadline)
}

/// Tries once more, now that there is memory for waiting, and puts the sleeper into the list. False if there is nothing to wait for.
fn sleep(set: &Set, sleeper: &Arc<Sleeper>) -> Result<bool> {
    let mut state = set.state.lock();
    if set.header.is_removed() {
        return Err(EIDRM);
    }
    match state.perform(&sleeper.ops, &sleeper.pid, sleeper.undo) {
        Outcome::Done => {
            state.op_time = now();
            state.wake();
            sleeper.finish(Ok(()));
            Ok(false)
        }
        Outcome::Failed(error) => Err(error),
        Outcome::Wait(index) => {
            sleeper.blocking.store(index, Ordering::Relaxed);
            state.sleepers.push(sleeper.clone(), GFP_ATOMIC)?;
            Ok(true)
        }
    }
}

/// The result; a sleeper without one leaves the list: `EAGAIN` after the deadline, else `EINTR`.
fn wait_over(set: &Set, sleeper: &Arc<Sleeper>, deadline: Option<u64>) -> Result<usize> {
    let left = {
        let mut state = set.state.lock();
        let place = state.sleepers.iter().position(|other| Arc::ptr_eq(other, sleeper));
        place.and_then(|index| state.sleepers.remove(index).ok())
    };
    if left.is_some() {
        let late = deadline.is_some_and(|deadline| ktime::now_ns() >= deadline);
        return Err(if late && !task::current().signal_pending() { EAGAIN } else { EINTR });
    }
    match sleeper.result.load(Ordering::Acquire) {
        0 => Ok(0),
        error => Err(Error::from_errno(error)),
    }
}
