// SPDX-License-Identifier: GPL-2.0
//! Sending: from `kill`, a fault, a timer or the terminal to a pending queue and a wake-up. Any context; takes the target
//! process's `signals` lock with interrupts off.

use super::{SIGKILL, SIGSTOP, SigInfo, SigSet, valid};
use crate::group::ProcessGroup;
use crate::nproc::User;
use crate::pid;
use crate::thread::{Process, ProcessSignals, TREE, Thread, current_process, thread_of};
use core::sync::atomic::Ordering;
use cred::Cred;
use errno::Result;
use errno::code::{EINVAL, EPERM, ESRCH};
use kalloc::Arc;
use task::state::TaskFlags;
use task::{State, Task};

/// Sends to a process: any of its threads may take it. A signal nobody would notice is dropped. `EAGAIN`: see `Pending::push`.
pub fn send_to_process(process: &Process, info: SigInfo) -> Result {
    send(process, None, info, Way::Plain).map(|_| ())
}

/// What became of a timer's signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is pending, or was.
    Pending,
    /// It is ignored, and was dropped.
    Ignored,
}

/// Sends a timer's signal to a process, or to one thread of it. Whoever takes it calls [`crate::hooks::TIMER_SIGNALS`]. `EAGAIN`
/// when there is no memory to queue it, `ESRCH` when the thread is gone.
pub fn send_timer(process: &Process, thread: Option<&Task>, info: SigInfo) -> Result<Sent> {
    let target = match thread {
        None => None,
        Some(task) => Some((task, thread_of(task).filter(|thread| !thread.is_exiting()).ok_or(ESRCH)?)),
    };
    send(process, target, info, Way::Plain)
}

/// Sends to one thread.
pub fn send_to_thread(target: &Task, info: SigInfo) -> Result {
    let thread = thread_of(target).ok_or(ESRCH)?;
    send(thread.process(), Some((target, thread)), info, Way::Plain).map(|_| ())
}

/// A signal the thread cannot escape: a fault in its own code. If it is blocked or ignored it becomes default and kills.
pub fn force(target: &Task, info: SigInfo) {
    let Some(thread) = thread_of(target) else { return };
    let actions = thread.process().actions.lock_irqsave().clone();
    let mut action = actions.get(info.signo);
    let blocked = thread.blocked().has(info.signo);
    if blocked || action.handler == super::action::SIG_IGN {
        action.handler = super::action::SIG_DFL;
        actions.set(info.signo, action);
        thread.blocked.fetch_and(!SigSet::of(info.signo).0, Ordering::Relaxed);
    }
    if action.handler == super::action::SIG_DFL && !thread.is_traced() {
        // Even init ends by its own fault; one that is looked into stays what it is.
        thread.process().unkillable.store(false, Ordering::Relaxed);
    }
    // A forced signal is never a real-time one, so it cannot fail for want of room.
    let _ = send(thread.process(), Some((target, thread)), info, Way::Forced);
}

/// How a signal is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    /// Whatever its disposition.
    Forced,
    /// To each of many processes: a child that one of them is just making is one of them. Under `TREE`.
    Many,
}

fn send(process: &Process, target: Option<(&Task, &Thread)>, info: SigInfo, way: Way) -> Result<Sent> {
    let mut signals = process.signals.lock_irqsave();
    if signals.group_exit.is_some() && !(signals.core.is_some() && info.signo == SIGKILL) {
        // It is dying: nothing is added.
        return Ok(Sent::Pending);
    }
    let (info, outside) = as_seen_by(process, info);
    prepare(process, &mut signals, info.signo);
    if way != Way::Forced && ignored(process, &signals, target, info.signo, outside) {
        return Ok(Sent::Ignored);
    }
    if way == Way::Many {
        tell_forks(&signals, info.signo);
    }
    let (user, limit) = quota(&signals, target);
    let queued = match target {
        Some((_, thread)) => {
            let mut pending = thread.pending.lock_irqsave();
            let queued = pending.push(info, user, limit)?;
            thread.pending_set.store(pending.set().0, Ordering::SeqCst);
            queued
        }
        None => {
            let queued = signals.shared.push(info, user, limit)?;
            process.shared_set.store(signals.shared.set().0, Ordering::SeqCst);
            queued
        }
    };
    if queued {
        signalfd_wake(process);
        complete(process, &mut signals, target, info.signo);
    }
    Ok(Sent::Pending)
}

