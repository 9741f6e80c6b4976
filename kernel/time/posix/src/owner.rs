// SPDX-License-Identifier: GPL-2.0
//! A process's timers: what `setitimer(2)` and `timer_create(2)` made. All threads of a process share one set. A process
//! without timers has none: the set is made at first use, or when a thread is added (so that both threads find the same).

use crate::{itimer::Itimers, posix_timer::PosixTimers};
use errno::Result;
use errno::code::ESRCH;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use process::Process;
use process::hooks::{TaskEvents, follow};
use sync::Mutex;
use task::{Task, TaskLocal, current};

/// The timers of one process.
pub(crate) struct Timers {
    pub(crate) process: Arc<Process>,
    pub(crate) itimers: Mutex<Itimers>,
    pub(crate) posix: Mutex<PosixTimers>,
}

static TIMERS: TaskLocal<Arc<Timers>> = TaskLocal::new();

/// The current process's timers, if it has any.
pub(crate) fn existing() -> Option<Arc<Timers>> {
    TIMERS.get(&current()).cloned()
}

/// The timers of `task`'s process, if it has any.
pub(crate) fn of(task: &Task) -> Option<Arc<Timers>> {
    TIMERS.get(task).cloned()
}

/// The current process's timers, made if need be. May sleep.
pub(crate) fn timers() -> Result<Arc<Timers>> {
    let task = current();
    if let Some(timers) = TIMERS.get(&task) {
        return Ok(timers.clone());
    }
    let process = process::current_process().ok_or(ESRCH)?;
    let itimers = Itimers::new(&process)?;
    let timers = Timers { process, itimers: Mutex::new(itimers), posix: Mutex::new(PosixTimers::new()) };
    let timers = Arc::new(timers, GFP_KERNEL)?;
    // Only the task itself fills its slot once it runs.
    drop(TIMERS.set(&task, KBox::new(timers.clone(), GFP_KERNEL)?));
    Ok(timers)
}

struct Follower;

impl TaskEvents for Follower {
    fn fork(&self, task: &Task, flags: u64) -> Result {
        if flags & u64::from(uapi::CLONE_THREAD) != 0 {
            let shared = timers()?;
            drop(TIMERS.set(task, KBox::new(shared, GFP_KERNEL)?));
        }
        Ok(())
    }

    fn exec(&self, task: &Task) {
        // Interval timers live on; POSIX timers do not (timer_create(2)).
        if let Some(timers) = TIMERS.get(task) {
            timers.posix.lock().clear();
        }
    }

    fn exit(&self, task: &Task, last: bool) {
        if let Some(timers) = TIMERS.get(task).filter(|_| last) {
            timers.posix.lock().clear();
            timers.itimers.lock().stop();
        }
    }
}

/// Follows the processes from now on. Once, at boot.
pub(crate) fn init() {
    static FOLLOWER: Follower = Follower;
    if !follow(&FOLLOWER) {
        klog::pr_err!("posix_time: no room to follow processes, timers outlive them");
    }
}
