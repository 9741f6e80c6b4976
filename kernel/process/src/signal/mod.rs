// SPDX-License-Identifier: GPL-2.0
//! Signals: sets, queues, dispositions, sending, delivery, frames on the user stack, system calls. Source: `signal(7)`,
//! `sigaction(2)`, `rt_sigqueueinfo(2)`.
//!
//! | file | what |
//! |---|---|
//! | `info` | `SigInfo`: who sent it and why, in the ABI's layout |
//! | `pending` | queues of pending signals |
//! | `quota` | how many may be queued |
//! | `action` | dispositions |
//! | `send` | from a sender to a queue and a wake-up |
//! | `deliver` | from a queue to a handler, a stop or an end, on the way back to user mode |
//! | `frame` | the frame a handler runs on, and the way back from it |
//! | `stop` | job-control stops |
//! | `sigio` | signals to the owners of open files |
//! | `signalfd` | signals read from a file |
//! | `syscalls` | `rt_sig*`, `kill` and their kin |

pub mod action;
pub(crate) mod deliver;
pub mod frame;
pub mod info;
mod pending;
pub mod quota;
pub mod send;
pub(crate) mod sigio;
pub mod signalfd;
pub(crate) mod stop;
pub mod syscalls;

pub use action::{SigAction, SigActions};
pub use info::SigInfo;
pub(crate) use pending::Pending;
pub use send::{interrupt_to_freeze, kill_group, kill_process, kill_thread, send_to_process, send_to_thread};

/// Number of signals; they are numbered from 1.
pub const NSIG: u32 = 64;

/// Fatal, cannot be caught.
pub const SIGKILL: u32 = uapi::SIGKILL;
/// Stops, cannot be caught.
pub const SIGSTOP: u32 = uapi::SIGSTOP;

/// A set of signals: bit `n - 1` is signal `n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Signals that cannot be blocked, caught or ignored.
    pub const UNMASKABLE: Self = Self::of(SIGKILL).or(Self::of(SIGSTOP));
    /// Signals whose default action is to stop.
    pub const STOPS: Self =
        Self::of(SIGSTOP).or(Self::of(uapi::SIGTSTP)).or(Self::of(uapi::SIGTTIN)).or(Self::of(uapi::SIGTTOU));
    /// Signals whose default action is to be ignored.
    pub const IGNORED: Self =
        Self::of(uapi::SIGCONT).or(Self::of(uapi::SIGCHLD)).or(Self::of(uapi::SIGWINCH)).or(Self::of(uapi::SIGURG));
    /// Signals whose default action dumps core.
    pub const CORE: Self = Self::of(uapi::SIGQUIT)
        .or(Self::of(uapi::SIGILL))
        .or(Self::of(uapi::SIGTRAP))
        .or(Self::of(uapi::SIGABRT))
        .or(Self::of(uapi::SIGFPE))
        .or(Self::of(uapi::SIGSEGV))
        .or(Self::of(uapi::SIGBUS))
        .or(Self::of(uapi::SIGSYS))
        .or(Self::of(uapi::SIGXCPU))
        .or(Self::of(uapi::SIGXFSZ));
    /// Signals caused by the instruction a thread executes: delivered before others.
    pub const SYNCHRONOUS: Self = Self::of(uapi::SIGSEGV)
        .or(Self::of(uapi::SIGBUS))
        .or(Self::of(uapi::SIGILL))
        .or(Self::of(uapi::SIGTRAP))
        .or(Self::of(uapi::SIGFPE))
        .or(Self::of(uapi::SIGSYS));

    /// The set of one signal; empty for numbers that are none.
    pub const fn of(signal: u32) -> Self {
        match signal {
            1..=NSIG => Self(1 << (signal - 1)),
            _ => Self::EMPTY,
        }
    }

    /// Union.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Intersection.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Difference.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `signal` is in the set.
    pub const fn has(self, signal: u32) -> bool {
        self.0 & Self::of(signal).0 != 0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest signal in the set.
    pub const fn first(self) -> Option<u32> {
        match self.0 {
            0 => None,
            set => Some(set.trailing_zeros() + 1),
        }
    }
}

/// Whether `signal` is a signal number.
pub const fn valid(signal: u32) -> bool {
    signal >= 1 && signal <= NSIG
}

/// The address of a task's table of handlers, to compare (`kcmp`); `None` for an idle task.
pub fn actions_address(task: &task::Task) -> Option<usize> {
    let thread = crate::thread::thread_of(task)?;
    Some(kalloc::Arc::as_ptr(&*thread.process().actions.lock_irqsave()).addr())
}

/// Whether the current thread would not notice `signal`: it is blocked or ignored (the terminal asks before it stops a job).
pub fn is_ignored_by_current(signal: u32) -> bool {
    crate::thread::with_thread(|thread| {
        if thread.blocked().has(signal) {
            return true;
        }
        let actions = thread.process().actions.lock_irqsave();
        actions.get(signal).handler == action::SIG_IGN
    })
    .unwrap_or(true)
}
