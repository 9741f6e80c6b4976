// SPDX-License-Identifier: GPL-2.0
//! The stubs that the IDT points to, and the common code behind them. Each stub leaves on the stack what the hardware did not
//! (an error code) and its vector in a register, and goes to one of three paths: exceptions on the current stack, exceptions on
//! stacks of their own ("paranoid": GS base is unknown), external interrupts (on the interrupt stack).

use super::{CS, FRAME, ORIG_RAX, RIP, TSS_RSP0};
use core::arch::global_asm;
use core::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use x86_cpu::cpuid::features;

/// Bytes from one exception stub to the next.
pub(crate) const EXCEPTION_STUB_SIZE: usize = 16;
/// Bytes from one interrupt stub to the next.
pub(crate) const IRQ_STUB_SIZE: usize = 16;

x86_cpu::percpu! {
    /// How deep this CPU is in interrupts: -1 none. The outermost one changes to the interrupt stack.
    pub(crate) static IRQ_DEPTH: AtomicI32 = AtomicI32::new(-1);
}

/// For assembly: non-zero where the CPUs have FSGSBASE.
static HAS_FSGSBASE: AtomicU8 = AtomicU8::new(0);

/// Tells the entry code what the CPU can do; after CR4 is set, before the IDT is loaded.
pub(crate) fn init() {
    HAS_FSGSBASE.store(u8::from(features().fsgsbase), Ordering::Relaxed);
}

unsafe extern "C" {
    static x86_exception_stubs: u8;
    static x86_irq_stubs: u8;
}

/// Address of the stub of exception 0.
pub(crate) fn exception_stubs() -> usize {
    (&raw const x86_exception_stubs).addr()
}

/// Address of the stub of vector 32.
pub(crate) fn irq_stubs() -> usize {
    (&raw const x86_irq_stubs).addr()
}

