// SPDX-License-Identifier: GPL-2.0
//! Threads and processes: what a task is to its parent, its group and its signals.
//!
//! A [`Process`] is a thread group. Each task has a [`Thread`] in its slot, which leads to its process. A process keeps its
//! threads alive; a parent keeps its children (zombies too) alive until it has waited for them.
//!
//! Locks, outermost first: `TREE` (parent, children: fork, exit, wait, setsid), a process's `links`, a process's `signals`
//! (interrupts off; senders in interrupt handlers take it), a thread's `pending`, a process's `actions`, a thread's `trace`.

use crate::group::{ProcessGroup, Session};
use crate::ns::NsProxy;
use crate::pid::{PidName, PidNr};
use crate::signal::{Pending, SigActions, SigSet};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use errno::Result;
use errno::code::EBUSY;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use locking::{SetOnce, SpinLock};
use rcu::RcuArc;
use sync::{Completion, WaitQueue};
use task::IoPorts;
use task::{Task, TaskLocal, current};
use task_io::IoUse;

static THREAD: TaskLocal<Thread> = TaskLocal::new();

/// The family tree's lock: who holds it may read and change `parent` and `children` of several processes together.
pub(crate) static TREE: SpinLock<()> = SpinLock::new(());

/// What a task is as a thread of a process.
pub struct Thread {
    process: Arc<Process>,
    /// Its number; `execve` exchanges it with the leader's, under `TREE`. `None` once the thread is gone for everybody
    /// ([`Self::give_back_number`]).
    nr: SpinLock<Option<Arc<PidNr>>>,
    /// Blocked signals; changed by the thread itself only.
    pub(crate) blocked: AtomicU64,
    /// The mask to go back to after `sigsuspend` and its kin (with `RESTORE_SIGMASK`).
    pub(crate) saved_mask: AtomicU64,
    /// Signals for this thread alone.
    pub(crate) pending: SpinLock<Pending>,
    /// What counts for its real user id.
    pub(crate) user: SpinLock<Option<Arc<crate::nproc::User>>>,
    /// This task, as one of its user's, until it has been waited for.
    pub(crate) counted: SpinLock<Option<crate::nproc::Counted>>,
    /// It has become a user who has too many tasks: `execve` looks again.
    pub(crate) nproc_exceeded: AtomicBool,
    /// Copy of `pending`'s set, for cheap looks.
    pub(crate) pending_set: AtomicU64,
    /// Signals that a `sigtimedwait` in this thread waits for though they are blocked.
    pub(crate) waiting_for: AtomicU64,
    /// `sigaltstack`: base, size, flags.
    pub(crate) altstack: [AtomicU64; 3],
    /// The last fault, for signal frames: address, error code, trap number.
    pub(crate) fault: [AtomicU64; 3],
    /// `set_tid_address`: cleared and woken at exit.
    pub(crate) clear_child_tid: AtomicUsize,
    /// `CLONE_CHILD_SETTID`: written by the child at its first return to user mode.
    pub(crate) set_child_tid: AtomicUsize,
    /// `iopl(2)`: 3 lets the program use every I/O port.
    pub(crate) iopl: AtomicU32,
    /// The ports of `ioperm(2)`, kept while `iopl` hides them.
    pub(crate) ioperm: SpinLock<Option<Arc<IoPorts>>>,
    /// The area of restartable sequences (0: none) and its signature.
    pub(crate) rseq: AtomicUsize,
    pub(crate) rseq_sig: AtomicU32,
    /// The status `wait` will show, in `wait(2)`'s encoding.
    pub(crate) exit_code: AtomicI32,
    /// `prctl(PR_SET_PDEATHSIG)`.
    pub(crate) parent_death_signal: AtomicU32,
    /// Inside a fork of a process, from its look at pending signals on; changes under the process's `signals`.
    pub(crate) forking: AtomicBool,
    /// Signals that were sent to many meanwhile: they are for the child, too. Changes under the process's `signals`.
    pub(crate) for_child: AtomicU64,
    /// Told when this thread execs or exits (`vfork`).
    pub(crate) vfork_done: SpinLock<Option<Arc<Completion>>>,
    /// Another thread execs: this one must end.
    pub(crate) kill: AtomicBool,
    /// `prctl(PR_SET_NO_NEW_PRIVS)`.
    pub(crate) no_new_privs: AtomicBool,
    /// `prctl(PR_MCE_KILL)`: [`MCE_PROCESS`], [`MCE_EARLY`]. Kept and told; memory that fails is not handled.
    pub(crate) mce_kill: AtomicU32,
    /// `ioprio_set(2)`: class and level, 0 for none of its own.
    pub(crate) io_priority: AtomicU32,
    /// This thread is inside exit.
    pub(crate) exiting: AtomicBool,
    /// The name spaces it is in; `None` for the first ones. The thread itself replaces it.
    pub(crate) ns: RcuArc<NsProxy>,
    /// It has left them for good.
    left_namespaces: AtomicBool,
    /// `ptrace(2)`: flags and options (`ptrace::PT_*`), 0 while not traced. Changes under `TREE` and the process's `signals`.
    pub(crate) ptrace: AtomicU32,
    /// Stops and traps to be made and under way (`signal::stop`). Changes under the process's `signals`.
    pub(crate) jobctl: AtomicU32,
    /// The tracer and what it sees of the last trap.
    pub(crate) trace: SpinLock<Trace>,
    /// Ended, traced and not the leader: its tracer has still to wait for it.
    pub(crate) zombie: AtomicBool,
    /// It has let go of its futexes and will not touch its memory again.
    pub(crate) left_memory: AtomicBool,
    /// Minor and major faults.
    pub(crate) fault_counts: [AtomicU64; 2],
    /// Boot time at creation, in nanoseconds.
    start_time: AtomicU64,
}

