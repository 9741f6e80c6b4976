// SPDX-License-Identifier: GPL-2.0
//! The end of threads and processes: giving everything up, telling the parent, leaving a zombie to wait for. Source: `_exit(2)`,
//! `exit_group(2)`, `wait(2)`.

use crate::signal::action::SIG_IGN;
use crate::signal::send::begin_group_exit;
use crate::signal::{SigInfo, send_to_process};
use crate::thread::{Process, TREE, Thread, Usage, thread_of};
use crate::{fork, group, pid, times};
use core::sync::atomic::Ordering;
use errno::Result;
use kalloc::flags::GFP_ATOMIC;
use kalloc::{Arc, KVec};
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
    thread.exiting.store(true, Ordering::SeqCst);
    thread.exit_code.store(status, Ordering::Relaxed);
    let last = process.live_threads.fetch_sub(1, Ordering::AcqRel) == 1;
    if last && process.pid() == 1 {
        let shown = process.signals.lock_irqsave().group_exit.unwrap_or(status);
        x86::panic::panic(format_args!("Attempted to kill init! exitcode=0x{shown:08x}"));
    }
    leave_memory(thread);
    account(task, thread, &process);
    crate::hooks::exit(task, last);
    vfs::tasks::exit_files(task);
    vfs::tasks::exit_fs(task);
    if last {
        leave_terminal(&process);
    }
    fork::uncharge_user(task);
    exit_notify(task, thread, &process, status);
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
        let mut usage = process.usage.lock();
        usage.maxrss = usage.maxrss.max(mm.max_rss_kib());
    }
}

/// Adds what the thread used to its process.
fn account(task: &Task, _thread: &Thread, process: &Process) {
    let spent = times::of_task(task);
    let mut usage = process.usage.lock();
    usage.utime = usage.utime.saturating_add(spent.utime);
    usage.stime = usage.stime.saturating_add(spent.stime);
    usage.nvcsw = usage.nvcsw.saturating_add(spent.nvcsw);
    usage.nivcsw = usage.nivcsw.saturating_add(spent.nivcsw);
    usage.minflt = usage.minflt.saturating_add(spent.minflt);
    usage.majflt = usage.majflt.saturating_add(spent.majflt);
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
    let (empty, exec_waiter) = {
        let mut signals = process.signals.lock_irqsave();
        signals.threads.retain(|t| !core::ptr::eq(&**t, task));
        // A stop under way no longer waits for this thread.
        if signals.stop.signal != 0 && !signals.stop.stopped {
            signals.stop.pending_threads = signals.stop.pending_threads.saturating_sub(1);
        }
        (signals.threads.is_empty(), signals.exec_waiter.clone())
    };
    if let Some(waiter) = exec_waiter {
        waiter.wake(task::State::KILLABLE);
    }
    if !is_leader {
        drop(pid::unpublish_thread(task.tid()));
    }
    if empty {
        end_process(process, status);
    }
    let _ = thread;
}

/// The last thread is gone: children find a new parent, the own parent is told.
fn end_process(process: &Arc<Process>, status: i32) {
    // `links`, in which the leader stands, comes before `signals`.
    let leader_code = process.leader().and_then(|l| thread_of(&l).map(|t| t.exit_code.load(Ordering::Relaxed)));
    let code = process.signals.lock_irqsave().group_exit.or(leader_code).unwrap_or(status);
    process.exit_status.store(code, Ordering::Relaxed);
    let orphans = reparent_children(process);
    signal_orphaned_groups(process, &orphans);
    let (parent, reap) = {
        let _tree = TREE.lock();
        let parent = process.parent();
        let ignored = parent.as_ref().is_none_or(|parent| ignores_children(parent, process));
        process.zombie.store(true, Ordering::Release);
        if ignored && let Some(parent) = &parent {
            parent.links.lock().children.retain(|c| !Arc::ptr_eq(c, process));
        }
        (parent, ignored)
    };
    if let Some(queue) = process.pidfd_wait.get() {
        queue.wake_up_all();
    }
    if let Some(parent) = parent {
        tell_parent(&parent, process, code);
    }
    if reap {
        release(process);
    }
}

/// Whether the parent has said (by ignoring `SIGCHLD`, or `SA_NOCLDWAIT`) that it will not wait.
fn ignores_children(parent: &Process, child: &Process) -> bool {
    if child.exit_signal.load(Ordering::Relaxed) != uapi::SIGCHLD as i32 {
        return false;
    }
    let action = parent.actions.lock_irqsave().get(uapi::SIGCHLD);
    action.handler == SIG_IGN || action.flags & u64::from(uapi::SA_NOCLDWAIT) != 0
}

fn tell_parent(parent: &Arc<Process>, process: &Process, code: i32) {
    let signal = process.exit_signal.load(Ordering::Relaxed);
    if let Ok(signo) = u32::try_from(signal)
        && crate::signal::valid(signo)
    {
        let (si_code, value) = match code & 0x7f {
            0 => (uapi::CLD_EXITED, code >> 8 & 0xff),
            by if code & 0x80 != 0 => (uapi::CLD_DUMPED, by),
            by => (uapi::CLD_KILLED, by),
        };
        let uid = process.leader().and_then(|l| cred::task_cred(&l)).map_or(0, |c| c.uid);
        let usage = process.usage();
        let (utime, stime) = (times::to_ticks(usage.utime), times::to_ticks(usage.stime));
        let info = SigInfo::child(signo, si_code as i32, process.pid(), uid, value, utime, stime);
        // The exit signal is a standard one in all but odd programs, and a lost real-time one is Linux's answer too.
        let _ = send_to_process(parent, info);
    }
    parent.child_exit.wake_up_all();
}

