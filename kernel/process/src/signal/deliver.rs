// SPDX-License-Identifier: GPL-2.0
//! Delivery: on the way back to user mode a thread takes its pending signals one by one, and each ends in a handler's frame, a
//! stop, the end of the process, or nothing. Also the restart rules of interrupted system calls (`signal(7)`).

use super::action::{SIG_DFL, SIG_IGN, SigAction};
use super::send::begin_group_exit;
use super::{SigInfo, SigSet, frame, stop};
use crate::thread::{Process, Thread, with_thread};
use core::sync::atomic::Ordering;
use errno::Error;
use errno::code::{EINTR, ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS};
use kalloc::Arc;
use task::state::TaskFlags;
use task::{Task, current};
use x86_cpu::regs::PtRegs;

/// Length of the `syscall` instruction, by which a restart goes back.
const SYSCALL_LEN: u64 = 2;

/// Recomputes `SIGPENDING` from the queues. Clears the flag first, so that a signal sent meanwhile sets it again.
pub(crate) fn recalc(task: &Task, thread: &Thread) {
    task.clear_flags(TaskFlags::SIGPENDING);
    if has_pending(thread) || freezer::is_freezing(task) {
        task.set_flags(TaskFlags::SIGPENDING);
    }
}

fn has_pending(thread: &Thread) -> bool {
    let process = thread.process();
    let pending = thread.pending_set.load(Ordering::SeqCst) | process.shared_set.load(Ordering::SeqCst);
    if pending & !thread.blocked.load(Ordering::Relaxed) != 0 {
        return true;
    }
    let signals = process.signals.lock_irqsave();
    signals.group_exit.is_some()
        || signals.stop.report != 0
        || thread.kill.load(Ordering::SeqCst)
        || thread.jobctl.load(Ordering::Relaxed) & stop::PENDING_MASK != 0
}

/// Changes the current thread's mask (never `SIGKILL` and `SIGSTOP`) and looks whether that uncovers a signal.
pub(crate) fn set_blocked(thread: &Thread, mask: SigSet) {
    let mask = mask.without(SigSet::UNMASKABLE);
    // In order with the looks at what is pending: a sender queues first and looks at the mask then.
    let before = SigSet(thread.blocked.swap(mask.0, Ordering::SeqCst));
    let process = thread.process();
    let shared = SigSet(process.shared_set.load(Ordering::SeqCst));
    let pending = thread.pending_set.load(Ordering::SeqCst) | shared.0;
    let task = current();
    let covered = mask.without(before);
    if !shared.and(covered).is_empty() && process.thread_count() > 1 {
        super::send::retarget(&task, &process.signals.lock_irqsave(), covered);
    }
    if pending & !mask.0 != 0 {
        task.set_flags(TaskFlags::SIGPENDING);
    } else if task.signal_pending() {
        recalc(&task, thread);
    }
}

/// The exit work for signals; interrupts on. The registers are looked at anew after each stop: a tracer may have changed them.
pub(crate) fn do_signal(syscall: bool) {
    with_thread(|thread| {
        let task = current();
        while let Some((info, action)) = get_signal(thread) {
            let stepping = task.test_flags(TaskFlags::SINGLESTEP);
            let delivered = task.with_user_regs(|regs| {
                if stepping {
                    // What the handler's frame keeps are the program's flags.
                    crate::ptrace::step::stop_stepping(&task, regs);
                }
                if let Some(error) = restart_code(regs, syscall) {
                    interrupted_by_handler(regs, error, &action);
                }
                regs.orig_rax = u64::MAX;
                deliver_to_handler(thread, regs, &info, &action)
            });
            if delivered {
                if stepping {
                    crate::ptrace::stop::notify(uapi::SIGTRAP as i32, 0);
                }
                return;
            }
        }
        task.with_user_regs(|regs| {
            if let Some(error) = restart_code(regs, syscall) {
                restart_without_handler(regs, error);
            }
        });
        if task.test_flags(TaskFlags::RESTORE_SIGMASK) {
            task.clear_flags(TaskFlags::RESTORE_SIGMASK);
            set_blocked(thread, SigSet(thread.saved_mask.load(Ordering::Relaxed)));
        }
    });
}