// Vectors with an error code: 8, 10 to 14, 17, 21, 29, 30. On stacks of their own: 1, 2, 8, 18.
global_asm!(
    r#"
    .section .entry.text, "ax", @progbits

    .macro SAVE_FROM_RSI
    push rsi
    push rdx
    push rcx
    push rax
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
    cld
    .endm

    .macro RESTORE_ALL
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    add rsp, 8
    .endm

    /* User code or an interrupted user access may have left AC set: close the window. Becomes CLAC where there is SMAP
       (see x86_mm's extable). */
    .macro CLOSE_USER_ACCESS
770:
    .byte 0x0f, 0x1f, 0x00
    .pushsection __smap_sites, "a"
    .balign 4
    .long 770b - ., 0
    .popsection
    .endm

    .balign 16
    .globl x86_exception_stubs
x86_exception_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if !((0x60227d00 >> vector) & 1)
    push 0
    .endif
    push rdi
    mov edi, vector
    .if (0x00040106 >> vector) & 1
    jmp .Lparanoid
    .else
    jmp .Lexception
    .endif
    .set vector, vector + 1
    .endr

    .balign 16
    .type .Lexception, @function
.Lexception:
    SAVE_FROM_RSI
    mov esi, edi
    mov rdx, [rsp + {orig_rax}]
    mov qword ptr [rsp + {orig_rax}], -1
    CLOSE_USER_ACCESS
    mov rdi, rsp
    test byte ptr [rsp + {cs}], 3
    jz .Lexception_kernel
    swapgs
.Lexception_user:
    sub rsp, 8
    call {exception_user}
    add rsp, 8
    jmp x86_return_to_user
.Lexception_kernel:
    lea rcx, [rip + .Liret_to_user]
    cmp rcx, [rsp + {rip_at}]
    je .Lbad_iret
    sub rsp, 8
    call {exception_kernel}
    add rsp, 8
    RESTORE_ALL
    iretq
    /* With the program's GS base, as it was to be in user mode. The exception becomes one of user mode. */
.Lbad_iret:
    swapgs
    mov ebx, esi
    mov r12, rdx
    sub rsp, 8
    call {bad_iret}
    mov rsp, rax
    mov rdi, rax
    mov esi, ebx
    mov rdx, r12
    jmp .Lexception_user

    /* Leaves to user mode with the frame at the stack pointer. */
    .balign 16
    .globl x86_return_to_user
    .type x86_return_to_user, @function
x86_return_to_user:
    cli
.Lreturn_to_user_irqs_off:
    mov rcx, gs:[rip + {current}]
    cmp dword ptr [rcx + {flags}], 0
    jne .Lreturn_work
    .globl restore_user_and_iret
restore_user_and_iret:
    RESTORE_ALL
    swapgs
.Liret_to_user:
    iretq
.Lreturn_work:
    mov rdi, rsp
    xor esi, esi
    sub rsp, 8
    call {exit_work}
    add rsp, 8
    jmp restore_user_and_iret

    .balign 16
.Lparanoid:
    SAVE_FROM_RSI
    mov esi, edi
    mov r13, [rsp + {orig_rax}]
    mov qword ptr [rsp + {orig_rax}], -1
    CLOSE_USER_ACCESS
    test byte ptr [rsp + {cs}], 3
    jnz .Lparanoid_user
    /* Kernel code, but perhaps at its edge: save whatever GS base is, load this CPU's own (above the frame on this stack). */
    mov r12, [rsp + {frame} + 8]
    test byte ptr [rip + {fsgsbase}], 1
    jz .Lparanoid_msr
    rdgsbase rbx
    wrgsbase r12
    mov rdi, rsp
    mov rdx, r13
    sub rsp, 8
    call {exception_paranoid}
    add rsp, 8
    wrgsbase rbx
    RESTORE_ALL
    iretq
.Lparanoid_msr:
    mov ecx, 0xc0000101
    rdmsr
    shl rdx, 32
    or rax, rdx
    mov rbx, rax
    mov rax, r12
    mov rdx, r12
    shr rdx, 32
    wrmsr
    mov rdi, rsp
    mov rdx, r13
    sub rsp, 8
    call {exception_paranoid}
    add rsp, 8
    mov ecx, 0xc0000101
    mov rax, rbx
    mov rdx, rbx
    shr rdx, 32
    wrmsr
    RESTORE_ALL
    iretq

.Lparanoid_user:
    swapgs
    cmp esi, 1
    je .Lparanoid_to_task_stack
    mov rdi, rsp
    mov rdx, r13
    sub rsp, 8
    call {exception_paranoid}
    add rsp, 8
    jmp restore_user_and_iret
    /* #DB from user mode may send a signal and sleep: go on where any other exception from user mode is. */
.Lparanoid_to_task_stack:
    mov rbx, gs:[rip + {tss} + {rsp0}]
    sub rbx, {frame}
    mov rsi, rsp
    mov rdi, rbx
    mov ecx, {frame_words}
    rep movsq
    mov rsp, rbx
    mov rdi, rsp
    mov esi, 1
    mov rdx, r13
    jmp .Lexception_user

    .balign 16
    .globl x86_irq_stubs
x86_irq_stubs:
    .set vector, 32
    .rept 224
    .balign 16
    push ~vector
    jmp .Linterrupt
    .set vector, vector + 1
    .endr

    .balign 16
    .type .Linterrupt, @function
.Linterrupt:
    push rdi
    SAVE_FROM_RSI
    CLOSE_USER_ACCESS
    test byte ptr [rsp + {cs}], 3
    jz 1f
    swapgs
1:
    mov rbx, rsp
    mov rdi, rsp
    inc dword ptr gs:[rip + {irq_depth}]
    jnz 2f
    mov rsp, gs:[rip + {irq_stack}]
2:
    and rsp, -16
    /* A frame of the interrupted code for back traces. */
    push qword ptr [rbx + {rip_at}]
    push rbp
    mov rbp, rsp
    call {do_irq}
    mov rsp, rbx
    dec dword ptr gs:[rip + {irq_depth}]
    test byte ptr [rsp + {cs}], 3
    jnz .Lreturn_to_user_irqs_off
    test al, al
    jnz 4f
3:
    RESTORE_ALL
    iretq
4:
    sub rsp, 8
    call {preempt}
    add rsp, 8
    jmp 3b
    "#,
    cs = const CS,
    rip_at = const RIP,
    orig_rax = const ORIG_RAX,
    frame = const FRAME,
    frame_words = const FRAME / 8,
    tss = sym x86_cpu::tss::TSS,
    rsp0 = const TSS_RSP0,
    current = sym task::current::CURRENT,
    flags = const task::Task::FLAGS_OFFSET,
    fsgsbase = sym HAS_FSGSBASE,
    irq_depth = sym IRQ_DEPTH,
    irq_stack = sym crate::ist::IRQ_STACK_TOP,
    exit_work = sym super::exit::exit_to_user_work,
    bad_iret = sym super::exit::bad_iret,
    exception_user = sym crate::traps::exception_user,
    exception_kernel = sym crate::traps::exception_kernel,
    exception_paranoid = sym crate::traps::exception_paranoid,
    do_irq = sym crate::irq::do_irq,
    preempt = sym crate::traps::preempt_from_interrupt,
);
