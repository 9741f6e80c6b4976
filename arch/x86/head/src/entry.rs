// SPDX-License-Identifier: GPL-2.0
//! The first instructions. Two ways in, one way on:
//! - `pvh_start32`: 32-bit, paging off, `ebx` = `hvm_start_info` (Xen's PVH boot ABI; the ELF note is made by `vmlinux.lds`);
//! - `startup_64`: 64-bit, identity mapped, `rsi` = `boot_params` (Linux's 64-bit boot protocol; the ELF entry point).
//!
//! Everything here is position independent: it runs wherever the image was put. No locks; one CPU.

use core::arch::global_asm;

/// `proto` argument of the head functions: `boot_ptr` is a `boot_params`.
pub(crate) const PROTO_LINUX: u32 = 0;
/// `proto` argument of the head functions: `boot_ptr` is a `hvm_start_info`.
pub(crate) const PROTO_PVH: u32 = 1;
/// Bytes of the boot stack.
pub(crate) const BOOT_STACK_SIZE: usize = 32 * 1024;
/// Pages from which page tables are made for addresses that the fixed tables do not cover.
pub(crate) const POOL_PAGES: usize = 24;

// Space that the .bss clearing must not touch, since it is in use by then.
global_asm!(
    r#"
    .section .bss..head, "aw", @nobits
    .balign 4096
    .globl early_pml4, early_pdpt, early_pd, early_kernel_pdpt, early_kernel_pd, early_pool
early_pml4:        .skip 4096
early_pdpt:        .skip 4096
early_pd:          .skip 4096 * 4
early_kernel_pdpt: .skip 4096
early_kernel_pd:   .skip 4096
early_pool:        .skip 4096 * {pool}
    .globl boot_stack_guard, boot_stack_bottom, boot_stack_top
boot_stack_guard:  .skip 4096
boot_stack_bottom: .skip {stack}
boot_stack_top:
    "#,
    pool = const POOL_PAGES,
    stack = const BOOT_STACK_SIZE,
    options(att_syntax)
);

global_asm!(
    r#"
    .section .head.text, "ax", @progbits

    /* Selectors as Linux has them: 0x10 kernel code, 0x18 kernel data; 0x08 is 32-bit code. */
    .balign 8
early_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
early_gdt_end:

    .code32
    .globl pvh_start32
pvh_start32:
    cli
    cld
    /* No stack is promised: borrow the first word of the start info to learn where we are. */
    movl (%ebx), %eax
    leal 4(%ebx), %esp
    call .Lpvh_here
.Lpvh_here:
    popl %ebp
    movl %eax, (%ebx)
    leal (boot_stack_top - .Lpvh_here)(%ebp), %esp

    leal (early_gdt - .Lpvh_here)(%ebp), %eax
    pushl %eax
    pushw $(early_gdt_end - early_gdt - 1)
    lgdt (%esp)
    addl $6, %esp
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss

    /* Identity map of the first 4 GB; head_phys fills the same tables again with the same values. */
    leal (early_pml4 - .Lpvh_here)(%ebp), %edi
    xorl %eax, %eax
    movl $2048, %ecx
    rep stosl
    leal (early_pdpt - .Lpvh_here)(%ebp), %eax
    orl $0x63, %eax
    movl %eax, (early_pml4 - .Lpvh_here)(%ebp)
    leal (early_pd - .Lpvh_here)(%ebp), %eax
    orl $0x63, %eax
    leal (early_pdpt - .Lpvh_here)(%ebp), %edi
    movl $4, %ecx
.Lpvh_pdpt:
    movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop .Lpvh_pdpt
    leal (early_pd - .Lpvh_here)(%ebp), %edi
    movl $0xe3, %eax
    movl $2048, %ecx
.Lpvh_pd:
    movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop .Lpvh_pd

    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    leal (early_pml4 - .Lpvh_here)(%ebp), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    leal (.Lpvh_long - .Lpvh_here)(%ebp), %eax
    pushl $0x10
    pushl %eax
    movl $0x80000001, %eax
    movl %eax, %cr0
    lret

    .code64
.Lpvh_long:
    movl %ebx, %edi
    movl ${pvh}, %esi
    jmp .Lcommon

    .globl startup_64
startup_64:
    cli
    cld
    movq %rsi, %rdi
    movl ${linux}, %esi

.Lcommon:
    movq %rdi, %r12
    movl %esi, %r13d
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, %r14
    leaq boot_stack_top(%rip), %rsp
    xorl %ebp, %ebp
    call .Lload_gdt
    call head_phys

    /* rax = link address minus physical address: on to the link address. */
    leaq .Lhigh(%rip), %rcx
    addq %rax, %rcx
    addq %rax, %rsp
    jmp *%rcx
.Lhigh:
    movq %r12, %rdi
    movl %r13d, %esi
    movq %r14, %rdx
    call head_main

    /* rax = KASLR slide: on to the final address. */
    leaq .Lfinal(%rip), %rcx
    addq %rax, %rcx
    addq %rax, %rsp
    jmp *%rcx
.Lfinal:
    call .Lload_gdt
    call head_final
    movq %rax, %rdi
    xorl %ebp, %ebp
    call start_kernel
    ud2

    /* Loads early_gdt at its present address and every segment register from it; GS and FS base become 0. */
.Lload_gdt:
    leaq early_gdt(%rip), %rax
    pushq %rax
    subq $8, %rsp
    movw $(early_gdt_end - early_gdt - 1), 6(%rsp)
    lgdt 6(%rsp)
    addq $16, %rsp
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    xorl %edx, %edx
    movl $0xc0000100, %ecx
    wrmsr
    movl $0xc0000101, %ecx
    wrmsr
    popq %rax
    pushq $0x10
    pushq %rax
    lretq
    "#,
    pvh = const PROTO_PVH,
    linux = const PROTO_LINUX,
    options(att_syntax)
);