/// The cause as `process` is to see it, and whether the signal comes from the kernel or from a name space above: then those that nobody
/// handles reach the first process of a name space, too. What sends from outside has no number there.
fn as_seen_by(process: &Process, mut info: SigInfo) -> (SigInfo, bool) {
    if !info.from_user() {
        return (info, info.code == uapi::SI_KERNEL as i32);
    }
    if process.name().is_first() || !info.has_sender() {
        return (info, false);
    }
    let inside = crate::thread::with_thread(|me| me.process().number_for(process) != 0) == Some(true);
    if !inside {
        info.forget_pid();
    }
    (info, !inside)
}

/// Threads that are inside a fork get `signal` for their child.
fn tell_forks(signals: &ProcessSignals, signal: u32) {
    let against = match signal {
        uapi::SIGCONT => SigSet::STOPS,
        _ if SigSet::STOPS.has(signal) => SigSet::of(uapi::SIGCONT),
        _ => SigSet::EMPTY,
    };
    for thread in signals.threads.iter().filter_map(|task| thread_of(task)) {
        if thread.forking.load(Ordering::Relaxed) {
            let told = SigSet(thread.for_child.load(Ordering::Relaxed)).without(against).or(SigSet::of(signal));
            thread.for_child.store(told.0, Ordering::Relaxed);
        }
    }
}

/// Readers of a signalfd look again.
fn signalfd_wake(process: &Process) {
    if let Some(queue) = process.signalfd_wait.get() {
        queue.wake_up_all();
    }
}

/// Whom a signal counts for, and how many may be queued for that user: the receiver's limit.
fn quota(signals: &ProcessSignals, target: Option<(&Task, &Thread)>) -> (Option<Arc<User>>, u64) {
    let any = || signals.threads.first().and_then(|task| Some((&**task, thread_of(task)?)));
    let Some((task, thread)) = target.or_else(any) else { return (None, 0) };
    let limit = rlimit::of(task).map_or(rlimit::INFINITY, |limits| limits.get(uapi::RLIMIT_SIGPENDING).cur);
    (thread.user.lock_irqsave().clone(), limit)
}

/// Stop signals and `SIGCONT` cancel each other when sent, whatever their disposition.
fn prepare(process: &Process, signals: &mut ProcessSignals, signal: u32) {
    if SigSet::STOPS.has(signal) {
        flush_all(process, signals, SigSet::of(uapi::SIGCONT));
    } else if signal == uapi::SIGCONT {
        flush_all(process, signals, SigSet::STOPS);
        super::stop::continue_group(signals);
    }
}

/// A process that runs a new program loses what its timers sent: they are gone.
pub(crate) fn flush_timers(process: &Process) {
    let mut signals = process.signals.lock_irqsave();
    signals.shared.flush_timers();
    process.shared_set.store(signals.shared.set().0, Ordering::SeqCst);
    for thread in signals.threads.iter().filter_map(|task| thread_of(task)) {
        let mut pending = thread.pending.lock_irqsave();
        pending.flush_timers();
        thread.pending_set.store(pending.set().0, Ordering::SeqCst);
    }
}

pub(crate) fn flush_all(process: &Process, signals: &mut ProcessSignals, set: SigSet) {
    signals.shared.flush(set);
    process.shared_set.store(signals.shared.set().0, Ordering::SeqCst);
    for task in signals.threads.iter() {
        if let Some(thread) = thread_of(task) {
            let mut pending = thread.pending.lock_irqsave();
            pending.flush(set);
            thread.pending_set.store(pending.set().0, Ordering::SeqCst);
        }
    }
}

