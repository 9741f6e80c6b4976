// SPDX-License-Identifier: GPL-2.0
//! `/init` of the measuring image: its first instruction reads the counter, then it becomes `/bin/bench` with the
//! reading (16 hex digits) as first argument. The initial stack's arguments and environment are passed on.
#![no_std]
#![no_main]

use core::arch::global_asm;

// The stack at entry: argc, argv[0..argc], 0, envp.., 0, auxv. argv[0] is replaced by the reading; bench knows.
global_asm!(
    ".globl _start",
    "_start:",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "lea rdi, [rip + digits]",
    "mov ecx, 16",
    "2:",
    "rol rax, 4",
    "mov edx, eax",
    "and edx, 15",
    "lea r8, [rip + hex]",
    "mov dl, [r8 + rdx]",
    "mov [rdi], dl",
    "inc rdi",
    "dec ecx",
    "jnz 2b",
    "mov rcx, [rsp]",
    "lea r9, [rip + digits]",
    "mov [rsp + 8], r9",
    "lea rsi, [rsp + 8]",
    "lea rdx, [rsp + rcx*8 + 16]",
    "lea rdi, [rip + path]",
    "mov eax, 59",
    "syscall",
    "mov edi, eax",
    "neg edi",
    "mov eax, 60",
    "syscall",
    "ud2",
    ".section .rodata",
    "path: .asciz \"/bin/bench\"",
    "hex: .ascii \"0123456789abcdef\"",
    ".data",
    "digits: .asciz \"0000000000000000\"",
    ".text",
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
