// SPDX-License-Identifier: GPL-2.0
//! The task that runs on this CPU.

use crate::Task;
use core::marker::PhantomData;
use core::ops::Deref;
use core::sync::atomic::{AtomicPtr, Ordering};
use x86_cpu::regs::PtRegs;

x86_cpu::percpu! {
    /// This CPU's current task: an `Arc` made raw, null only before the scheduler starts on this CPU. Entry code reads it.
    pub static CURRENT: AtomicPtr<Task> = AtomicPtr::new(core::ptr::null_mut());
}

/// The running task, borrowed: it cannot end while it runs this very code. Not to be sent to another thread or kept beyond the
/// function (the borrow of the deref sees to that); `to_arc` makes a reference that lasts.
#[derive(Clone, Copy)]
pub struct CurrentTask {
    task: *const Task,
    not_send: PhantomData<*mut ()>,
}

impl Deref for CurrentTask {
    type Target = Task;
    #[inline(always)]
    fn deref(&self) -> &Task {
        // SAFETY: `task` was this CPU's current task when this thread read it, so it is this thread's own task, and it is alive
        // as long as the thread runs.
        unsafe { &*self.task }
    }
}

/// The current task. Before the first task exists there is none: use [`try_current`] in code that runs that early.
#[inline(always)]
pub fn current() -> CurrentTask {
    CurrentTask { task: read_current(), not_send: PhantomData }
}

/// The current task, or `None` early in boot.
#[inline(always)]
pub fn try_current() -> Option<CurrentTask> {
    let task = read_current();
    (!task.is_null()).then_some(CurrentTask { task, not_send: PhantomData })
}

#[inline(always)]
fn read_current() -> *const Task {
    let task: *const Task;
    // SAFETY: GS base is this CPU's offset. One instruction, so a migration cannot come in between; the answer is the same on
    // every CPU this thread may run on, hence `pure`.
    unsafe {
        core::arch::asm!("mov {}, gs:[rip + {}]", out(reg) task, sym CURRENT, options(pure, readonly, nostack, preserves_flags));
    }
    task
}

pub(crate) fn replace_current(task: *const Task) {
    CURRENT.this_racy().store(task.cast_mut(), Ordering::Relaxed);
}

impl CurrentTask {
    /// The register frame with which this task entered the kernel from user mode. What upper crates write there is loaded by
    /// the return to user mode, which sanitises selectors and flags.
    ///
    /// Meaningless (but harmless) for a kernel thread that never was in user mode.
    pub fn with_user_regs<R>(&self, f: impl FnOnce(&mut PtRegs) -> R) -> R {
        let frame = (self.stack_top() - size_of::<PtRegs>()) as *mut PtRegs;
        // SAFETY: The top of the kernel stack is reserved for this frame (entry code pushes it there, and task creation leaves
        // room for it); only this thread touches it. Entry code's own reference is not used while a handler runs.
        f(unsafe { &mut *frame })
    }
}
