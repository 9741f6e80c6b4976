// SPDX-License-Identifier: GPL-2.0
//! The context switch, and the sleeping side of the scheduler's interface.
//!
//! Hand-over between CPUs: `switch_to` sets `next.on_cpu` before it leaves and clears `prev.on_cpu` (release) once it is on the
//! new stack. Whoever would run `prev` elsewhere must see it clear (acquire) first. The scheduler keeps its part by never
//! putting a task whose `on_cpu` is set on another CPU's queue, so nobody ever waits here.

use crate::IoPorts;
use crate::context::Context;
use crate::current::{current, replace_current, try_current};
use crate::state::{State, TaskFlags};
use crate::task_struct::Task;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use kalloc::{Arc, KBox};
use x86_cpu::asm::cpu_relax;
use x86_cpu::cpuid::features;
use x86_cpu::preempt::{preempt_count, preempt_count_set};
use x86_cpu::regs::PtRegs;
use x86_cpu::segments::{self, Selectors};
use x86_cpu::{cr, msr, pkru, tss};

x86_cpu::percpu! {
    /// The task this CPU just switched away from: an `Arc` made raw, until the new task's first steps take it.
    static PREV: AtomicPtr<Task> = AtomicPtr::new(core::ptr::null_mut());
}

/// Sets the current task's state; see [`Task::wake`] for the order of things.
#[inline(always)]
pub fn set_current_state(state: State) {
    current().set_state(state);
}

/// Gives the CPU away; returns when the scheduler runs this task again. Must not be called in atomic context.
#[inline]
#[track_caller]
pub fn schedule() {
    let task = current();
    if task.test_flags(TaskFlags::PLUGGED)
        && task.state() != crate::State::RUNNING
        && let Some(hook) = crate::hooks::BEFORE_SLEEP.get()
    {
        hook.before_sleep();
    }
    if let Some(scheduler) = crate::hooks::SCHEDULER.get() {
        scheduler.schedule();
    }
}

/// Runs `next` on this CPU; returns when somebody switches back to the caller. For the scheduler alone, which has interrupts
/// off, holds no lock, and has made `next` this CPU's choice.
pub fn switch_to(next: Arc<Task>) {
    debug_assert!(x86_cpu::irqflags::irqs_disabled());
    let prev = current();
    if core::ptr::eq(&*prev, &*next) {
        return;
    }
    // The scheduler's rule (see the header) makes this pass at once, unless a tracer looks at the task's registers.
    while next.on_cpu.swap(true, Ordering::Acquire) {
        cpu_relax();
    }
    next.set_cpu(x86_cpu::cpu_id());
    let marks = prev.on_switch();
    if marks != 0 {
        prev.set_flags(marks);
    }
    let prev_context = prev.context.get();
    // SAFETY: This CPU runs `prev` and has just claimed `next` by `on_cpu`, so both contexts are this CPU's (type invariant).
    let (from, to) = unsafe { (&mut *prev_context, &mut *next.context.get()) };
    let in_use = segments::in_use();
    let rights = pkru::read();
    // A kernel thread is left alone: what it finds in the registers is some program's, and stays there.
    if let Some(fpu) = from.fpu.as_mut() {
        if !prev.test_flags(TaskFlags::NEED_FPU_LOAD) {
            fpu.save();
            prev.set_flags(TaskFlags::NEED_FPU_LOAD);
        }
        fpu.set_pkru(rights);
        save_segments(from, in_use);
    }
    // Before the segments: they may be the address space's own.
    x86_mm::switch_to(to.page_table.as_ref());
    if let Some(fpu) = &to.fpu {
        // Not only on the way to user mode: the kernel's own accesses to the program's memory obey it.
        if fpu.pkru() != rights {
            pkru::write(fpu.pkru());
        }
        load_segments(to, in_use);
    }
    if from.special | to.special != 0 {
        switch_special(&prev, from, to);
    }
    from.preempt = preempt_count();
    // SAFETY: `to` runs from here on.
    unsafe { preempt_count_set(to.preempt) };
    // SAFETY: `next` runs from here on, on that stack.
    unsafe { tss::set_kernel_stack(next.stack.top()) };
    let next_sp = to.sp;
    PREV.this_racy().store(core::ptr::from_ref::<Task>(&prev).cast_mut(), Ordering::Relaxed);
    replace_current(Arc::into_raw(next));
    // SAFETY: `next_sp` was left by an earlier `switch_stack` of that task or built by `prepare_stack`; `from.sp` stays valid
    // because the task lives until `finish_switch` drops this CPU's reference.
    unsafe { switch_stack(&raw mut (*prev_context).sp, next_sp) };
    finish_switch();
}

