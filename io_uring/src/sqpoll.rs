// SPDX-License-Identifier: GPL-2.0
//! Rings whose requests a thread takes in (`IORING_SETUP_SQPOLL`): the program only writes them. The thread, one of the program's own,
//! looks at its rings all the time; when there was nothing for `sq_thread_idle` it says so (`IORING_SQ_NEED_WAKEUP`) and sleeps until
//! `io_uring_enter` wakes it. What waits in between goes on in the same thread. It ends with the last of its rings, or with the process.
//! Rings of one process can share a thread (`IORING_SETUP_ATTACH_WQ`).
//!
//! Lock: `rings` (spin), outside a ring's `work`. Source: `io_uring_setup(2)`, `io_uring_enter(2)`.

use crate::abi::SQ_NEED_WAKEUP;
use crate::ring::{Ring, at};
use crate::syscalls::take_in;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use cred::Cred;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, KVec, WeakArc};
use locking::{SetOnce, SpinLock};
use sync::WaitQueue;
use task::{Task, current};

/// How long the thread looks at empty rings if the program does not say (`HZ`).
const IDLE_MS: u32 = 1000;
/// Looks between two that let others run.
const LOOKS: u32 = 64;
/// Requests of a ring before others have their turn.
const TURN: u32 = 8;

/// A thread, and the rings that it serves.
pub(crate) struct SqPoll {
    /// The CPU that it is tied to (`IORING_SETUP_SQ_AFF`).
    cpu: Option<u32>,
    /// Whose thread it is, and the rights that it has.
    process: u32,
    cred: Arc<Cred>,
    /// The longest that one of its rings wants. Changes under `rings`.
    idle_ns: AtomicU64,
    rings: SpinLock<KVec<Arc<Ring>>>,
    task: SetOnce<WeakArc<Task>>,
    /// It runs, or is about to. Changes under `rings`.
    alive: AtomicBool,
    /// There is a ring that does not say yet whether its thread sleeps. Changes under `rings`.
    joined: AtomicBool,
    /// Where the thread sleeps.
    wait: WaitQueue,
}

impl SqPoll {
    /// For a thread that is not there yet. EINVAL if the CPU is not there.
    pub(crate) fn new(cpu: Option<u32>) -> Result<Arc<Self>> {
        if let Some(cpu) = cpu
            && mask_of(cpu) & sched::online_cpus() == 0
        {
            return Err(EINVAL);
        }
        let poll = Self {
            cpu,
            process: current_pid()?,
            cred: cred::current_cred()?,
            idle_ns: AtomicU64::new(0),
            rings: SpinLock::new(KVec::new()),
            task: SetOnce::new(),
            alive: AtomicBool::new(true),
            joined: AtomicBool::new(false),
            wait: WaitQueue::new(),
        };
        Ok(Arc::new(poll, GFP_KERNEL)?)
    }

    /// Whether a ring of the current task's may have this thread.
    pub(crate) fn can_share(&self) -> Result<bool> {
        Ok(self.process == current_pid()? && Arc::ptr_eq(&self.cred, &cred::current_cred()?))
    }

    /// Whether the thread is there.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Acquire)
    }

    /// There is something to do for the thread. Any context.
    pub(crate) fn wake(&self) {
        self.wait.wake_up_all();
    }

    /// The thread and its CPU as `/proc/*/fdinfo` has them.
    pub(crate) fn shown(&self) -> Option<(u32, u32)> {
        let task = self.task.get()?.upgrade().filter(|_| self.is_alive())?;
        Some((task.tid(), self.cpu.unwrap_or_else(|| task.cpu())))
    }

    /// One more ring. ENXIO if the thread is gone, ENOMEM. May sleep.
    fn add(&self, ring: &Arc<Ring>, idle_ms: u32) -> Result {
        let idle_ms = if idle_ms == 0 { IDLE_MS } else { idle_ms };
        ring.idle_ns.store(u64::from(idle_ms) * 1_000_000, Relaxed);
        loop {
            let needed = self.rings.lock().len() + 1;
            let mut room = KVec::with_capacity(needed, GFP_KERNEL)?;
            let mut rings = self.rings.lock();
            if !self.is_alive() {
                return Err(ENXIO);
            }
            if rings.len() >= needed {
                continue;
            }
            for other in rings.drain_all() {
                // The room was measured.
                let _ = room.push_within_capacity(other);
            }
            let _ = room.push_within_capacity(ring.clone());
            core::mem::swap(&mut *rings, &mut room);
            // A thread that sleeps has to tell the new ring so: its program would not wake it.
            self.joined.store(true, Release);
            self.set_idle(&rings);
            drop(rings);
            self.wake();
            return Ok(());
        }
    }

    fn set_idle(&self, rings: &[Arc<Ring>]) {
        let longest = rings.iter().map(|ring| ring.idle_ns.load(Relaxed)).max();
        self.idle_ns.store(longest.unwrap_or(0), Relaxed);
    }

    /// Ring `index` of those there are now, and how many there are.
    fn ring(&self, index: usize) -> Option<(Arc<Ring>, usize)> {
        let rings = self.rings.lock();
        Some((rings.get(index)?.clone(), rings.len()))
    }

    /// Whether `f` holds for any of its rings.
    fn any(&self, f: impl Fn(&Ring) -> bool) -> bool {
        self.rings.lock().iter().any(|ring| f(ring))
    }

    /// Rings that are closed are nobody's any more; whether there are others. If not, the thread is gone from here on.
    fn forget_closed(&self) -> bool {
        loop {
            let mut rings = self.rings.lock();
            let at = rings.iter().position(|ring| ring.is_closed());
            let gone = at.and_then(|at| rings.swap_remove(at));
            if gone.is_none() {
                self.alive.store(!rings.is_empty(), Release);
                return !rings.is_empty();
            }
            self.set_idle(&rings);
            drop(rings);
            drop(gone);
        }
    }

    fn needs_wakeup(&self, on: bool) {
        let (set, clear) = if on { (SQ_NEED_WAKEUP, 0) } else { (0, SQ_NEED_WAKEUP) };
        let rings = self.rings.lock();
        self.joined.store(false, Release);
        rings.iter().for_each(|ring| ring.rings.change(at::SQ_FLAGS, set, clear));
    }
}

