// SPDX-License-Identifier: GPL-2.0
//! The thread `oom_reaper`: a victim may wait for a lock that the one who wants memory holds. So its private memory is taken
//! from it, if it has not ended by itself some time after it was killed; and references to it are given up here, where waiting does
//! no harm. Lock: `QUEUE` (spin).

use crate::report::Name;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use errno::Result;
use kalloc::Arc;
use klog::pr_info;
use locking::SpinLock;
use mm::{Mm, kib};
use process::Process;
use sync::WaitQueue;
use task::{Task, TaskFlags};

/// How long a victim has to end by itself (`OOM_REAPER_DELAY`).
const DELAY_NS: u64 = 2_000_000_000;
/// Tries to get at an address space that somebody changes.
const TRIES: u32 = 10;
const BETWEEN_TRIES_NS: u64 = 100_000_000;

struct Job {
    process: Arc<Process>,
    leader: Arc<Task>,
    mm: Arc<Mm>,
    may_reap: bool,
    due: u64,
}

/// A new victim is chosen only when the last is gone or reaped, so that few jobs wait at once.
const MOST: usize = 8;
static QUEUE: SpinLock<[Option<Job>; MOST]> = SpinLock::new([const { None }; MOST]);
static WORK: WaitQueue = WaitQueue::new();
static PENDING: AtomicBool = AtomicBool::new(false);
/// Victims whose memory is to come, queued or in work.
static OUTSTANDING: AtomicU32 = AtomicU32::new(0);

/// Whether memory of a victim is still to come: perhaps it has ended and is known to nobody else. Not for long: its time to end by
/// itself and that for trying to reap it.
pub(crate) fn has_outstanding() -> bool {
    OUTSTANDING.load(Ordering::Acquire) != 0
}

/// Starts the thread.
pub(crate) fn start() -> Result {
    task::kthread_run(b"oom_reaper", run).map(drop)
}

/// Hands a killed process over. If there is no room it is not reaped: then it must end by itself.
pub(crate) fn queue(process: Arc<Process>, leader: Arc<Task>, mm: Arc<Mm>, may_reap: bool) {
    let due = ktime::now_ns().saturating_add(DELAY_NS);
    let mut job = Some(Job { process, leader, mm, may_reap, due });
    if let Some(slot) = QUEUE.lock().iter_mut().find(|slot| slot.is_none()) {
        // What somebody else keeps alive is not waited for.
        OUTSTANDING.fetch_add(u32::from(may_reap), Ordering::AcqRel);
        *slot = job.take();
    }
    PENDING.store(true, Ordering::SeqCst);
    WORK.wake_up_all();
    drop(job);
}

fn run() {
    // A task's first sleep makes its timer: not when there is no memory.
    ktime::sleep::sleep_ns(1);
    // Giving up an address space may want a little, too. Everybody waits for what this thread frees: it must not wait like them.
    task::current().set_flags(TaskFlags::MEMALLOC);
    loop {
        WORK.wait_idle(|| PENDING.swap(false, Ordering::SeqCst));
        loop {
            let job = QUEUE.lock().iter_mut().find_map(Option::take);
            match job {
                Some(job) => work(job),
                None => break,
            }
        }
    }
}

fn work(job: Job) {
    let Job { process, leader, mm, may_reap, due } = job;
    // The memory goes as soon as nobody but us refers to it.
    while ktime::now_ns() < due && Arc::strong_count(&mm) > 1 {
        ktime::sleep::sleep_ns(BETWEEN_TRIES_NS / 10);
    }
    if Arc::strong_count(&mm) > 1 && may_reap && !mm.is_reaped() {
        reap(&process, &leader, &mm);
    }
    drop(mm);
    OUTSTANDING.fetch_sub(u32::from(may_reap), Ordering::AcqRel);
}

fn reap(process: &Process, leader: &Task, mm: &Mm) {
    for _ in 0..TRIES {
        if mm.oom_reap() {
            let size = mm.oom_size();
            pr_info!(
                "oom_reaper: reaped process {} ({}), now anon-rss:{}kB, file-rss:{}kB, shmem-rss:{}kB",
                process.pid(),
                Name::of(leader),
                kib(size.anon),
                kib(size.file),
                kib(size.shmem)
            );
            return;
        }
        ktime::sleep::sleep_ns(BETWEEN_TRIES_NS);
    }
    pr_info!("oom_reaper: unable to reap pid:{} ({})", process.pid(), Name::of(leader));
    // It keeps others from being chosen no longer.
    mm.set_reaped();
}
