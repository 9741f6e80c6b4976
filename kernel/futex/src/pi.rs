// SPDX-License-Identifier: GPL-2.0
//! Futexes with priority inheritance: the word holds the owner's thread id, and while others wait the kernel knows the owner,
//! who runs with the priority of the most urgent waiter (along the chain, if the owner waits for such a futex itself).
//! Source: futex(2), Documentation/locking/pi-futex.rst, futex-requeue-pi.rst.
//!
//! Lock: `STATES` guards every contended futex of this kind, waiters and owners. Under it user memory is touched without
//! faulting in, and run queues are locked. Without contention programs do not call the kernel, so it is taken by those who are
//! about to sleep or to wake somebody.
//!
//! A waiter is given the futex by whoever lets go: taken off the list, made the owner, then marked `granted` and woken.

use crate::wait::Deadline;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use errno::Result;
use errno::code::{EAGAIN, EDEADLK, EFAULT, EINTR, EINVAL, EPERM, ERESTARTNOINTR, ESRCH, ETIMEDOUT};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec};
use ktime::sleep::schedule_until;
use locking::SpinLock;
use mm::FutexKey;
use task::{State, Task, current};
use x86_mm::uaccess::{cmpxchg_user_u32, get_user};

const WAITERS: u32 = 0x8000_0000;
const OWNER_DIED: u32 = 0x4000_0000;
const TID_MASK: u32 = 0x3fff_ffff;
/// Longest chain of owners that wait for each other which is followed (`max_lock_depth`).
const MAX_CHAIN: usize = 1024;

/// Somebody who waits for a futex.
pub(crate) struct Waiter {
    task: Arc<Task>,
    granted: AtomicBool,
}

/// Where a `FUTEX_WAIT_REQUEUE_PI` wants to be moved.
pub(crate) struct Target {
    pub(crate) key: FutexKey,
    pub(crate) waiter: Arc<Waiter>,
}

/// A contended futex. It has at least one waiter.
struct Contended {
    key: FutexKey,
    owner: Arc<Task>,
    /// Most urgent first, else in the order of arrival.
    waiters: KVec<Arc<Waiter>>,
}

static STATES: SpinLock<States> = SpinLock::new(States(KVec::new()));

struct States(KVec<Contended>);

/// What an attempt to lock came to.
pub(crate) enum Attempt {
    /// The futex is the waiter's.
    Taken,
    /// The waiter is on the list.
    Queued,
    /// The word changed meanwhile, or its owner is on the way out.
    Retry,
}

impl Waiter {
    /// For the current task.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self { task: current().to_arc(), granted: AtomicBool::new(false) }, GFP_KERNEL)?)
    }

    /// Whether the futex is this waiter's.
    pub(crate) fn granted(&self) -> bool {
        self.granted.load(SeqCst)
    }

    /// Tells it that the futex is its own. The task may be gone at once.
    pub(crate) fn grant(&self) {
        let task = self.task.clone();
        self.granted.store(true, SeqCst);
        task.wake(State::NORMAL);
    }
}

impl States {
    fn find(&self, key: &FutexKey) -> Option<usize> {
        self.0.iter().position(|c| c.key == *key)
    }

    /// The futex that `task` waits for.
    fn waited_by(&self, task: &Task) -> Option<usize> {
        self.0.iter().position(|c| c.waiters.iter().any(|w| core::ptr::eq(&*w.task, task)))
    }

    /// Whether `task` would wait for itself if it waited for a futex of `owner`.
    fn is_circle(&self, task: &Task, owner: &Arc<Task>) -> bool {
        let mut owner = owner.clone();
        for _ in 0..MAX_CHAIN {
            if core::ptr::eq(&*owner, task) {
                return true;
            }
            let Some(next) = self.waited_by(&owner).and_then(|at| self.0.get(at)) else { return false };
            owner = next.owner.clone();
        }
        true
    }

    /// Gives `owner` the priority of its most urgent waiter, and goes on along the chain where that changes something.
    fn inherit(&mut self, owner: &Arc<Task>) {
        let mut owner = owner.clone();
        for _ in 0..MAX_CHAIN {
            let held = self.0.iter().filter(|c| Arc::ptr_eq(&c.owner, &owner));
            let boost = held.filter_map(|c| c.waiters.first()).map(|w| sched::urgency(&w.task)).max().unwrap_or(0);
            let before = sched::urgency(&owner);
            sched::set_boost(&owner, boost);
            if sched::urgency(&owner) == before {
                return;
            }
            let Some(contended) = self.waited_by(&owner).and_then(|at| self.0.get_mut(at)) else { return };
            contended.sort();
            owner = contended.owner.clone();
        }
    }

    /// Takes `waiter` off the futex `key`. False if it is not there (any more).
    fn remove(&mut self, key: &FutexKey, waiter: &Arc<Waiter>) -> bool {
        let Some(contended) = self.find(key).and_then(|at| self.0.get_mut(at)) else { return false };
        let before = contended.waiters.len();
        contended.waiters.retain(|w| !Arc::ptr_eq(w, waiter));
        let (found, owner) = (contended.waiters.len() != before, contended.owner.clone());
        self.drop_empty();
        self.inherit(&owner);
        found
    }

