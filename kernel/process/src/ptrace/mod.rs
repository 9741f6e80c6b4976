// SPDX-License-Identifier: GPL-2.0
//! `ptrace(2)`: a thread (the tracer) that stops, looks into and changes another (the tracee).
//!
//! | file | what |
//! |---|---|
//! | `attach` | the tie between tracer and tracee, and its end |
//! | `stop` | traps: where a tracee stops and what it is let go on with |
//! | `request` | the requests on a stopped tracee |
//! | `regs` | its registers in the ABI's layouts |
//! | `step` | single steps and hardware breakpoints |
//!
//! A tracee's `Thread::ptrace` is its flags; its `Trace` names the tracer; the tracer's process lists it in `ptraced`. All three
//! change under `TREE`. A trap is announced under `TREE` too, so that a tracer that is gone is not told. Registers of a tracee are
//! touched through `Task::inspect`, which cannot overlap with its running.

pub mod attach;
pub mod regs;
mod request;
mod siginfo;
pub(crate) mod step;
pub(crate) mod stop;

use crate::pid;
use crate::signal::stop as jobctl;
use crate::thread::{TREE, Thread, process_of, thread_of};
use core::sync::atomic::Ordering::Relaxed;
use errno::Result;
use errno::code::ESRCH;
use kalloc::Arc;
use task::{Task, current};
use x86_cpu::regs::PtRegs;

/// Traced.
pub(crate) const PT_PTRACED: u32 = 1;
/// Traced by `PTRACE_SEIZE`.
pub(crate) const PT_SEIZED: u32 = 0x1_0000;
/// Where the options (`PTRACE_O_*`) begin.
pub(crate) const OPTIONS_SHIFT: u32 = 3;
/// `PTRACE_EVENT_STOP`.
pub(crate) const EVENT_STOP: u32 = 128;
/// `PTRACE_SYSEMU` and its stepping twin, of x86.
pub(crate) const SYSEMU: u32 = 31;
pub(crate) const SYSEMU_SINGLESTEP: u32 = 32;

/// Whether the tracer asked for `PTRACE_O_*`.
pub(crate) fn has_option(thread: &Thread, option: u32) -> bool {
    thread.ptrace.load(Relaxed) & option << OPTIONS_SHIFT != 0
}

/// Whether the tracer wants to hear of event `PTRACE_EVENT_*`.
pub(crate) fn wants_event(thread: &Thread, event: u32) -> bool {
    has_option(thread, 1 << event)
}

/// Whether somebody else than its process's parent traces it. Under `TREE`.
pub(crate) fn is_reparented(task: &Task) -> bool {
    let tracer = thread_of(task).and_then(|t| t.tracer());
    let Some(tracer) = tracer.and_then(|t| process_of(&t)) else { return false };
    let parent = process_of(task).and_then(|p| p.parent());
    parent.is_none_or(|parent| !Arc::ptr_eq(&parent, &tracer))
}

/// The number in `ns` of the thread that traces `task`, for `/proc` (0: none).
pub fn tracer_pid(task: &Task, ns: &pid::PidNs) -> u32 {
    thread_of(task).and_then(|t| t.tracer()).map_or(0, |tracer| pid::number_of(&tracer, ns))
}

/// What the tracer of the current thread calls `nr`; 0 without one.
pub(crate) fn number_for_tracer(nr: &pid::PidName) -> u64 {
    let task = current();
    let tracer = thread_of(&task).filter(|thread| thread.is_traced()).and_then(|thread| thread.tracer());
    tracer.and_then(|tracer| process_of(&tracer)).map_or(0, |tracer| u64::from(nr.seen_by(tracer.name())))
}

/// Whether the current thread traces `task`.
pub(crate) fn is_tracer_of(task: &Task) -> bool {
    let me = current();
    thread_of(task).and_then(|t| t.tracer()).is_some_and(|tracer| core::ptr::eq(&*tracer, &*me))
}

/// `ptrace(2)`.
pub fn sys_ptrace(regs: &PtRegs) -> Result<usize> {
    let (request, pid, addr, data) = (regs.arg0(), regs.arg1() as i32, regs.arg2(), regs.arg3());
    let request = u32::try_from(request).map_err(|_| errno::code::EIO).unwrap_or(u32::MAX);
    if request == uapi::PTRACE_TRACEME {
        return attach::trace_me();
    }
    let task = u32::try_from(pid).ok().and_then(pid::find_thread_here).ok_or(ESRCH)?;
    match request {
        uapi::PTRACE_ATTACH => attach::attach(&task, None, addr).map(|()| 0),
        uapi::PTRACE_SEIZE => attach::attach(&task, Some(data), addr).map(|()| 0),
        _ => {
            let any_state = request == uapi::PTRACE_KILL || request == uapi::PTRACE_INTERRUPT;
            check_attached(&task, any_state)?;
            request::request(&task, request, addr, data)
        }
    }
}

/// `ESRCH` unless the current thread traces `task`, which is stopped in a trap (or in any state).
fn check_attached(task: &Task, any_state: bool) -> Result {
    let thread = thread_of(task).ok_or(ESRCH)?;
    let tree = TREE.lock();
    let mine = is_tracer_of(task);
    drop(tree);
    if !mine {
        return Err(ESRCH);
    }
    if any_state {
        return Ok(());
    }
    let _signals = thread.process().signals.lock_irqsave();
    let state = thread.jobctl.load(Relaxed) & (jobctl::TRACED | jobctl::LISTENING);
    if state == jobctl::TRACED && !crate::fatal_pending(task) { Ok(()) } else { Err(ESRCH) }
}