/// Gives the children to the nearest subreaper, or to init. Returns them.
fn reparent_children(process: &Arc<Process>) -> KVec<Arc<Process>> {
    let mut moved = KVec::new();
    loop {
        // Reserve outside the lock; the number can grow only by fork in this process, which has no thread left.
        let count = process.links.lock().children.len();
        if moved.reserve(count, GFP_ATOMIC).is_ok() || count == 0 {
            break;
        }
        task::schedule();
    }
    let reaper = find_reaper(process);
    {
        let _tree = TREE.lock();
        let children = core::mem::take(&mut process.links.lock().children);
        for child in children.iter() {
            child.set_parent(reaper.clone());
            // Whatever signal it was to end with: nobody else asked for it.
            child.exit_signal.store(uapi::SIGCHLD as i32, Ordering::Relaxed);
            let _ = moved.push(child.clone(), GFP_ATOMIC);
        }
        if let Some(reaper) = &reaper {
            let mut links = reaper.links.lock();
            for child in children.iter() {
                let _ = links.children.push(child.clone(), GFP_ATOMIC);
            }
        }
    }
    for child in moved.iter() {
        after_reparent(child, reaper.as_ref());
    }
    moved
}

fn find_reaper(process: &Arc<Process>) -> Option<Arc<Process>> {
    let mut ancestor = process.parent();
    while let Some(candidate) = ancestor {
        if candidate.pid() == 1 || (candidate.subreaper.load(Ordering::Relaxed) && !candidate.is_exiting()) {
            return Some(candidate);
        }
        ancestor = candidate.parent();
    }
    pid::find_thread(1).and_then(|t| crate::thread::process_of(&t))
}

fn after_reparent(child: &Arc<Process>, reaper: Option<&Arc<Process>>) {
    for task in child.threads().unwrap_or_default().iter() {
        let Some(thread) = thread_of(task) else { continue };
        let signal = thread.parent_death_signal.load(Ordering::Relaxed);
        if signal != 0 {
            // A lost real-time death signal is Linux's answer when the queue is full.
            let _ = send_to_process(child, SigInfo::user(signal, uapi::SI_USER as i32, 0, 0));
        }
    }
    let Some(reaper) = reaper else { return };
    if !child.is_zombie() {
        return;
    }
    if ignores_children(reaper, child) {
        let taken = {
            let _tree = TREE.lock();
            let mut links = reaper.links.lock();
            let before = links.children.len();
            links.children.retain(|c| !Arc::ptr_eq(c, child));
            before != links.children.len()
        };
        if taken {
            release(child);
        }
    } else {
        tell_parent(reaper, child, child.exit_status.load(Ordering::Relaxed));
    }
}

/// A group that becomes orphaned by this exit and has stopped members gets `SIGHUP` and `SIGCONT` (POSIX).
fn signal_orphaned_groups(process: &Arc<Process>, children: &KVec<Arc<Process>>) {
    let mut candidates: KVec<Arc<group::ProcessGroup>> = KVec::new();
    let own = process.group();
    // Only a tie between two groups of one session can be what kept a group from being orphaned.
    let tied =
        |a: &group::ProcessGroup, b: &group::ProcessGroup| !core::ptr::eq(a, b) && a.session().id() == b.session().id();
    let with_parent = process.parent().is_some_and(|parent| tied(&own, &parent.group()));
    let groups = with_parent.then(|| own.clone()).into_iter();
    for group in groups.chain(children.iter().map(|c| c.group()).filter(|group| tied(group, &own))) {
        if !candidates.iter().any(|g| Arc::ptr_eq(g, &group)) && candidates.push(group, GFP_ATOMIC).is_err() {
            break;
        }
    }
    for group in candidates.iter() {
        let ignored = Arc::ptr_eq(group, &own).then_some(process);
        if group.is_orphaned(ignored) && group.has_stopped_member() {
            crate::signal::send::signal_group(group.id(), uapi::SIGHUP);
            crate::signal::send::signal_group(group.id(), uapi::SIGCONT);
        }
    }
}

/// The last of a process: out of its group and of the tables. Its statistics have been taken by whoever waited.
pub(crate) fn release(process: &Arc<Process>) {
    let group = process.group();
    group.remove(process);
    let leader = {
        let mut links = process.links.lock();
        links.parent = None;
        links.leader.take()
    };
    drop(pid::unpublish_thread(process.pid()));
    drop(leader);
    if process.shown.load(Ordering::Relaxed) {
        crate::hooks::released(process.pid());
    }
}

/// Adds a waited-for child's use to its parent.
pub(crate) fn collect_usage(parent: &Process, child: &Usage) {
    let mut usage = parent.usage.lock();
    usage.cutime = usage.cutime.saturating_add(child.utime).saturating_add(child.cutime);
    usage.cstime = usage.cstime.saturating_add(child.stime).saturating_add(child.cstime);
    usage.cmaxrss = usage.cmaxrss.max(child.maxrss).max(child.cmaxrss);
    usage.cnvcsw = usage.cnvcsw.saturating_add(child.nvcsw).saturating_add(child.cnvcsw);
    usage.cnivcsw = usage.cnivcsw.saturating_add(child.nivcsw).saturating_add(child.cnivcsw);
    usage.cminflt = usage.cminflt.saturating_add(child.minflt).saturating_add(child.cminflt);
    usage.cmajflt = usage.cmajflt.saturating_add(child.majflt).saturating_add(child.cmajflt);
}