    fn drop_empty(&mut self) {
        self.0.retain(|c| !c.waiters.is_empty());
    }

    /// The owner of `key` lets go: the first waiter becomes the owner. It is still to be told.
    fn hand_over(&mut self, at: usize) -> Option<Arc<Waiter>> {
        let contended = self.0.get_mut(at)?;
        let first = contended.waiters.remove(0).ok()?;
        let old = core::mem::replace(&mut contended.owner, first.task.clone());
        self.drop_empty();
        self.inherit(&old);
        self.inherit(&first.task);
        Some(first)
    }
}

impl Contended {
    fn sort(&mut self) {
        // Few waiters, nearly sorted, equal ones keep their order: insertion.
        for end in 1..self.waiters.len() {
            let mut at = end;
            while at > 0
                && let Some([before, after]) = self.waiters.get(at - 1..=at)
                && sched::urgency(&before.task) < sched::urgency(&after.task)
            {
                self.waiters.swap(at - 1, at);
                at -= 1;
            }
        }
    }
}

/// What the current task, which has the word before it, calls `task`.
fn number(task: &Task) -> u32 {
    process::pid::thread_number_here(task)
}

/// Whether a thread will not let go of anything any more.
fn has_left(task: &Task) -> bool {
    process::thread_of(task).is_none_or(|thread| thread.has_left_memory())
}

/// Tries to give the futex at `addr` to `waiter`'s task, or puts it on the list (unless `only_try`: `EAGAIN`). `EFAULT`: the page
/// is to be brought in first. Atomic context is fine.
pub(crate) fn attempt(addr: usize, key: &FutexKey, waiter: &Arc<Waiter>, only_try: bool) -> Result<Attempt> {
    let mut states = STATES.lock();
    let value = get_user::<u32>(addr)?;
    let (task, owner_tid) = (&waiter.task, value & TID_MASK);
    if owner_tid == number(task) {
        return Err(EDEADLK);
    }
    if let Some(at) = states.find(key) {
        let owner = states.0.get(at).map(|c| c.owner.clone()).ok_or(EINVAL)?;
        if owner_tid != number(&owner) && value & OWNER_DIED == 0 {
            // The new owner of a dead one's futex has not written its number yet; or the program wrote nonsense.
            let dead = process::pid::find_thread_here(owner_tid).is_none_or(|task| has_left(&task));
            return if dead { Ok(Attempt::Retry) } else { Err(EINVAL) };
        }
        if only_try {
            return Err(EAGAIN);
        }
        return queue(&mut states, addr, value, key, owner, waiter);
    }
    if owner_tid == 0 {
        let new = number(task) | value & OWNER_DIED;
        return Ok(if cmpxchg_user_u32(addr, value, new)? == value { Attempt::Taken } else { Attempt::Retry });
    }
    let owner = match process::pid::find_thread_here(owner_tid) {
        Some(owner) if owner.is_kthread() => return Err(EPERM),
        // Until it has left its memory it may still write to the word.
        Some(owner) if !has_left(&owner) => owner,
        _ if get_user::<u32>(addr)? != value => return Ok(Attempt::Retry),
        _ => return Err(ESRCH),
    };
    if process::thread_of(&owner).is_none_or(|thread| thread.is_exiting()) {
        return Ok(Attempt::Retry);
    }
    if only_try {
        return Err(EAGAIN);
    }
    queue(&mut states, addr, value, key, owner, waiter)
}

/// Marks the word and puts `waiter` on the list of `owner`'s futex.
fn queue(
    states: &mut States,
    addr: usize,
    value: u32,
    key: &FutexKey,
    owner: Arc<Task>,
    waiter: &Arc<Waiter>,
) -> Result<Attempt> {
    if states.is_circle(&waiter.task, &owner) {
        return Err(EDEADLK);
    }
    if cmpxchg_user_u32(addr, value, value | WAITERS)? != value {
        return Ok(Attempt::Retry);
    }
    match states.find(key).and_then(|at| states.0.get_mut(at)) {
        Some(contended) => {
            contended.waiters.push(waiter.clone(), GFP_ATOMIC)?;
            contended.sort();
        }
        None => {
            let mut waiters = KVec::new();
            waiters.push(waiter.clone(), GFP_ATOMIC)?;
            states.0.push(Contended { key: *key, owner: owner.clone(), waiters }, GFP_ATOMIC)?;
        }
    }
    states.inherit(&owner);
    Ok(Attempt::Queued)
}

/// Brings the word's page in for writing without changing it. May sleep; `EFAULT`.
pub(crate) fn fault_in(addr: usize) -> Result {
    let value = get_user::<u32>(addr)?;
    cmpxchg_user_u32(addr, value, value).map(|_| ())
}