/// On the new stack: lets go of the task that ran before.
fn finish_switch() {
    let prev = PREV.this_racy().swap(core::ptr::null_mut(), Ordering::Relaxed);
    if prev.is_null() {
        return;
    }
    // SAFETY: `switch_to` stored the previous current task, whose reference (made raw when it became current) is ours now.
    let prev = unsafe { Arc::from_raw(prev.cast_const()) };
    let dead = prev.state() == State::DEAD;
    prev.on_cpu.store(false, Ordering::Release);
    if dead {
        // SAFETY: The reference that `wake_up_new` left to the task itself: it has ended, and ends once.
        drop(unsafe { Arc::from_raw(Arc::as_ptr(&prev)) });
    }
    drop(prev);
}

/// Loads what few tasks have.
#[cold]
fn switch_special(prev: &Task, from: &mut Context, to: &Context) {
    let changed = from.special ^ to.special;
    if (from.special | to.special) & Context::IO_PORTS != 0 {
        IoPorts::load(to.io_ports.as_deref());
    }
    if changed & Context::NO_TSC != 0 {
        load_tsc_rule(to.no_tsc);
    }
    if (from.special | to.special) & Context::DEBUG != 0 {
        to.debug.load();
    }
    if changed & Context::TRACED != 0 {
        load_syscall_entry(to.special & Context::TRACED != 0);
    }
    // A tracer that has gone only cleared the flag.
    from.mark(Context::TRACED, prev.test_flags(TaskFlags::SYSCALL_TRACE));
}

/// Addresses of the two entries of system calls: the straight one, and the one that looks whether the call is traced.
static SYSCALL_ENTRIES: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Tells where the entries are. At boot.
///
/// # Safety
/// Both are entry code for the SYSCALL instruction.
pub unsafe fn set_syscall_entries(plain: u64, traced: u64) {
    let [first, second] = &SYSCALL_ENTRIES;
    first.store(plain, Ordering::Relaxed);
    second.store(traced, Ordering::Relaxed);
}

/// Chooses the entry of this CPU. Interrupts are off.
fn load_syscall_entry(traced: bool) {
    let [plain, slow] = &SYSCALL_ENTRIES;
    let entry = if traced { slow } else { plain }.load(Ordering::Relaxed);
    if entry != 0 {
        // SAFETY: Both are entry code for SYSCALL (contract of `set_syscall_entries`).
        unsafe { msr::wrmsr(msr::LSTAR, entry) };
    }
}

/// Keeps the segments in the registers; `in_use` as [`segments::in_use`] says. Interrupts are off.
#[inline]
fn save_segments(context: &mut Context, in_use: bool) {
    if in_use {
        save_selectors(context);
    } else {
        context.selectors = Selectors::default();
    }
    if !features().fsgsbase {
        // The program changes the bases only through `arch_prctl`, which keeps the saved copy, and by loading a segment.
        if in_use {
            save_bases_of_segments(context);
        }
        return;
    }
    context.fs_base = cr::read_fs_base();
    let gs: u64;
    // SAFETY: FSGSBASE is there and enabled; interrupts are off, and NMI entry copes with either GS base, so the short time
    // with the user's base loaded is harmless.
    unsafe { core::arch::asm!("swapgs", "rdgsbase {}", "swapgs", out(reg) gs, options(nostack, preserves_flags)) };
    context.gs_base = gs;
}

