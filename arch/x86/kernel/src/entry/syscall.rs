// SPDX-License-Identifier: GPL-2.0
//! System calls: the SYSCALL instruction's target, the table, and the return by SYSRET.
//!
//! The path of a call without exit work is straight: build the frame, call through the table, look once at the task's work
//! flags with interrupts off, restore, SYSRET. Every instruction here is paid by every call, so nothing is done twice.
//! SYSRET is used only when it restores exactly the frame: `rcx` = `rip`, `r11` = `rflags`, a user address below 2^47 (a
//! non-canonical one would fault in ring 0 with the user's stack pointer), no flag that user code cannot have set itself, and the
//! usual segments: whoever changes those sets `TaskFlags::IRET`.
//! Source: Intel SDM volume 2 (SYSCALL, SYSRET); the register rules are `syscall(2)`'s.

use super::{FRAME, R11, RAX, RCX, RFLAGS, RIP, RSP, TSS_RSP0, TSS_SCRATCH};
use core::arch::global_asm;
use core::sync::atomic::{AtomicUsize, Ordering};
use errno::code::ENOSYS;
use task::TaskFlags;
use task::hooks::USER_EXIT;
use x86_cpu::msr;
use x86_cpu::regs::{KERNEL_CS, PtRegs, USER_CS, USER_DS};

/// A system call as the table holds it: takes the frame, returns what goes to `rax` (a value or a negative errno).
pub type SyscallFn = extern "C" fn(&PtRegs) -> isize;

/// Entries in the table.
pub const TABLE_SIZE: usize = 512;

/// RFLAGS bits that SYSCALL clears: TF, IF, DF, IOPL, NT, RF, AC, ID and the arithmetic flags, as Linux.
const SYSCALL_CLEARS: u64 = 0x257fd5;
/// RFLAGS bits that forbid SYSRET: TF (its trap would come a step late), RF, and those user code cannot set: IOPL, VM, VIF,
/// VIP, everything reserved. NT is here because it has no use.
const SYSRET_REFUSES: u32 = !0x240ed7;

static TABLE: [AtomicUsize; TABLE_SIZE] = [const { AtomicUsize::new(0) }; TABLE_SIZE];

/// A call of a task whose calls may be traced, with the frame that entry code has built. Interrupts on.
extern "C" fn traced_call(frame: *mut PtRegs) {
    // SAFETY: The frame lies on this stack, above; each reference is gone before the tracer or the call (which go by the task's
    // stack) may change it.
    let mut number = unsafe { (*frame).orig_rax } as u32;
    if let Some(handler) = USER_EXIT.get()
        && task::current().test_flags(TaskFlags::SYSCALL_TRACE)
    {
        match handler.syscall_enter() {
            Some(chosen) => number = chosen,
            None => return,
        }
    }
    let Some(slot) = TABLE.get(number as usize) else { return };
    let raw = slot.load(Ordering::Relaxed) as *const ();
    // SAFETY: Every slot holds a `SyscallFn` (`register_syscalls`, `init_cpu`), as entry code also relies on.
    let call = unsafe { core::mem::transmute::<*const (), SyscallFn>(raw) };
    // SAFETY: As above; entry code's own calls pass the same pointer.
    unsafe { (*frame).rax = call(&*frame) as u64 };
}

extern "C" fn ni_syscall(_regs: &PtRegs) -> isize {
    ENOSYS.to_ret()
}

/// Fills the table: entry `n` of `table` is system call `n`; shorter tables leave ENOSYS behind their end. Called once,
/// before the first user program.
pub fn register_syscalls(table: &[SyscallFn]) {
    for (slot, call) in TABLE.iter().zip(table) {
        slot.store(*call as usize, Ordering::Relaxed);
    }
}

/// Sets the MSRs of SYSCALL on this CPU. There is no 32-bit entry: SYSENTER faults, and the compatibility SYSCALL cannot be
/// reached, since no 32-bit user code runs.
pub(crate) fn init_cpu() {
    let unused = ni_syscall as *const () as usize;
    for slot in &TABLE {
        if slot.load(Ordering::Relaxed) == 0 {
            slot.store(unused, Ordering::Relaxed);
        }
    }
    unsafe extern "C" {
        fn entry_SYSCALL_64();
        fn entry_SYSCALL_64_traced();
        fn entry_SYSCALL_compat();
    }
    // SYSRET loads CS from the base + 16 and SS from the base + 8.
    // SAFETY: Both are entry code for SYSCALL, below.
    unsafe {
        let traced = entry_SYSCALL_64_traced as *const () as u64;
        task::switch::set_syscall_entries(entry_SYSCALL_64 as *const () as u64, traced);
    }
    let star = (USER_DS - 8) << 48 | KERNEL_CS << 32;
    // SAFETY: Standard MSRs of every x86-64 CPU; the entry points are ours and the selectors are in our GDT.
    unsafe {
        msr::wrmsr(msr::STAR, star);
        msr::wrmsr(msr::LSTAR, entry_SYSCALL_64 as *const () as u64);
        msr::wrmsr(msr::CSTAR, entry_SYSCALL_compat as *const () as u64);
        msr::wrmsr(msr::SYSCALL_MASK, SYSCALL_CLEARS);
        if x86_cpu::cpuid::features().vendor == *b"GenuineIntel" {
            msr::wrmsr(msr::SYSENTER_CS, 0);
        }
    }
}

