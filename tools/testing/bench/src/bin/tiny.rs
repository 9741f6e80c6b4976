// SPDX-License-Identifier: GPL-2.0
//! The smallest static program: exits with 0. What `fork_exec` executes, so that the figure is the kernel's.
#![no_std]
#![no_main]

use core::arch::global_asm;

global_asm!(".globl _start", "_start:", "mov eax, 60", "xor edi, edi", "syscall", "ud2",);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
