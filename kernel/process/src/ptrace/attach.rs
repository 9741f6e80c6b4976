// SPDX-License-Identifier: GPL-2.0
//! The tie between tracer and tracee: `PTRACE_TRACEME`, `ATTACH`, `SEIZE`, `DETACH`, inheritance by `clone`, and what becomes of it
//! when either ends. Locks: `TREE`, then the tracee's `signals`.

use super::{PT_PTRACED, PT_SEIZED};
use crate::access::may_access_realcreds;
use crate::signal::stop::{self, STOP_PENDING, STOP_SIGMASK, STOPPED, TRACED, TRAP_MASK, TRAP_STOP, TRAPPING};
use crate::signal::{SigInfo, SigSet, send, send_to_thread};
use crate::thread::{Process, TREE, Thread, process_of, thread_of};
use crate::{exit, pid};
use core::sync::atomic::Ordering::Relaxed;
use errno::Result;
use errno::code::{EIO, EPERM, ESRCH};
use kalloc::Arc;
use kalloc::flags::GFP_ATOMIC;
use sync::WaitQueue;
use task::{Task, TaskFlags, current};

/// Who attached to a stopped thread waits here for its trap.
pub(crate) static TRAPPING_QUEUE: WaitQueue = WaitQueue::new();

/// Makes `tracer` the tracer of `task`, with these flags. Under `TREE`.
fn link(task: &Arc<Task>, thread: &Thread, tracer: &Arc<Task>, flags: u32) -> Result {
    let process = process_of(tracer).ok_or(ESRCH)?;
    process.ptraced.lock().push(task.clone(), GFP_ATOMIC)?;
    thread.trace.lock_irqsave().tracer = Some(tracer.clone());
    thread.ptrace.store(flags, Relaxed);
    Ok(())
}

/// What a tie held: the tracer, and the tracee as the tracer's process had it.
pub(crate) type Cut = (Arc<Task>, Option<Arc<Task>>);

/// Cuts the tie. Under `TREE`. What comes back is to be dropped outside.
#[must_use]
pub(crate) fn unlink(task: &Task, thread: &Thread) -> Option<Cut> {
    let tracer = {
        let mut trace = thread.trace.lock_irqsave();
        trace.sysemu = false;
        trace.tracer.take()?
    };
    let listed = process_of(&tracer).and_then(|process| {
        let mut list = process.ptraced.lock();
        let at = list.iter().position(|t| core::ptr::eq(&**t, task));
        at.and_then(|at| list.remove(at).ok())
    });
    task.clear_flags(TaskFlags::SYSCALL_TRACE);
    let signals = thread.process().signals.lock_irqsave();
    thread.ptrace.store(0, Relaxed);
    stop::clear_pending(thread, TRAP_MASK);
    stop::clear_trapping(thread);
    if !thread.is_exiting() && (signals.stop.stopped || signals.stop.count != 0) {
        // Its process is stopped: so is it, from now on as others are.
        let old = thread.jobctl.fetch_or(STOP_PENDING, Relaxed);
        if old & STOP_SIGMASK == 0 {
            thread.jobctl.fetch_or(uapi::SIGSTOP, Relaxed);
        }
    }
    if thread.jobctl.load(Relaxed) & (STOP_PENDING | TRACED) != 0 {
        send::signal_wake_tracing(task, thread, true);
    }
    drop(signals);
    Some((tracer, listed))
}

/// `PTRACE_TRACEME`: the parent becomes the tracer: the thread that made the caller, or another one. Not one that ends: it may have let go
/// of its tracees already, and nobody would ever let go of this one. Without any it is as if the tracer had come and gone.
pub(super) fn trace_me() -> Result<usize> {
    let task = current();
    let thread = thread_of(&task).ok_or(ESRCH)?;
    let _tree = TREE.lock();
    if thread.is_traced() {
        return Err(EPERM);
    }
    let process = thread.process();
    let Some(parent) = process.parent() else { return Err(EPERM) };
    let stays = |task: &Arc<Task>| thread_of(task).is_some_and(|thread| !thread.is_exiting());
    let forker = pid::find_thread(process.forker.load(Relaxed))
        .filter(|task| process_of(task).is_some_and(|its| Arc::ptr_eq(&its, &parent)) && stays(task));
    let any = || parent.signals.lock_irqsave().threads.iter().find(|task| stays(task)).cloned();
    if let Some(tracer) = forker.or_else(any) {
        link(&task.to_arc(), thread, &tracer, PT_PTRACED)?;
    }
    Ok(0)
}

