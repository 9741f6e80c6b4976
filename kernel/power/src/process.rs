// SPDX-License-Identifier: GPL-2.0
//! Brings tasks to rest, and lets them go on. What resting is: `kernel/freezer`.

use ::process::{pid, signal, umh};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use errno::{Result, code::EBUSY};
use freezer::Whom;
use kalloc::Arc;
use klog::{pr_err, pr_info};
use task::{State, Task, TaskFlags, current};

/// How long tasks may take (`/sys/power/pm_freeze_timeout`), in milliseconds.
pub(crate) static TIMEOUT_MS: AtomicU64 = AtomicU64::new(20_000);
/// The first pause between two looks, and the longest.
const PAUSE_NS: u64 = 1_000_000;
const PAUSE_MAX_NS: u64 = 8_000_000;

/// Calls `f` for every thread there is. Some that come meanwhile are missed. May sleep between two.
fn for_each(mut f: impl FnMut(&Arc<Task>)) {
    let mut from = 1;
    while let Some((tid, task)) = pid::next_thread(from) {
        from = tid.saturating_add(1);
        f(&task);
    }
}

/// Whether `task` is to rest and does not yet.
fn is_missing(task: &Task, whom: Whom) -> bool {
    whom.includes(task) && !freezer::is_frozen(task) && !task.state().intersects(State::DEAD)
}

/// One look at all of them: how many are missing, which are told again, and whether all were seen.
fn look(whom: Whom) -> (usize, bool) {
    let before = pid::published();
    let mut missing = 0;
    for_each(|task| {
        if is_missing(task, whom) {
            missing += 1;
            if whom == Whom::Programs {
                signal::interrupt_to_freeze(task);
            }
        }
    });
    (missing, pid::published() == before)
}

/// Brings tasks to rest. `EBUSY`: some did not in time, or new ones came all the time; those that did stay at rest until they are thawed.
/// May sleep.
fn freeze(whom: Whom, what: &str, stop: impl Fn() -> bool) -> Result {
    freezer::set_freezing(whom, true);
    let begin = ktime::now_ns();
    let end = begin.saturating_add(TIMEOUT_MS.load(Relaxed).saturating_mul(1_000_000));
    let mut pause = PAUSE_NS;
    let (missing, rest, woken) = loop {
        let (missing, all) = look(whom);
        let rest = missing == 0 && all;
        let woken = !rest && stop();
        if rest || woken || ktime::now_ns() >= end {
            break (missing, rest, woken);
        }
        ktime::sleep_ns(pause);
        pause = (pause * 2).min(PAUSE_MAX_NS);
    };
    let elapsed = (ktime::now_ns() - begin) / 1_000_000;
    let (seconds, millis) = (elapsed / 1000, elapsed % 1000);
    if rest {
        pr_info!("Freezing {what} completed (elapsed {seconds}.{millis:03} seconds)");
        return Ok(());
    }
    pr_err!(
        "Freezing {what} {} after {seconds}.{millis:03} seconds ({missing} tasks refusing to freeze):",
        if woken { "aborted" } else { "failed" }
    );
    if !woken {
        for_each(|task| {
            if is_missing(task, whom) {
                let comm = task.comm();
                let name = comm.split(|&byte| byte == 0).next().unwrap_or_default();
                pr_err!("task:{} state:{:#x} pid:{}", name.escape_ascii(), task.state().0, task.tid());
            }
        });
    }
    Err(EBUSY)
}

fn thaw(whom: Whom) {
    freezer::set_freezing(whom, false);
    for_each(|task| {
        if whom.includes(task) {
            freezer::thaw(task);
        }
    });
}

/// Programs come to rest, but for the caller. `EBUSY`, `EAGAIN`; nothing is at rest then. `stop`: something wants the machine awake. May sleep.
pub(crate) fn freeze_processes(stop: impl Fn() -> bool) -> Result {
    umh::disable()?;
    current().set_flags(TaskFlags::SUSPENDS);
    pr_info!("Freezing user space processes");
    freeze(Whom::Programs, "user space processes", stop).inspect_err(|_| thaw_processes())
}

