// SPDX-License-Identifier: GPL-2.0
//! A small static program with a segment of every kind, to be damaged: exits with 0 if its constants, data and zeros are what
//! they were linked as, else with 1, 2 or 3.
#![no_std]
#![no_main]

use core::arch::global_asm;

global_asm!(
    ".globl _start",
    "_start:",
    "mov edi, 1",
    "cmp dword ptr [rip + constant], 0x12345678",
    "jne 2f",
    "mov edi, 2",
    "cmp dword ptr [rip + initial], 0x87654321",
    "jne 2f",
    "mov dword ptr [rip + initial], 1",
    "mov edi, 3",
    "cmp dword ptr [rip + nothing], 0",
    "jne 2f",
    "cmp dword ptr [rip + nothing + 8188], 0",
    "jne 2f",
    "mov edi, 0",
    "2:",
    "mov eax, 60",
    "syscall",
    "ud2",
    ".section .rodata",
    "constant: .long 0x12345678",
    ".data",
    "initial: .long 0x87654321",
    ".bss",
    "nothing: .skip 8192",
    ".text",
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