/// Sets up the handler. True if done; false if the frame could not be written: a SIGSEGV is pending then.
fn deliver_to_handler(thread: &Thread, regs: &mut PtRegs, info: &SigInfo, action: &SigAction) -> bool {
    let task = current();
    let restore = task.test_flags(TaskFlags::RESTORE_SIGMASK);
    let old = if restore { SigSet(thread.saved_mask.load(Ordering::Relaxed)) } else { thread.blocked() };
    crate::rseq::resume(thread, regs);
    if frame::setup(thread, regs, info, action, old).is_err() {
        let mut fatal = SigInfo::kernel(uapi::SIGSEGV);
        if info.signo == uapi::SIGSEGV {
            // Its own handler cannot run: the default is left.
            thread.process().actions.lock_irqsave().set(uapi::SIGSEGV, SigAction::default());
        }
        fatal.signo = uapi::SIGSEGV;
        super::send::force(&task, fatal);
        return false;
    }
    task.clear_flags(TaskFlags::RESTORE_SIGMASK);
    let mut mask = thread.blocked().or(SigSet(action.mask));
    if action.flags & u64::from(uapi::SA_NODEFER) == 0 {
        mask = mask.or(SigSet::of(info.signo));
    }
    set_blocked(thread, mask);
    true
}

fn restart_code(regs: &PtRegs, syscall: bool) -> Option<Error> {
    if !syscall || (regs.orig_rax as i64) < 0 {
        return None;
    }
    let value = regs.rax as i64;
    let restartable = [ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK];
    restartable.into_iter().find(|e| i64::from(e.to_errno()) == value)
}

fn interrupted_by_handler(regs: &mut PtRegs, error: Error, action: &SigAction) {
    let restart = match error {
        ERESTARTSYS => action.flags & u64::from(uapi::SA_RESTART) != 0,
        ERESTARTNOINTR => true,
        _ => false,
    };
    if restart {
        regs.rax = regs.orig_rax;
        regs.rip = regs.rip.wrapping_sub(SYSCALL_LEN);
    } else {
        regs.rax = i64::from(EINTR.to_errno()) as u64;
    }
}

fn restart_without_handler(regs: &mut PtRegs, error: Error) {
    regs.rax = match error {
        ERESTART_RESTARTBLOCK => u64::from(uapi::__NR_restart_syscall),
        _ => regs.orig_rax,
    };
    regs.rip = regs.rip.wrapping_sub(SYSCALL_LEN);
}

/// Takes the next signal that has a handler; acts on all others itself. Does not return if one ends the process.
fn get_signal(thread: &Thread) -> Option<(SigInfo, SigAction)> {
    let process: Arc<Process> = thread.process().clone();
    loop {
        rest(thread, &process);
        match stops(thread, &process) {
            Stops::None => {}
            Stops::Again => continue,
            Stops::Exit(status) => {
                drop(process);
                crate::exit::do_exit(status);
            }
        }
        let Some((mut info, shared)) = dequeue_from(thread, &process, thread.blocked()) else {
            recalc(&current(), thread);
            // A signal that came in between set the flag again, and the exit loop comes back.
            return None;
        };
        crate::hooks::signal_taken(&mut info, shared);
        let info = match thread.is_traced() && info.signo != super::SIGKILL {
            false => info,
            true => match crate::ptrace::stop::signal(thread, &process, info, shared) {
                Some(info) => info,
                None => continue,
            },
        };
        match act(thread, &process, info) {
            Acted::Handler(found) => return Some(found),
            Acted::Done => {}
            Acted::Fatal(info) => {
                // The exit does not come back: what is held here is given up first.
                let status = crate::exit::fatal_status(&process, &info);
                drop(process);
                crate::exit::do_group_exit(status);
            }
        }
    }
}

/// The current thread rests here if tasks are to. One that is to end does so before: others may wait for that.
fn rest(thread: &Thread, process: &Process) {
    let ends = || thread.kill.load(Ordering::SeqCst) || process.signals.lock_irqsave().group_exit.is_some();
    if freezer::is_freezing(&current()) && !ends() {
        freezer::try_to_freeze();
    }
}

/// The signals of a thread that stays in the kernel, which blocks all it can: it stops with its process. Whether it is to end.
pub(crate) fn in_kernel(task: &Task, thread: &Thread) -> bool {
    let process = thread.process();
    loop {
        rest(thread, process);
        match stops(thread, process) {
            Stops::None => {}
            Stops::Again => continue,
            Stops::Exit(_) => return true,
        }
        let Some((mut info, shared)) = dequeue_from(thread, process, thread.blocked()) else {
            recalc(task, thread);
            return false;
        };
        crate::hooks::signal_taken(&mut info, shared);
        match act(thread, process, info) {
            // There is no handler for those that it does not block.
            Acted::Handler(_) | Acted::Done => {}
            Acted::Fatal(info) => {
                let mut signals = process.signals.lock_irqsave();
                if signals.group_exit.is_none() {
                    begin_group_exit(&mut signals, info.signo as i32);
                }
                return true;
            }
        }
    }
}

