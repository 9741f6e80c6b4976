// SPDX-License-Identifier: GPL-2.0
//! `fork(2)`, `vfork(2)`, `clone(2)`, `clone3(2)`: a new thread or process as a copy of the current one, sharing what the flags
//! say.

use crate::cpu_limit;
use crate::group::ProcessGroup;
use crate::nproc;
use crate::ns::NsProxy;
use crate::pid::{self, PidName, PidNr, PidNs};
use crate::pidfd::NewPidFd;
use crate::ptrace;
use crate::signal::syscalls::this;
use crate::signal::{SigSet, deliver, stop};
use crate::thread::{Process, TREE, Thread, process_of, thread_of};
use crate::user::{copy_from_user, write_user};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{E2BIG, EAGAIN, EINVAL, ENOMEM, ERESTARTNOINTR};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KBox};
use sync::Completion;
use task::hooks::SCHEDULER;
use task::state::TaskFlags;
use task::{Task, current};
use x86_cpu::regs::PtRegs;
use zerocopy::IntoBytes;

/// What to make, as `clone3(2)` puts it.
#[derive(Clone, Copy, Default)]
struct CloneArgs<'a> {
    flags: u64,
    child_tid: usize,
    parent_tid: usize,
    exit_signal: u32,
    stack: usize,
    tls: u64,
    /// Where the descriptor's number goes (`CLONE_PIDFD`).
    pidfd: usize,
    /// The numbers the child is to have, from its own name space up, as far as they are chosen.
    set_tid: &'a [u32],
}

/// Most numbers that can be chosen (`MAX_PID_NS_LEVEL`).
const CHOSEN: usize = pid_namespace::MAX_LEVEL as usize;

/// The low byte of `clone(2)`'s flags: the exit signal.
const CSIGNAL: u64 = 0xff;

const VM: u64 = uapi::CLONE_VM as u64;
const FS: u64 = uapi::CLONE_FS as u64;
const FILES: u64 = uapi::CLONE_FILES as u64;
const SIGHAND: u64 = uapi::CLONE_SIGHAND as u64;
const VFORK: u64 = uapi::CLONE_VFORK as u64;
const PARENT: u64 = uapi::CLONE_PARENT as u64;
const THREAD: u64 = uapi::CLONE_THREAD as u64;
const PTRACE: u64 = uapi::CLONE_PTRACE as u64;
const UNTRACED: u64 = uapi::CLONE_UNTRACED as u64;
const SETTLS: u64 = uapi::CLONE_SETTLS as u64;
const PARENT_SETTID: u64 = uapi::CLONE_PARENT_SETTID as u64;
const CHILD_CLEARTID: u64 = uapi::CLONE_CHILD_CLEARTID as u64;
const NEWNS: u64 = uapi::CLONE_NEWNS as u64;
const NEWPID: u64 = uapi::CLONE_NEWPID as u64;
const NEWUSER: u64 = uapi::CLONE_NEWUSER as u64;
const PIDFD: u64 = uapi::CLONE_PIDFD as u64;
const DETACHED: u64 = uapi::CLONE_DETACHED as u64;
const CHILD_SETTID: u64 = uapi::CLONE_CHILD_SETTID as u64;
/// `CLONE_CLEAR_SIGHAND` (clone3 only).
const CLEAR_SIGHAND: u64 = 0x1_0000_0000;
/// `CLONE_INTO_CGROUP`: there are no cgroups.
const INTO_CGROUP: u64 = 0x2_0000_0000;
/// All flags `clone3` knows.
const CLONE3_FLAGS: u64 = 0x3_ffff_ffff & !CSIGNAL | uapi::CLONE_NEWTIME as u64;

/// `fork(2)`.
pub fn sys_fork(_: &PtRegs) -> Result<usize> {
    kernel_clone(CloneArgs { exit_signal: uapi::SIGCHLD, ..Default::default() })
}

/// `vfork(2)`.
pub fn sys_vfork(_: &PtRegs) -> Result<usize> {
    kernel_clone(CloneArgs { flags: VM | VFORK, exit_signal: uapi::SIGCHLD, ..Default::default() })
}