/// A thread group.
pub struct Process {
    /// What it is called at all levels.
    pub(crate) name: PidName,
    /// Copy of the number in its own name space, for `getpid`.
    pub(crate) own_pid: u32,
    /// Copies of the parent's id, in the first name space and, for `getppid`, in its own (0: none).
    parent_pid: AtomicU32,
    pub(crate) parent_own_pid: AtomicU32,
    /// The first process of a name space (`SIGNAL_UNKILLABLE`): signals that it has no handler for do nothing to it, unless it makes a
    /// fault, or they are those that nobody handles and come from outside.
    pub(crate) unkillable: AtomicBool,
    pub(crate) links: SpinLock<Links>,
    pub(crate) signals: SpinLock<ProcessSignals>,
    /// Copy of the shared pending set, for cheap looks.
    pub(crate) shared_set: AtomicU64,
    pub(crate) actions: SpinLock<Arc<SigActions>>,
    /// Parents wait here for their children.
    pub(crate) child_exit: WaitQueue,
    /// Signal sent to the parent at exit (`SIGCHLD`, or what `clone` said).
    pub(crate) exit_signal: AtomicI32,
    /// The status `wait` shows once it is a zombie.
    pub(crate) exit_status: AtomicI32,
    /// All threads but the (zombie) leader are gone and nobody has waited yet.
    pub(crate) zombie: AtomicBool,
    /// Statistics of threads that have ended and of children waited for.
    pub(crate) usage: SpinLock<Usage>,
    /// Threads that its threads trace. Changes under `TREE`.
    pub(crate) ptraced: SpinLock<KVec<Arc<Task>>>,
    /// The number of the thread that made it.
    pub(crate) forker: AtomicU32,
    /// A thread of it is in `execve`, between looking who traces it and the new credentials: nobody begins to trace it. Changes under
    /// `TREE`.
    pub(crate) in_exec: AtomicBool,
    /// Has called execve since its fork (`setpgid` looks).
    pub(crate) did_exec: AtomicBool,
    /// `/proc` keeps names of it, to be dropped when it is released.
    pub(crate) shown: AtomicBool,
    /// Threads that have not ended.
    pub(crate) live_threads: AtomicU32,
    /// The auxiliary vector of its program.
    pub(crate) auxv: SpinLock<Option<Arc<KVec<u64>>>>,
    /// `personality(2)`.
    pub(crate) personality: AtomicU32,
    /// `prctl(PR_GET_DUMPABLE)`: 0 not, 1 as usual, 2 by root alone; a change of identity makes it `fs.suid_dumpable`.
    pub(crate) dumpable: AtomicU8,
    /// `/proc/PID/coredump_filter`.
    pub(crate) coredump_filter: AtomicU32,
    /// `prctl(PR_SET_CHILD_SUBREAPER)`.
    pub(crate) subreaper: AtomicBool,
    /// `/proc/PID/oom_score_adj`, and the least that it may be set to without privilege.
    pub(crate) oom_score_adj: AtomicI32,
    pub(crate) oom_score_adj_min: AtomicI32,
    /// The OOM killer chose it.
    pub(crate) oom_victim: AtomicBool,
    /// Those who poll a pidfd wait here; made with the first one.
    pub(crate) pidfd_wait: SetOnce<Arc<WaitQueue>>,
    /// Those who read its signals from a signalfd wait here; made at first use.
    pub(crate) signalfd_wait: SetOnce<Arc<WaitQueue>>,
    /// Looks at its CPU time; made when it first has a limit.
    pub(crate) cpu_watch: SetOnce<Arc<dyn crate::cpu_limit::CpuWatch>>,
}

