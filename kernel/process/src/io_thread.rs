// SPDX-License-Identifier: GPL-2.0
//! Threads of a process that stay in the kernel (Linux's `create_io_thread`): they work for the program with its memory, its files and
//! the rights of who made them. Programs see them among the process's threads. They take part in stops, and end with the process or
//! when it becomes another program.

use crate::fork;
use crate::signal::deliver;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use task::{Task, current};

/// Starts a thread of the current process that runs `f` and ends. `f` calls [`should_end`] whenever a signal is pending. `EAGAIN`,
/// `ENOMEM`, `ERESTARTNOINTR`. May sleep.
pub fn run(name: &[u8], f: impl FnOnce() + Send + 'static) -> Result<Arc<Task>> {
    // As for kernel threads: the box holds a closure that gives its content away at the first call.
    let mut once = Some(f);
    let call = move || {
        if let Some(f) = once.take() {
            f();
        }
    };
    let task = fork::worker(KBox::new(call, GFP_KERNEL)?)?;
    task.set_comm(name);
    task::kthread::wake_up_new(task.clone());
    Ok(task)
}

/// For such a thread with a signal pending, which holds no lock: stops with its process if that stops. Whether the thread is to end.
/// May sleep.
pub fn should_end() -> Result<bool> {
    let task = current();
    let thread = crate::thread_of(&task).ok_or(ESRCH)?;
    Ok(deliver::in_kernel(&task, thread))
}
