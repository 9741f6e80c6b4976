// SPDX-License-Identifier: GPL-2.0
//! The first instructions of the other CPUs: from real mode, in a page below 1 MB, to `secondary_entry` in the kernel.
//!
//! The code is copied to that page together with a block of parameters. It turns long mode on with a top-level page table
//! that also maps the page itself where it lies, jumps to the kernel, and there changes to the kernel's own tables.
//! One CPU at a time goes through (see `boot`).

use core::arch::global_asm;
use core::sync::atomic::{Ordering, compiler_fence};

/// What a starting CPU needs to know; at the end of the trampoline page. The assembly knows the offsets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parameters {
    /// Physical address of the table that maps page and kernel; below 4 GB.
    pub(super) early_cr3: u64,
    /// CR3 of the kernel.
    pub(super) kernel_cr3: u64,
    /// Initial stack pointer.
    pub(super) stack: u64,
    /// GS base.
    pub(super) gs_base: u64,
    /// CPU number.
    pub(super) cpu: u64,
    /// Address of the 64-bit entry.
    pub(super) entry: u64,
    /// CR4 bits that page tables depend on (PAE, PGE).
    pub(super) cr4: u64,
    /// EFER.
    pub(super) efer: u64,
    /// Filled by `install`: far pointers that depend on where the page is.
    pub(super) protected: u64,
    pub(super) long: u64,
    pub(super) gdt_limit_base: [u16; 4],
}

/// Where the parameters begin in the page.
const PARAMETERS_AT: usize = 0xf00;

unsafe extern "C" {
    static x86_trampoline_start: u8;
    static x86_trampoline_protected: u8;
    static x86_trampoline_long: u8;
    static x86_trampoline_gdt: u8;
    static x86_trampoline_end: u8;
    fn x86_secondary_entry();
}

/// Address of the kernel's side of the trampoline.
pub(super) fn entry() -> u64 {
    x86_secondary_entry as *const () as u64
}

/// Copies code and parameters to the page at `page` (virtual), which lies at physical address `phys`.
///
/// # Safety
/// The page is 4096 writable bytes that nothing else uses, and no CPU is just going through it.
pub(super) unsafe fn install(page: *mut u8, phys: u32, mut parameters: Parameters) {
    let start = &raw const x86_trampoline_start;
    let len = (&raw const x86_trampoline_end).addr() - start.addr();
    assert!(len <= PARAMETERS_AT, "trampoline code runs into its parameters");
    let base = u64::from(phys);
    let at = |symbol: *const u8| base + (symbol.addr() - start.addr()) as u64;
    parameters.protected = at(&raw const x86_trampoline_protected) | 0x08 << 32;
    parameters.long = at(&raw const x86_trampoline_long) | 0x10 << 32;
    let gdt = at(&raw const x86_trampoline_gdt);
    parameters.gdt_limit_base = [4 * 8 - 1, gdt as u16, (gdt >> 16) as u16, 0];
    // SAFETY: The page is ours and large enough (checked above).
    unsafe {
        core::ptr::copy_nonoverlapping(start, page, len);
        page.add(PARAMETERS_AT).cast::<Parameters>().write_volatile(parameters);
    }
    compiler_fence(Ordering::SeqCst);
}

// Offsets in `Parameters`, from PARAMETERS_AT = 0xf00.
const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Parameters, early_cr3) == 0);
    assert!(offset_of!(Parameters, kernel_cr3) == 8);
    assert!(offset_of!(Parameters, stack) == 16);
    assert!(offset_of!(Parameters, gs_base) == 24);
    assert!(offset_of!(Parameters, cpu) == 32);
    assert!(offset_of!(Parameters, entry) == 40);
    assert!(offset_of!(Parameters, cr4) == 48);
    assert!(offset_of!(Parameters, efer) == 56);
    assert!(offset_of!(Parameters, protected) == 64);
    assert!(offset_of!(Parameters, long) == 72);
    assert!(offset_of!(Parameters, gdt_limit_base) == 80);
};

// CR0 0x80050033: PG, AM clear, WP, NE, ET, MP, PE.
global_asm!(
    r#"
    .section .rodata.trampoline, "a", @progbits
    .balign 16
    .globl x86_trampoline_start, x86_trampoline_protected, x86_trampoline_long, x86_trampoline_gdt, x86_trampoline_end
    .code16
x86_trampoline_start:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    /* The SIPI set CS to our address / 16. */
    movzwl %ax, %ebp
    shll $4, %ebp
    lgdtl 0xf00 + 80
    movl $0x11, %eax
    movl %eax, %cr0
    ljmpl *(0xf00 + 64)

    .code32
x86_trampoline_protected:
    movw $0x18, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl 0xf00 + 48(%ebp), %eax
    movl %eax, %cr4
    movl 0xf00 + 0(%ebp), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    movl 0xf00 + 56(%ebp), %eax
    movl 0xf00 + 60(%ebp), %edx
    wrmsr
    movl $0x80010033, %eax
    movl %eax, %cr0
    ljmpl *0xf00 + 72(%ebp)

    .code64
x86_trampoline_long:
    movl %ebp, %ebp
    movq 0xf00 + 8(%rbp), %rax
    movq 0xf00 + 16(%rbp), %rsp
    movq 0xf00 + 24(%rbp), %rbx
    movq 0xf00 + 32(%rbp), %rdi
    movq 0xf00 + 40(%rbp), %rcx
    jmp *%rcx

    .balign 8
x86_trampoline_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
x86_trampoline_end:

    /* In the kernel: its own page tables, its stack, GS base; then Rust. */
    .section .entry.text, "ax", @progbits
    .globl x86_secondary_entry
x86_secondary_entry:
    movq %rax, %cr3
    movq %rbx, %rax
    movq %rbx, %rdx
    shrq $32, %rdx
    movl $0xc0000101, %ecx
    wrmsr
    xorl %ebp, %ebp
    pushq $0
    pushq $0
    call {start}
    ud2
    "#,
    start = sym super::boot::secondary_main,
    options(att_syntax)
);