fn ignored(
    process: &Process,
    signals: &ProcessSignals,
    target: Option<(&Task, &Thread)>,
    signal: u32,
    outside: bool,
) -> bool {
    // Kernel threads take no signals, not even those that nobody else escapes.
    if target
        .map(|(task, _)| task)
        .or_else(|| signals.threads.first().map(|task| &**task))
        .is_some_and(Task::is_kthread)
    {
        return true;
    }
    // A blocked signal stays pending: its disposition may change before it is unblocked. So does one that is waited for.
    let thread = target.map(|(_, t)| t).or_else(|| signals.threads.first().and_then(|t| thread_of(t)));
    if thread
        .is_some_and(|t| t.blocked().has(signal) || t.waiting_for.load(Ordering::Relaxed) & SigSet::of(signal).0 != 0)
    {
        return false;
    }
    if signal != SIGKILL && thread.is_some_and(|t| t.is_traced()) {
        // Its tracer may want to know.
        return false;
    }
    let actions = process.actions.lock_irqsave();
    if process.unkillable.load(Ordering::Relaxed)
        && actions.get(signal).handler == super::action::SIG_DFL
        && !(outside && SigSet::UNMASKABLE.has(signal))
    {
        // Init takes only signals it has a handler for.
        return true;
    }
    signal != SIGKILL && signal != SIGSTOP && actions.ignores(signal)
}

fn wants(thread: &Thread, task: &Task, signal: u32) -> bool {
    if thread.is_exiting() {
        return false;
    }
    if signal == SIGKILL {
        return true;
    }
    // After it was queued (see `set_blocked`).
    let blocked = SigSet(thread.blocked.load(Ordering::SeqCst));
    !blocked.has(signal) && !task.state().intersects(State(State::STOPPED.0 | State::TRACED.0))
}

/// Chooses the thread that will take the signal and wakes it; a fatal one takes the whole group down at once.
fn complete(process: &Process, signals: &mut ProcessSignals, target: Option<(&Task, &Thread)>, signal: u32) {
    if signal == SIGKILL && signals.core.is_some() {
        // Who writes the core file is to leave off, whatever it waits for.
        return kill_threads(signals);
    }
    let chosen: Option<Arc<Task>> = match target {
        Some((task, thread)) => wants(thread, task, signal).then(|| task.to_arc()),
        None => signals.threads.iter().find(|t| thread_of(t).is_some_and(|th| wants(th, t, signal))).cloned(),
    };
    if let Some((task, thread)) = target {
        if thread.waiting_for.load(Ordering::Relaxed) & SigSet::of(signal).0 != 0 {
            task.set_flags(TaskFlags::SIGPENDING);
            task.wake(State::INTERRUPTIBLE);
        }
    } else {
        wake_waiters(signals, signal);
    }
    let Some(task) = chosen else { return };
    let traced = signal != SIGKILL && thread_of(&task).is_some_and(|t| t.is_traced());
    if !traced && is_fatal(process, signal) && signals.group_exit.is_none() {
        begin_group_exit(signals, signal as i32);
        return;
    }
    signal_wake(&task, signal == SIGKILL);
}

/// `task` takes signals of `which` no more: other threads of its process look at those that are pending for all of them, one for each
/// signal.
pub(crate) fn retarget(task: &Task, signals: &ProcessSignals, which: SigSet) {
    let mut left = signals.shared.set().and(which);
    for other in signals.threads.iter().filter(|other| !core::ptr::eq(&***other, task)) {
        if left.is_empty() {
            return;
        }
        let Some(thread) = thread_of(other).filter(|thread| !thread.is_exiting()) else { continue };
        let blocked = SigSet(thread.blocked.load(Ordering::SeqCst));
        if left.without(blocked).is_empty() {
            continue;
        }
        left = left.and(blocked);
        if !other.signal_pending() {
            signal_wake(other, false);
        }
    }
}