/// `Thread::mce_kill`: it has a rule of its own for memory that fails.
pub(crate) const MCE_PROCESS: u32 = 1;
/// And that is to be killed at once.
pub(crate) const MCE_EARLY: u32 = 2;

/// Family and job control.
pub(crate) struct Links {
    pub(crate) parent: Option<Arc<Process>>,
    pub(crate) children: KVec<Arc<Process>>,
    pub(crate) group: Arc<ProcessGroup>,
    pub(crate) leader: Option<Arc<Task>>,
}

/// Signals and threads of a process.
pub(crate) struct ProcessSignals {
    pub(crate) shared: Pending,
    pub(crate) threads: KVec<Arc<Task>>,
    /// Threads that have ended and wait for their tracer, or are about to.
    pub(crate) zombie_threads: u32,
    /// The whole group is on its way out with this status.
    pub(crate) group_exit: Option<i32>,
    /// The core file that it writes on its way out, which `SIGKILL` ends.
    pub(crate) core: Option<Arc<crate::coredump::Core>>,
    /// A thread that execs waits for the others to go.
    pub(crate) exec_waiter: Option<Arc<Task>>,
    pub(crate) stop: Stop,
}

/// Job-control state.
#[derive(Default)]
pub(crate) struct Stop {
    /// Threads that have still to take part in a group stop.
    pub(crate) count: u32,
    /// The signal of the group stop; 0 once `wait` has reported it.
    pub(crate) code: u32,
    /// All threads have stopped.
    pub(crate) stopped: bool,
    /// Continued, and `wait` has not reported it.
    pub(crate) continued: bool,
    /// `CLD_CONTINUED` or `CLD_STOPPED` that the parent has still to be told of, else 0.
    pub(crate) report: u32,
}

/// What a tracer sees of a thread.
#[derive(Default)]
pub(crate) struct Trace {
    /// The tracing thread. Changes under `TREE`.
    pub(crate) tracer: Option<Arc<Task>>,
    /// The trap's or signal's cause, while in a trap.
    pub(crate) info: Option<crate::signal::SigInfo>,
    /// `PTRACE_GETEVENTMSG`.
    pub(crate) message: u64,
    /// The trap's code, for `wait`, 0 once it has reported it; then what the tracer let it go on with.
    pub(crate) code: i32,
    /// `PTRACE_SYSEMU`: system calls are only shown.
    pub(crate) sysemu: bool,
}

/// Resource use, in nanoseconds and counts.
#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    /// Ended threads' user time.
    pub utime: u64,
    /// Ended threads' system time.
    pub stime: u64,
    /// Children's user time.
    pub cutime: u64,
    /// Children's system time.
    pub cstime: u64,
    /// Largest resident set of the process so far, in KiB.
    pub maxrss: u64,
    /// Largest resident set of children waited for, in KiB.
    pub cmaxrss: u64,
    /// Voluntary switches of ended threads.
    pub nvcsw: u64,
    /// Involuntary switches of ended threads.
    pub nivcsw: u64,
    /// Children's voluntary switches.
    pub cnvcsw: u64,
    /// Children's involuntary switches.
    pub cnivcsw: u64,
    /// Minor and major faults of ended threads.
    pub minflt: u64,
    /// Major faults of ended threads.
    pub majflt: u64,
    /// What ended threads read and wrote.
    pub io: IoUse,
    /// Bytes that children read from devices.
    pub cread_bytes: u64,
    /// Bytes that children wrote to devices.
    pub cwrite_bytes: u64,
    /// Children's minor faults.
    pub cminflt: u64,
    /// Children's major faults.
    pub cmajflt: u64,
}

