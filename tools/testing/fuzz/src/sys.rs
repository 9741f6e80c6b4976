// SPDX-License-Identifier: GPL-2.0
//! Raw system calls, and those that return twice. No errno, no thread-local data: usable in any thread or half-made process.

use core::arch::asm;

/// One system call; the kernel's own result.
///
/// # Safety
/// What the call does to this process must be bearable: the caller chose the arguments.
pub unsafe fn call(nr: u64, a: [u64; 6]) -> i64 {
    let ret;
    // SAFETY: the caller's; registers as the ABI has them.
    unsafe {
        asm!("syscall", inlateout("rax") nr as i64 => ret, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3],
             in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _);
    }
    ret
}

/// A call that makes a new task. The child runs `child(argument)`, which does not return, on the stack that the call gave it.
///
/// # Safety
/// As [`call`]; a child in the same memory needs a stack of its own.
pub unsafe fn call_twice(nr: u64, a: [u64; 6], child: extern "C" fn(u64) -> !, argument: u64) -> i64 {
    let ret;
    // SAFETY: the caller's. The child leaves this frame alone: it calls and never comes back.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, r13",
            "and rsp, -16",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") nr as i64 => ret, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3],
            in("r8") a[4], in("r9") a[5], in("r12") child as usize, in("r13") argument,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    ret
}