/// Kernel threads that take part come to rest, after programs. `EBUSY`: they are not, but programs still are. May sleep.
pub(crate) fn freeze_kernel_threads(stop: impl Fn() -> bool) -> Result {
    pr_info!("Freezing remaining freezable tasks");
    freeze(Whom::Threads, "remaining freezable tasks", stop).inspect_err(|_| thaw(Whom::Threads))
}

/// All go on.
pub(crate) fn thaw_processes() {
    pr_info!("Restarting tasks: Starting");
    thaw(Whom::Threads);
    thaw(Whom::Programs);
    current().clear_flags(TaskFlags::SUSPENDS);
    umh::enable();
    pr_info!("Restarting tasks: Done");
}

#[macros::kunit_tests(power_freezer)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use kalloc::flags::GFP_KERNEL;
    use sync::WaitQueue;

    /// What a test and its threads share.
    struct Shared {
        rounds: AtomicU64,
        passed: AtomicBool,
        end: AtomicBool,
        queue: WaitQueue,
    }

    fn shared() -> Result<Arc<Shared>> {
        let shared = Shared {
            rounds: AtomicU64::new(0),
            passed: AtomicBool::new(false),
            end: AtomicBool::new(false),
            queue: WaitQueue::new(),
        };
        Ok(Arc::new(shared, GFP_KERNEL)?)
    }

    fn wait_for(done: impl Fn() -> bool) -> bool {
        let end = ktime::now_ns() + 20 * ktime::NSEC_PER_SEC;
        while !done() && ktime::now_ns() < end {
            ktime::sleep_ns(1_000_000);
        }
        done()
    }

    /// A thread that takes part makes no step while it is frozen; one that sleeps does not see what it waited for.
    #[test]
    fn threads_rest() -> Result {
        let all = shared()?;
        let its = all.clone();
        task::kthread_run(b"rests", move || {
            freezer::set_freezable();
            while !its.end.load(SeqCst) {
                its.rounds.fetch_add(1, SeqCst);
                ktime::sleep_ns(100_000);
                freezer::try_to_freeze();
            }
        })?;
        let its = all.clone();
        task::kthread_run(b"sleeps", move || {
            freezer::set_freezable();
            freezer::freezable(|| its.queue.wait_idle(|| its.end.load(SeqCst)));
            its.passed.store(true, SeqCst);
        })?;
        assert!(wait_for(|| all.rounds.load(SeqCst) > 1 && all.queue.is_active()));
        let frozen = freeze(Whom::Threads, "threads of a test", || false);
        assert_eq!(frozen, Ok(()));
        let before = all.rounds.load(SeqCst);
        all.end.store(true, SeqCst);
        all.queue.wake_up_all();
        ktime::sleep_ns(5_000_000);
        assert_eq!(all.rounds.load(SeqCst), before);
        assert!(!all.passed.load(SeqCst));
        thaw(Whom::Threads);
        assert!(wait_for(|| all.passed.load(SeqCst)));
        Ok(())
    }

    /// One that does not come to rest ends the attempt, and what did goes on.
    #[test]
    fn one_that_does_not_rest() -> Result {
        let all = shared()?;
        let its = all.clone();
        task::kthread_run(b"refuses", move || {
            freezer::set_freezable();
            its.passed.store(true, SeqCst);
            its.queue.wait_idle(|| its.end.load(SeqCst));
        })?;
        assert!(wait_for(|| all.passed.load(SeqCst)));
        let before = TIMEOUT_MS.swap(20, Relaxed);
        let frozen = freeze_kernel_threads(|| false);
        TIMEOUT_MS.store(before, Relaxed);
        all.end.store(true, SeqCst);
        all.queue.wake_up_all();
        assert_eq!(frozen.err(), Some(EBUSY));
        Ok(())
    }
}