/// The thread data of a task; `None` for idle tasks.
#[inline(always)]
pub fn thread_of(task: &Task) -> Option<&Thread> {
    THREAD.get(task)
}

/// Runs `f` on the current thread; `None` in an idle task.
#[inline(always)]
pub fn with_thread<R>(f: impl FnOnce(&Thread) -> R) -> Option<R> {
    let task = current();
    THREAD.get(&task).map(f)
}

/// The current process; `None` in an idle task.
#[inline]
pub fn current_process() -> Option<Arc<Process>> {
    with_thread(|thread| thread.process.clone())
}

/// The process of a task.
pub fn process_of(task: &Task) -> Option<Arc<Process>> {
    THREAD.get(task).map(|thread| thread.process.clone())
}

impl Thread {
    /// Gives `task` its thread data, with the mask `blocked`.
    pub(crate) fn attach(task: &Task, process: Arc<Process>, nr: Arc<PidNr>, blocked: SigSet, now: u64) -> Result {
        task.set_tid(nr.get(), nr.name().own());
        pid_namespace::attach(task, nr.name().ns())?;
        let user = crate::nproc::of_user(cred::task_cred(task).map_or(0, |cred| cred.uid))?;
        let thread = Self {
            process,
            nr: SpinLock::new(Some(nr)),
            blocked: AtomicU64::new(blocked.0),
            saved_mask: AtomicU64::new(0),
            pending: SpinLock::new(Pending::new()),
            user: SpinLock::new(Some(user)),
            counted: SpinLock::new(None),
            nproc_exceeded: AtomicBool::new(false),
            pending_set: AtomicU64::new(0),
            waiting_for: AtomicU64::new(0),
            altstack: [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(u64::from(uapi::SS_DISABLE))],
            fault: [const { AtomicU64::new(0) }; 3],
            clear_child_tid: AtomicUsize::new(0),
            set_child_tid: AtomicUsize::new(0),
            iopl: AtomicU32::new(0),
            ioperm: SpinLock::new(None),
            rseq: AtomicUsize::new(0),
            rseq_sig: AtomicU32::new(0),
            exit_code: AtomicI32::new(0),
            parent_death_signal: AtomicU32::new(0),
            forking: AtomicBool::new(false),
            for_child: AtomicU64::new(0),
            vfork_done: SpinLock::new(None),
            kill: AtomicBool::new(false),
            no_new_privs: AtomicBool::new(false),
            mce_kill: AtomicU32::new(0),
            io_priority: AtomicU32::new(0),
            exiting: AtomicBool::new(false),
            ns: RcuArc::null(),
            left_namespaces: AtomicBool::new(false),
            ptrace: AtomicU32::new(0),
            jobctl: AtomicU32::new(0),
            trace: SpinLock::new(Trace::default()),
            zombie: AtomicBool::new(false),
            left_memory: AtomicBool::new(false),
            fault_counts: [const { AtomicU64::new(0) }; 2],
            start_time: AtomicU64::new(now),
        };
        THREAD.set(task, KBox::new(thread, GFP_KERNEL)?).map_err(|_| EBUSY)
    }

    /// The process this thread belongs to.
    #[inline(always)]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The thread's number object, which it has until it is gone.
    pub(crate) fn nr(&self) -> Option<Arc<PidNr>> {
        self.nr.lock().clone()
    }

    /// What it is called at all levels; `None` once it is gone.
    pub fn name(&self) -> Option<PidName> {
        self.nr().map(|nr| nr.name().clone())
    }

    /// The thread is in no table any more: its number is free, unless a group or a session is named by it, however long somebody still
    /// has the thread. Who has waited for it may make another one with that number (`clone3`'s `set_tid`).
    pub(crate) fn give_back_number(&self) {
        let nr = self.nr.lock().take();
        drop(nr);
    }