/// `clone(2)`, with x86-64's order of arguments.
pub fn sys_clone(regs: &PtRegs) -> Result<usize> {
    let raw = regs.arg0() as u64 & 0xffff_ffff;
    kernel_clone(CloneArgs {
        flags: raw & !CSIGNAL,
        exit_signal: (raw & CSIGNAL) as u32,
        stack: regs.arg1(),
        parent_tid: regs.arg2(),
        child_tid: regs.arg3(),
        tls: regs.arg4() as u64,
        pidfd: regs.arg2(),
        ..Default::default()
    })
}

/// `clone3(2)`.
pub fn sys_clone3(regs: &PtRegs) -> Result<usize> {
    const FIRST_SIZE: usize = 64;
    const WORDS: usize = 11;
    let (address, size) = (regs.arg0(), regs.arg1());
    if size < FIRST_SIZE {
        return Err(EINVAL);
    }
    if size > 4096 {
        return Err(E2BIG);
    }
    let mut words = [0u64; WORDS];
    let known = size.min(WORDS * 8);
    copy_from_user(words.as_mut_bytes().get_mut(..known).ok_or(EINVAL)?, address)?;
    for offset in known..size {
        let mut byte = [0];
        copy_from_user(&mut byte, address.saturating_add(offset))?;
        if byte != [0] {
            return Err(E2BIG);
        }
    }
    let [flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, _cgroup] =
        words;
    if flags & !CLONE3_FLAGS != 0 || flags & DETACHED != 0 || exit_signal > 64 {
        return Err(EINVAL);
    }
    if flags & (SIGHAND | CLEAR_SIGHAND) == SIGHAND | CLEAR_SIGHAND {
        return Err(EINVAL);
    }
    if (flags & (THREAD | PARENT) != 0 && exit_signal != 0) || (stack == 0) != (stack_size == 0) {
        return Err(EINVAL);
    }
    let mut room = [0; CHOSEN];
    let set_tid = chosen_tids(&mut room, set_tid as usize, set_tid_size)?;
    let top = stack.checked_add(stack_size).ok_or(EINVAL)?;
    kernel_clone(CloneArgs {
        flags,
        child_tid: child_tid as usize,
        parent_tid: parent_tid as usize,
        exit_signal: exit_signal as u32,
        stack: top as usize,
        tls,
        pidfd: pidfd as usize,
        set_tid,
    })
}

/// The numbers that `set_tid` asks for, which are put into `room`. One that is none is 0.
fn chosen_tids(room: &mut [u32; CHOSEN], address: usize, count: u64) -> Result<&[u32]> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let chosen = room.get_mut(..count).ok_or(EINVAL)?;
    if (address == 0) != (count == 0) {
        return Err(EINVAL);
    }
    copy_from_user(chosen.as_mut_bytes(), address)?;
    for tid in chosen.iter_mut() {
        *tid = u32::try_from(tid.cast_signed()).unwrap_or(0);
    }
    Ok(chosen)
}

/// Whether a thread of this process may be made: all threads of a process are in one name space of numbers.
fn check_thread(flags: u64) -> Result {
    let other = || crate::ns::children_elsewhere();
    if flags & (NEWPID | NEWUSER) != 0 || other() { Err(EINVAL) } else { Ok(()) }
}

fn check_flags(flags: u64) -> Result {
    if flags & INTO_CGROUP != 0 {
        return Err(EINVAL);
    }
    if flags & THREAD != 0 && flags & SIGHAND == 0 {
        return Err(EINVAL);
    }
    if flags & SIGHAND != 0 && flags & VM == 0 {
        return Err(EINVAL);
    }
    if flags & THREAD != 0 {
        check_thread(flags)?;
    }
    crate::ns::check_clone(flags)?;
    if flags & PIDFD != 0 && flags & (DETACHED | THREAD) != 0 {
        return Err(EINVAL);
    }
    Ok(())
}

