// SPDX-License-Identifier: GPL-2.0
//! Workers (`IOSQE_ASYNC`): threads of the program's own (`iou-wrk-TID`) that do requests while who sent them goes on. A ring has as
//! many as it has requests for that would wait otherwise, at most four for each CPU and for tasks with the same memory and rights; those
//! that connect, which may take for ever, are not limited by that. One that had nothing to do for five seconds ends, as all do with the
//! ring, with the process, and when it becomes another program.
//!
//! A worker has the memory, the files and the rights of the task that made it, and does requests of tasks with the same memory and rights
//! alone. What a request begins in a worker and has to wait for its file is put off as elsewhere, and then goes on in the task that sent it.
//!
//! Lock: `state` (spin), innermost. Source: `io_uring_enter(2)`.

use crate::abi::op;
use crate::ops::{go_on, take_file};
use crate::request::{Request, Sender};
use crate::ring::Ring;
use cred::Cred;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec, WeakArc};
use locking::SpinLock;
use sync::WaitQueue;
use task::{State, Task, TaskFlags, current};

/// A worker that had nothing to do for this long ends.
const IDLE_NS: u64 = 5_000_000_000;
/// Workers for each CPU.
const PER_CPU: u32 = 4;

/// Whose memory and rights a worker, or a request, has.
#[derive(Clone)]
pub(crate) struct Whose {
    space: u64,
    cred: Arc<Cred>,
}

impl Whose {
    fn current() -> Result<Self> {
        Ok(Self { space: Sender::space()?, cred: cred::current_cred()? })
    }

    fn is(&self, other: &Self) -> bool {
        self.space == other.space && Arc::ptr_eq(&self.cred, &other.cred)
    }
}

/// A worker.
struct Slot {
    id: u64,
    whose: Whose,
    /// Its thread, once that runs.
    task: Option<WeakArc<Task>>,
    idle: bool,
    /// What the program calls the request that it does.
    does: Option<u64>,
}

impl Slot {
    /// Interrupts what it does. It looks for signals between the end of that and taking another request, so that none but this one is
    /// interrupted. The lock is held.
    fn interrupt(&self) {
        if let Some(task) = self.task.as_ref().filter(|_| self.does.is_some()).and_then(WeakArc::upgrade) {
            task.set_flags(TaskFlags::SIGPENDING);
            task.wake(State::INTERRUPTIBLE);
        }
    }
}

struct Waiting {
    whose: Whose,
    request: KBox<Request>,
}

struct Inner {
    /// First in, first out.
    queue: KVec<Waiting>,
    slots: KVec<Slot>,
    next: u64,
}

/// The workers of a ring, and what they are to do.
pub(crate) struct Workers {
    state: SpinLock<Inner>,
    wait: WaitQueue,
}

/// What the program is told of a request that it wants to take back.
pub(crate) enum Found {
    /// It has not begun.
    Queued(KBox<Request>),
    /// It is being done.
    Running,
    Nothing,
}

impl Inner {
    fn first(&self, whose: &Whose) -> Option<usize> {
        self.queue.iter().position(|waiting| waiting.whose.is(whose))
    }

    /// Whether another worker is wanted for what waits.
    fn wants(&self, whose: &Whose, limit: usize) -> bool {
        let waiting = self.queue.iter().filter(|waiting| waiting.whose.is(whose)).count();
        let mine = || self.slots.iter().filter(|slot| slot.whose.is(whose));
        waiting > mine().filter(|slot| slot.idle).count() && mine().count() < limit
    }

    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.id == id)
    }

    /// What it gives is dropped without the lock.
    fn remove_slot(&mut self, id: u64) -> Option<Slot> {
        let index = self.slots.iter().position(|slot| slot.id == id)?;
        self.slots.swap_remove(index)
    }
}

