// SPDX-License-Identifier: GPL-2.0
//! Traps: the tracee says why, stops, and goes on with what its tracer gave it. Locks: the process's `signals` around the change of
//! state, `TREE` to tell the tracer.

use super::{EVENT_STOP, PT_PTRACED, PT_SEIZED, has_option, is_reparented, wants_event};
use crate::signal::stop::{self, LISTENING, STOP_DEQUEUED, STOP_PENDING, STOP_SIGMASK, Signals, TRACED, TRAP_NOTIFY};
use crate::signal::{SigInfo, deliver, send, send_to_thread};
use crate::thread::{Process, TREE, Thread, thread_of};
use core::sync::atomic::Ordering::Relaxed;
use task::{State, TaskFlags, current};

/// Messages of system-call traps.
const MESSAGE_ENTRY: u64 = uapi::PTRACE_EVENTMSG_SYSCALL_ENTRY as u64;
const MESSAGE_EXIT: u64 = uapi::PTRACE_EVENTMSG_SYSCALL_EXIT as u64;

/// Stops for the tracer with `code`; returns what the tracer let it go on with. Does not stop if the tracer is gone or the thread
/// is to die. `why` is `CLD_TRAPPED` or, for group stops, `CLD_STOPPED`.
fn trap(thread: &Thread, mut signals: Signals<'_>, code: i32, why: u32, message: u64, info: Option<SigInfo>) -> i32 {
    let task = current();
    if !thread.is_traced() || crate::fatal_pending(&task) {
        return code;
    }
    {
        let mut trace = thread.trace.lock_irqsave();
        trace.message = message;
        trace.info = info;
        trace.code = code;
    }
    thread.jobctl.fetch_or(TRACED, Relaxed);
    task.set_state(State::TRACED);
    let pending = thread.jobctl.load(Relaxed) & STOP_PENDING != 0;
    let group_done = why == uapi::CLD_STOPPED && pending && stop::participate(thread, &mut signals.stop);
    // Any trap is the one that was asked for; one that tells of the group stop has told it.
    stop::clear_pending(thread, stop::TRAP_STOP);
    if info.is_some_and(|info| info.code >> 8 == EVENT_STOP as i32) {
        stop::clear_pending(thread, TRAP_NOTIFY);
    }
    stop::clear_trapping(thread);
    drop(signals);
    {
        let _tree = TREE.lock();
        let traced = thread.is_traced();
        if traced {
            stop::notify_cldstop(&task, true, why);
        }
        if group_done && (!traced || is_reparented(&task)) {
            stop::notify_cldstop(&task, false, why);
        }
    }
    task::schedule();
    freezer::try_to_freeze();
    let signals = thread.process().signals.lock_irqsave();
    let code = {
        let mut trace = thread.trace.lock_irqsave();
        trace.message = 0;
        core::mem::take(&mut trace.code)
    };
    thread.jobctl.fetch_and(!(LISTENING | TRACED), Relaxed);
    drop(signals);
    // Signals passed it by while it was stopped.
    deliver::recalc(&task, thread);
    code
}

/// The cause as the tracer left it, after a trap.
fn take_info(thread: &Thread) -> Option<SigInfo> {
    thread.trace.lock_irqsave().info.take()
}

/// A trap that the kernel causes, as `SIGTRAP` (or `signal`) with `code`.
fn kernel_trap(thread: &Thread, signals: Signals<'_>, signal: u32, code: i32, why: u32, message: u64) -> i32 {
    let uid = cred::current_cred().map_or(0, |c| c.uid);
    let info = SigInfo::user(signal, code, current().own_tid(), uid);
    let result = trap(thread, signals, code, why, message, Some(info));
    take_info(thread);
    result
}

/// A trap with `code`, by the current thread, if it is traced. What the tracer let it go on with.
pub(crate) fn notify(code: i32, message: u64) -> i32 {
    let task = current();
    let Some(thread) = thread_of(&task) else { return 0 };
    let signals = thread.process().signals.lock_irqsave();
    kernel_trap(thread, signals, uapi::SIGTRAP, code, uapi::CLD_TRAPPED, message)
}