#[cold]
fn save_selectors(context: &mut Context) {
    context.selectors = Selectors::read();
}

/// Without FSGSBASE: the bases that a segment's descriptor gave.
#[cold]
fn save_bases_of_segments(context: &mut Context) {
    // SAFETY: The MSRs exist on every x86-64 CPU.
    unsafe {
        if context.selectors.fs > 3 {
            context.fs_base = msr::rdmsr(msr::FS_BASE);
        }
        if context.selectors.gs > 3 {
            context.gs_base = msr::rdmsr(msr::KERNEL_GS_BASE);
        }
    }
}

/// Loads the segments of `context`; `in_use`: the registers hold selectors. Interrupts are off.
#[inline]
fn load_segments(context: &mut Context, in_use: bool) {
    if in_use || !context.selectors.is_null() {
        load_selectors(context);
    }
    // SAFETY: Saved bases are canonical: they were read from the registers or checked by `set_fs_base`/`set_gs_base`.
    unsafe {
        cr::write_fs_base(context.fs_base);
        write_user_gs_base(context.gs_base);
    }
}

#[cold]
fn load_selectors(context: &mut Context) {
    // SAFETY: Interrupts are off.
    unsafe { context.selectors.load() };
    if !features().fsgsbase {
        // The descriptors may have changed meanwhile.
        save_bases_of_segments(context);
    }
}

/// # Safety
/// `base` is canonical; interrupts are off.
unsafe fn write_user_gs_base(base: u64) {
    if features().fsgsbase {
        // SAFETY: As in `save_segment_bases`; canonical by contract.
        unsafe { core::arch::asm!("swapgs", "wrgsbase {}", "swapgs", in(reg) base, options(nostack, preserves_flags)) };
    } else {
        // SAFETY: The MSR exists on every x86-64 CPU; canonical by contract.
        unsafe { msr::wrmsr(msr::KERNEL_GS_BASE, base) };
    }
}

pub(crate) fn canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

/// `arch_prctl(ARCH_SET_FS)` for the current task: no segment, and that base. False if `base` is not canonical.
pub fn set_fs_base(base: u64) -> bool {
    if !canonical(base) {
        return false;
    }
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: This is the current task's own context, with interrupts off so that no switch interferes; `base` is canonical.
    unsafe {
        let context = &mut *current().context.get();
        (context.fs_base, context.selectors.fs) = (base, 0);
        segments::set_fs(0);
        cr::write_fs_base(base);
    }
    true
}

/// `arch_prctl(ARCH_SET_GS)` for the current task: no segment, and that base. False if `base` is not canonical.
pub fn set_gs_base(base: u64) -> bool {
    if !canonical(base) {
        return false;
    }
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: As in `set_fs_base`.
    unsafe {
        let context = &mut *current().context.get();
        (context.gs_base, context.selectors.gs) = (base, 0);
        segments::set_gs(0);
        write_user_gs_base(base);
    }
    true
}

/// User mode's segments.
#[derive(Clone, Copy, Debug)]
pub struct Segments {
    /// FS base.
    pub fs_base: u64,
    /// GS base.
    pub gs_base: u64,
    /// The selectors.
    pub selectors: Selectors,
}

/// The current task's user segments.
pub fn segments() -> Segments {
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: The current task's own context, interrupts off.
    let context = unsafe { &mut *current().context.get() };
    save_segments(context, segments::in_use());
    Segments { fs_base: context.fs_base, gs_base: context.gs_base, selectors: context.selectors }
}

