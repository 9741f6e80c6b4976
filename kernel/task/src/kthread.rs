// SPDX-License-Identifier: GPL-2.0
//! Kernel threads.

use crate::hooks::{LIFECYCLE, SCHEDULER};
use crate::state::State;
use crate::switch::prepare_stack;
use crate::{Task, current};
use errno::Result;
use errno::code::EAGAIN;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use x86_cpu::regs::PtRegs;

/// Makes a kernel thread that will run `f` and end. It does not run before `wake_up_new` (see [`kthread_run`]), so the caller
/// may bind it to a CPU first. `EAGAIN` if there are too many tasks. May sleep.
pub fn kthread_create(name: &[u8], f: impl FnOnce() + Send + 'static) -> Result<Arc<Task>> {
    create(name, f, false)
}

/// As [`kthread_create`], however many tasks there are: for one without which what others wait for would not be done.
pub fn kthread_create_vital(name: &[u8], f: impl FnOnce() + Send + 'static) -> Result<Arc<Task>> {
    create(name, f, true)
}

fn create(name: &[u8], f: impl FnOnce() + Send + 'static, vital: bool) -> Result<Arc<Task>> {
    // Unsized values cannot be called by value: the box holds a closure that gives its content away at the first call.
    let mut once = Some(f);
    let call = move || {
        if let Some(f) = once.take() {
            f();
        }
    };
    let entry: KBox<dyn FnMut() + Send> = KBox::new(call, GFP_KERNEL)?;
    let task = Task::alloc(name, Some(entry), true)?;
    prepare_stack(&task, &PtRegs::default());
    SCHEDULER.get().ok_or(EAGAIN)?.fork(&task, &current())?;
    if let Some(lifecycle) = LIFECYCLE.get() {
        lifecycle.kthread_created(&task, vital)?;
    }
    Ok(task)
}

/// Makes and starts a kernel thread.
pub fn kthread_run(name: &[u8], f: impl FnOnce() + Send + 'static) -> Result<Arc<Task>> {
    let task = kthread_create(name, f)?;
    wake_up_new(task.clone());
    Ok(task)
}

/// Starts a new task. From here on it keeps itself alive until it has ended: a sleeping task may be known to nobody but a
/// timer or an interrupt.
pub fn wake_up_new(task: Arc<Task>) {
    // Given back by the switch away from the ended task.
    core::mem::forget(task.clone());
    if let Some(scheduler) = SCHEDULER.get() {
        scheduler.wake_up_new(task);
    }
}

/// Ends the current task.
pub fn exit(code: i32) -> ! {
    if let Some(lifecycle) = LIFECYCLE.get() {
        lifecycle.exit(code);
    }
    exit_switch()
}

/// [`exit`] for a task that cannot go on where it is (an oops): whatever its stack holds is abandoned, whether or not preemption or
/// interrupts are off.
pub fn exit_abandoned(code: i32) -> ! {
    // SAFETY: The guards that the count stands for are never used again: this does not return.
    unsafe { x86_cpu::preempt::preempt_count_set(0) };
    x86_cpu::irqflags::local_irq_enable();
    exit(code)
}

/// The very last act of a task that has given up everything: leaves the CPU for good.
///
/// Interrupts stay off from here on: a dead task that was preempted before its last switch would be switched away from twice, and
/// `finish_switch` would give up its reference to itself twice.
pub fn exit_switch() -> ! {
    x86_cpu::irqflags::local_irq_disable();
    loop {
        current().set_state(State::DEAD);
        crate::schedule();
    }
}
