// SPDX-License-Identifier: GPL-2.0
//! A task's state and its work flags, with Linux's meanings and (for the state) its bit values.

/// Why a task does not run; a bit set, so that a wake-up can name several. Values as Linux's `TASK_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State(pub u32);

impl State {
    /// Runs or wants to.
    pub const RUNNING: Self = Self(0);
    /// Sleeps; signals wake it.
    pub const INTERRUPTIBLE: Self = Self(1);
    /// Sleeps; only what it waits for wakes it.
    pub const UNINTERRUPTIBLE: Self = Self(2);
    /// Stopped by a job-control signal.
    pub const STOPPED: Self = Self(4);
    /// Stopped by a tracer.
    pub const TRACED: Self = Self(8);
    /// Has exited; the last switch away frees it.
    pub const DEAD: Self = Self(0x80);
    /// With `UNINTERRUPTIBLE`: fatal signals wake it.
    pub const WAKEKILL: Self = Self(0x100);
    /// With `UNINTERRUPTIBLE`: does not count in the load average.
    pub const NOLOAD: Self = Self(0x400);
    /// Rests until the freezer lets it go on: no signal wakes it.
    pub const FROZEN: Self = Self(0x8000);
    /// A kernel thread that waits for something to do.
    pub const IDLE: Self = Self(0x402);
    /// Not yet started.
    pub const NEW: Self = Self(0x800);
    /// Sleeps, only fatal signals wake it.
    pub const KILLABLE: Self = Self(0x102);
    /// What an ordinary wake-up wakes.
    pub const NORMAL: Self = Self(3);

    /// Whether the two have a bit in common.
    #[inline]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Work flags of a task (`TIF_*`): any set bit sends a return to user mode through the slow path.
pub struct TaskFlags;

impl TaskFlags {
    /// The scheduler should run.
    pub const NEED_RESCHED: u32 = 1 << 0;
    /// A signal may be pending.
    pub const SIGPENDING: u32 = 1 << 1;
    /// A callback wants to run before the return to user mode.
    pub const NOTIFY_RESUME: u32 = 1 << 2;
    /// The floating-point registers hold somebody else's state: load this task's before user mode.
    pub const NEED_FPU_LOAD: u32 = 1 << 3;
    /// The system call must restore the saved signal mask if no handler ran.
    pub const RESTORE_SIGMASK: u32 = 1 << 4;
    /// System calls are traced (ptrace, seccomp, audit): the entry's slow path.
    pub const SYSCALL_TRACE: u32 = 1 << 5;
    /// The task is inside reclaim or the OOM killer: its own allocations take the reserves and go no deeper (`PF_MEMALLOC`).
    pub const MEMALLOC: u32 = 1 << 6;
    /// The task was switched out, or a barrier asks for it, and its restartable sequence is to be looked at.
    pub const RSEQ: u32 = 1 << 7;
    /// A tracer steps the task: a system call ends with a trap.
    pub const SINGLESTEP: u32 = 1 << 8;
    /// The trap flag in its registers is the tracer's, not the program's.
    pub const FORCED_TF: u32 = 1 << 9;
    /// The task keeps block requests back, which go before it sleeps. Never set in user mode.
    pub const PLUGGED: u32 = 1 << 10;
    /// Others left something for the task to do before it goes to user mode (`task::hooks::TASK_WORK`).
    pub const TASK_WORK: u32 = 1 << 11;
    /// Its uninterruptible sleeps wait for a device (`task::IoWait`). Never set in user mode.
    pub const IN_IOWAIT: u32 = 1 << 12;
    /// It drops files that nobody received from a socket. Never set in user mode.
    pub const DROPS_FILES: u32 = 1 << 13;
    /// Code or stack segment in its frame are perhaps not the usual ones: it goes back to user mode by IRET.
    pub const IRET: u32 = 1 << 14;
    /// It sleeps where it would come to rest at once if it were woken: as good as frozen. Never set in user mode.
    pub const FREEZER_SKIP: u32 = 1 << 15;
    /// A kernel thread that the freezer brings to rest.
    pub const FREEZABLE: u32 = 1 << 16;
    /// It puts the machine to sleep, and goes on itself. Never set in user mode.
    pub const SUSPENDS: u32 = 1 << 17;
}