/// The current task starts a program: no segments, bases 0.
pub fn reset_segments() {
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: As above; 0 is canonical.
    let context = unsafe { &mut *current().context.get() };
    (context.fs_base, context.gs_base, context.selectors) = (0, 0, Selectors::default());
    load_segments(context, segments::in_use());
}

/// Loads the current task's floating-point registers if somebody else's are in them. For the return to user mode, with
/// interrupts off and nothing left to do.
#[inline]
pub fn load_fpu() {
    let task = current();
    if !task.test_flags(TaskFlags::NEED_FPU_LOAD) {
        return;
    }
    task.clear_flags(TaskFlags::NEED_FPU_LOAD);
    // SAFETY: The current task's own context, interrupts off.
    if let Some(fpu) = unsafe { &(*task.context.get()).fpu } {
        fpu.restore();
    }
}

/// Runs `f` on the current task's floating-point state in memory, registers saved there first; the registers are loaded again
/// before user mode, PKRU at once. For signal frames, `execve`, core dumps. `None` for a kernel thread. `f` must not sleep.
pub fn with_fpu<R>(f: impl FnOnce(&mut x86_fpu::FpuState) -> R) -> Option<R> {
    let _preempt = x86_cpu::preempt_disable();
    let task = current();
    // SAFETY: The current task's own context; preemption is off, so no switch touches it meanwhile.
    let fpu = unsafe { (*task.context.get()).fpu.as_mut() }?;
    if !task.test_flags(TaskFlags::NEED_FPU_LOAD) {
        fpu.save();
        task.set_flags(TaskFlags::NEED_FPU_LOAD);
    }
    fpu.set_pkru(pkru::read());
    let result = f(fpu);
    pkru::load(fpu.pkru());
    Some(result)
}

/// Runs `f` with the current task's floating-point registers in this CPU and preemption off: for a signal frame written from
/// the registers themselves. `None` for a kernel thread. `f` must not sleep, and leaves the registers as they are.
#[inline]
pub fn with_fpu_loaded<R>(f: impl FnOnce() -> R) -> Option<R> {
    let _preempt = x86_cpu::preempt_disable();
    let task = current();
    // SAFETY: As in `with_fpu`.
    let fpu = unsafe { (*task.context.get()).fpu.as_ref() }?;
    if task.test_flags(TaskFlags::NEED_FPU_LOAD) {
        fpu.restore();
        task.clear_flags(TaskFlags::NEED_FPU_LOAD);
    }
    Some(f())
}

/// Runs `f`, which gives this CPU's floating-point registers new values: from now on the registers are the current task's, and
/// what was saved is out of date. If `f` fails the registers but PKRU are undefined: the caller goes on with [`with_fpu`] and
/// replaces the state there. `f` must not sleep.
#[inline]
pub fn replace_fpu<E>(f: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let _preempt = x86_cpu::preempt_disable();
    let rights = pkru::read();
    f().inspect_err(|_| pkru::load(rights))?;
    let task = current();
    if task.test_flags(TaskFlags::NEED_FPU_LOAD) {
        task.clear_flags(TaskFlags::NEED_FPU_LOAD);
    }
    Ok(())
}

/// Makes `table` the current task's address space and loads it (`execve`), or takes it away (`None`: exit). The old one is
/// returned so that the caller can drop it where it may sleep.
pub fn replace_page_table(table: Option<Arc<x86_mm::PageTable>>) -> Option<Arc<x86_mm::PageTable>> {
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: The current task's own context, interrupts off.
    let context = unsafe { &mut *current().context.get() };
    let old = core::mem::replace(&mut context.page_table, table);
    x86_mm::switch_to(context.page_table.as_ref());
    old
}

/// The I/O ports that the current task may use.
pub fn io_ports() -> Option<Arc<IoPorts>> {
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: The current task's own context, interrupts off.
    unsafe { (*current().context.get()).io_ports.clone() }
}

