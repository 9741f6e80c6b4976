// SPDX-License-Identifier: GPL-2.0
//! The stub's first instructions: 32-bit entry at offset 0, parameters at 0x1c0, 64-bit entry at 0x200, EFI handover and EFI
//! application entries. The BIOS ways move the stub to the end of the memory that the kernel will need (`init_size`), as it
//! usually lies where the kernel is to go. Everything here is position independent. Source: Documentation/arch/x86/boot.rst.

use core::arch::global_asm;

// What must survive the clearing of .bss: page tables for the first 4 GB, and the stack.
global_asm!(
    r#"
    .section .bss..head, "aw", @nobits
    .balign 4096
stub_pml4:  .skip 4096
stub_pdpt:  .skip 4096
stub_pd:    .skip 4096 * 4
stub_stack: .skip 4096 * 8
stub_stack_top:
    "#,
    options(att_syntax)
);

global_asm!(
    r#"
    .section .head.text, "ax", @progbits
    .code32
    .globl startup_32
startup_32:
    cld
    cli
    /* The scratch field of boot_params is a stack of one word; what the 16-bit code left there is kept. */
    movl 0x1e4(%esi), %ebx
    leal 0x1e8(%esi), %esp
    call .Lhere32
.Lhere32:
    popl %ebp
    cmpl ${scratch16}, %ebx
    je .Lmark
    movl ${scratch32}, %ebx
.Lmark:
    movl %ebx, 0x1e4(%esi)
    leal (stub_stack_top - .Lhere32)(%ebp), %esp

    leal (stub_gdt - .Lhere32)(%ebp), %eax
    pushl %eax
    pushw $(stub_gdt_end - stub_gdt - 1)
    lgdt (%esp)
    addl $6, %esp
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss

    leal (stub_pml4 - .Lhere32)(%ebp), %edi
    xorl %eax, %eax
    movl $2048, %ecx
    rep stosl
    leal (stub_pdpt - .Lhere32)(%ebp), %eax
    orl $0x63, %eax
    movl %eax, (stub_pml4 - .Lhere32)(%ebp)
    leal (stub_pd - .Lhere32)(%ebp), %eax
    orl $0x63, %eax
    leal (stub_pdpt - .Lhere32)(%ebp), %edi
    movl $4, %ecx
.Lpdpt32:
    movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop .Lpdpt32
    leal (stub_pd - .Lhere32)(%ebp), %edi
    movl $0xe3, %eax
    movl $2048, %ecx
.Lpd32:
    movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop .Lpd32

    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    leal (stub_pml4 - .Lhere32)(%ebp), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    leal (startup_64 - .Lhere32)(%ebp), %eax
    pushl $0x10
    pushl %eax
    movl $0x80000001, %eax
    movl %eax, %cr0
    lret

    .balign 8
stub_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
stub_gdt_end:

    /* Filled by mkbzimage.py, see payload::Params. */
    .org 0x1c0
    .globl stub_params
stub_params:
    .ascii "RDSP"
    .long 0, 0, 0, 0, 0, 0, 0

    .code64
    .org 0x200
    .globl startup_64
startup_64:
    cld
    cli
    movq %rsi, %r12
    leaq startup_32(%rip), %rbx
    leaq stub_stack_top(%rip), %rsp
    call .Ltables
    /* r15: where the kernel goes: where we are, 2 MB aligned, but at 16 MB or above. */
    leaq 0x1fffff(%rbx), %r15
    andq $-0x200000, %r15
    cmpq $0x1000000, %r15
    jae .Lhave_dest
    movq $0x1000000, %r15
.Lhave_dest:
    /* r14: where we go: the end of the memory that is the kernel's. Always above where we are, so copy downward. */
    movl stub_params + 12(%rip), %r14d
    movl stub_params + 16(%rip), %eax
    subq %rax, %r14
    addq %r15, %r14
    leaq _stub_file_end(%rip), %rcx
    subq %rbx, %rcx
    leaq -8(%rbx, %rcx), %rsi
    leaq -8(%r14, %rcx), %rdi
    shrq $3, %rcx
    std
    rep movsq
    cld
    leaq .Lmoved(%rip), %rax
    subq %rbx, %rax
    addq %r14, %rax
    jmp *%rax
.Lmoved:
    leaq stub_stack_top(%rip), %rsp
    call .Ltables
    call .Lprepare
    movq %r15, %rdi
    xorl %ebp, %ebp
    call stub_main
    movq %r12, %rsi
    jmp *%rax

    /* Our GDT and an identity map of the first 4 GB, at the present address. Keeps rbx, r12 and up. */
.Ltables:
    leaq stub_gdt(%rip), %rax
    subq $16, %rsp
    movq %rax, 8(%rsp)
    movw $(stub_gdt_end - stub_gdt - 1), 6(%rsp)
    lgdt 6(%rsp)
    addq $16, %rsp
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    /* With the 32-bit entry these tables are live: entries in use are only written with the value they have. */
    leaq stub_pml4 + 8(%rip), %rdi
    movl $511, %ecx
    xorl %eax, %eax
    rep stosq
    leaq stub_pdpt + 32(%rip), %rdi
    movl $508, %ecx
    rep stosq
    leaq stub_pdpt(%rip), %rax
    orq $0x63, %rax
    movq %rax, stub_pml4(%rip)
    leaq stub_pd(%rip), %rax
    orq $0x63, %rax
    leaq stub_pdpt(%rip), %rdi
    movl $4, %ecx
.Lpdpt64:
    movq %rax, (%rdi)
    addq $4096, %rax
    addq $8, %rdi
    decl %ecx
    jnz .Lpdpt64
    leaq stub_pd(%rip), %rdi
    movl $0xe3, %eax
    movl $2048, %ecx
.Lpd64:
    movq %rax, (%rdi)
    addq $0x200000, %rax
    addq $8, %rdi
    decl %ecx
    jnz .Lpd64
    leaq stub_pml4(%rip), %rax
    movq %rax, %cr3
    popq %rax
    pushq $0x10
    pushq %rax
    lretq

    /* Clears .bss and applies the relocations (all R_X86_64_RELATIVE: stub.lds is linked at 0). Keeps rbx, r12 and up. */
.Lprepare:
    leaq _stub_bss(%rip), %rdi
    leaq _stub_bss_end(%rip), %rcx
    subq %rdi, %rcx
    xorl %eax, %eax
    rep stosb
    leaq startup_32(%rip), %rdx
    leaq _stub_rela(%rip), %rsi
    leaq _stub_rela_end(%rip), %rdi
.Lrela:
    cmpq %rdi, %rsi
    jae .Lrela_done
    movq (%rsi), %rax
    movq 16(%rsi), %rcx
    addq %rdx, %rcx
    movq %rcx, (%rdx, %rax)
    addq $24, %rsi
    jmp .Lrela
.Lrela_done:
    ret

    /* EFI handover protocol: System V call, rdi = image handle, rsi = system table, rdx = boot_params. */
    .globl efi64_stub_entry
efi64_stub_entry:
    cld
    pushq %rdi
    pushq %rsi
    pushq %rdx
    call .Lprepare
    popq %rdx
    popq %rsi
    popq %rdi
    andq $-16, %rsp
    call efi_main
    ud2

    /* EFI application: Microsoft call, rcx = image handle, rdx = system table; rdi and rsi are the caller's. */
    .globl efi_pe_entry
efi_pe_entry:
    cld
    pushq %rdi
    pushq %rsi
    pushq %rcx
    pushq %rdx
    subq $8, %rsp
    call .Lprepare
    addq $8, %rsp
    popq %rsi
    popq %rdi
    xorl %edx, %edx
    subq $8, %rsp
    call efi_main
    addq $8, %rsp
    popq %rsi
    popq %rdi
    ret

    /* rdi = boot_params, rsi = 64-bit entry of the kernel. */
    .globl enter_kernel
enter_kernel:
    cli
    cld
    movq %rsi, %rax
    movq %rdi, %rsi
    jmp *%rax

    /* kernel_info of boot protocol 2.15. */
    .balign 4
    .globl kernel_info
kernel_info:
    .ascii "LToP"
    .long kernel_info_end - kernel_info
    .long kernel_info_end - kernel_info
    .long 0x8000000c
kernel_info_end:
    "#,
    scratch16 = const boot_info::zero_page::SCRATCH_16,
    scratch32 = const boot_info::zero_page::SCRATCH_32,
    options(att_syntax)
);