fn kernel_clone(args: CloneArgs<'_>) -> Result<usize> {
    if args.flags & PIDFD != 0 && args.flags & PARENT_SETTID != 0 && args.pidfd == args.parent_tid {
        // Both numbers to one place.
        return Err(EINVAL);
    }
    check_flags(args.flags)?;
    if args.flags & PARENT != 0
        && crate::current_process().is_some_and(|process| process.unkillable.load(Ordering::Relaxed))
    {
        // A brother of the first process, of the machine or of a name space, would have nobody who waits for it.
        return Err(EINVAL);
    }
    let pidfd = match args.flags & PIDFD {
        0 => None,
        _ => Some(NewPidFd::prepare(args.pidfd)?),
    };
    let done = match args.flags & VFORK {
        0 => None,
        _ => Some(Arc::new(Completion::new(), GFP_KERNEL)?),
    };
    let event = traced_event(&args);
    let child = copy_process(&args, done.clone(), event.is_some(), None)?;
    // As the caller and its tracer know it, who may be in other name spaces.
    let named = event.is_some() || done.is_some() || !pid_namespace::here_is_first();
    let nr = if named { thread_of(&child).and_then(|thread| thread.nr()) } else { None };
    let name = nr.map_or(PidName::NONE, |nr| nr.name().clone());
    let tid = if named { name.here() } else { child.tid() };
    if let Some((pidfd, process)) = pidfd.zip(process_of(&child)) {
        pidfd.install(&process);
    }
    if args.flags & PARENT_SETTID != 0 {
        // As Linux: a bad address does not undo the clone.
        let _ = write_user(args.parent_tid, &tid);
    }
    task::kthread::wake_up_new(child);
    if let Some(event) = event {
        ptrace::stop::event(event, ptrace::number_for_tracer(&name));
    }
    if let Some(done) = done {
        // A fatal signal ends the wait, and this process with it.
        if freezer::freezable(|| done.wait_killable()).is_ok() {
            ptrace::stop::event(uapi::PTRACE_EVENT_VFORK_DONE, ptrace::number_for_tracer(&name));
        }
    }
    Ok(tid as usize)
}

/// The event by which the tracer of the current thread, if it wants to, hears of a new one.
fn traced_event(args: &CloneArgs<'_>) -> Option<u32> {
    if args.flags & UNTRACED != 0 {
        return None;
    }
    let event = if args.flags & VFORK != 0 {
        uapi::PTRACE_EVENT_VFORK
    } else if args.exit_signal != uapi::SIGCHLD {
        uapi::PTRACE_EVENT_CLONE
    } else {
        uapi::PTRACE_EVENT_FORK
    };
    this(|_, thread| Ok(ptrace::wants_event(thread, event))).unwrap_or(false).then_some(event)
}

/// A thread of the current process that runs `entry` in the kernel and ends: memory, files and places are the process's, rights the
/// current thread's, and no signal but `SIGKILL` and `SIGSTOP` reaches it. It does not run yet. `ERESTARTNOINTR` if signals wait.
pub(crate) fn worker(entry: Worker) -> Result<Arc<Task>> {
    let args = CloneArgs { flags: VM | FS | FILES | SIGHAND | THREAD | UNTRACED, ..Default::default() };
    check_thread(args.flags)?;
    copy_process(&args, None, false, Some(entry))
}

/// What a thread does that stays in the kernel.
pub(crate) type Worker = KBox<dyn FnMut() + Send>;

/// The current thread makes a process: until this is dropped, what is sent to many is noted for that.
struct Forking(Arc<Task>);

impl Forking {
    fn begin() -> Result<Self> {
        this(|task, thread| {
            let _signals = thread.process().signals.lock_irqsave();
            thread.for_child.store(0, Ordering::Relaxed);
            thread.forking.store(true, Ordering::Relaxed);
            Ok(Self(task.to_arc()))
        })
    }
}

impl Drop for Forking {
    fn drop(&mut self) {
        if let Some(thread) = thread_of(&self.0) {
            let _signals = thread.process().signals.lock_irqsave();
            thread.forking.store(false, Ordering::Relaxed);
        }
    }
}

