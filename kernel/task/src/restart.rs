// SPDX-License-Identifier: GPL-2.0
//! How an interrupted system call with a relative time limit goes on: before it returns `ERESTART_RESTARTBLOCK` it notes here
//! what is left to do, and the signal code sends the program through `restart_syscall(2)`.

use crate::current;
use errno::Result;
use errno::code::EINTR;
use x86_cpu::regs::PtRegs;

/// The rest of an interrupted system call.
#[derive(Clone, Copy)]
pub struct Restart {
    /// Does the rest.
    pub run: fn(&[u64; 6]) -> Result<usize>,
    /// What it needs to know.
    pub args: [u64; 6],
}

/// Notes the rest of the current system call, which is about to return `ERESTART_RESTARTBLOCK`.
pub fn set(run: fn(&[u64; 6]) -> Result<usize>, args: [u64; 6]) {
    *current().restart.lock() = Some(Restart { run, args });
}

/// Forgets it: a signal handler runs (the program then sees `EINTR`), or the task is a new one.
pub fn clear() {
    *current().restart.lock() = None;
}

/// `restart_syscall(2)`.
pub fn sys_restart_syscall(_regs: &PtRegs) -> Result<usize> {
    let rest = current().restart.lock().take();
    match rest {
        Some(Restart { run, args }) => run(&args),
        None => Err(EINTR),
    }
}