    /// Takes the place of the leader `old`, which has ended: its number (which would else be given to somebody else) and its age.
    /// Under `TREE`.
    pub(crate) fn replace_leader(&self, old: &Thread) {
        let own = self.nr();
        let number = core::mem::replace(&mut *old.nr.lock(), own);
        let own = core::mem::replace(&mut *self.nr.lock(), number);
        drop(own);
        self.start_time.store(old.start_time(), Ordering::Relaxed);
    }

    /// The blocked signals.
    #[inline(always)]
    pub fn blocked(&self) -> SigSet {
        SigSet(self.blocked.load(Ordering::Relaxed))
    }

    /// Minor and major faults so far.
    pub fn faults(&self) -> (u64, u64) {
        let [minor, major] = &self.fault_counts;
        (minor.load(Ordering::Relaxed), major.load(Ordering::Relaxed))
    }

    /// Counts one of this thread's own faults.
    pub(crate) fn count_fault(&self, major: bool) {
        let [minor, major_count] = &self.fault_counts;
        let counter = if major { major_count } else { minor };
        // Only the thread itself writes, so a plain load and store do.
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The I/O priority that was set for it (`IOPRIO_PRIO_VALUE`), 0 if none.
    pub fn io_priority(&self) -> u32 {
        self.io_priority.load(Ordering::Relaxed)
    }

    /// Sets the I/O priority; the caller has checked it.
    pub fn set_io_priority(&self, priority: u32) {
        self.io_priority.store(priority, Ordering::Relaxed);
    }

    /// Whether the thread is inside exit.
    pub fn is_exiting(&self) -> bool {
        self.exiting.load(Ordering::Relaxed)
    }

    /// Whether it has let go of its futexes for the last time.
    pub fn has_left_memory(&self) -> bool {
        self.left_memory.load(Ordering::SeqCst)
    }

    /// Whether it is in no name space any more.
    pub(crate) fn has_left_namespaces(&self) -> bool {
        self.left_namespaces.load(Ordering::Acquire)
    }

    /// Leaves the name spaces for good. Who found none in its place looks at the mark after that.
    pub(crate) fn leave_namespaces(&self) {
        self.left_namespaces.store(true, Ordering::Release);
        self.ns.replace(None);
    }

    /// Whether somebody traces it.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.ptrace.load(Ordering::Relaxed) != 0
    }

    /// The tracing thread.
    pub fn tracer(&self) -> Option<Arc<Task>> {
        self.trace.lock_irqsave().tracer.clone()
    }

    /// Boot time at creation, in nanoseconds.
    pub fn start_time(&self) -> u64 {
        self.start_time.load(Ordering::Relaxed)
    }
}

impl Process {
    /// A new process with no thread yet.
    pub(crate) fn new(
        name: PidName,
        parent: Option<Arc<Process>>,
        group: Arc<ProcessGroup>,
        actions: Arc<SigActions>,
        exit_signal: i32,
    ) -> Result<Arc<Self>> {
        let process = Self {
            own_pid: name.own(),
            parent_pid: AtomicU32::new(parent.as_ref().map_or(0, |p| p.pid())),
            parent_own_pid: AtomicU32::new(parent.as_ref().map_or(0, |p| p.name.seen_by(&name))),
            unkillable: AtomicBool::new(name.first() == 1),
            name,
            links: SpinLock::new(Links { parent, children: KVec::new(), group, leader: None }),
            signals: SpinLock::new(ProcessSignals {
                shared: Pending::new(),
                threads: KVec::new(),
                zombie_threads: 0,
                group_exit: None,
                core: None,
                exec_waiter: None,
                stop: Stop::default(),
            }),
            shared_set: AtomicU64::new(0),
            actions: SpinLock::new(actions),
            child_exit: WaitQueue::new(),
            exit_signal: AtomicI32::new(exit_signal),
            exit_status: AtomicI32::new(0),
            zombie: AtomicBool::new(false),
            usage: SpinLock::new(Usage::default()),
            ptraced: SpinLock::new(KVec::new()),
            forker: AtomicU32::new(0),
            in_exec: AtomicBool::new(false),
            did_exec: AtomicBool::new(false),
            shown: AtomicBool::new(false),
            live_threads: AtomicU32::new(0),
            auxv: SpinLock::new(None),
            personality: AtomicU32::new(0),
            dumpable: AtomicU8::new(1),
            coredump_filter: AtomicU32::new(crate::coredump::DEFAULT_FILTER),
            subreaper: AtomicBool::new(false),
            oom_score_adj: AtomicI32::new(0),
            oom_score_adj_min: AtomicI32::new(0),
            oom_victim: AtomicBool::new(false),
            pidfd_wait: SetOnce::new(),
            signalfd_wait: SetOnce::new(),
            cpu_watch: SetOnce::new(),
        };
        Ok(Arc::new(process, GFP_KERNEL)?)
    }