global_asm!(
    r#"
    .section .entry.text, "ax", @progbits
    .macro BUILD_FRAME
    swapgs
    mov gs:[rip + {tss} + {scratch}], rsp
    mov rsp, gs:[rip + {tss} + {rsp0}]
    push {user_ds}
    push qword ptr gs:[rip + {tss} + {scratch}]
    push r11
    push {user_cs}
    push rcx
    push rax
    push rdi
    push rsi
    push rdx
    push rcx
    push {enosys}
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    sti
    .endm

    /* The entry of a task whose system calls are traced (`task::switch` chooses it): the call is made by Rust code. */
    .balign 64
    .globl entry_SYSCALL_64_traced
    .type entry_SYSCALL_64_traced, @function
entry_SYSCALL_64_traced:
    BUILD_FRAME
    mov rdi, rsp
    sub rsp, 8
    call {traced_call}
    jmp .Lsyscall_done
    .size entry_SYSCALL_64_traced, . - entry_SYSCALL_64_traced

    .balign 64
    .globl entry_SYSCALL_64
    .type entry_SYSCALL_64, @function
entry_SYSCALL_64:
    BUILD_FRAME
    /* The number is an int: its upper half does not count. */
    mov eax, eax
    mov rdi, rsp
    sub rsp, 8
    cmp eax, {table_size}
    jae .Lsyscall_done
    lea rcx, [rip + {table}]
    call [rcx + rax * 8]
    mov [rsp + 8 + {rax}], rax
.Lsyscall_done:
    cli
    add rsp, 8
    mov rcx, gs:[rip + {current}]
    cmp dword ptr [rcx + {flags}], 0
    jne .Lsyscall_work
.Lsyscall_leave:
    mov rcx, [rsp + {rip_at}]
    mov r11, [rsp + {rflags}]
    cmp rcx, [rsp + {rcx_at}]
    jne .Lsyscall_iret
    cmp r11, [rsp + {r11_at}]
    jne .Lsyscall_iret
    test r11d, {sysret_refuses}
    jnz .Lsyscall_iret
    mov rdx, rcx
    shr rdx, 47
    jnz .Lsyscall_iret
    or r11d, 0x200
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    add rsp, 8
    pop r10
    pop r9
    pop r8
    pop rax
    add rsp, 8
    pop rdx
    pop rsi
    pop rdi
    mov rsp, [rsp + {rsp_left}]
    swapgs
    sysretq

.Lsyscall_work:
    mov rdi, rsp
    mov esi, 1
    sub rsp, 8
    call {exit_work}
    add rsp, 8
    /* Only the work above, or who asked for it (TaskFlags::IRET), can have changed the segments. */
    cmp qword ptr [rsp + {cs_at}], {user_cs}
    jne .Lsyscall_iret
    cmp qword ptr [rsp + {ss_at}], {user_ds}
    je .Lsyscall_leave
.Lsyscall_iret:
    mov rdi, rsp
    sub rsp, 8
    call {sanitise}
    add rsp, 8
    jmp restore_user_and_iret
    .size entry_SYSCALL_64, . - entry_SYSCALL_64

    /* A 32-bit SYSCALL: there is no such user code, so answer as an unknown call would be, and do not touch the stack. */
    .globl entry_SYSCALL_compat
    .type entry_SYSCALL_compat, @function
entry_SYSCALL_compat:
    mov eax, {enosys}
    .byte 0x0f, 0x07 /* sysret to 32-bit code */
    .size entry_SYSCALL_compat, . - entry_SYSCALL_compat
    "#,
    tss = sym x86_cpu::tss::TSS,
    rsp0 = const TSS_RSP0,
    scratch = const TSS_SCRATCH,
    user_ds = const USER_DS,
    user_cs = const USER_CS,
    enosys = const -38,
    table = sym TABLE,
    table_size = const TABLE_SIZE,
    current = sym task::current::CURRENT,
    flags = const task::Task::FLAGS_OFFSET,
    rax = const RAX,
    rip_at = const RIP,
    rflags = const RFLAGS,
    cs_at = const super::CS,
    ss_at = const super::SS,
    rcx_at = const RCX,
    r11_at = const R11,
    // After the pops up to rdi the stack pointer is at `orig_rax`.
    rsp_left = const RSP - super::ORIG_RAX,
    sysret_refuses = const SYSRET_REFUSES,
    exit_work = sym super::exit::exit_to_user_work,
    traced_call = sym traced_call,
    sanitise = sym super::exit::prepare_iret,
);

const _: () = assert!(FRAME == 168);
