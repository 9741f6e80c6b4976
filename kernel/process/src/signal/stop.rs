// SPDX-License-Identifier: GPL-2.0
//! Job-control stops: a stop signal stops every thread of a process; `SIGCONT` lets them go on; the parent hears of both.

use super::SigInfo;
use super::send::send_to_process;
use crate::thread::{Process, ProcessSignals, current_process, thread_of};
use task::{State, current};

/// A thread has dequeued stop signal `signal`: starts a group stop (if none is under way) and takes part in it. Returns when
/// continued or killed.
pub(crate) fn do_signal_stop(process: &Process, signal: u32) {
    {
        let mut signals = process.signals.lock_irqsave();
        if signals.group_exit.is_some() {
            return;
        }
        if signals.stop.signal == 0 {
            let me = current();
            let mut waiting = 1u32;
            for task in signals.threads.iter() {
                let other = thread_of(task).filter(|t| !t.is_exiting());
                if other.is_some() && !core::ptr::eq(&**task, &*me) && !task.state().intersects(State::STOPPED) {
                    waiting = waiting.saturating_add(1);
                    super::send::signal_wake(task, false);
                }
            }
            signals.stop.signal = signal;
            signals.stop.pending_threads = waiting;
            signals.stop.report_continue = false;
        }
    }
    participate(process);
}

/// Stops this thread for the group stop under way, if there is one. True if it did stop.
pub(crate) fn participate(process: &Process) -> bool {
    let task = current();
    let last = {
        let mut signals = process.signals.lock_irqsave();
        if signals.stop.signal == 0 || signals.group_exit.is_some() {
            return false;
        }
        task.set_state(State::STOPPED);
        signals.stop.pending_threads = signals.stop.pending_threads.saturating_sub(1);
        let last = signals.stop.pending_threads == 0 && !signals.stop.stopped;
        if last {
            signals.stop.stopped = true;
            signals.stop.report_stop = true;
        }
        last.then_some(signals.stop.signal)
    };
    if let Some(signal) = last {
        notify_parent(process, uapi::CLD_STOPPED, signal as i32);
    }
    task::schedule();
    task.set_state(State::RUNNING);
    true
}

/// `SIGCONT` (or a kill): ends a group stop. Called with the process's `signals` locked.
pub(crate) fn continue_group(process: &Process, signals: &mut ProcessSignals) {
    if signals.stop.signal == 0 {
        return;
    }
    let was_stopped = signals.stop.stopped;
    signals.stop = crate::thread::Stop { report_continue: was_stopped, ..Default::default() };
    for task in signals.threads.iter() {
        task.set_flags(task::TaskFlags::SIGPENDING);
        task.wake(State::STOPPED);
    }
    if was_stopped {
        // The parent's lock comes after ours in no order: leave the telling to the continued thread (`deliver`).
        process.continued.store(true, core::sync::atomic::Ordering::SeqCst);
    }
}

/// Tells the parent that this process stopped or continued: `SIGCHLD` unless it does not want it, and a wake-up of `wait`.
pub(crate) fn notify_parent(process: &Process, code: u32, status: i32) {
    let Some(parent) = process.parent() else { return };
    let uid = process.leader().and_then(|l| cred::task_cred(&l)).map_or(0, |c| c.uid);
    let action = parent.actions.lock_irqsave().get(uapi::SIGCHLD);
    let unwanted = action.handler == super::action::SIG_IGN || action.flags & u64::from(uapi::SA_NOCLDSTOP) != 0;
    if !unwanted {
        let usage = process.usage();
        let info = SigInfo::child(
            uapi::SIGCHLD,
            code as i32,
            process.pid(),
            uid,
            status,
            crate::times::to_ticks(usage.utime),
            crate::times::to_ticks(usage.stime),
        );
        // `SIGCHLD` is a standard signal: it cannot fail for want of room.
        let _ = send_to_process(&parent, info);
    }
    parent.child_exit.wake_up_all();
}

/// The continued thread tells the parent.
pub(crate) fn report_continued() {
    let Some(process) = current_process() else { return };
    if process.continued.swap(false, core::sync::atomic::Ordering::SeqCst) {
        notify_parent(&process, uapi::CLD_CONTINUED, uapi::SIGCONT as i32);
    }
}
