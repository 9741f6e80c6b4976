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

/// Numbers that follow from a seed (xorshift64*).
#[derive(Clone, Copy)]
pub struct Rng(u64);

impl Rng {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((z ^ (z >> 31)) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n.max(1)
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `of`.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}