/// Threads inside `sigtimedwait` for this signal look again.
fn wake_waiters(signals: &ProcessSignals, signal: u32) {
    for task in signals.threads.iter() {
        if thread_of(task).is_some_and(|t| t.waiting_for.load(Ordering::Relaxed) & SigSet::of(signal).0 != 0) {
            task.set_flags(TaskFlags::SIGPENDING);
            task.wake(State::INTERRUPTIBLE);
        }
    }
}

/// Whether `signal` will end the process without a core dump and without asking anybody.
fn is_fatal(process: &Process, signal: u32) -> bool {
    if signal == SIGKILL {
        return true;
    }
    if SigSet::CORE.or(SigSet::STOPS).or(SigSet::IGNORED).has(signal) || process.unkillable.load(Ordering::Relaxed) {
        return false;
    }
    process.actions.lock_irqsave().get(signal).handler == super::action::SIG_DFL
}

/// Marks the group as exiting with `status` and kills every thread out of whatever it does.
pub(crate) fn begin_group_exit(signals: &mut ProcessSignals, status: i32) {
    signals.group_exit = Some(status);
    signals.stop = crate::thread::Stop::default();
    kill_threads(signals);
}

fn kill_threads(signals: &ProcessSignals) {
    for task in signals.threads.iter() {
        if let Some(thread) = thread_of(task) {
            super::stop::clear_pending(thread, super::stop::PENDING_MASK);
            thread.pending_set.fetch_or(SigSet::of(SIGKILL).0, Ordering::SeqCst);
            signal_wake(task, true);
        }
    }
}

/// Has `task`, a program's, come to where it rests, if that is on its way to user mode or in an interruptible sleep. For the freezer.
pub fn interrupt_to_freeze(task: &Task) {
    signal_wake(task, false);
}

/// Makes a task notice its signals: out of an interruptible sleep (with `kill` out of a stop or a killable sleep too), or on its
/// next way to user mode.
pub(crate) fn signal_wake(task: &Task, kill: bool) {
    task.set_flags(TaskFlags::SIGPENDING);
    let mut mask = State::INTERRUPTIBLE.0;
    if kill {
        mask |= State::WAKEKILL.0 | State::STOPPED.0 | State::TRACED.0;
        if let Some(thread) = thread_of(task) {
            thread.jobctl.fetch_and(!(super::stop::STOPPED | super::stop::TRACED), Ordering::Relaxed);
        }
    }
    if !task.wake(State(mask)) {
        sched::kick(task);
    }
}

/// As [`signal_wake`] without `kill`, but `resume` also ends a trap. Under the process's `signals`.
pub(crate) fn signal_wake_tracing(task: &Task, thread: &Thread, resume: bool) {
    task.set_flags(TaskFlags::SIGPENDING);
    let mut mask = State::INTERRUPTIBLE.0;
    if resume {
        thread.jobctl.fetch_and(!super::stop::TRACED, Ordering::Relaxed);
        mask |= State::TRACED.0;
    }
    if !task.wake(State(mask)) {
        sched::kick(task);
    }
}

/// Queues a signal again that a tracer put into a thread's way while the thread blocks it.
pub(crate) fn requeue(process: &Process, target: Option<(&Task, &Thread)>, info: SigInfo) {
    // A queue that is full loses it, as on Linux.
    let _ = send(process, target, info, Way::Plain);
}

