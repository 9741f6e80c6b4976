// SPDX-License-Identifier: GPL-2.0
//! A ring whose requests a thread takes in (`IORING_SETUP_SQPOLL`): the program only writes them. The thread, one of the program's own,
//! looks at the ring all the time; when there was nothing for `sq_thread_idle` it says so (`IORING_SQ_NEED_WAKEUP`) and sleeps until
//! `io_uring_enter` wakes it. What waits in between goes on in the same thread. The ring's end, or the process's, is the thread's.
//!
//! Source: `io_uring_setup(2)`, `io_uring_enter(2)`.

use crate::abi::SQ_NEED_WAKEUP;
use crate::ring::{Ring, at};
use crate::syscalls::take_in;
use core::sync::atomic::{AtomicBool, Ordering::*};
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use kalloc::{KString, WeakArc};
use locking::SetOnce;
use sync::WaitQueue;
use task::{Task, current};

/// How long the thread looks at an empty ring if the program does not say (`HZ`).
const IDLE_MS: u32 = 1000;
/// Looks between two that let others run.
const LOOKS: u32 = 64;

/// What a ring has of its thread.
pub(crate) struct SqPoll {
    /// The CPU that it is tied to (`IORING_SETUP_SQ_AFF`).
    cpu: Option<u32>,
    idle_ns: u64,
    task: SetOnce<WeakArc<Task>>,
    /// It runs, or is about to.
    alive: AtomicBool,
    /// Where the thread sleeps.
    wait: WaitQueue,
    /// Who waits for room in the ring (`IORING_ENTER_SQ_WAIT`).
    room: WaitQueue,
}

impl SqPoll {
    /// For a ring that is being made. EINVAL if the CPU is not there.
    pub(crate) fn new(cpu: Option<u32>, idle_ms: u32) -> Result<Self> {
        if let Some(cpu) = cpu
            && mask_of(cpu) & sched::online_cpus() == 0
        {
            return Err(EINVAL);
        }
        let idle_ms = if idle_ms == 0 { IDLE_MS } else { idle_ms };
        Ok(Self {
            cpu,
            idle_ns: u64::from(idle_ms) * 1_000_000,
            task: SetOnce::new(),
            alive: AtomicBool::new(false),
            wait: WaitQueue::new(),
            room: WaitQueue::new(),
        })
    }

    /// Whether the thread is there.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Acquire)
    }

    /// There is something to do for the thread. Any context.
    pub(crate) fn wake(&self) {
        self.wait.wake_up_all();
    }

    /// Waits until the ring has room for a request, or a signal comes. May sleep.
    pub(crate) fn wait_for_room(&self, ring: &Ring) {
        // As Linux: the signal is seen on the way back.
        let _ = self.room.wait_interruptible(|| ring.entries() < ring.sq_entries || !self.is_alive());
    }

    /// The thread and its CPU as `/proc/*/fdinfo` has them.
    pub(crate) fn shown(&self) -> Option<(u32, u32)> {
        let task = self.task.get()?.upgrade().filter(|_| self.is_alive())?;
        Some((task.tid(), self.cpu.unwrap_or_else(|| task.cpu())))
    }
}

fn mask_of(cpu: u32) -> u64 {
    1u64.checked_shl(cpu).unwrap_or(0)
}

/// Starts the thread of a new ring. EAGAIN, ENOMEM. May sleep.
pub(crate) fn start(ring: &Arc<Ring>) -> Result {
    let Some(poll) = &ring.sqpoll else { return Ok(()) };
    let name = KString::from_fmt(format_args!("iou-sqp-{}", current().tid()), GFP_KERNEL)?;
    poll.alive.store(true, Release);
    let its = ring.clone();
    let task = process::io_thread::run(name.as_bytes(), move || run(&its))
        .inspect_err(|_| poll.alive.store(false, Release))?;
    // New, so it is empty.
    let _ = poll.task.set(Arc::downgrade(&task));
    Ok(())
}

/// The thread.
fn run(ring: &Arc<Ring>) {
    let Some(poll) = &ring.sqpoll else { return };
    let cpus = poll.cpu.map_or(sched::online_cpus(), mask_of);
    // It was online a moment ago; the program is served from others, too.
    let _ = sched::bind_to_any(&current(), cpus);
    serve(ring, poll);
    // What it has not ended nobody else goes on with.
    ring.close();
    poll.alive.store(false, Release);
    ring.rings.change(at::SQ_FLAGS, SQ_NEED_WAKEUP, 0);
    poll.room.wake_up_all();
}

/// Takes requests in until the ring is closed or the thread is to end.
fn serve(ring: &Arc<Ring>, poll: &SqPoll) {
    // As Linux: until the first request it sleeps at once.
    let mut until = 0;
    let mut looks = 0u32;
    while !ring.is_closed() {
        if current().signal_pending() {
            if process::io_thread::should_end() != Ok(false) {
                return;
            }
            until = ktime::now_ns().saturating_add(poll.idle_ns);
        }
        if step(ring, poll) {
            until = ktime::now_ns().saturating_add(poll.idle_ns);
            looks = 0;
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
        rest(ring, poll);
        until = ktime::now_ns().saturating_add(poll.idle_ns);
    }
}

/// Does what there is; whether there was anything.
fn step(ring: &Arc<Ring>, poll: &SqPoll) -> bool {
    let mut did = false;
    if ring.has_requests() {
        // What is wrong with a request its result says; without memory it is tried again.
        did = take_in(ring, ring.entries()).is_ok_and(|done| done != 0);
        if poll.room.is_active() {
            poll.room.wake_up_all();
        }
    }
    if ring.has_any_work() {
        ring.run_work();
        did = true;
    }
    ring.drop_spent();
    did
}

/// Sleeps until the program wakes the thread, or a request can go on.
fn rest(ring: &Ring, poll: &SqPoll) {
    // The program looks at this after it has put a request in, the thread looks for requests after this: one of them sees the other.
    ring.rings.change(at::SQ_FLAGS, SQ_NEED_WAKEUP, 0);
    core::sync::atomic::fence(SeqCst);
    // A signal ends it, which the thread looks at.
    let _ = poll.wait.wait_interruptible(|| ring.has_requests() || ring.has_any_work() || ring.is_closed());
    ring.rings.change(at::SQ_FLAGS, 0, SQ_NEED_WAKEUP);
}
