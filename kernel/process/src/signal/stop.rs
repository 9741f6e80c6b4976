// SPDX-License-Identifier: GPL-2.0
//! Job-control stops: a stop signal stops every thread of a process; `SIGCONT` lets them go on; the parent hears of both. A thread
//! that is traced takes part by a trap of its own (`ptrace::stop`), so that its tracer decides when it goes on.
//!
//! `jobctl` of a thread says what it has still to do; it and the process's `stop` change under the process's `signals`.

use super::SigInfo;
use super::send::{send_to_process, signal_wake, signal_wake_tracing};
use crate::ptrace;
use crate::thread::{Process, ProcessSignals, Stop, TREE, Thread, process_of, thread_of};
use core::sync::atomic::Ordering::Relaxed;
use kalloc::Arc;
use locking::SpinIrqGuard;
use task::{State, Task, current};

/// The signal of the group stop that the thread takes part in.
pub(crate) const STOP_SIGMASK: u32 = 0xffff;
/// A stop signal was taken from the queue and not cancelled by `SIGCONT` since.
pub(crate) const STOP_DEQUEUED: u32 = 1 << 16;
/// The thread should stop for the group stop.
pub(crate) const STOP_PENDING: u32 = 1 << 17;
/// The group stop counts on this thread.
pub(crate) const STOP_CONSUME: u32 = 1 << 18;
/// The tracer wants a trap (`PTRACE_INTERRUPT`, attach to a stopped thread).
pub(crate) const TRAP_STOP: u32 = 1 << 19;
/// A trap that tells a seizing tracer of a change of the group stop.
pub(crate) const TRAP_NOTIFY: u32 = 1 << 20;
/// Goes from a stop to a trap: who attaches waits for it.
pub(crate) const TRAPPING: u32 = 1 << 21;
/// `PTRACE_LISTEN`: trapped, but the tracer waits for events.
pub(crate) const LISTENING: u32 = 1 << 22;
/// Stopped by job control.
pub(crate) const STOPPED: u32 = 1 << 26;
/// Stopped in a trap.
pub(crate) const TRACED: u32 = 1 << 27;
/// Traps to be made.
pub(crate) const TRAP_MASK: u32 = TRAP_STOP | TRAP_NOTIFY;
/// Everything that the way to user mode has to look at.
pub(crate) const PENDING_MASK: u32 = STOP_PENDING | TRAP_MASK;

pub(crate) type Signals<'a> = SpinIrqGuard<'a, ProcessSignals>;

/// Gives the thread something to do, unless it is about to end. Under `signals`.
pub(crate) fn set_pending(task: &Task, thread: &Thread, mask: u32) -> bool {
    if crate::fatal_pending(task) || thread.is_exiting() {
        return false;
    }
    if mask & STOP_SIGMASK != 0 {
        thread.jobctl.fetch_and(!STOP_SIGMASK, Relaxed);
    }
    thread.jobctl.fetch_or(mask, Relaxed);
    true
}

/// What the thread had to do is done or void. Under `signals`.
pub(crate) fn clear_pending(thread: &Thread, mut mask: u32) {
    if mask & STOP_PENDING != 0 {
        mask |= STOP_CONSUME | STOP_DEQUEUED;
    }
    let left = thread.jobctl.fetch_and(!mask, Relaxed) & !mask;
    if left & PENDING_MASK == 0 {
        clear_trapping(thread);
    }
}

/// The trap that an attaching tracer waits for is there, or will not come. Under `signals`.
pub(crate) fn clear_trapping(thread: &Thread) {
    if thread.jobctl.fetch_and(!TRAPPING, Relaxed) & TRAPPING != 0 {
        ptrace::attach::TRAPPING_QUEUE.wake_up_all();
    }
}

