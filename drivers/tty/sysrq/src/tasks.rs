// SPDX-License-Identifier: GPL-2.0
//! Requests about every task. They walk the threads one by one and hold no lock while they do something with one.

use core::fmt;
use errno::Result;
use kalloc::Arc;
use klog::pr_info;
use process::signal::{SigInfo, send_to_process};
use process::{process_of, thread_of};
use sched::{Params, params_of, set_params};
use task::{State, Task};

/// The longest trace shown.
const FRAMES: usize = 32;

fn threads() -> impl Iterator<Item = Arc<Task>> {
    let mut from = 1;
    core::iter::from_fn(move || {
        let (tid, task) = process::pid::next_thread(from)?;
        from = tid.saturating_add(1);
        Some(task)
    })
}

/// Sends `signal` to every process but the first and the kernel's threads.
pub(crate) fn signal_all(signal: u32) {
    for task in threads().filter(|task| !task.is_kthread()) {
        if let Some(process) = process_of(&task).filter(|process| process.pid() == task.tid() && process.pid() > 1) {
            // One that is gone meanwhile needs none.
            let _: Result = send_to_process(&process, SigInfo::kernel(signal));
        }
    }
}

/// Takes real-time policies and negative nice values from all programs.
pub(crate) fn normalize_rt() {
    for task in threads().filter(|task| !task.is_kthread()) {
        let now = params_of(&task);
        if now.rt_priority != 0 || now.nice < 0 {
            // Valid for every task.
            let _: Result = set_params(&task, Params { policy: 0, rt_priority: 0, nice: 0, ..now });
        }
    }
}

/// Waits for something that no signal ends.
pub(crate) fn is_blocked(task: &Task) -> bool {
    let state = task.state();
    state.intersects(State::UNINTERRUPTIBLE) && !state.intersects(State::NOLOAD)
}

struct Comm(Arc<Task>);

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comm = self.0.comm();
        let name = comm.split(|byte| *byte == 0).next().unwrap_or_default();
        f.pad(core::str::from_utf8(name).unwrap_or("?"))
    }
}

/// Prints the tasks that `wanted` chooses, and where those sleep that do.
pub(crate) fn show(wanted: impl Fn(&Task) -> bool) {
    for task in threads().filter(|task| wanted(task)) {
        let Some(thread) = thread_of(&task) else { continue };
        let (letter, _) = process::state_of(&task, thread.process());
        pr_info!(
            "task:{:<15} state:{} stack:0     pid:{:<5} tgid:{:<5} ppid:{:<6} flags:{:#010x}",
            Comm(task.clone()),
            char::from(letter),
            task.tid(),
            thread.process().pid(),
            thread.process().parent_pid(),
            task.flags()
        );
        show_stack(&task);
    }
}

fn show_stack(task: &Task) {
    let mut frames = [0; FRAMES];
    let sleeping = State(State::NORMAL.0 | State::STOPPED.0 | State::TRACED.0);
    let Some(count) = task.inspect(sleeping, |task| {
        let mut slots = frames.iter_mut();
        let mut count = 0_usize;
        task.stack_trace(|address| match slots.next() {
            Some(slot) => {
                *slot = address;
                count += 1;
                true
            }
            None => false,
        });
        count
    }) else {
        return;
    };
    x86::traps::stacktrace::show_frames(frames.get(..count).unwrap_or_default());
}