fn current_pid() -> Result<u32> {
    Ok(process::current_process().ok_or(ESRCH)?.pid())
}

fn mask_of(cpu: u32) -> u64 {
    1u64.checked_shl(cpu).unwrap_or(0)
}

/// A new ring gets its thread: one that is there already, or its own. ENXIO, EAGAIN, ENOMEM. May sleep.
pub(crate) fn start(ring: &Arc<Ring>, idle_ms: u32) -> Result {
    let Some(poll) = &ring.sqpoll else { return Ok(()) };
    poll.add(ring, idle_ms)?;
    if poll.task.get().is_some() {
        return Ok(());
    }
    let its = poll.clone();
    let task = KString::from_fmt(format_args!("iou-sqp-{}", current().tid()), GFP_KERNEL)
        .map_err(Into::into)
        .and_then(|name| process::io_thread::run(name.as_bytes(), move || run(&its)))
        // The ring and what would have been its thread have each other.
        .inspect_err(|_| end(poll))?;
    // Nobody else has it yet, so it is empty.
    let _ = poll.task.set(Arc::downgrade(&task));
    Ok(())
}

/// Waits until a ring has room for a request, or a signal comes. May sleep.
pub(crate) fn wait_for_room(ring: &Ring, poll: &SqPoll) {
    // As Linux: the signal is seen on the way back.
    let _ = ring.sq_room.wait_interruptible(|| ring.entries() < ring.sq_entries || !poll.is_alive());
}

/// The thread.
fn run(poll: &Arc<SqPoll>) {
    let cpus = poll.cpu.map_or(sched::online_cpus(), mask_of);
    // It was online a moment ago; the program is served from others, too.
    let _ = sched::bind_to_any(&current(), cpus);
    serve(poll);
    end(poll);
}

/// There is no thread any more: what it has not ended nobody else goes on with.
fn end(poll: &SqPoll) {
    let left = {
        let mut rings = poll.rings.lock();
        poll.alive.store(false, Release);
        core::mem::take(&mut *rings)
    };
    for ring in &left {
        ring.close();
        ring.rings.change(at::SQ_FLAGS, SQ_NEED_WAKEUP, 0);
        ring.sq_room.wake_up_all();
    }
}

/// Takes requests in until all rings are closed or the thread is to end.
fn serve(poll: &Arc<SqPoll>) {
    let soon = || ktime::now_ns().saturating_add(poll.idle_ns.load(Relaxed));
    // As Linux: until the first request it sleeps at once.
    let mut until = 0;
    let mut looks = 0u32;
    while poll.forget_closed() {
        if current().signal_pending() {
            if process::io_thread::should_end() != Ok(false) {
                return;
            }
            until = soon();
        }
        if look(poll) {
            (until, looks) = (soon(), 0);
            continue;
        }
        looks += 1;
        if looks < LOOKS {
            core::hint::spin_loop();
            continue;
        }
        looks = 0;
        if ktime::now_ns() < until {
            sched::sched_yield();
            continue;
        }
        rest(poll);
        until = soon();
    }
}

/// Looks at all rings once; whether there was anything to do.
fn look(poll: &SqPoll) -> bool {
    let (mut did, mut index) = (false, 0);
    while let Some((ring, count)) = poll.ring(index) {
        did |= step(&ring, if count > 1 { TURN } else { u32::MAX });
        index += 1;
    }
    did
}

/// Does what there is for a ring, at most so many new requests; whether there was anything.
fn step(ring: &Arc<Ring>, most: u32) -> bool {
    let mut did = false;
    if ring.has_requests() && !ring.is_closed() {
        // What is wrong with a request its result says; without memory it is tried again.
        did = take_in(ring, ring.entries().min(most)).is_ok_and(|done| done != 0);
        if ring.sq_room.is_active() {
            ring.sq_room.wake_up_all();
        }
    }
    if ring.has_any_work() {
        ring.run_work();
        did = true;
    }
    // With something on its way the thread does not sleep.
    did |= ring.active.load(SeqCst) != 0 && ring.poll_files().is_some();
    ring.drop_spent();
    did
}

/// Sleeps until the program wakes the thread, or a request can go on.
fn rest(poll: &SqPoll) {
    // The program looks at this after it has put a request in, the thread looks for requests after this: one of them sees the other.
    poll.needs_wakeup(true);
    core::sync::atomic::fence(SeqCst);
    let wanted = |ring: &Ring| ring.has_requests() || ring.has_any_work() || ring.is_closed();
    // A signal ends it, which the thread looks at.
    let _ = poll.wait.wait_interruptible(|| poll.joined.load(Acquire) || poll.any(wanted));
    poll.needs_wakeup(false);
}