fn copy_process(
    args: &CloneArgs<'_>,
    vfork_done: Option<Arc<Completion>>,
    followed: bool,
    worker: Option<Worker>,
) -> Result<Arc<Task>> {
    let parent_task = current();
    let flags = args.flags;
    // Signals sent to many come before the fork, and are taken first, or reach the child, too.
    let _forking = if flags & THREAD == 0 { Some(Forking::begin()?) } else { None };
    this(|task, thread| {
        if task.signal_pending() {
            // Signals first: the call starts again after them.
            deliver::recalc(task, thread);
        }
        if task.signal_pending() { Err(ERESTARTNOINTR) } else { Ok(()) }
    })?;
    let counted = nproc::count()?;
    let parent_mm = mm::current_mm().ok_or(EINVAL)?;
    let child_mm = if flags & VM != 0 {
        parent_mm
    } else {
        let copy = parent_mm.fork()?;
        copy.membarrier.store(parent_mm.membarrier.load(Ordering::Relaxed), Ordering::Relaxed);
        copy
    };
    let mut regs = parent_task.with_user_regs(|regs| *regs);
    regs.rax = 0;
    if args.stack != 0 {
        regs.rsp = args.stack as u64;
    }
    let tls = (flags & SETTLS != 0).then_some(args.tls);
    let (name, table, in_kernel) = (parent_task.comm(), child_mm.page_table().clone(), worker.is_some());
    let child = match worker {
        None => Task::new_user(&name, &regs, table, tls)?,
        Some(entry) => Task::new_worker(&name, &PtRegs::default(), table, entry)?,
    };
    SCHEDULER.get().ok_or(EAGAIN)?.fork(&child, &parent_task)?;
    let spaces = crate::ns::for_child(flags, &child_mm)?;
    mm::attach(&child, child_mm)?;
    cred::attach(&child, cred::current_cred()?)?;
    vfs::tasks::copy_files(&child, flags & FILES != 0)?;
    vfs::tasks::copy_fs(&child, flags & FS != 0, flags & NEWNS != 0)?;
    crate::hooks::fork(&child, flags)?;
    let limits = rlimit::of(&parent_task).ok_or(EINVAL)?;
    let limits = match flags & THREAD {
        0 => Arc::new(limits.duplicate(), GFP_KERNEL)?,
        _ => limits.clone(),
    };
    rlimit::attach(&child, limits)?;
    attach_thread(args, &child, spaces, Made { vfork_done, followed, counted, in_kernel })?;
    Ok(child)
}

/// What a child is made with beside the arguments.
struct Made {
    vfork_done: Option<Arc<Completion>>,
    /// The current thread's tracer is the child's, too.
    followed: bool,
    counted: nproc::Counted,
    in_kernel: bool,
}