/// The flags of `PTRACE_SEIZE` or `PTRACE_SETOPTIONS`, if all are known.
pub(super) fn options(data: usize) -> Option<u32> {
    let options = u32::try_from(data).ok()?;
    // Seccomp, which `PTRACE_O_SUSPEND_SECCOMP` is about, is not there.
    let known = uapi::PTRACE_O_MASK & !uapi::PTRACE_O_SUSPEND_SECCOMP;
    (options & !known == 0).then_some(options << super::OPTIONS_SHIFT)
}

/// `PTRACE_ATTACH`, or `PTRACE_SEIZE` with its options.
pub(super) fn attach(task: &Arc<Task>, seize: Option<usize>, addr: usize) -> Result {
    let flags = match seize {
        None => PT_PTRACED,
        Some(_) if addr != 0 => return Err(EIO),
        Some(data) => PT_PTRACED | PT_SEIZED | options(data).ok_or(EIO)?,
    };
    let thread = thread_of(task).ok_or(EPERM)?;
    let me = current();
    let own = thread_of(&me).ok_or(EPERM)?;
    if task.is_kthread() || Arc::ptr_eq(own.process(), thread.process()) {
        return Err(EPERM);
    }
    let process = thread.process();
    loop {
        crate::exec::wait_done(process)?;
        let _tree = TREE.lock();
        if process.in_exec.load(core::sync::atomic::Ordering::SeqCst) {
            continue;
        }
        // With the rights that it has when the tie is made: `execve` looks for it before it gives new ones.
        if !may_access_realcreds(task) || thread.is_traced() || thread.is_exiting() {
            return Err(EPERM);
        }
        link(task, thread, &me.to_arc(), flags)?;
        break;
    }
    if seize.is_none() {
        // A standard signal cannot fail for want of room.
        let _ = send_to_thread(task, SigInfo::kernel(uapi::SIGSTOP));
    }
    {
        let _signals = thread.process().signals.lock_irqsave();
        if thread.jobctl.load(Relaxed) & STOPPED != 0 && stop::set_pending(task, thread, TRAP_STOP | TRAPPING) {
            // From the stop into a trap.
            thread.jobctl.fetch_and(!STOPPED, Relaxed);
            task.set_flags(TaskFlags::SIGPENDING);
            task.wake(task::State::STOPPED);
        }
    }
    // Who is killed here ends, and the tie with it.
    let _ = TRAPPING_QUEUE.wait_killable(|| thread.jobctl.load(Relaxed) & TRAPPING == 0);
    Ok(())
}

/// A child of a traced thread is traced by the same tracer, if the tracer follows or the program asked for it. Under `TREE`, before
/// the child runs.
pub(crate) fn inherit(child: &Arc<Task>, parent: &Thread) -> Result {
    let (Some(thread), Some(tracer)) = (thread_of(child), parent.tracer()) else { return Ok(()) };
    let flags = parent.ptrace.load(Relaxed);
    if flags == 0 {
        return Ok(());
    }
    link(child, thread, &tracer, flags)?;
    if flags & PT_SEIZED != 0 {
        thread.jobctl.fetch_or(TRAP_STOP, Relaxed);
    } else {
        let mut pending = thread.pending.lock_irqsave();
        // Without a cause, for which there is always room.
        pending.mark(SigSet::of(uapi::SIGSTOP));
        thread.pending_set.store(pending.set().0, core::sync::atomic::Ordering::SeqCst);
    }
    child.set_flags(TaskFlags::SIGPENDING);
    Ok(())
}

/// `PTRACE_DETACH`: the tracee goes on with `signal`.
pub(super) fn detach(task: &Task, thread: &Thread, signal: usize) -> Result {
    let signal = super::request::signal_data(signal)?;
    super::step::disable(task);
    let cut = {
        let _tree = TREE.lock();
        if !super::is_tracer_of(task) {
            return Err(ESRCH);
        }
        thread.trace.lock_irqsave().code = signal;
        unlink(task, thread)
    };
    drop(cut);
    Ok(())
}

/// The tracing thread ends: its tracees go on untraced, or die if it asked for that.
pub(crate) fn tracer_exits(tracer: &Task, process: &Process) {
    loop {
        let tree = TREE.lock();
        let next = process
            .ptraced
            .lock()
            .iter()
            .find(|t| thread_of(t).and_then(|t| t.tracer()).is_some_and(|its| core::ptr::eq(&*its, tracer)))
            .cloned();
        let Some(task) = next else { return };
        let Some(thread) = thread_of(&task) else { return };
        if super::has_option(thread, uapi::PTRACE_O_EXITKILL) {
            // Cannot fail for want of room.
            let _ = send_to_thread(&task, SigInfo::kernel(uapi::SIGKILL));
        }
        let left = exit::leave_tracee(&task, thread);
        drop(tree);
        left.finish(&task, thread);
    }
}