/// `FUTEX_LOCK_PI`, `FUTEX_LOCK_PI2`. May sleep.
pub(crate) fn lock(addr: usize, shared: bool, deadline: Option<Deadline>) -> Result<usize> {
    let waiter = Waiter::new()?;
    let key = loop {
        let key = crate::key_of(addr, shared)?;
        match attempt(addr, &key, &waiter, false) {
            Ok(Attempt::Taken) => return Ok(0),
            Ok(Attempt::Queued) => break key,
            Ok(Attempt::Retry) => breathe()?,
            Err(EFAULT) => fault_in(addr)?,
            Err(error) => return Err(error),
        }
    };
    match wait(&waiter, deadline) {
        Ok(()) => own(addr, &waiter),
        Err(why) => match give_up(&key, &waiter) {
            false => own(addr, &waiter),
            true => Err(if why == EINTR { ERESTARTNOINTR } else { why }),
        },
    }
}

/// Lets others run before the next attempt; `EINTR`'s kin when a signal came.
fn breathe() -> Result {
    if current().signal_pending() {
        return Err(ERESTARTNOINTR);
    }
    sched::sched_yield();
    Ok(())
}

/// `FUTEX_TRYLOCK_PI`. May sleep (page faults).
pub(crate) fn try_lock(addr: usize, shared: bool) -> Result<usize> {
    let waiter = Waiter::new()?;
    loop {
        let key = crate::key_of(addr, shared)?;
        match attempt(addr, &key, &waiter, true) {
            Ok(Attempt::Taken) => return Ok(0),
            Ok(_) => breathe()?,
            Err(EFAULT) => fault_in(addr)?,
            Err(error) => return Err(error),
        }
    }
}

/// Sleeps until the futex is granted; `EINTR` or `ETIMEDOUT` if not.
pub(crate) fn wait(waiter: &Waiter, deadline: Option<Deadline>) -> Result {
    let task = current();
    let result = loop {
        task.set_state(State::INTERRUPTIBLE);
        if waiter.granted() {
            break Ok(());
        }
        if task.signal_pending() {
            break Err(EINTR);
        }
        match deadline {
            None => task::schedule(),
            Some(Deadline { clock, ns }) => {
                if schedule_until(clock, ns) && !waiter.granted() {
                    break Err(ETIMEDOUT);
                }
            }
        }
    };
    task.set_state(State::RUNNING);
    result
}

/// Ends the wait for `key`. False if the futex is the waiter's after all.
pub(crate) fn give_up(key: &FutexKey, waiter: &Arc<Waiter>) -> bool {
    let mut states = STATES.lock();
    if waiter.granted() {
        return false;
    }
    if states.remove(key, waiter) {
        return true;
    }
    // Taken off, and about to be told: under the lock it is told already.
    !waiter.granted()
}

/// The futex is ours: sees to it that the word says so (its last owner may have died without a word).
pub(crate) fn own(addr: usize, waiter: &Waiter) -> Result<usize> {
    let tid = waiter.task.own_tid();
    loop {
        let value = get_user::<u32>(addr)?;
        if value & TID_MASK == tid {
            return Ok(0);
        }
        let new = tid | WAITERS | OWNER_DIED;
        if cmpxchg_user_u32(addr, value, new)? == value {
            return Ok(0);
        }
    }
}

/// `FUTEX_UNLOCK_PI`. May sleep (page faults).
pub(crate) fn unlock(addr: usize, shared: bool) -> Result<usize> {
    loop {
        if get_user::<u32>(addr)? & TID_MASK != current().own_tid() {
            return Err(EPERM);
        }
        let key = crate::key_of(addr, shared)?;
        match try_unlock(addr, &key) {
            Ok(true) => return Ok(0),
            Ok(false) => {}
            Err(EFAULT) => fault_in(addr)?,
            Err(error) => return Err(error),
        }
    }
}

/// False if the word changed meanwhile.
fn try_unlock(addr: usize, key: &FutexKey) -> Result<bool> {
    let me = current();
    let mut states = STATES.lock();
    let value = get_user::<u32>(addr)?;
    if value & TID_MASK != me.own_tid() {
        return Err(EPERM);
    }
    let Some(at) = states.find(key) else {
        return Ok(cmpxchg_user_u32(addr, value, 0)? == value);
    };
    let contended = states.0.get(at).ok_or(EINVAL)?;
    if !core::ptr::eq(&*contended.owner, &*me) {
        return Err(EINVAL);
    }
    let next = contended.waiters.first().map(|w| number(&w.task)).ok_or(EINVAL)?;
    if cmpxchg_user_u32(addr, value, next | WAITERS)? != value {
        return Ok(false);
    }
    if let Some(first) = states.hand_over(at) {
        first.grant();
    }
    Ok(true)
}

/// `task`, the current one, ends: what it held goes to the next in line, which finds out that its owner died.
pub(crate) fn exit(task: &Task) {
    let mut states = STATES.lock();
    while let Some(at) = states.0.iter().position(|c| core::ptr::eq(&*c.owner, task)) {
        match states.hand_over(at) {
            Some(first) => first.grant(),
            None => break,
        }
    }
}
