// SPDX-License-Identifier: GPL-2.0
//! Tasks: `kernel::task`, over `kernel/task`.
//!
//! ```
//! let task = current!();
//! pr_info!("process {}, thread {}\n", task.tgid(), task.pid());
//! assert!(!task.signal_pending());
//! ```

pub use kernel_base::kuid::Kuid;

use crate::ffi::{c_int, c_long, c_uint};
use crate::pid_namespace::PidNamespace;
use crate::sync::aref::{ARef, AlwaysRefCounted};
use crate::types::NotThreadSafe;
use core::ops::Deref;
use core::ptr::NonNull;
use kalloc::Arc;

/// No limit.
pub const MAX_SCHEDULE_TIMEOUT: c_long = c_long::MAX;
/// A sleep that a signal ends.
pub const TASK_INTERRUPTIBLE: c_int = 1;
/// A sleep that nothing but its reason ends.
pub const TASK_UNINTERRUPTIBLE: c_int = 2;
/// Both.
pub const TASK_NORMAL: c_uint = 3;
/// With one of these: a system that suspends need not wake the task. This kernel does not suspend.
pub const TASK_FREEZABLE: c_int = 0x2000;

/// The current task.
#[macro_export]
macro_rules! current {
    () => {
        &*$crate::task::__current()
    };
}

/// A task.
///
/// # Invariants
/// The value inside lives in an `Arc`.
#[repr(transparent)]
pub struct Task(::task::Task);

/// The task that runs this code.
#[repr(transparent)]
pub struct CurrentTask(Task, NotThreadSafe);

/// A process's number.
pub type Pid = i32;

impl CurrentTask {
    /// The name space in which processes that it makes get their numbers.
    pub fn active_pid_ns(&self) -> Option<&PidNamespace> {
        PidNamespace::of(&self.0.0)
    }

    /// The first thread of its process, whose number is the process's; the task itself, if it is one of the kernel.
    pub fn group_leader(&self) -> &Task {
        let leader = ::process::process_of(&self.0.0).and_then(|process| process.leader());
        match leader {
            // SAFETY: The process has a leader for as long as it has a thread, which this task is. Only a thread that executes another
            // program takes the leader's place, when it is the last one: it does not run what has borrowed `self` then. The wrapper has
            // the same layout.
            Some(leader) => unsafe { &*Arc::as_ptr(&leader).cast::<Task>() },
            None => self,
        }
    }
}

impl Deref for CurrentTask {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.0
    }
}

struct Borrowed(*const CurrentTask);

impl Deref for Borrowed {
    type Target = CurrentTask;

    fn deref(&self) -> &CurrentTask {
        // SAFETY: A task lives as long as it runs, and this value, which has a raw pointer, does not leave its thread.
        unsafe { &*self.0 }
    }
}

/// What `current!` expands to. The value cannot leave its thread.
#[doc(hidden)]
pub fn __current() -> impl Deref<Target = CurrentTask> {
    Borrowed(core::ptr::from_ref::<::task::Task>(&::task::current()).cast())
}

impl Task {
    /// The task that runs this code. Use `current!`.
    ///
    /// # Safety
    /// What it gives does not leave this task.
    pub unsafe fn current() -> impl Deref<Target = CurrentTask> {
        __current()
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        self.0.tid().cast_signed()
    }

    /// The number of its process.
    pub fn tgid(&self) -> Pid {
        match ::process::process_of(&self.0) {
            Some(process) => process.pid().cast_signed(),
            // Each thread of the kernel is a process.
            None if self.0.is_kthread() => self.pid(),
            None => 0,
        }
    }

    /// The name space in which it has its number; `None` if it is gone.
    pub fn get_pid_ns(&self) -> Option<ARef<PidNamespace>> {
        PidNamespace::of(&self.0).map(ARef::from)
    }

    /// The number of its process in `pidns`, or in the name space of the current task; 0 if it has none there.
    pub fn tgid_nr_ns(&self, pidns: Option<&PidNamespace>) -> Pid {
        if PidNamespace::of(&self.0).is_none() {
            return 0;
        }
        let ns = pidns.map_or_else(::pid_namespace::here, PidNamespace::as_ns);
        match ::process::process_of(&self.0) {
            Some(process) => process.name().number_in(&ns).cast_signed(),
            None if ns.is_first() => self.tgid(),
            None => 0,
        }
    }

    /// Its user.
    pub fn uid(&self) -> Kuid {
        Kuid::from_raw(::cred::task_cred(&self.0).map_or(u32::MAX, |cred| cred.uid))
    }

    /// Whether a signal waits for it.
    pub fn signal_pending(&self) -> bool {
        self.0.signal_pending()
    }

    /// Wakes it, if it sleeps.
    pub fn wake_up(&self) {
        self.0.wake(::task::State::NORMAL);
    }
}

// SAFETY: By the type invariant the value lives in an `Arc`, whose count these change.
unsafe impl AlwaysRefCounted for Task {
    fn inc_ref(&self) {
        core::mem::forget(self.0.to_arc());
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference that was counted.
        drop(unsafe { Arc::from_raw(obj.as_ptr().cast::<::task::Task>()) });
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for Task {}

/// Says that the caller may sleep here; the debug configuration complains where that is not allowed.
#[track_caller]
pub fn might_sleep() {
    ::task::might_sleep();
}
