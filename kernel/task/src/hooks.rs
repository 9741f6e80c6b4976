// SPDX-License-Identifier: GPL-2.0
//! What is decided above: the scheduler, memory faults, signals, timers. Each is registered once at boot.

use crate::{State, Task};
use hook::Hook;
use kalloc::Arc;
use x86_cpu::regs::PtRegs;

/// The scheduler (`kernel/sched`).
pub trait Scheduler: Sync {
    /// Gives the CPU away: if the current task's state is not `RUNNING` it leaves the run queue. Called with interrupts on or
    /// off (restored on return), preemption enabled but for the caller's own stack of irq-off.
    fn schedule(&self);
    /// Wakes `task` if its state is among `mask`. Any context.
    fn try_to_wake_up(&self, task: &Task, mask: State) -> bool;
    /// Starts a task made by [`Task::new_user`] or `kthread_create`: its first wake-up.
    fn wake_up_new(&self, task: Arc<Task>);
    /// A task was created (before it runs): give it its scheduling data, inheriting from `parent`.
    fn fork(&self, task: &Task, parent: &Task) -> errno::Result;
}

/// What a task does before it sleeps.
pub trait BeforeSleep: Sync {
    /// The current task, which has `TaskFlags::PLUGGED`, is about to sleep (its state may say so already), or its plug is pulled. Must
    /// not sleep.
    fn before_sleep(&self);
}

/// The block layer's plugs (`block`).
pub static BEFORE_SLEEP: Hook<dyn BeforeSleep> = Hook::new();

/// What others left for a task to do.
pub trait TaskWork: Sync {
    /// The current task, which had `TaskFlags::TASK_WORK`, is on its way to user mode. May sleep.
    fn run(&self);
}

/// Requests of io_uring (`io_uring`).
pub static TASK_WORK: Hook<dyn TaskWork> = Hook::new();

/// The scheduler.
pub static SCHEDULER: Hook<dyn Scheduler> = Hook::new();

/// Work before a return to user mode.
pub trait UserExit: Sync {
    /// Called with interrupts on while any work flag is set. Delivers signals, reschedules, runs callbacks; clears what it
    /// handled. `syscall`: the return is from a system call (restart rules apply).
    fn exit_to_user(&self, regs: &mut PtRegs, flags: u32, syscall: bool);
    /// Before a system call of a task with `SYSCALL_TRACE`, interrupts on: the number to call, `None` for none (`rax` is the
    /// result as it is). May sleep.
    fn syscall_enter(&self) -> Option<u32>;
    /// After a system call of a task with `SYSCALL_TRACE` or `SINGLESTEP`, interrupts on. May sleep.
    fn syscall_exit(&self);
}

/// The handler of work flags (`kernel/process`).
pub static USER_EXIT: Hook<dyn UserExit> = Hook::new();

/// Page faults on user addresses.
pub trait FaultHandler: Sync {
    /// A fault from user mode, interrupts on. Resolves it or queues the signal itself.
    fn user_fault(&self, address: usize, error_code: u64, regs: &mut PtRegs);
    /// A fault of the kernel on a user address inside a user-access section (interrupts as at the fault; may sleep only if
    /// they were on and preemption is enabled). True if resolved; false sends the access to its fixup (`EFAULT`).
    fn kernel_fault(&self, address: usize, error_code: u64) -> bool;
}

/// The fault handler (registered by `kernel/process`, works on `mm`).
pub static FAULT: Hook<dyn FaultHandler> = Hook::new();

/// Exceptions from user mode other than page faults.
pub trait TrapHandler: Sync {
    /// Vector `vector` (0 = #DE, 1 = #DB, 3 = #BP, 6 = #UD, 13 = #GP, ...) with its error code (#DB: what DR6 said, bits set that
    /// happened); turns into a signal.
    fn user_trap(&self, vector: u8, error_code: u64, regs: &mut PtRegs);
}

/// The trap handler (`kernel/process`).
pub static TRAP: Hook<dyn TrapHandler> = Hook::new();

/// Life-cycle events that level 1 itself causes.
pub trait Lifecycle: Sync {
    /// A kernel thread was created; give it an id, credentials and so on, before it runs. `vital`: no limit holds for it.
    fn kthread_created(&self, task: &Arc<Task>, vital: bool) -> errno::Result;
    /// The current task ends with `code` (kernel thread's function returned, or an oops killed it). Must not return.
    fn exit(&self, code: i32) -> !;
}

/// The process life cycle (`kernel/process`).
pub static LIFECYCLE: Hook<dyn Lifecycle> = Hook::new();

/// Sleeping with a time limit.
pub trait SleepTimer: Sync {
    /// `schedule()` with a wake-up at `deadline_ns` (monotonic clock). The caller has set its state. True when the deadline
    /// passed.
    fn schedule_until(&self, deadline_ns: u64) -> bool;
    /// Sleeps for `ns`, whatever signals come. May sleep.
    fn sleep(&self, ns: u64);
}

/// The timers (`kernel/time`).
pub static SLEEP_TIMER: Hook<dyn SleepTimer> = Hook::new();

/// Reports of the debug checks.
pub trait DebugReport: Sync {
    /// Prints the stack of the caller.
    fn dump_stack(&self);
}

/// The stack printer (`arch/x86/kernel`).
pub static DEBUG_REPORT: Hook<dyn DebugReport> = Hook::new();

/// Questions that sleeping locks ask about signals.
pub trait Signals: Sync {
    /// Whether a signal that will kill `task` is pending.
    fn fatal_pending(&self, task: &Task) -> bool;
}

/// The signal code (`kernel/process`).
pub static SIGNALS: Hook<dyn Signals> = Hook::new();