/// The thread has its part in the group stop. True if that was the last one of a fresh stop: the parent is to be told.
pub(crate) fn participate(thread: &Thread, stop: &mut Stop) -> bool {
    let consume = thread.jobctl.load(Relaxed) & STOP_CONSUME != 0;
    clear_pending(thread, STOP_PENDING);
    if !consume {
        return false;
    }
    stop.count = stop.count.saturating_sub(1);
    if stop.count == 0 && !stop.stopped {
        stop.stopped = true;
        stop.continued = false;
        return true;
    }
    false
}

/// A new thread of a process that stops or is stopped does so too. Under `signals`, before the thread runs.
pub(crate) fn join(task: &Task, stop: &mut Stop, like: &Thread) {
    let Some(thread) = thread_of(task) else { return };
    let mut mask = like.jobctl.load(Relaxed) & STOP_SIGMASK;
    if stop.count != 0 {
        stop.count = stop.count.saturating_add(1);
        mask |= STOP_CONSUME;
    } else if !stop.stopped {
        return;
    }
    if set_pending(task, thread, mask | STOP_PENDING) {
        task.set_flags(task::TaskFlags::SIGPENDING);
    }
}

/// Starts a group stop by `signal` (0: takes part in the one under way) and stops, or leaves a trap pending if traced. Takes the
/// lock, and gives it back if it did not stop.
pub(crate) fn do_signal_stop<'a>(
    thread: &Thread,
    process: &'a Process,
    mut signals: Signals<'a>,
    signal: u32,
) -> Result<(), Signals<'a>> {
    let task = current();
    if thread.jobctl.load(Relaxed) & STOP_PENDING == 0 {
        let dequeued = thread.jobctl.load(Relaxed) & STOP_DEQUEUED != 0;
        if !dequeued || signals.group_exit.is_some() || signals.exec_waiter.is_some() {
            return Err(signals);
        }
        start_group_stop(&task, thread, &mut signals, signal);
    }
    // Who waits looks under `TREE`: it sees no stop of which it has not been told.
    drop(signals);
    let tree = TREE.lock();
    let mut signals = process.signals.lock_irqsave();
    if thread.jobctl.load(Relaxed) & STOP_PENDING == 0 || thread.kill.load(Relaxed) {
        // `SIGCONT`, the end, or another thread's `execve` came in between.
        return Err(signals);
    }
    if thread.is_traced() {
        set_pending(&task, thread, TRAP_STOP);
        return Err(signals);
    }
    let notify = participate(thread, &mut signals.stop);
    thread.jobctl.fetch_or(STOPPED, Relaxed);
    task.set_state(State::STOPPED);
    drop(signals);
    if notify {
        notify_cldstop(&task, false, uapi::CLD_STOPPED);
    }
    drop(tree);
    task::schedule();
    // Whoever froze the others counted on its being stopped.
    freezer::try_to_freeze();
    Ok(())
}

fn start_group_stop(task: &Task, thread: &Thread, signals: &mut ProcessSignals, signal: u32) {
    if !signals.stop.stopped {
        signals.stop.code = signal;
    }
    signals.stop.count = 0;
    let mask = signal | STOP_PENDING | STOP_CONSUME;
    if set_pending(task, thread, mask) {
        signals.stop.count = 1;
    }
    for other in signals.threads.iter().filter(|t| !core::ptr::eq(&***t, task)) {
        let Some(its) = thread_of(other) else { continue };
        if its.jobctl.load(Relaxed) & STOPPED != 0 || !set_pending(other, its, mask) {
            continue;
        }
        signals.stop.count = signals.stop.count.saturating_add(1);
        if its.ptrace.load(Relaxed) & ptrace::PT_SEIZED == 0 {
            signal_wake(other, false);
        } else {
            trap_notify(other, its);
        }
    }
}

/// A seizing tracer is to hear of a change of the group stop. Under `signals`.
fn trap_notify(task: &Task, thread: &Thread) {
    set_pending(task, thread, TRAP_NOTIFY);
    signal_wake_tracing(task, thread, thread.jobctl.load(Relaxed) & LISTENING != 0);
}