/// Adds one to a list under its lock, whose memory is made without. ENOMEM: gives it back.
fn add<T>(state: &SpinLock<Inner>, list: fn(&mut Inner) -> &mut KVec<T>, value: T) -> Result<(), T> {
    loop {
        let needed = {
            let mut locked = state.lock();
            let list = list(&mut locked);
            if list.len() < list.capacity() {
                return list.push_within_capacity(value).map_err(|refused| refused.0);
            }
            list.len() + 1
        };
        let Ok(mut room) = KVec::with_capacity(needed.next_power_of_two().max(8), GFP_KERNEL) else {
            return Err(value);
        };
        let mut locked = state.lock();
        let list = list(&mut locked);
        if list.len() >= list.capacity() {
            if room.capacity() <= list.len() {
                continue;
            }
            for other in list.drain_all() {
                // The room was measured.
                let _ = room.push_within_capacity(other);
            }
            core::mem::swap(list, &mut room);
        }
        return list.push_within_capacity(value).map_err(|refused| refused.0);
    }
}

impl Workers {
    pub(crate) fn new() -> Self {
        let state = Inner { queue: KVec::new(), slots: KVec::new(), next: 0 };
        Self { state: SpinLock::new(state), wait: WaitQueue::new() }
    }

    /// Takes a request that `which` means, if no worker does it already. The first that does `interrupts` is interrupted.
    pub(crate) fn take_back(&self, which: impl Fn(&Request) -> bool, interrupts: Option<u64>) -> Found {
        let mut state = self.state.lock();
        let index = state.queue.iter().position(|waiting| which(&waiting.request));
        let waiting = index.and_then(|index| state.queue.remove(index).ok());
        let doing = match &waiting {
            None => state.slots.iter().find(|slot| interrupts.is_some() && slot.does == interrupts),
            Some(_) => None,
        };
        doing.inspect(|slot| slot.interrupt());
        let running = doing.is_some();
        drop(state);
        match waiting {
            Some(waiting) => Found::Queued(waiting.request),
            None if running => Found::Running,
            None => Found::Nothing,
        }
    }

    /// The ring is closed: gives up what has not begun, interrupts what has; workers that have nothing to do end. May sleep.
    pub(crate) fn cancel_all(&self) {
        while let Found::Queued(request) = self.take_back(|_| true, None) {
            request.end(Err(ECANCELED));
        }
        self.state.lock().slots.iter().for_each(Slot::interrupt);
        self.wait.wake_up_all();
    }

    /// The next request for worker `id`, which has nothing to do from here on if there is none.
    fn next(&self, id: u64, whose: &Whose) -> Option<KBox<Request>> {
        let waiting = {
            let mut state = self.state.lock();
            let found = state.first(whose);
            let waiting = found.and_then(|index| state.queue.remove(index).ok());
            if let Some(slot) = state.slot(id) {
                slot.idle = waiting.is_none();
                slot.does = waiting.as_ref().map(|waiting| waiting.request.sqe.user_data);
            }
            waiting
        };
        waiting.map(|waiting| waiting.request)
    }

    /// Worker `id` has done what it did: from here on nobody interrupts it for that.
    fn did(&self, id: u64) {
        if let Some(slot) = self.state.lock().slot(id) {
            slot.does = None;
        }
    }

    fn has(&self, whose: &Whose) -> bool {
        self.state.lock().first(whose).is_some()
    }

    /// A worker is none any more, unless there is something to do for it and it is not to end.
    fn leave(&self, id: u64, whose: &Whose, ends: bool) -> bool {
        let (last, _slot) = {
            let mut state = self.state.lock();
            if !ends && state.first(whose).is_some() {
                return false;
            }
            let slot = state.remove_slot(id);
            (!state.slots.iter().any(|slot| slot.whose.is(whose)), slot)
        };
        // Nobody else would do it.
        while last && let Some(request) = self.take_of(whose) {
            request.end(Err(ECANCELED));
        }
        true
    }

