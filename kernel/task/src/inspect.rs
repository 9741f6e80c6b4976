// SPDX-License-Identifier: GPL-2.0
//! The registers of another task, while it does not run: for `ptrace(2)` and core dumps.
//!
//! Who looks claims `on_cpu` as a CPU that switches to the task does, so that neither can do so while the other has it.

use crate::context::Context;
use crate::debug_regs::DebugRegs;
use crate::state::{State, TaskFlags};
use crate::switch::Segments;
use crate::{Task, current};
use core::sync::atomic::Ordering;
use x86_cpu::asm::cpu_relax;
use x86_cpu::regs::PtRegs;
use x86_cpu::segments::Selectors;
use x86_fpu::FpuState;

/// A task that cannot run at the moment.
pub struct Inspected<'a> {
    task: &'a Task,
    context: &'a mut Context,
    regs: &'a mut PtRegs,
}

impl Inspected<'_> {
    /// The frame with which it entered the kernel from user mode; the return to user mode loads it and makes it harmless.
    pub fn regs(&mut self) -> &mut PtRegs {
        self.regs
    }

    /// Its floating-point state; `None` for kernel threads.
    pub fn fpu(&mut self) -> Option<&mut FpuState> {
        self.context.fpu.as_mut()
    }

    /// Segment selectors and bases.
    pub fn segments(&self) -> Segments {
        let Context { fs_base, gs_base, selectors, .. } = *self.context;
        Segments { fs_base, gs_base, selectors }
    }

    /// Changes the selectors of DS, ES, FS and GS. One that cannot be loaded becomes 0 when the task runs.
    pub fn set_selectors(&mut self, selectors: Selectors) {
        self.context.selectors = selectors;
    }

    /// Changes the code segment. If the program cannot have it, it gets the signal of that fault.
    pub fn set_cs(&mut self, selector: u16) {
        self.regs.cs = u64::from(selector);
        self.task.set_flags(TaskFlags::IRET);
    }

    /// Changes the stack segment, likewise.
    pub fn set_ss(&mut self, selector: u16) {
        self.regs.ss = u64::from(selector);
        self.task.set_flags(TaskFlags::IRET);
    }

    /// Changes the FS base. False if it is not canonical.
    pub fn set_fs_base(&mut self, base: u64) -> bool {
        let good = crate::switch::canonical(base);
        if good {
            self.context.fs_base = base;
        }
        good
    }

    /// Changes the GS base. False if it is not canonical.
    pub fn set_gs_base(&mut self, base: u64) -> bool {
        let good = crate::switch::canonical(base);
        if good {
            self.context.gs_base = base;
        }
        good
    }

    /// Calls `f` with each return address on its kernel stack, from where it was switched out up, by frame pointers, until `f` says
    /// no. What it reads is inside that stack, so a wild frame pointer ends the trace and nothing else.
    pub fn stack_trace(&self, mut f: impl FnMut(usize) -> bool) {
        let top = self.task.stack_top();
        let read = |address: usize| {
            let inside = address >= self.context.sp && address.checked_add(8).is_some_and(|end| end <= top);
            // SAFETY: Between the saved stack pointer and the top of the stack of a task that we hold: mapped, and not written to,
            // since no CPU runs the task meanwhile (type invariant of `Inspected`).
            (inside && address.is_multiple_of(8)).then(|| unsafe { (address as *const usize).read() })
        };
        // As `switch_stack` and `prepare_stack` leave it: six registers, RBP last but one above the return address.
        let (saved_rbp, mut ret) = (self.context.sp.wrapping_add(40), read(self.context.sp.wrapping_add(48)));
        let mut frame = read(saved_rbp);
        while let Some(address) = ret {
            if !f(address) {
                return;
            }
            let Some(at) = frame else { return };
            ret = read(at.wrapping_add(8));
            // Callers lie above.
            frame = read(at).filter(|&next| next > at);
        }
    }

    /// Its hardware breakpoints.
    pub fn debug_regs(&self) -> DebugRegs {
        self.context.debug
    }

    /// Changes its hardware breakpoints.
    pub fn set_debug_regs(&mut self, debug: DebugRegs) {
        self.context.debug = debug;
        self.context.mark(Context::DEBUG, debug.active());
    }

    /// Its system calls take the traced entry from now on, or not.
    pub fn trace_syscalls(&mut self, on: bool) {
        self.context.mark(Context::TRACED, on);
        if on {
            self.task.set_flags(TaskFlags::SYSCALL_TRACE);
        } else {
            self.task.clear_flags(TaskFlags::SYSCALL_TRACE);
        }
    }
}

impl Task {
    /// Runs `f` on this task's registers if its state is among `states` and it is not the caller. Waits until it has left its CPU.
    /// `f` must not sleep, and should be short: the task cannot start meanwhile.
    pub fn inspect<R>(&self, states: State, f: impl FnOnce(&mut Inspected<'_>) -> R) -> Option<R> {
        let _preempt = x86_cpu::preempt_disable();
        if core::ptr::eq(self, &*current()) {
            return None;
        }
        loop {
            if !self.state().intersects(states) {
                return None;
            }
            if !self.on_cpu.swap(true, Ordering::Acquire) {
                break;
            }
            cpu_relax();
        }
        // Woken and perhaps gone through user mode in between: what the caller asked for no longer holds.
        let result = self.state().intersects(states).then(|| {
            let frame = (self.stack_top() - size_of::<PtRegs>()) as *mut PtRegs;
            // SAFETY: `on_cpu` was clear and is ours now, so no CPU runs the task or switches to it before it is given back
            // below: its context and the frame at the top of its stack are this function's alone (type invariant of `Task`).
            let (context, regs) = unsafe { (&mut *self.context.get(), &mut *frame) };
            f(&mut Inspected { task: self, context, regs })
        });
        self.on_cpu.store(false, Ordering::Release);
        result
    }
}