/// `SIGCONT`: ends a group stop. Under `signals`, given.
pub(crate) fn continue_group(signals: &mut ProcessSignals) {
    for task in signals.threads.iter() {
        let Some(thread) = thread_of(task) else { continue };
        clear_pending(thread, STOP_PENDING);
        if thread.ptrace.load(Relaxed) & ptrace::PT_SEIZED == 0 {
            thread.jobctl.fetch_and(!STOPPED, Relaxed);
            task.wake(State::STOPPED);
        } else {
            trap_notify(task, thread);
        }
    }
    let stop = &mut signals.stop;
    let why = if stop.stopped {
        uapi::CLD_CONTINUED
    } else if stop.count != 0 {
        uapi::CLD_STOPPED
    } else {
        return;
    };
    // The first thread that comes back tells the parent, whose locks come before ours (`report`).
    *stop = Stop { continued: true, report: why, ..Stop::default() };
    for task in signals.threads.iter() {
        task.set_flags(task::TaskFlags::SIGPENDING);
    }
}

/// Tells the parent of a continuation that nobody has told it of. Takes the lock, and gives it up if there was something.
pub(crate) fn report(thread: &Thread, mut signals: Signals<'_>) -> bool {
    let why = core::mem::take(&mut signals.stop.report);
    if why == 0 {
        return false;
    }
    drop(signals);
    let task = current();
    let leader = thread.process().leader();
    let _tree = TREE.lock();
    notify_cldstop(&task, false, why);
    if let Some(leader) = leader
        && ptrace::is_reparented(&leader)
    {
        notify_cldstop(&leader, true, why);
    }
    true
}

/// Tells the tracer of `task` of its stop, or the parent of its process of a group stop or continuation: `SIGCHLD` unless it does
/// not want it, and a wake-up of `wait`. Under `TREE`.
pub(crate) fn notify_cldstop(task: &Task, for_tracer: bool, why: u32) {
    let (Some(thread), Some(process)) = (thread_of(task), process_of(task)) else { return };
    let tracer = if for_tracer { thread.tracer() } else { None };
    let parent = match &tracer {
        Some(tracer) => process_of(tracer),
        None if for_tracer => None,
        None => process.parent(),
    };
    let Some(parent) = parent else { return };
    let status = match why {
        uapi::CLD_CONTINUED => uapi::SIGCONT as i32,
        uapi::CLD_TRAPPED => thread.trace.lock_irqsave().code & 0x7f,
        _ => process.signals.lock_irqsave().stop.code as i32 & 0x7f,
    };
    let pid = if for_tracer { crate::pid::number_for(task, &parent) } else { process.number_for(&parent) };
    send_child_signal(&parent, &process, pid, why, status);
}

fn send_child_signal(parent: &Arc<Process>, process: &Process, pid: u32, why: u32, status: i32) {
    let uid = process.leader().and_then(|l| cred::task_cred(&l)).map_or(0, |c| c.uid);
    let action = parent.actions.lock_irqsave().get(uapi::SIGCHLD);
    let unwanted = action.handler == super::action::SIG_IGN || action.flags & u64::from(uapi::SA_NOCLDSTOP) != 0;
    if !unwanted {
        let usage = process.usage();
        let (utime, stime) = (crate::times::to_ticks(usage.utime), crate::times::to_ticks(usage.stime));
        let info = SigInfo::child(uapi::SIGCHLD, why as i32, pid, uid, status, utime, stime);
        // `SIGCHLD` is a standard signal: it cannot fail for want of room.
        let _ = send_to_process(parent, info);
    }
    parent.child_exit.wake_up_all();
}

/// The thread ends: a stop under way no longer waits for it. True if it was the last that the stop waited for.
pub(crate) fn leave(thread: &Thread, stop: &mut Stop) -> bool {
    let pending = thread.jobctl.load(Relaxed) & STOP_PENDING != 0;
    pending && participate(thread, stop)
}
