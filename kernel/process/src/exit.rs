// SPDX-License-Identifier: GPL-2.0
//! The end of threads and processes: giving everything up, telling the parent, leaving a zombie to wait for. Source: `_exit(2)`,
//! `exit_group(2)`, `wait(2)`.

use crate::orphans::{empty_namespace, reparent_children, signal_orphaned_groups};
use crate::signal::action::SIG_IGN;
use crate::signal::send::{begin_group_exit, flush_all, retarget};
use crate::signal::{SigInfo, send_to_process};
use crate::signal::{SigSet, stop};
use crate::thread::{Process, TREE, Thread, Usage, thread_of};
use crate::{pid, ptrace, times};
use core::sync::atomic::Ordering;
use errno::Result;
use kalloc::Arc;
use task::{Task, current};
use x86_cpu::regs::PtRegs;

/// `exit(2)`: ends the calling thread.
pub fn sys_exit(regs: &PtRegs) -> Result<usize> {
    do_exit((regs.arg0() as i32 & 0xff) << 8)
}

/// `exit_group(2)`: ends all threads of the process.
pub fn sys_exit_group(regs: &PtRegs) -> Result<usize> {
    do_group_exit((regs.arg0() as i32 & 0xff) << 8)
}

/// Ends the process with `status` (in `wait(2)`'s encoding), unless it is ending with another one already.
pub fn do_group_exit(status: i32) -> ! {
    let status = match thread_of(&current()) {
        Some(thread) => {
            let mut signals = thread.process().signals.lock_irqsave();
            match signals.group_exit {
                // Its own core file is written.
                Some(earlier) if earlier == status & 0x7f && status & 0x80 != 0 => {
                    signals.group_exit = Some(status);
                    status
                }
                Some(earlier) => earlier,
                None => {
                    begin_group_exit(&mut signals, status);
                    status
                }
            }
        }
        None => status,
    };
    do_exit(status)
}

/// The status of an end by a signal; its core file is written first if it has one.
pub(crate) fn fatal_status(process: &Arc<Process>, info: &SigInfo) -> i32 {
    let core = SigSet::CORE.has(info.signo) && crate::coredump::dump(process, info);
    info.signo as i32 | if core { 0x80 } else { 0 }
}

/// Ends the current thread; the last one of a process ends the process.
pub fn do_exit(status: i32) -> ! {
    let task = current();
    if let Some(thread) = thread_of(&task) {
        exit_thread(&task, thread, status);
    }
    task::kthread::exit_switch()
}

fn exit_thread(task: &Task, thread: &Thread, status: i32) {
    let process = thread.process().clone();
    // Before the tracer hears of it, which may take long: whoever writes the file waits for all.
    while let Some(core) = awaited_by(task, &process) {
        core.rest();
    }
    if thread.is_traced() {
        // What kills it has been heard: it may stop once more.
        thread.pending.lock_irqsave().flush(SigSet::of(crate::signal::SIGKILL));
        thread.pending_set.fetch_and(!SigSet::of(crate::signal::SIGKILL).0, Ordering::SeqCst);
        let killed = thread.kill.swap(false, Ordering::SeqCst);
        ptrace::stop::event(uapi::PTRACE_EVENT_EXIT, status as u32 as u64);
        thread.kill.store(killed, Ordering::SeqCst);
    }
    let stopped = loop {
        let mut signals = process.signals.lock_irqsave();
        match signals.core.clone() {
            Some(core) if core.counts_on(task) => {
                drop(signals);
                core.rest();
            }
            _ => {
                thread.exiting.store(true, Ordering::SeqCst);
                // One that was to take a signal of the process's leaves it to others.
                retarget(task, &signals, EVERY_SIGNAL.without(thread.blocked()));
                break stop::leave(thread, &mut signals.stop);
            }
        }
    };
    if stopped {
        let _tree = TREE.lock();
        stop::notify_cldstop(task, false, uapi::CLD_STOPPED);
    }
    thread.exit_code.store(status, Ordering::Relaxed);
    let last = process.live_threads.fetch_sub(1, Ordering::AcqRel) == 1;
    if last && process.pid() == 1 {
        let shown = process.signals.lock_irqsave().group_exit.unwrap_or(status);
        x86::panic::panic(format_args!("Attempted to kill init! exitcode=0x{shown:08x}"));
    }
    leave_memory(thread);
    crate::hooks::exit(task, last);
    vfs::tasks::exit_files(task);
    vfs::tasks::exit_fs(task);
    crate::ns::exit(thread);
    if last {
        leave_terminal(&process);
    }
    ptrace::attach::tracer_exits(task, &process);
    exit_notify(task, thread, &process, status);
}

