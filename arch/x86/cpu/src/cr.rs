// SPDX-License-Identifier: GPL-2.0
//! Control registers, XCR0, and the FS/GS base instructions.

use core::arch::asm;

/// CR0: monitor coprocessor.
pub const CR0_MP: u64 = 1 << 1;
/// CR0: x87 emulation.
pub const CR0_EM: u64 = 1 << 2;
/// CR0: task switched.
pub const CR0_TS: u64 = 1 << 3;
/// CR0: numeric error.
pub const CR0_NE: u64 = 1 << 5;
/// CR0: write protect in ring 0.
pub const CR0_WP: u64 = 1 << 16;
/// CR0: alignment mask.
pub const CR0_AM: u64 = 1 << 18;
/// CR0: paging.
pub const CR0_PG: u64 = 1 << 31;
/// CR4: physical address extension.
pub const CR4_PAE: u64 = 1 << 5;
/// RDTSC is for ring 0.
pub const CR4_TSD: u64 = 1 << 2;
/// CR4: global pages.
pub const CR4_PGE: u64 = 1 << 7;
/// CR4: FXSAVE and SSE.
pub const CR4_OSFXSR: u64 = 1 << 9;
/// CR4: unmasked SIMD exceptions.
pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
/// CR4: user-mode instruction prevention.
pub const CR4_UMIP: u64 = 1 << 11;
/// CR4: FSGSBASE instructions.
pub const CR4_FSGSBASE: u64 = 1 << 16;
/// CR4: process-context identifiers.
pub const CR4_PCIDE: u64 = 1 << 17;
/// CR4: XSAVE.
pub const CR4_OSXSAVE: u64 = 1 << 18;
/// CR4: supervisor-mode execution prevention.
pub const CR4_SMEP: u64 = 1 << 20;
/// CR4: supervisor-mode access prevention.
pub const CR4_SMAP: u64 = 1 << 21;
/// CR4: protection keys of user pages.
pub const CR4_PKE: u64 = 1 << 22;
/// CR3: do not flush on load (with PCID).
pub const CR3_NOFLUSH: u64 = 1 << 63;

macro_rules! control_register {
    ($read:ident, $write:ident, $name:literal) => {
        #[doc = concat!("Reads ", $name, ".")]
        #[inline(always)]
        pub fn $read() -> u64 {
            let value: u64;
            // SAFETY: Reading a control register in ring 0 has no effect.
            unsafe { asm!(concat!("mov {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
            value
        }

        #[doc = concat!("Writes ", $name, ".")]
        ///
        /// # Safety
        /// The value is valid for this CPU and keeps the kernel's mappings and modes.
        #[inline(always)]
        pub unsafe fn $write(value: u64) {
            // SAFETY: As the caller promises.
            unsafe { asm!(concat!("mov ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
        }
    };
}

control_register!(read_cr0, write_cr0, "cr0");
control_register!(read_cr2, write_cr2, "cr2");
control_register!(read_cr3, write_cr3, "cr3");
control_register!(read_cr4, write_cr4, "cr4");

/// Writes XCR0 (which state components XSAVE manages).
///
/// # Safety
/// CR4.OSXSAVE is set and `value` is a valid component bitmap for this CPU.
pub unsafe fn xsetbv0(value: u64) {
    // SAFETY: As the caller promises.
    unsafe { asm!("xsetbv", in("ecx") 0, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack)) };
}

/// Reads the user FS base, by `rdfsbase` where the CPU has it.
#[inline(always)]
pub fn read_fs_base() -> u64 {
    if crate::cpuid::features().fsgsbase {
        let value: u64;
        // SAFETY: FSGSBASE is there and CR4.FSGSBASE is set on every CPU at start-up.
        unsafe { asm!("rdfsbase {}", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    } else {
        // SAFETY: The MSR exists on every x86-64 CPU.
        unsafe { crate::msr::rdmsr(crate::msr::FS_BASE) }
    }
}

/// Writes the user FS base (the kernel itself does not use FS).
///
/// # Safety
/// `value` is canonical.
#[inline(always)]
pub unsafe fn write_fs_base(value: u64) {
    if crate::cpuid::features().fsgsbase {
        // SAFETY: FSGSBASE is there; a canonical value is the caller's promise.
        unsafe { asm!("wrfsbase {}", in(reg) value, options(nostack, preserves_flags)) };
    } else {
        // SAFETY: As above, through the MSR.
        unsafe { crate::msr::wrmsr(crate::msr::FS_BASE, value) };
    }
}