    fn take_of(&self, whose: &Whose) -> Option<KBox<Request>> {
        let waiting = {
            let mut state = self.state.lock();
            let index = state.first(whose)?;
            state.queue.remove(index).ok()
        };
        waiting.map(|waiting| waiting.request)
    }
}

/// Has a worker do a request. Gives it back if there is none and none can be made: it is to be done here. May sleep.
pub(crate) fn hand_over(mut request: KBox<Request>) -> Option<KBox<Request>> {
    request.handed = true;
    // The program may close it as soon as its call is over.
    if let Err(error) = take_file(&mut request) {
        request.end(Err(error));
        return None;
    }
    let Ok(whose) = Whose::current() else { return Some(request) };
    let (ring, id) = (request.ring.clone(), request.id);
    let limit = match request.sqe.opcode {
        op::CONNECT => usize::MAX,
        _ => (sched::online_cpus().count_ones() * PER_CPU).min(ring.sq_entries).max(1) as usize,
    };
    let workers = &ring.workers;
    if let Err(refused) = add(&workers.state, |state| &mut state.queue, Waiting { whose: whose.clone(), request }) {
        return Some(refused.request);
    }
    if ring.is_closed() {
        // Perhaps just now: it has to go, too.
        workers.cancel_all();
        return None;
    }
    let wanted = workers.state.lock().wants(&whose, limit);
    if wanted && start(&ring, &whose).is_err() {
        let waiting = {
            let mut state = workers.state.lock();
            match state.slots.iter().any(|slot| slot.whose.is(&whose)) {
                // One of those does it, when it has done what it does.
                true => None,
                false => {
                    let index = state.queue.iter().position(|waiting| waiting.request.id == id);
                    index.and_then(|index| state.queue.remove(index).ok())
                }
            }
        };
        if let Some(waiting) = waiting {
            return Some(waiting.request);
        }
    }
    workers.wait.wake_up_all();
    None
}

/// Makes a worker. EAGAIN, ENOMEM, ERESTARTNOINTR. May sleep.
fn start(ring: &Arc<Ring>, whose: &Whose) -> Result {
    let id = {
        let mut state = ring.workers.state.lock();
        state.next += 1;
        state.next
    };
    let slot = Slot { id, whose: whose.clone(), task: None, idle: true, does: None };
    add(&ring.workers.state, |state| &mut state.slots, slot).map_err(|_| ENOMEM)?;
    let (its, same) = (ring.clone(), whose.clone());
    let name = KString::from_fmt(format_args!("iou-wrk-{}", current().tid()), GFP_KERNEL);
    let made = name
        .map_err(Into::into)
        .and_then(|name| process::io_thread::run(name.as_bytes(), move || run(&its, id, &same)));
    if made.is_err() {
        // What waits is the caller's affair.
        let slot = ring.workers.state.lock().remove_slot(id);
        drop(slot);
    }
    made.map(drop)
}

/// A worker.
fn run(ring: &Arc<Ring>, id: u64, whose: &Whose) {
    let workers = &ring.workers;
    if let Some(slot) = workers.state.lock().slot(id) {
        slot.task = Some(Arc::downgrade(&current().to_arc()));
    }
    loop {
        let ends = current().signal_pending() && process::io_thread::should_end() != Ok(false);
        if ends || ring.is_closed() {
            workers.leave(id, whose, true);
            return;
        }
        if let Some(request) = workers.next(id, whose) {
            go_on(request);
            workers.did(id);
            ring.drop_spent();
            continue;
        }
        let deadline = ktime::now_ns().saturating_add(IDLE_NS);
        let wanted = || workers.has(whose) || ring.is_closed();
        // A signal ends it, too, and is looked at above.
        let waited = workers.wait.wait_interruptible_deadline(Some(deadline), wanted);
        if waited == Ok(false) && workers.leave(id, whose, false) {
            return;
        }
    }
}