    /// The process id (thread group id) in the first name space, by which the kernel names the process.
    #[inline(always)]
    pub fn pid(&self) -> u32 {
        self.name.first()
    }

    /// The parent, if any (init and kernel threads' parent have none).
    pub fn parent(&self) -> Option<Arc<Process>> {
        self.links.lock().parent.clone()
    }

    /// The parent's id in the first name space, 0 if none.
    pub fn parent_pid(&self) -> u32 {
        self.parent_pid.load(Ordering::Relaxed)
    }

    /// Gives the process another parent. Under `TREE`.
    pub(crate) fn set_parent(&self, parent: Option<Arc<Process>>) {
        self.parent_pid.store(parent.as_ref().map_or(0, |p| p.pid()), Ordering::Relaxed);
        self.parent_own_pid.store(parent.as_ref().map_or(0, |p| p.number_for(self)), Ordering::Relaxed);
        let old = core::mem::replace(&mut self.links.lock().parent, parent);
        drop(old);
    }

    /// The process group.
    pub fn group(&self) -> Arc<ProcessGroup> {
        self.links.lock().group.clone()
    }

    /// The session.
    pub fn session(&self) -> Arc<Session> {
        self.links.lock().group.session().clone()
    }

    /// Whether this process leads its session.
    pub fn is_session_leader(&self) -> bool {
        self.links.lock().group.session().id() == self.pid()
    }

    /// The thread whose id is the process id, running or zombie.
    pub fn leader(&self) -> Option<Arc<Task>> {
        self.links.lock().leader.clone()
    }

    /// Threads at this moment.
    pub fn threads(&self) -> Result<KVec<Arc<Task>>> {
        let signals = self.signals.lock_irqsave();
        Ok(signals.threads.try_clone(kalloc::flags::GFP_ATOMIC)?)
    }

    /// Any of its threads that has not ended.
    pub fn any_thread(&self) -> Option<Arc<Task>> {
        self.signals.lock_irqsave().threads.first().cloned()
    }

    /// Goes through the threads that have not ended, and what the others have used, at one moment: no thread is in both or in
    /// neither. `f` runs with interrupts off and the process's `signals` held; it may take run queue locks.
    pub fn fold_threads<R>(&self, start: impl FnOnce(&Usage) -> R, mut f: impl FnMut(R, &Task) -> R) -> R {
        let signals = self.signals.lock_irqsave();
        let sum = start(&self.usage.lock_irqsave());
        signals.threads.iter().fold(sum, |sum, task| f(sum, task))
    }

    /// Number of threads that have not ended.
    pub fn thread_count(&self) -> u32 {
        self.live_threads.load(Ordering::Relaxed)
    }

    /// Whether it has ended and waits to be waited for.
    pub fn is_zombie(&self) -> bool {
        self.zombie.load(Ordering::Acquire)
    }

    /// Whether all its threads are stopped by job control.
    pub fn is_stopped(&self) -> bool {
        self.signals.lock_irqsave().stop.stopped
    }

    /// Whether the whole group is on its way out, and leaves no core file behind.
    pub(crate) fn ends_without_core(&self) -> bool {
        let signals = self.signals.lock_irqsave();
        signals.group_exit.is_some() && signals.core.is_none()
    }

    /// Whether the whole group is on its way out.
    pub fn is_exiting(&self) -> bool {
        self.signals.lock_irqsave().group_exit.is_some()
    }

    /// Resource use of ended threads and waited-for children.
    pub fn usage(&self) -> Usage {
        *self.usage.lock_irqsave()
    }
}
