// SPDX-License-Identifier: GPL-2.0
//! Kernel threads as processes, the first process, and the hooks of `task` that this crate fills.
//!
//! Process 1 is a kernel thread that becomes `/init`; process 2 is the parent of all other kernel threads.

use crate::fault::Faults;
use crate::group::{ProcessGroup, Session};
use crate::pid::{self, PidName, PidNr, PidNs};
use crate::signal::action::{SIG_IGN, SigAction};
use crate::signal::{SigActions, SigSet, deliver};
use crate::thread::{Process, Thread, process_of, thread_of};
use crate::{exit, fork, nproc};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::EINVAL;
use kalloc::Arc;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use locking::SetOnce;
use rlimit::{Limit, Rlimits};
use task::hooks::{FaultHandler, Lifecycle, Signals, TrapHandler, UserExit};
use task::state::TaskFlags;
use task::{Task, current};
use x86_cpu::regs::PtRegs;

/// Number of the parent of kernel threads.
const KTHREADD: u32 = 2;

struct Hooks;

impl UserExit for Hooks {
    fn exit_to_user(&self, regs: &mut PtRegs, flags: u32, syscall: bool) {
        let task = current();
        if flags & TaskFlags::NEED_RESCHED != 0 {
            task::schedule();
        }
        if flags & TaskFlags::TASK_WORK != 0 {
            task.clear_flags(TaskFlags::TASK_WORK);
            if let Some(work) = task::hooks::TASK_WORK.get() {
                work.run();
            }
        }
        if flags & TaskFlags::NOTIFY_RESUME != 0 {
            task.clear_flags(TaskFlags::NOTIFY_RESUME);
            if let Some(thread) = thread_of(&task) {
                fork::first_return(thread, task.own_tid());
            }
        }
        if flags & TaskFlags::RSEQ != 0
            && let Some(thread) = thread_of(&task)
        {
            crate::rseq::resume(thread, regs);
        }
        if flags & (TaskFlags::SIGPENDING | TaskFlags::RESTORE_SIGMASK) != 0 {
            deliver::do_signal(syscall);
        }
    }

    fn syscall_enter(&self) -> Option<u32> {
        crate::ptrace::stop::syscall_enter()
    }

    fn syscall_exit(&self) {
        crate::ptrace::stop::syscall_exit();
    }
}

/// Whether a signal is pending that will end the task, whatever it does. One that is ending already has heard of it: what it waits
/// for on its way (to close files and write what is left in them) it waits for like others.
pub fn fatal_pending(task: &Task) -> bool {
    let Some(thread) = thread_of(task) else { return false };
    if thread.is_exiting() {
        return false;
    }
    let kill = SigSet::of(crate::signal::SIGKILL).0;
    thread.pending_set.load(Ordering::SeqCst) & kill != 0 || thread.kill.load(Ordering::SeqCst)
}

impl Signals for Hooks {
    fn fatal_pending(&self, task: &Task) -> bool {
        fatal_pending(task)
    }
}

impl Lifecycle for Hooks {
    fn kthread_created(&self, task: &Arc<Task>, vital: bool) -> Result {
        if !vital {
            nproc::may_add()?;
        }
        let nr = PidNr::new(&PidNs::FIRST, &[], Ok(()))?;
        let pid = nr.get();
        let (parent, group) = kthread_family(pid)?;
        let actions = Arc::new(SigActions::new(), GFP_KERNEL)?;
        if pid == KTHREADD {
            // Nobody waits for kernel threads.
            actions.set(uapi::SIGCHLD, SigAction { handler: SIG_IGN, ..SigAction::default() });
        }
        let process = Process::new(nr.name().clone(), parent.clone(), group.clone(), actions, uapi::SIGCHLD as i32)?;
        // Kernel threads take no signals.
        let blocked = if pid == 1 { SigSet::EMPTY } else { SigSet(u64::MAX) };
        Thread::attach(task, process.clone(), nr, blocked, ktime::boottime_ns())?;
        cred::attach(task, cred::init_cred()?)?;
        rlimit::attach(task, initial_limits()?)?;
        process.signals.lock_irqsave().threads.push(task.clone(), GFP_ATOMIC)?;
        process.live_threads.store(1, Ordering::Relaxed);
        process.links.lock().leader = Some(task.clone());
        group.add(&process)?;
        if let Some(parent) = parent {
            parent.links.lock().children.push(process, GFP_ATOMIC)?;
        }
        pid::publish_thread(pid, task.clone())
    }

    fn exit(&self, code: i32) -> ! {
        exit::do_exit(code)
    }
}

static KERNEL_GROUP: SetOnce<Arc<ProcessGroup>> = SetOnce::new();