/// Event `PTRACE_EVENT_*` of the current thread, if its tracer wants it.
pub(crate) fn event(event: u32, message: u64) {
    let task = current();
    let Some(thread) = thread_of(&task) else { return };
    if !thread.is_traced() {
        return;
    }
    if wants_event(thread, event) {
        notify((event << 8 | uapi::SIGTRAP) as i32, message);
    } else if event == uapi::PTRACE_EVENT_EXEC && thread.ptrace.load(Relaxed) & (PT_PTRACED | PT_SEIZED) == PT_PTRACED {
        // As it was before there were events.
        let pid = thread.process().own_pid();
        let uid = cred::current_cred().map_or(0, |c| c.uid);
        let _ = send_to_thread(&task, SigInfo::user(uapi::SIGTRAP, uapi::SI_USER as i32, pid, uid));
    }
}

/// A trap of job control is pending: makes it. Gives the lock up.
pub(crate) fn jobctl_trap(thread: &Thread, signals: Signals<'_>) {
    let mut signal = thread.jobctl.load(Relaxed) & STOP_SIGMASK;
    if thread.ptrace.load(Relaxed) & PT_SEIZED != 0 {
        if signals.stop.count == 0 && !signals.stop.stopped {
            signal = uapi::SIGTRAP;
        }
        let code = (signal | EVENT_STOP << 8) as i32;
        kernel_trap(thread, signals, signal, code, uapi::CLD_STOPPED, 0);
    } else {
        trap(thread, signals, signal as i32, uapi::CLD_STOPPED, 0, None);
    }
}

/// A traced thread has dequeued a signal (`shared`: of its process): the tracer sees it, and may change or cancel it.
pub(crate) fn signal(thread: &Thread, process: &Process, info: SigInfo, shared: bool) -> Option<SigInfo> {
    let task = current();
    let signals = process.signals.lock_irqsave();
    // Which signal it will be is the tracer's choice: the mark counts only if it is a stop signal then.
    thread.jobctl.fetch_or(STOP_DEQUEUED, Relaxed);
    let chosen = trap(thread, signals, info.signo as i32, uapi::CLD_TRAPPED, 0, Some(info));
    let mut info = take_info(thread).unwrap_or(info);
    let chosen = u32::try_from(chosen).ok().filter(|&s| crate::signal::valid(s))?;
    if chosen != info.signo {
        let tracer = thread.tracer();
        let pid = tracer.as_ref().map_or(0, |t| crate::pid::number_for(t, process));
        let uid = tracer.and_then(|t| cred::task_cred(&t)).map_or(0, |c| c.uid);
        info = SigInfo::user(chosen, uapi::SI_USER as i32, pid, uid);
    }
    if thread.blocked().has(chosen) || crate::fatal_pending(&task) {
        send::requeue(process, (!shared).then_some((&*task, thread)), info);
        return None;
    }
    Some(info)
}

/// A trap before or after a system call. False if the thread is to die.
fn syscall_trap(thread: &Thread, message: u64) -> bool {
    let mut code = uapi::SIGTRAP;
    if has_option(thread, uapi::PTRACE_O_TRACESYSGOOD) {
        code |= 0x80;
    }
    let task = current();
    let signal = notify(code as i32, message);
    if let Ok(signal) = u32::try_from(signal)
        && crate::signal::valid(signal)
    {
        // A program does not see how its tracer let it go on. A queue that is full loses it, as on Linux.
        let _ = send_to_thread(&task, SigInfo::kernel(signal));
    }
    !crate::fatal_pending(&task)
}

/// Before a system call: its number, which the tracer may have changed; `None` for no call.
pub(crate) fn syscall_enter() -> Option<u32> {
    let task = current();
    let thread = thread_of(&task)?;
    if thread.is_traced() {
        let sysemu = thread.trace.lock_irqsave().sysemu;
        if !syscall_trap(thread, MESSAGE_ENTRY) || sysemu {
            return None;
        }
    }
    let number = task.with_user_regs(|regs| regs.orig_rax as u32);
    (number != u32::MAX).then_some(number)
}

/// After a system call.
pub(crate) fn syscall_exit() {
    let task = current();
    let Some(thread) = thread_of(&task) else { return };
    if !thread.is_traced() {
        return;
    }
    if task.test_flags(TaskFlags::SINGLESTEP) {
        let ip = task.with_user_regs(|regs| regs.rip);
        send::force(&task, SigInfo::fault(uapi::SIGTRAP, uapi::TRAP_BRKPT as i32, ip));
        return;
    }
    if task.test_flags(TaskFlags::SYSCALL_TRACE) && !thread.trace.lock_irqsave().sysemu {
        syscall_trap(thread, MESSAGE_EXIT);
    }
}