/// The core file for which `task` is to rest.
fn awaited_by(task: &Task, process: &Process) -> Option<Arc<crate::coredump::Core>> {
    process.signals.lock_irqsave().core.clone().filter(|core| core.counts_on(task))
}

/// Futexes that the thread held, the word that `pthread_join` waits for, a parent inside `vfork`, the address space.
fn leave_memory(thread: &Thread) {
    leave_memory_for_exec(thread);
    thread.left_memory.store(true, Ordering::SeqCst);
    mm::exit_mm();
    release_vfork(thread);
}

/// What the old address space still is good for before it goes.
pub(crate) fn leave_memory_for_exec(thread: &Thread) {
    let clear = thread.clear_child_tid.swap(0, Ordering::Relaxed);
    if mm::current_mm().is_some() {
        // As Linux: a bad address is the program's own loss.
        let written = clear != 0 && crate::user::write_user(clear, &0u32).is_ok();
        crate::hooks::leave_memory(&current(), if written { clear } else { 0 });
    }
    note_maxrss(thread.process());
}

/// Lets a parent inside `vfork` go on: its memory is its own again.
pub(crate) fn release_vfork(thread: &Thread) {
    let done = thread.vfork_done.lock().take();
    if let Some(done) = done {
        done.complete();
    }
}

fn note_maxrss(process: &Process) {
    if let Some(mm) = mm::current_mm() {
        let mut usage = process.usage.lock_irqsave();
        usage.maxrss = usage.maxrss.max(mm.max_rss_kib());
    }
}

/// Adds what the thread used to its process. With `signals` held, at the moment the thread leaves the list.
fn account(task: &Task, process: &Process) {
    let spent = times::of_task(task);
    let mut usage = process.usage.lock_irqsave();
    usage.utime = usage.utime.saturating_add(spent.utime);
    usage.stime = usage.stime.saturating_add(spent.stime);
    usage.nvcsw = usage.nvcsw.saturating_add(spent.nvcsw);
    usage.nivcsw = usage.nivcsw.saturating_add(spent.nivcsw);
    usage.minflt = usage.minflt.saturating_add(spent.minflt);
    usage.majflt = usage.majflt.saturating_add(spent.majflt);
    usage.io.add(&spent.io);
}

/// A session leader's terminal hangs up.
fn leave_terminal(process: &Process) {
    if !process.is_session_leader() {
        return;
    }
    if let Some(terminal) = process.session().set_terminal(None) {
        terminal.session_leader_exit();
    }
}

fn exit_notify(task: &Task, thread: &Thread, process: &Arc<Process>, status: i32) {
    let is_leader = task.tid() == process.pid();
    let (last, own, exec_waiter, traced, holds) = {
        let tree = TREE.lock();
        let mut signals = process.signals.lock_irqsave();
        let at = signals.threads.iter().position(|t| core::ptr::eq(&**t, task));
        let own = at.and_then(|at| signals.threads.remove(at).ok());
        account(task, process);
        let traced = !is_leader && thread.is_traced();
        let last = signals.threads.is_empty();
        // Its tracer waits for it by itself; and nobody is to take the process for ended before `end_process` is through.
        let holds = traced || last;
        signals.zombie_threads = signals.zombie_threads.saturating_add(u32::from(holds));
        let waiter = signals.exec_waiter.clone();
        drop(signals);
        drop(tree);
        (last, own, waiter, traced, holds)
    };
    drop(own);
    if let Some(waiter) = exec_waiter {
        waiter.wake(task::State::KILLABLE);
    }
    if last {
        end_process(process, status);
    }
    let zombie = traced && become_zombie(task, thread, status);
    if !zombie && holds {
        let mut signals = process.signals.lock_irqsave();
        signals.zombie_threads = signals.zombie_threads.saturating_sub(1);
    }
    if !zombie && !is_leader {
        drop(pid::unpublish_thread(task.tid()));
        thread.give_back_number();
        forget_pending(thread);
    }
    if holds {
        announce_if_alone(process);
    }
}