/// The family a kernel thread is born into: process 2's, group and session 0.
fn kthread_family(pid: u32) -> Result<(Option<Arc<Process>>, Arc<ProcessGroup>)> {
    let parent = match pid {
        1 | KTHREADD => None,
        _ => pid::find_thread(KTHREADD).and_then(|t| process_of(&t)),
    };
    if let Some(group) = KERNEL_GROUP.get() {
        return Ok((parent, group.clone()));
    }
    let zero = PidNr::zero()?;
    let group = ProcessGroup::new(zero.clone(), Session::new(zero)?)?;
    // Boot is one thread: nobody else sets it.
    let _ = KERNEL_GROUP.set(group.clone());
    Ok((parent, group))
}

static INITIAL_LIMITS: SetOnce<Arc<Rlimits>> = SetOnce::new();

/// The first process's limits; how many tasks and queued signals fit is a matter of memory (Linux: an eighth of it in stacks).
fn initial_limits() -> Result<Arc<Rlimits>> {
    if let Some(limits) = INITIAL_LIMITS.get() {
        return Ok(limits.clone());
    }
    let limits = Rlimits::initial();
    let tasks = u64::from(crate::nproc::set_boot_default(mm::meminfo().total) / 2);
    vfs::ns_count::set_all(tasks as u32);
    for resource in [uapi::RLIMIT_NPROC, uapi::RLIMIT_SIGPENDING] {
        limits.update(resource, |_| Ok(Limit { cur: tasks, max: tasks }))?;
    }
    let limits = Arc::new(limits, GFP_KERNEL)?;
    let _ = INITIAL_LIMITS.set(limits.clone());
    Ok(limits)
}

struct VfsHooks;

impl vfs::hooks::ProcessHooks for VfsHooks {
    fn send_current(&self, signal: u32) {
        // A standard signal from the kernel cannot fail for want of room.
        let _ = crate::signal::send_to_thread(&current(), crate::signal::SigInfo::kernel(signal));
    }

    fn current_pid(&self) -> u32 {
        thread_of(&current()).map_or(0, |t| t.process().pid())
    }

    fn current_name(&self) -> PidName {
        crate::thread::with_thread(|t| t.process().name().clone()).unwrap_or_default()
    }

    fn number_here(&self, pid: u32) -> u32 {
        pid::number_here(pid)
    }

    fn number_in(&self, pid: u32, ns: &PidNs) -> u32 {
        pid::number_in(pid, ns)
    }

    fn name_of(&self, id: u32) -> Option<PidName> {
        pid::find_number(pid::first_of(id)).map(|nr| nr.name().clone())
    }

    fn find_target(&self, id: u32) -> Result<Arc<dyn vfs::fasync::SignalTarget>> {
        crate::signal::sigio::find_target(id)
    }
}

/// Fills the hooks. Called once at boot, before the first kernel thread.
pub fn init() {
    static USER_EXIT: &'static dyn UserExit = &Hooks;
    static SIGNALS: &'static dyn Signals = &Hooks;
    static LIFECYCLE: &'static dyn Lifecycle = &Hooks;
    static FAULT: &'static dyn FaultHandler = &Faults;
    static TRAP: &'static dyn TrapHandler = &Faults;
    static COUNTER: &dyn mm::FaultCounter = &Faults;
    static VFS: &'static dyn vfs::hooks::ProcessHooks = &VfsHooks;
    task::hooks::USER_EXIT.set(&USER_EXIT);
    task::hooks::SIGNALS.set(&SIGNALS);
    task::hooks::LIFECYCLE.set(&LIFECYCLE);
    task::hooks::FAULT.set(&FAULT);
    task::hooks::TRAP.set(&TRAP);
    mm::FAULT_COUNTER.set(&COUNTER);
    vfs::hooks::PROCESS.set(&VFS);
    crate::cpu_limit::init();
}

/// Makes process 1, which runs `f` (and in the end becomes `/init`), and process 2. Neither runs before the boot CPU's first
/// `schedule`. Must come before any other kernel thread.
pub fn start_init(f: impl FnOnce() + Send + 'static) -> Result {
    crate::ns::init()?;
    let init = task::kthread_create(b"swapper/0", f)?;
    let kthreadd = task::kthread_create(b"kthreadd", || {
        loop {
            current().set_state(task::State::INTERRUPTIBLE);
            task::schedule();
        }
    })?;
    if init.tid() != 1 || kthreadd.tid() != KTHREADD {
        return Err(EINVAL);
    }
    task::kthread::wake_up_new(init);
    task::kthread::wake_up_new(kthreadd);
    Ok(())
}
