// SPDX-License-Identifier: GPL-2.0
//! `RLIMIT_CPU`. A process with a limit has a watch, which looks when the process can have used the limit up (the clocks and
//! timers for that are `kernel/time/posix`'s); a process without one costs nothing. Source: `getrlimit(2)`.

use crate::signal::{SIGKILL, SigInfo, send_to_process, send_to_thread};
use crate::thread::Process;
use errno::Result;
use errno::code::ENOMEM;
use hook::Hook;
use kalloc::Arc;
use rlimit::{INFINITY, Limit, Rlimits};
use task::Task;

/// Something that calls [`check`] in time.
pub trait CpuWatch: Send + Sync {
    /// The limit changed: looks soon.
    fn look_soon(&self);
}

/// Makes watches.
pub trait CpuWatches: Sync {
    /// A watch for `process`. `ENOMEM`. May sleep.
    fn watch(&self, process: &Arc<Process>) -> Result<Arc<dyn CpuWatch>>;
}

/// The maker of watches (`kernel/time/posix`).
pub static WATCHES: Hook<dyn CpuWatches> = Hook::new();

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// Keeps `RLIMIT_RTTIME`.
struct RtTime;

impl sched::RtWatch for RtTime {
    fn ran(&self, task: &Task, ns: u64) {
        let Some(limits) = rlimit::of(task) else { return };
        let limit = limits.get(uapi::RLIMIT_RTTIME);
        let used = ns / 1000;
        if limit.cur == INFINITY || used < limit.cur.min(limit.max) {
            return;
        }
        // Standard signals of the kernel cannot fail for want of room.
        if limit.max != INFINITY && used >= limit.max {
            let _ = send_to_thread(task, SigInfo::kernel(SIGKILL));
        } else {
            let _ = send_to_thread(task, SigInfo::kernel(uapi::SIGXCPU));
            // Again a second later, which the limit shows, as in Linux.
            postpone(limits, uapi::RLIMIT_RTTIME, limit, 1_000_000);
        }
    }
}

/// Adds to a soft limit that was `seen` reached. If it has been set anew meanwhile, that counts.
fn postpone(limits: &Rlimits, resource: u32, seen: Limit, more: u64) {
    let later = |now: Limit| {
        let cur = if now == seen { now.cur.saturating_add(more) } else { now.cur };
        Ok(Limit { cur, ..now })
    };
    // It refuses nothing.
    let _ = limits.update(resource, later);
}

/// Watches the time of real-time threads. Once, at boot.
pub(crate) fn init() {
    static RT_TIME: &dyn sched::RtWatch = &RtTime;
    sched::RT_WATCH.set(&RT_TIME);
}

/// `process` has the CPU limit `limit` from now on. `ENOMEM`. May sleep.
pub(crate) fn limited(process: &Arc<Process>, limit: Limit) -> Result {
    if limit.cur == INFINITY {
        return Ok(());
    }
    if process.cpu_watch.get().is_none()
        && let Some(maker) = WATCHES.get()
    {
        // A lost race leaves the winner's watch.
        let _ = process.cpu_watch.set(maker.watch(process)?);
    }
    process.cpu_watch.get().ok_or(ENOMEM)?.look_soon();
    Ok(())
}

/// Acts on the limits of `process`, which has used `used` nanoseconds. Returns how much it has to use before the next look;
/// `None` when no look is needed.
pub fn check(process: &Process, used: u64) -> Option<u64> {
    let limits: Arc<Rlimits> = process.any_thread().and_then(|task| rlimit::of(&task).cloned())?;
    let limit = limits.get(uapi::RLIMIT_CPU);
    if limit.cur == INFINITY {
        return None;
    }
    let ns = |seconds: u64| seconds.saturating_mul(NSEC_PER_SEC);
    let mut due = ns(limit.cur);
    if limit.max != INFINITY && used >= ns(limit.max) {
        // Standard signals of the kernel cannot fail for want of room.
        let _ = send_to_process(process, SigInfo::kernel(SIGKILL));
        return None;
    }
    if used >= due {
        let _ = send_to_process(process, SigInfo::kernel(uapi::SIGXCPU));
        // Again a second later, which the limit shows, as in Linux.
        postpone(&limits, uapi::RLIMIT_CPU, limit, 1);
        due = ns(limit.cur.saturating_add(1));
    }
    if limit.max != INFINITY {
        due = due.min(ns(limit.max));
    }
    Some(due.saturating_sub(used))
}