/// A thread that is not the leader has ended, and its tracer, which hears of it, is to wait for it; false if that has left. Who waits
/// looks under the same lock: it sees no end of which it has not been told.
fn become_zombie(task: &Task, thread: &Thread, status: i32) -> bool {
    let _tree = TREE.lock();
    if !thread.is_traced() {
        return false;
    }
    thread.zombie.store(true, Ordering::SeqCst);
    if let Some(tracer) = thread.tracer().and_then(|tracer| crate::thread::process_of(&tracer)) {
        send_death(&tracer, pid::number_for(task, &tracer), thread.process(), uapi::SIGCHLD, status);
    }
    true
}

/// A zombie thread that is the caller's to release.
#[must_use]
pub(crate) struct Claimed(Option<ptrace::attach::Cut>);

/// Takes a zombie thread from who else may wait for it. Under `TREE`.
pub(crate) fn claim_thread(task: &Task, thread: &Thread) -> Option<Claimed> {
    thread.zombie.swap(false, Ordering::SeqCst).then(|| Claimed(ptrace::attach::unlink(task, thread)))
}

impl Claimed {
    /// The thread leaves the tables. The last one lets the process be a zombie.
    pub(crate) fn release(self, task: &Task, thread: &Thread) {
        drop(self.0);
        drop(pid::unpublish_thread(task.tid()));
        thread.give_back_number();
        forget_pending(thread);
        {
            let mut signals = thread.process().signals.lock_irqsave();
            signals.zombie_threads = signals.zombie_threads.saturating_sub(1);
        }
        announce_if_alone(thread.process());
    }
}

/// What is left to do outside `TREE` for a task whose tracer left it.
#[must_use]
pub(crate) struct Left {
    claimed: Option<Claimed>,
    told: Option<Told>,
    _cut: Option<ptrace::attach::Cut>,
}

/// The tracer of `task` leaves it by its end: cuts the tie, and what it kept from others goes on. Under `TREE`.
pub(crate) fn leave_tracee(task: &Task, thread: &Thread) -> Left {
    let claimed = claim_thread(task, thread);
    let process = thread.process();
    let reparented = ptrace::is_reparented(task);
    let _cut = ptrace::attach::unlink(task, thread);
    // One that ends later is told of as any other.
    let ended = claimed.is_none() && process.is_zombie() && task.tid() == process.pid();
    let told = ended.then(|| if reparented { told_real_parent(process) } else { left_by_parent(process) });
    Left { claimed, told, _cut }
}

impl Left {
    pub(crate) fn finish(self, task: &Task, thread: &Thread) {
        if let Some(claimed) = self.claimed {
            claimed.release(task, thread);
        }
        if let Some(told) = self.told {
            told.finish(thread.process());
        }
    }
}

/// What is left to do outside `TREE` for a process whose parent was told of its end.
#[must_use]
pub(crate) struct Told {
    /// Dropped when the lock is not held any more.
    _parent: Option<Arc<Process>>,
    reap: bool,
}

impl Told {
    pub(crate) fn finish(self, process: &Arc<Process>) {
        if self.reap {
            release(process);
        }
    }
}

/// A zombie that its tracer has seen now is its parent's. Under `TREE`.
pub(crate) fn told_real_parent(process: &Arc<Process>) -> Told {
    let parent = process.parent();
    if parent.as_ref().is_some_and(|parent| !is_child_of(process, parent)) {
        // It has waited for it meanwhile.
        return Told { _parent: parent, reap: false };
    }
    let reap = parent.as_ref().is_none_or(|parent| ignores_children(parent, process));
    hand_over(process, parent.as_deref(), process.exit_signal.load(Ordering::Relaxed), reap);
    Told { _parent: parent, reap }
}