/// Changes which I/O ports the current task may use. The old set is returned so that it is dropped outside.
pub fn set_io_ports(ports: Option<Arc<IoPorts>>) -> Option<Arc<IoPorts>> {
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: As above.
    let context = unsafe { &mut *current().context.get() };
    IoPorts::load(ports.as_deref());
    context.mark(Context::IO_PORTS, ports.is_some());
    core::mem::replace(&mut context.io_ports, ports)
}

/// Makes RDTSC fault in user mode on this CPU, or not. Interrupts are off.
fn load_tsc_rule(no_tsc: bool) {
    let cr4 = cr::read_cr4();
    // SAFETY: Only whether user mode may read the time-stamp counter changes.
    unsafe { cr::write_cr4(if no_tsc { cr4 | cr::CR4_TSD } else { cr4 & !cr::CR4_TSD }) };
}

/// Whether RDTSC faults in the current task's user mode.
pub fn no_tsc() -> bool {
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: The current task's own context, interrupts off.
    unsafe { (*current().context.get()).no_tsc }
}

/// Changes whether RDTSC faults in the current task's user mode. Children and new programs keep it.
pub fn set_no_tsc(no_tsc: bool) {
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: As above.
    let context = unsafe { &mut *current().context.get() };
    context.no_tsc = no_tsc;
    context.mark(Context::NO_TSC, no_tsc);
    load_tsc_rule(no_tsc);
}

/// The current task's hardware breakpoints.
pub fn debug_regs() -> crate::DebugRegs {
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: The current task's own context, interrupts off.
    unsafe { (*current().context.get()).debug }
}

/// Changes the current task's hardware breakpoints.
pub fn set_debug_regs(debug: crate::DebugRegs) {
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: As above.
    let context = unsafe { &mut *current().context.get() };
    let loaded = context.debug.active() || debug.active();
    context.debug = debug;
    context.mark(Context::DEBUG, debug.active());
    if loaded {
        debug.load();
    }
}

/// Gives the current task floating-point state: a kernel thread becomes a user program (`/init`).
pub fn install_fpu(state: x86_fpu::FpuState) {
    let _preempt = x86_cpu::preempt_disable();
    let task = current();
    pkru::load(state.pkru());
    // SAFETY: The current task's own context; preemption is off.
    unsafe { (*task.context.get()).fpu = Some(state) };
    task.set_flags(TaskFlags::NEED_FPU_LOAD);
}

impl Task {
    /// A new user task that will return to user mode with `regs`, sharing or owning `table`. FS base as given (TLS); other
    /// segments and floating-point registers are copies of the current task's. It does not run before `wake_up_new`.
    pub fn new_user(
        name: &[u8],
        regs: &PtRegs,
        table: Arc<x86_mm::PageTable>,
        fs_base: Option<u64>,
    ) -> errno::Result<Arc<Self>> {
        Self::new_in_space(name, regs, table, fs_base, None)
    }

    /// A new task in the address space `table` that runs `entry` and ends: it never returns to user mode, and a tracer sees `regs` as
    /// its registers. The rest is as for [`Self::new_user`].
    pub fn new_worker(
        name: &[u8],
        regs: &PtRegs,
        table: Arc<x86_mm::PageTable>,
        entry: KBox<dyn FnMut() + Send>,
    ) -> errno::Result<Arc<Self>> {
        Self::new_in_space(name, regs, table, None, Some(entry))
    }