/// What to do before a signal is taken.
enum Stops {
    None,
    Again,
    Exit(i32),
}

/// Ends, stops and traps.
fn stops(thread: &Thread, process: &Process) -> Stops {
    let signals = process.signals.lock_irqsave();
    if signals.stop.report != 0 {
        stop::report(thread, signals);
        return Stops::Again;
    }
    if let Some(status) = signals.group_exit {
        return Stops::Exit(status);
    }
    if thread.kill.load(Ordering::SeqCst) {
        return Stops::Exit(0);
    }
    let jobctl = thread.jobctl.load(Ordering::Relaxed);
    if jobctl & stop::PENDING_MASK == 0 {
        return Stops::None;
    }
    let signals = match jobctl & stop::STOP_PENDING {
        0 => signals,
        _ => match stop::do_signal_stop(thread, process, signals, 0) {
            Ok(()) => return Stops::Again,
            Err(signals) => signals,
        },
    };
    if thread.kill.load(Ordering::Relaxed) {
        // Told meanwhile: it stops no more.
        return Stops::Again;
    }
    if thread.jobctl.load(Ordering::Relaxed) & stop::TRAP_MASK != 0 {
        crate::ptrace::stop::jobctl_trap(thread, signals);
        return Stops::Again;
    }
    Stops::None
}

/// What became of a dequeued signal.
enum Acted {
    /// A handler is to run.
    Handler((SigInfo, SigAction)),
    /// Nothing is left to do.
    Done,
    /// The process ends by it.
    Fatal(SigInfo),
}

/// The disposition of one dequeued signal; default actions but the last are done here.
fn act(thread: &Thread, process: &Arc<Process>, info: SigInfo) -> Acted {
    let signal = info.signo;
    let action = {
        let actions = process.actions.lock_irqsave();
        let action = actions.get(signal);
        if action.handler > SIG_IGN && action.flags & u64::from(uapi::SA_RESETHAND) != 0 {
            actions.set(signal, SigAction { handler: SIG_DFL, ..action });
        }
        action
    };
    if action.handler == SIG_IGN {
        return Acted::Done;
    }
    if action.handler != SIG_DFL {
        return Acted::Handler((info, action));
    }
    let spared = process.unkillable.load(Ordering::Relaxed) && !SigSet::UNMASKABLE.has(signal);
    if SigSet::IGNORED.has(signal) || spared {
        return Acted::Done;
    }
    if SigSet::STOPS.has(signal) {
        if signal == super::SIGSTOP || !process.group().is_orphaned(None) {
            // If it did not stop, `SIGCONT` came in between, or a trap is pending now.
            let _ = stop::do_signal_stop(thread, process, process.signals.lock_irqsave(), signal);
        }
        return Acted::Done;
    }
    Acted::Fatal(info)
}

/// Takes one pending signal that `blocked` lets through: the thread's own before the process's, synchronous ones first. Also
/// whether it was the process's: the caller tells [`crate::hooks::signal_taken`] as soon as it may sleep.
pub(crate) fn dequeue_from(thread: &Thread, process: &Process, blocked: SigSet) -> Option<(SigInfo, bool)> {
    let open = |set: &core::sync::atomic::AtomicU64| SigSet(set.load(Ordering::SeqCst)).without(blocked);
    if open(&thread.pending_set).is_empty() && open(&process.shared_set).is_empty() {
        return None;
    }
    let mut signals = process.signals.lock_irqsave();
    let mut own = thread.pending.lock_irqsave();
    let deliverable = own.set().without(blocked);
    let urgent = deliverable.and(SigSet::SYNCHRONOUS);
    let (info, shared) = if let Some(signal) = urgent.first().or(deliverable.first()) {
        (own.take(signal), false)
    } else {
        let signal = signals.shared.set().without(blocked).first()?;
        (signals.shared.take(signal), true)
    };
    if SigSet::STOPS.has(info.signo) {
        thread.jobctl.fetch_or(stop::STOP_DEQUEUED, Ordering::Relaxed);
    }
    let kill = if signals.group_exit.is_some() { SigSet::of(super::SIGKILL) } else { SigSet::EMPTY };
    thread.pending_set.store(own.set().or(kill).0, Ordering::SeqCst);
    process.shared_set.store(signals.shared.set().0, Ordering::SeqCst);
    Some((info, shared))
}