/// A zombie whose parent traced it, heard of its end, and traces it no more: if it has no use for children, nobody waits. Under `TREE`.
fn left_by_parent(process: &Arc<Process>) -> Told {
    let parent = process.parent();
    let reap = parent.as_ref().is_some_and(|parent| ignores_signal(parent) && is_child_of(process, parent));
    if reap {
        hand_over(process, parent.as_deref(), 0, true);
    }
    Told { _parent: parent, reap }
}

fn is_child_of(process: &Process, parent: &Process) -> bool {
    parent.links.lock().children.iter().any(|child| core::ptr::eq(&**child, process))
}

/// Tells the parent or tracer (`told`) of a process's end by `signal`, if it is one, and takes it from its parent if nobody will wait
/// for it (`reap`). Under `TREE`, as is each look of `wait`: whoever has waited for a child has the signal of its end, too.
pub(crate) fn hand_over(process: &Process, told: Option<&Process>, signal: i32, reap: bool) {
    if reap {
        if let Some(parent) = process.parent() {
            parent.links.lock().children.retain(|child| !core::ptr::eq(&**child, process));
        }
        // Before anybody can see that it is gone.
        forget_signals(process);
    }
    let Some(told) = told else { return };
    // One that ignores it gets none, though it may block it: that would be pending, and seen once it is no longer ignored.
    let unheard = reap && told.actions.lock_irqsave().get(uapi::SIGCHLD).handler == SIG_IGN;
    match u32::try_from(if unheard { 0 } else { signal }).ok().filter(|&signo| crate::signal::valid(signo)) {
        Some(signo) => {
            send_death(told, process.number_for(told), process, signo, process.exit_status.load(Ordering::Relaxed))
        }
        None => told.child_exit.wake_up_all(),
    }
}

/// The last thread is gone: children find a new parent.
fn end_process(process: &Arc<Process>, status: i32) {
    // `links`, in which the leader stands, comes before `signals`.
    let leader_code = process.leader().and_then(|l| thread_of(&l).map(|t| t.exit_code.load(Ordering::Relaxed)));
    let code = process.signals.lock_irqsave().group_exit.or(leader_code).unwrap_or(status);
    process.exit_status.store(code, Ordering::Relaxed);
    if process.is_reaper() && process.pid() != 1 {
        empty_namespace(process);
    }
    let orphans = reparent_children(process);
    signal_orphaned_groups(process, &orphans);
}

/// If no thread is left, and none that a tracer has to wait for: the process is a zombie, and its parent or tracer is told.
fn announce_if_alone(process: &Arc<Process>) {
    let leader = process.leader();
    let leader_thread = leader.as_ref().and_then(|l| thread_of(l));
    let reap = {
        let _tree = TREE.lock();
        {
            let signals = process.signals.lock_irqsave();
            if !signals.threads.is_empty() || signals.zombie_threads != 0 || process.zombie.swap(true, Ordering::AcqRel)
            {
                return;
            }
        }
        let parent = process.parent();
        let tracer = leader_thread.and_then(|t| t.tracer()).and_then(|t| crate::thread::process_of(&t));
        let foreign =
            tracer.as_ref().filter(|tracer| parent.as_ref().is_none_or(|parent| !Arc::ptr_eq(parent, tracer)));
        // What is traced is not gone before its tracer has seen it, whatever that ignores.
        let reap = tracer.is_none() && parent.as_ref().is_none_or(|parent| ignores_children(parent, process));
        match foreign {
            Some(tracer) => hand_over(process, Some(tracer), uapi::SIGCHLD as i32, false),
            None => hand_over(process, parent.as_deref(), process.exit_signal.load(Ordering::Relaxed), reap),
        }
        reap
    };
    if let Some(queue) = process.pidfd_wait.get() {
        queue.wake_up_all();
    }
    if reap {
        release(process);
    }
}

/// Whether a process has said that it will not wait for children.
fn ignores_signal(parent: &Process) -> bool {
    let action = parent.actions.lock_irqsave().get(uapi::SIGCHLD);
    action.handler == SIG_IGN || action.flags & u64::from(uapi::SA_NOCLDWAIT) != 0
}

/// Whether the parent has said (by ignoring `SIGCHLD`, or `SA_NOCLDWAIT`) that it will not wait.
pub(crate) fn ignores_children(parent: &Process, child: &Process) -> bool {
    if child.exit_signal.load(Ordering::Relaxed) != uapi::SIGCHLD as i32 {
        return false;
    }
    ignores_signal(parent)
}

