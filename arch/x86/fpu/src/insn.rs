// SPDX-License-Identifier: GPL-2.0
//! The save and restore instructions themselves.

use crate::{XFEATURES_LEGACY, saved};
use core::arch::asm;
use x86_cpu::cpuid;

/// MXCSR after reset: all exceptions masked.
pub(crate) const MXCSR_DEFAULT: u32 = 0x1f80;
/// x87 control word after FNINIT.
pub(crate) const FCW_DEFAULT: u16 = 0x37f;

/// An image of initial values: x87 control word and MXCSR, and a header that names no component.
#[repr(C, align(64))]
pub(crate) struct InitialImage([u8; crate::XSAVE_MIN]);

pub(crate) static INITIAL: InitialImage = {
    let mut image = [0; crate::XSAVE_MIN];
    [image[0], image[1]] = FCW_DEFAULT.to_le_bytes();
    let mxcsr = MXCSR_DEFAULT.to_le_bytes();
    [image[24], image[25], image[26], image[27]] = mxcsr;
    InitialImage(image)
};

#[repr(C, align(64))]
struct LegacyImage([u8; crate::FXSAVE_SIZE]);

/// Puts this CPU's registers into their initial state.
pub(crate) fn init_registers() {
    let mxcsr = MXCSR_DEFAULT;
    // SAFETY: FNINIT and LDMXCSR with a legal value touch only FPU state, which the kernel does not use.
    unsafe { asm!("fninit", "ldmxcsr [{}]", in(reg) &mxcsr, options(nostack, readonly)) };
}

/// Which MXCSR bits this CPU allows (FXSAVE reports them).
pub(crate) fn mxcsr_mask() -> u32 {
    let mut image = LegacyImage([0; crate::FXSAVE_SIZE]);
    // SAFETY: FXSAVE64 writes 512 bytes to a 16-byte aligned buffer of that size.
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut image, options(nostack)) };
    match image.0.get(28..32) {
        Some(&[a, b, c, d]) if [a, b, c, d] != [0; 4] => u32::from_le_bytes([a, b, c, d]),
        _ => 0xffbf,
    }
}

/// Saves this CPU's registers to `area`.
///
/// # Safety
/// `area` is a live, 64-byte aligned save area of `area_size()` bytes that nothing else accesses.
#[inline(always)]
pub(crate) unsafe fn save(area: *mut u8) {
    let mask = saved();
    let (low, high) = (mask as u32, (mask >> 32) as u32);
    // SAFETY: The area is large enough for what the chosen instruction writes (the caller's promise, and `init_cpu` sized it);
    // the instruction exists, as XCR0 or CPUID says.
    unsafe {
        if mask == 0 {
            asm!("fxsave64 [{}]", in(reg) area, options(nostack, preserves_flags));
        } else if cpuid::features().xsaveopt {
            asm!("xsaveopt64 [{}]", in(reg) area, in("eax") low, in("edx") high, options(nostack, preserves_flags));
        } else {
            asm!("xsave64 [{}]", in(reg) area, in("eax") low, in("edx") high, options(nostack, preserves_flags));
        }
    }
}

/// Loads this CPU's registers from `area`.
///
/// # Safety
/// As [`save`]; the image is valid: its header has no reserved bit, its MXCSR no forbidden one (else #GP).
#[inline(always)]
pub(crate) unsafe fn restore(area: *const u8) {
    let mask = saved();
    // SAFETY: As the caller promises; the instruction exists (see `save`).
    unsafe {
        if mask == 0 {
            asm!("fxrstor64 [{}]", in(reg) area, options(nostack, preserves_flags, readonly));
        } else {
            asm!("xrstor64 [{}]", in(reg) area, in("eax") mask as u32, in("edx") (mask >> 32) as u32,
                options(nostack, preserves_flags, readonly));
        }
    }
    debug_assert!(mask == 0 || mask & XFEATURES_LEGACY == XFEATURES_LEGACY);
}