/// Whether `sender`, the current task, may send `signal` to `target` (`kill(2)`, "permission").
fn may_signal(sender: &Cred, target: &Task, signal: u32) -> bool {
    // Its threads may have other ids.
    let own =
        crate::thread::with_thread(|me| thread_of(target).is_some_and(|it| Arc::ptr_eq(me.process(), it.process())));
    if own == Some(true) {
        return true;
    }
    let Some(receiver) = cred::task_cred(target) else { return false };
    if [sender.euid, sender.uid].iter().any(|&id| id == receiver.suid || id == receiver.uid) {
        return true;
    }
    if sender.capable(cred::CAP_KILL) {
        return true;
    }
    let same_session = || {
        let (a, b) = (current_process(), crate::thread::process_of(target));
        a.zip(b).is_some_and(|(a, b)| a.session().id() == b.session().id())
    };
    signal == uapi::SIGCONT && same_session()
}

/// `kill(2)` on one process: checks permission; `signal` 0 only checks.
pub fn kill_process(process: &Process, signal: u32, info: SigInfo) -> Result {
    kill(process, signal, info, Way::Plain)
}

fn kill(process: &Process, signal: u32, info: SigInfo, way: Way) -> Result {
    let leader = process.leader().ok_or(ESRCH)?;
    if signal != 0 && !valid(signal) {
        return Err(EINVAL);
    }
    if info.from_user() && !may_signal(&*cred::current_cred()?, &leader, signal) {
        return Err(EPERM);
    }
    if signal == 0 { Ok(()) } else { send(process, None, info, way).map(|_| ()) }
}

/// `tgkill(2)` on one thread: checks permission; `signal` 0 only checks.
pub fn kill_thread(target: &Task, signal: u32, info: SigInfo) -> Result {
    if signal != 0 && !valid(signal) {
        return Err(EINVAL);
    }
    if info.from_user() && !may_signal(&*cred::current_cred()?, target, signal) {
        return Err(EPERM);
    }
    if signal == 0 { Ok(()) } else { send_to_thread(target, info) }
}

/// Sends to every member of a group, with permission checks; succeeds if it worked for one. No member that dies of it has a child that
/// was not there yet: a fork looks for its parent's death under the same lock.
pub fn kill_group(group: &ProcessGroup, signal: u32, info: SigInfo) -> Result {
    let mut result = Err(ESRCH);
    let tree = TREE.lock();
    let members = group.members()?;
    for member in members.iter() {
        match kill(member, signal, info, Way::Many) {
            Ok(()) => result = Ok(()),
            Err(error) => {
                if result.is_err() {
                    result = Err(error);
                }
            }
        }
    }
    // Before the references, of which one may be the last.
    drop(tree);
    result
}

/// `kill(-1)`: sends to every process of the name space but its first and the caller's own, as [`kill_group`] to its members. The last error other than
/// `EPERM` is told; `ESRCH` if there is nobody else.
pub(crate) fn kill_all(signal: u32, info: SigInfo) -> Result {
    let me = current_process().ok_or(ESRCH)?;
    let ns = me.pid_ns();
    let mut result = Err(ESRCH);
    let _tree = TREE.lock();
    let mut from = 2;
    while let Some((number, task)) = pid::next_thread_in(&ns, from) {
        from = number.saturating_add(1);
        let Some(thread) = thread_of(&task).filter(|thread| thread.process().pid() == task.tid()) else { continue };
        if Arc::ptr_eq(thread.process(), &me) {
            continue;
        }
        match kill(thread.process(), signal, info, Way::Many) {
            Err(EPERM) if result == Err(ESRCH) => result = Ok(()),
            // It was waited for meanwhile.
            Err(EPERM | ESRCH) => {}
            other => result = other,
        }
    }
    result
}

/// From the terminal: a signal of the kernel's to every member of group `id` (no permission check), in one step for forks as
/// [`kill_group`]. Not in interrupts.
pub fn signal_group(id: u32, signal: u32) {
    let Some(group) = pid::find_group(id) else { return };
    let tree = TREE.lock();
    let Ok(members) = group.members() else { return };
    for member in members.iter() {
        // A standard signal from the kernel cannot fail for want of room.
        let _ = send(member, None, SigInfo::kernel(signal), Way::Many);
    }
    // As there.
    drop(tree);
}