/// Makes the child a thread of this process, or a process of its own, and lets others find it.
fn attach_thread(args: &CloneArgs<'_>, child: &Arc<Task>, spaces: Option<Arc<NsProxy>>, made: Made) -> Result {
    let flags = args.flags;
    let Made { vfork_done, followed, counted, in_kernel } = made;
    let ns = crate::ns::for_children(spaces.as_deref());
    let refused = if args.set_tid.is_empty() { Ok(()) } else { pid::may_choose() };
    let nr = PidNr::new(&ns, args.set_tid, refused)?;
    let now = ktime::boottime_ns();
    this(|_, thread| {
        let me = thread.process();
        let process = if flags & THREAD != 0 { me.clone() } else { new_process(thread, args, &nr)? };
        // What stays in the kernel runs no handler.
        let blocked = if in_kernel { SigSet(u64::MAX).without(SigSet::UNMASKABLE) } else { thread.blocked() };
        Thread::attach(child, process.clone(), nr.clone(), blocked, now)?;
        let new = thread_of(child).ok_or(EINVAL)?;
        *new.counted.lock() = Some(counted);
        if spaces.is_some() {
            new.ns.replace(spaces);
        }
        new.set_io_priority(thread.io_priority());
        if thread.io_priority() != 0 {
            task_io::set_priority(child, thread.io_priority() as u16)?;
        }
        new.mce_kill.store(thread.mce_kill.load(Ordering::Relaxed), Ordering::Relaxed);
        new.no_new_privs.store(thread.no_new_privs.load(Ordering::Relaxed), Ordering::Relaxed);
        if flags & CHILD_SETTID != 0 {
            new.set_child_tid.store(args.child_tid, Ordering::Relaxed);
            child.set_flags(TaskFlags::NOTIFY_RESUME);
        }
        if flags & CHILD_CLEARTID != 0 {
            new.clear_child_tid.store(args.child_tid, Ordering::Relaxed);
        }
        // A child with its own memory, or a vfork child, keeps the alternate stack.
        if flags & VM == 0 || flags & VFORK != 0 {
            for (to, from) in new.altstack.iter().zip(&thread.altstack) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        if flags & VM == 0 {
            crate::rseq::inherit(child, new, thread);
        }
        crate::ioport::inherit(new, thread);
        *new.vfork_done.lock() = vfork_done;
        link(thread, &process, child, &ns, flags, followed || flags & PTRACE != 0)
    })
}

fn new_process(thread: &Thread, args: &CloneArgs<'_>, nr: &Arc<PidNr>) -> Result<Arc<Process>> {
    let me = thread.process();
    let actions = me.actions.lock_irqsave().clone();
    let actions = if args.flags & SIGHAND != 0 {
        actions
    } else {
        let copy = Arc::new(actions.duplicate(), GFP_KERNEL)?;
        if args.flags & CLEAR_SIGHAND != 0 {
            copy.clear_handlers();
        }
        copy
    };
    let (parent, exit_signal) = match args.flags & PARENT {
        0 => (Some(me.clone()), args.exit_signal as i32),
        _ => (me.parent(), me.exit_signal.load(Ordering::Relaxed)),
    };
    let process = Process::new(nr.name().clone(), parent, me.group(), actions, exit_signal)?;
    *process.auxv.lock() = me.auxv();
    process.forker.store(current().tid(), Ordering::Relaxed);
    process.inherit_oom(me);
    process.personality.store(me.personality.load(Ordering::Relaxed), Ordering::Relaxed);
    process.dumpable.store(me.dumpable.load(Ordering::Relaxed), Ordering::Relaxed);
    process.coredump_filter.store(me.coredump_filter.load(Ordering::Relaxed), Ordering::Relaxed);
    if let Some(limits) = rlimit::of(&current()) {
        cpu_limit::limited(&process, limits.get(uapi::RLIMIT_CPU))?;
    }
    Ok(process)
}

/// Enters the child into the lists of its process, parent and group, all or nothing.
fn link(thread: &Thread, process: &Arc<Process>, child: &Arc<Task>, ns: &PidNs, flags: u64, traced: bool) -> Result {
    let me = thread.process();
    let (threaded, tid) = (flags & THREAD != 0, child.tid());
    let tree = TREE.lock();
    if !ns.is_first() && ns.is_closed() {
        // Its first process has ended since the number was taken, and looks for others no more.
        return Err(ENOMEM);
    }
    if ends(thread) {
        // A child made now would escape what its group, or everybody, was killed by.
        return Err(ERESTARTNOINTR);
    }
    {
        let mut signals = process.signals.lock_irqsave();
        if threaded && (signals.group_exit.is_some() || thread.kill.load(Ordering::SeqCst)) {
            return Err(ERESTARTNOINTR);
        }
        signals.threads.push(child.clone(), GFP_ATOMIC)?;
        process.live_threads.fetch_add(1, Ordering::Relaxed);
        if threaded {
            stop::join(child, &mut signals.stop, thread);
        }
    }
    let undo_thread = || undo_thread(process, child);
    if let Err(error) = pid::publish_thread(tid, child.clone()) {
        undo_thread();
        return Err(error);
    }
    if traced && let Err(error) = ptrace::attach::inherit(child, thread) {
        drop(pid::unpublish_thread(tid));
        undo_thread();
        return Err(error);
    }
    if threaded {
        return Ok(());
    }
    let parent = if flags & PARENT != 0 { me.parent() } else { Some(me.clone()) };
    if flags & PARENT != 0 {
        // It may be another one by now.
        process.set_parent(parent.clone());
    }
    let group: Arc<ProcessGroup> = me.group();
    let linked = group.add(process).and_then(|()| match &parent {
        Some(parent) => Ok(parent.links.lock().children.push(process.clone(), GFP_ATOMIC)?),
        None => Ok(()),
    });
    if let Err(error) = linked {
        if let Some(child_thread) = thread_of(child) {
            drop(ptrace::attach::unlink(child, child_thread));
        }
        group.remove(process);
        drop(pid::unpublish_thread(tid));
        undo_thread();
        return Err(error);
    }
    {
        let mut links = process.links.lock();
        links.group = group;
        links.leader = Some(child.clone());
    }
    if process.is_reaper() {
        process.unkillable.store(true, Ordering::Relaxed);
        ns.set_reaper(process.pid());
    }
    give_signals(thread, process, child);
    drop(tree);
    Ok(())
}

/// A new thread that was in the list of its process is to be none: who counted on it in between, to stop, to rest or to be gone, does
/// not wait for it. Under `TREE`.
fn undo_thread(process: &Process, child: &Arc<Task>) {
    let (stopped, waiter) = {
        let mut signals = process.signals.lock_irqsave();
        signals.threads.retain(|t| !Arc::ptr_eq(t, child));
        process.live_threads.fetch_sub(1, Ordering::Relaxed);
        if let Some(core) = &signals.core {
            core.one_less();
        }
        let stopped = thread_of(child).is_some_and(|thread| stop::leave(thread, &mut signals.stop));
        (stopped, signals.exec_waiter.clone())
    };
    if stopped {
        stop::notify_cldstop(child, false, uapi::CLD_STOPPED);
    }
    if let Some(waiter) = waiter {
        waiter.wake(task::State::KILLABLE);
    }
}

/// What was sent to many while the child was made is the child's, too: it is one of them from here on. Under `TREE`.
fn give_signals(parent: &Thread, process: &Process, child: &Task) {
    let told = {
        let _signals = parent.process().signals.lock_irqsave();
        SigSet(parent.for_child.swap(0, Ordering::Relaxed))
    };
    if told.is_empty() {
        return;
    }
    let mut signals = process.signals.lock_irqsave();
    // Without causes, for which there is always room.
    signals.shared.mark(told);
    process.shared_set.store(signals.shared.set().0, Ordering::SeqCst);
    child.set_flags(TaskFlags::SIGPENDING);
}

/// Whether the thread is told to end, with its process or by another thread's `execve`.
fn ends(thread: &Thread) -> bool {
    let signals = thread.process().signals.lock_irqsave();
    signals.group_exit.is_some() || thread.kill.load(Ordering::SeqCst)
}

/// First steps of a new thread in user mode's direction: `CLONE_CHILD_SETTID`.
pub(crate) fn first_return(thread: &Thread, tid: u32) {
    let address = thread.set_child_tid.swap(0, Ordering::Relaxed);
    if address != 0 {
        // As Linux: a bad address is the program's own loss.
        let _ = write_user(address, &tid);
    }
}

/// Waits until every other thread of the current process is gone (`execve`), killing them. `EAGAIN` if the group exits or another
/// thread is doing the same.
pub(crate) fn kill_other_threads(process: &Arc<Process>) -> Result {
    let me = current();
    {
        let mut signals = process.signals.lock_irqsave();
        if signals.group_exit.is_some() || signals.exec_waiter.is_some() {
            return Err(EAGAIN);
        }
        if signals.threads.len() <= 1 {
            return Ok(());
        }
        signals.exec_waiter = Some(me.to_arc());
        for other in signals.threads.iter().filter(|t| !core::ptr::eq(&***t, &*me)) {
            if let Some(thread) = thread_of(other) {
                thread.kill.store(true, Ordering::SeqCst);
                crate::signal::send::signal_wake(other, true);
            }
        }
    }
    let alone = loop {
        me.set_state(task::State::KILLABLE);
        if process.signals.lock_irqsave().threads.len() <= 1 {
            break true;
        }
        if crate::fatal_pending(&me) {
            break false;
        }
        // One of them may be frozen.
        freezer::freezable(task::schedule);
    };
    me.set_state(task::State::RUNNING);
    process.signals.lock_irqsave().exec_waiter = None;
    // It is killed itself, with those that it waits for.
    if alone { Ok(()) } else { Err(EAGAIN) }
}
