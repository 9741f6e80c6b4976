// SPDX-License-Identifier: GPL-2.0
//! The register frame that entry code leaves at the top of the kernel stack, in the order Linux's `ptrace(2)` shows it.

/// Registers at an entry into the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the registers are their own documentation")]
pub struct PtRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// System call number, or the exception's error code, or -1.
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// GDT selectors. `SYSRET` wants user data at `STAR.sysret + 8` and user code 64 at `+ 16`.
pub const KERNEL_CS: u64 = 0x10;
/// Kernel data.
pub const KERNEL_DS: u64 = 0x18;
/// User data, with RPL 3.
pub const USER_DS: u64 = 0x2b;
/// User 64-bit code, with RPL 3.
pub const USER_CS: u64 = 0x33;

impl PtRegs {
    /// First system call argument.
    #[inline(always)]
    pub fn arg0(&self) -> usize {
        self.rdi as usize
    }
    /// Second system call argument.
    #[inline(always)]
    pub fn arg1(&self) -> usize {
        self.rsi as usize
    }
    /// Third system call argument.
    #[inline(always)]
    pub fn arg2(&self) -> usize {
        self.rdx as usize
    }
    /// Fourth system call argument.
    #[inline(always)]
    pub fn arg3(&self) -> usize {
        self.r10 as usize
    }
    /// Fifth system call argument.
    #[inline(always)]
    pub fn arg4(&self) -> usize {
        self.r8 as usize
    }
    /// Sixth system call argument.
    #[inline(always)]
    pub fn arg5(&self) -> usize {
        self.r9 as usize
    }
    /// Whether the frame was entered from user mode.
    #[inline(always)]
    pub fn from_user(&self) -> bool {
        self.cs & 3 != 0
    }
}