/// The signal of an end with `code`, to whoever waits for it, and a wake-up of `wait`.
fn send_death(parent: &Process, pid: u32, process: &Process, signo: u32, code: i32) {
    let (si_code, value) = match code & 0x7f {
        0 => (uapi::CLD_EXITED, code >> 8 & 0xff),
        by if code & 0x80 != 0 => (uapi::CLD_DUMPED, by),
        by => (uapi::CLD_KILLED, by),
    };
    let uid = process.leader().and_then(|l| cred::task_cred(&l)).map_or(0, |c| c.uid);
    let usage = process.usage();
    let (utime, stime) = (times::to_ticks(usage.utime), times::to_ticks(usage.stime));
    let info = SigInfo::child(signo, si_code as i32, pid, uid, value, utime, stime);
    // The exit signal is a standard one in all but odd programs, and a lost real-time one is Linux's answer too.
    let _ = send_to_process(parent, info);
    parent.child_exit.wake_up_all();
}

/// The last of a process: out of its group and of the tables. Its statistics have been taken by whoever waited.
pub(crate) fn release(process: &Arc<Process>) {
    let (leader, parent, cut) = {
        let _tree = TREE.lock();
        // Together: who puts it into another group sees that it is gone.
        process.group().remove(process);
        let (leader, parent) = {
            let mut links = process.links.lock();
            (links.leader.take(), links.parent.take())
        };
        let cut = leader.as_ref().and_then(|leader| ptrace::attach::unlink(leader, thread_of(leader)?));
        (leader, parent, cut)
    };
    drop((parent, cut));
    drop(pid::unpublish_thread(process.pid()));
    flush_all(process, &mut process.signals.lock_irqsave(), EVERY_SIGNAL);
    if let Some(thread) = leader.as_ref().and_then(|leader| thread_of(leader)) {
        forget_pending(thread);
    }
    if process.shown.load(Ordering::Relaxed) {
        crate::hooks::released(process.name());
    }
    // From here on another process may have it.
    if let Some(thread) = leader.as_ref().and_then(|leader| thread_of(leader)) {
        thread.give_back_number();
    }
    drop(leader);
}

/// What nobody took of the signals of a process that nobody waits for.
fn forget_signals(process: &Process) {
    flush_all(process, &mut process.signals.lock_irqsave(), EVERY_SIGNAL);
    if let Some(thread) = process.leader().as_ref().and_then(|leader| thread_of(leader)) {
        forget_pending(thread);
    }
}

const EVERY_SIGNAL: SigSet = SigSet(u64::MAX);

/// A thread that is gone, and the signals nobody took of it, count for its user no more, although somebody may still hold it for a
/// while.
pub(crate) fn forget_pending(thread: &Thread) {
    thread.pending.lock_irqsave().flush(EVERY_SIGNAL);
    crate::nproc::forget(thread);
}

/// Adds a waited-for child's use to its parent.
pub(crate) fn collect_usage(parent: &Process, child: &Usage) {
    let mut usage = parent.usage.lock_irqsave();
    usage.cutime = usage.cutime.saturating_add(child.utime).saturating_add(child.cutime);
    usage.cstime = usage.cstime.saturating_add(child.stime).saturating_add(child.cstime);
    usage.cmaxrss = usage.cmaxrss.max(child.maxrss).max(child.cmaxrss);
    usage.cnvcsw = usage.cnvcsw.saturating_add(child.nvcsw).saturating_add(child.cnvcsw);
    usage.cnivcsw = usage.cnivcsw.saturating_add(child.nivcsw).saturating_add(child.cnivcsw);
    usage.cminflt = usage.cminflt.saturating_add(child.minflt).saturating_add(child.cminflt);
    usage.cmajflt = usage.cmajflt.saturating_add(child.majflt).saturating_add(child.cmajflt);
    usage.cread_bytes = usage.cread_bytes.saturating_add(child.io.read_bytes).saturating_add(child.cread_bytes);
    usage.cwrite_bytes = usage.cwrite_bytes.saturating_add(child.io.write_bytes).saturating_add(child.cwrite_bytes);
}
