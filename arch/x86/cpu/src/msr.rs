// SPDX-License-Identifier: GPL-2.0
//! Model-specific registers. Numbers from the Intel SDM volume 4 and `KVM`'s paravirtual range.

use core::arch::asm;

/// Extended feature enable (SCE, LME, NXE).
pub const EFER: u32 = 0xc000_0080;
/// SYSCALL segment selectors.
pub const STAR: u32 = 0xc000_0081;
/// SYSCALL entry for 64-bit code.
pub const LSTAR: u32 = 0xc000_0082;
/// SYSCALL entry for 32-bit code.
pub const CSTAR: u32 = 0xc000_0083;
/// Flags cleared by SYSCALL.
pub const SYSCALL_MASK: u32 = 0xc000_0084;
/// FS base.
pub const FS_BASE: u32 = 0xc000_0100;
/// GS base.
pub const GS_BASE: u32 = 0xc000_0101;
/// The GS base that `swapgs` exchanges.
pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
/// RDTSCP's processor id.
pub const TSC_AUX: u32 = 0xc000_0103;
/// APIC base and mode.
pub const APIC_BASE: u32 = 0x1b;
/// TSC deadline timer.
pub const TSC_DEADLINE: u32 = 0x6e0;
/// TSC adjust.
pub const TSC_ADJUST: u32 = 0x3b;
/// Page attribute table.
pub const PAT: u32 = 0x277;
/// First x2APIC register.
pub const X2APIC_BASE: u32 = 0x800;
/// SYSENTER code segment.
pub const SYSENTER_CS: u32 = 0x174;
/// KVM wall clock (new).
pub const KVM_WALL_CLOCK_NEW: u32 = 0x4b56_4d00;
/// KVM system time (new).
pub const KVM_SYSTEM_TIME_NEW: u32 = 0x4b56_4d01;

/// Reads an MSR.
///
/// # Safety
/// The MSR exists on this CPU (else #GP).
#[inline(always)]
pub unsafe fn rdmsr(msr: u32) -> u64 {
    let (lo, hi): (u32, u32);
    // SAFETY: As the caller promises.
    unsafe { asm!("rdmsr", in("ecx") msr, out("eax") lo, out("edx") hi, options(nomem, nostack, preserves_flags)) };
    (u64::from(hi) << 32) | u64::from(lo)
}

/// Writes an MSR.
///
/// # Safety
/// The MSR exists, and the value keeps every invariant that the kernel builds on it.
#[inline(always)]
pub unsafe fn wrmsr(msr: u32, value: u64) {
    // SAFETY: As the caller promises.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack, preserves_flags))
    };
}

/// FS base, GS base, and the GS base that `swapgs` exchanges, of this CPU now.
pub fn segment_bases() -> (u64, u64, u64) {
    // SAFETY: MSRs that every x86-64 CPU has.
    unsafe { (rdmsr(FS_BASE), rdmsr(GS_BASE), rdmsr(KERNEL_GS_BASE)) }
}