    fn new_in_space(
        name: &[u8],
        regs: &PtRegs,
        table: Arc<x86_mm::PageTable>,
        fs_base: Option<u64>,
        entry: Option<KBox<dyn FnMut() + Send>>,
    ) -> errno::Result<Arc<Self>> {
        let task = Self::alloc(name, entry, false)?;
        let Segments { fs_base: current_fs, gs_base, mut selectors } = segments();
        let fs_base = fs_base.filter(|&base| canonical(base));
        if fs_base.is_some() {
            selectors.fs = 0;
        }
        let fpu = match with_fpu(|fpu| fpu.try_clone()) {
            Some(copy) => copy?,
            None => x86_fpu::FpuState::new()?,
        };
        // SAFETY: The task is new: nobody else has it yet.
        let context = unsafe { &mut *task.context.get() };
        context.page_table = Some(table);
        context.fs_base = fs_base.unwrap_or(current_fs);
        context.gs_base = gs_base;
        context.selectors = selectors;
        context.fpu = Some(fpu);
        context.io_ports = io_ports();
        context.no_tsc = no_tsc();
        context.mark(Context::IO_PORTS, context.io_ports.is_some());
        context.mark(Context::NO_TSC, context.no_tsc);
        task.set_flags(TaskFlags::NEED_FPU_LOAD);
        prepare_stack(&task, regs);
        Ok(task)
    }

    /// The idle task of this CPU, made of the context that calls this; it becomes the current task. Once a CPU.
    pub fn adopt_idle(name: &[u8]) -> errno::Result<Arc<Self>> {
        assert!(try_current().is_none(), "this CPU already has a task");
        let task = Self::alloc(name, None, true)?;
        task.set_state(State::RUNNING);
        task.on_cpu.store(true, Ordering::Relaxed);
        task.set_cpu(x86_cpu::cpu_id());
        replace_current(Arc::into_raw(task.clone()));
        Ok(task)
    }
}

/// Builds the stack from which the first switch to `task` starts it in `task_start`, with `regs` at the top.
pub(crate) fn prepare_stack(task: &Task, regs: &PtRegs) {
    let frame = task.stack_top() - size_of::<PtRegs>();
    // Six callee-saved registers and the return address.
    let sp = frame - 7 * size_of::<usize>();
    // SAFETY: The new task's stack is ours until it runs, and larger than what is written; `frame` is 8-byte aligned because
    // stack tops are page aligned and the frame is a multiple of eight.
    unsafe {
        (frame as *mut PtRegs).write(*regs);
        (sp as *mut [usize; 7]).write([0, 0, 0, 0, 0, 0, task_start as *const () as usize]);
        (*task.context.get()).sp = sp;
    }
}

/// Saves the callee-saved registers, exchanges stacks, loads the other task's.
///
/// # Safety
/// `next_sp` is a stack that this function or `prepare_stack` left; `prev_sp` is valid for writing.
#[unsafe(naked)]
unsafe extern "C" fn switch_stack(prev_sp: *mut usize, next_sp: usize) {
    core::arch::naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

unsafe extern "C" {
    /// In `arch/x86/kernel`: leaves to user mode with the frame at the stack pointer, through the exit work.
    fn x86_return_to_user();
}

/// Where a new task starts: `rsp` points at its register frame.
///
/// # Safety
/// Only `switch_stack` may come here, on a stack that `prepare_stack` built.
#[unsafe(naked)]
unsafe extern "C" fn task_start() {
    core::arch::naked_asm!(
        // The frame is 168 bytes, so this aligns the stack for the call.
        "sub rsp, 8",
        "call {enter}",
        "add rsp, 8",
        "jmp {leave}",
        enter = sym task_enter,
        leave = sym x86_return_to_user,
    )
}

/// First steps of a new task, interrupts off: a kernel thread or a worker runs its function and ends, unless a kernel thread's function
/// became a user program; a user task goes on to user mode.
extern "C" fn task_enter() {
    finish_switch();
    x86_cpu::irqflags::local_irq_enable();
    let task = current();
    // SAFETY: Only the task itself takes its entry, here, once (type invariant).
    let entry = unsafe { (*task.entry.get()).take() };
    if let Some(mut entry) = entry {
        let worker = !task.is_kthread();
        entry();
        drop(entry);
        // SAFETY: The current task's own context.
        let has_user = unsafe { (*task.context.get()).page_table.is_some() };
        if worker || !has_user {
            crate::kthread::exit(0);
        }
    }
}
