// SPDX-License-Identifier: GPL-2.0
//! The x87/SSE/AVX/AVX-512 registers of user programs: one save area a user thread, in the standard (not compacted) XSAVE
//! format, which is also the format of the signal frame. The kernel itself is compiled without these registers.
//!
//! PKRU is among XSAVE's components, but not in the save area: the kernel's own accesses to user memory obey it, so it changes
//! with the thread, not with the return to user mode. [`FpuState`] keeps it beside the area; images that programs see have it in
//! its place.
//!
//! Callers: `kernel/task` at context switch and return to user mode, `kernel/process` for fork, exec and signals, and
//! `arch/x86/kernel` at CPU start ([`init_cpu`]). No locks: an area belongs to its thread; the registers to the running CPU.
//! Source: Intel SDM volume 1 chapter 13; the signal frame is described by `asm/sigcontext.h` of the UAPI headers.

#![no_std]

extern crate alloc;

mod area;
mod insn;
mod sigframe;
mod user;

pub use area::FpuState;
pub use sigframe::{FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2, load_from_user, save_to_user};

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use x86_cpu::{cpuid, cr, pkru};
use x86_defs::xstate::{XFEATURE_PKRU, XFEATURES_LEGACY, XSAVE_MIN};

pub use x86_defs::xstate::FXSAVE_SIZE;

/// XCR0 components: x87, SSE, AVX, opmask, upper ZMM, high ZMM. PKRU is added where keys are in use. MPX and AMX are left off:
/// nothing here manages them.
const XFEATURES_WANTED: u64 = 0b1110_0111;

/// Components that XCR0 enables; zero when only FXSAVE is there.
static XFEATURES: AtomicU64 = AtomicU64::new(0);
/// Those of them that are in save areas: all but PKRU.
static SAVED: AtomicU64 = AtomicU64::new(0);
/// Bytes of a save area.
static AREA_SIZE: AtomicUsize = AtomicUsize::new(FXSAVE_SIZE);
/// Bytes of an image of all components.
static IMAGE_SIZE: AtomicUsize = AtomicUsize::new(FXSAVE_SIZE);
/// Where PKRU is in such an image; 0: it is not there.
static PKRU_AT: AtomicUsize = AtomicUsize::new(0);
/// Bits of MXCSR that may be set.
static MXCSR_MASK: AtomicU32 = AtomicU32::new(0xffbf);

/// Turns the FPU on for the calling CPU: CR0, CR4, XCR0. The boot CPU's call also fixes sizes and masks, so that it comes first
/// and before any [`FpuState`] exists. Interrupts off.
pub fn init_cpu() {
    let features = cpuid::features();
    // SAFETY: Clears emulation and task-switched, sets native exceptions: changes nothing that the kernel's own code uses.
    unsafe { cr::write_cr0((cr::read_cr0() | cr::CR0_MP | cr::CR0_NE) & !(cr::CR0_EM | cr::CR0_TS)) };
    let mut cr4 = cr::read_cr4() | cr::CR4_OSFXSR | cr::CR4_OSXMMEXCPT;
    if features.xsave {
        cr4 |= cr::CR4_OSXSAVE;
    }
    // SAFETY: FXSR and SSE are part of x86-64; OSXSAVE only where CPUID has XSAVE.
    unsafe { cr::write_cr4(cr4) };
    if features.xsave {
        let mut enabled = features.xcr0_supported & XFEATURES_WANTED;
        // AVX-512 is all three components or none, and needs AVX (SDM volume 1, 13.3).
        if enabled & 0b1110_0100 != 0b1110_0100 {
            enabled &= 0b111;
        }
        enabled |= XFEATURES_LEGACY;
        let all = enabled | if features.pku { XFEATURE_PKRU } else { 0 };
        // SAFETY: OSXSAVE is set, and the bitmaps hold only supported components in legal combinations.
        let (area, image) = unsafe { (enable(enabled), enable(all)) };
        if XFEATURES.swap(all, Ordering::Relaxed) == 0 {
            SAVED.store(enabled, Ordering::Relaxed);
            AREA_SIZE.store(area, Ordering::Relaxed);
            IMAGE_SIZE.store(image, Ordering::Relaxed);
            if features.pku {
                PKRU_AT.store(cpuid::cpuid(0xd, XFEATURE_PKRU.trailing_zeros()).ebx as usize, Ordering::Relaxed);
            }
        }
    }
    insn::init_registers();
    MXCSR_MASK.store(insn::mxcsr_mask(), Ordering::Relaxed);
}

/// Enables components on this CPU; the bytes of an image of them.
///
/// # Safety
/// CR4.OSXSAVE is set, and the bitmap holds only supported components in a legal combination.
unsafe fn enable(components: u64) -> usize {
    // SAFETY: As the caller promises.
    unsafe { cr::xsetbv0(components) };
    (cpuid::cpuid(0xd, 0).ebx as usize).max(XSAVE_MIN)
}

/// Bytes of the saved state in a signal frame, the closing magic included. `AT_MINSIGSTKSZ` builds on it.
pub fn sigframe_size() -> usize {
    let magic = if xfeatures() != 0 { 4 } else { 0 };
    xstate_size() + magic
}

/// The components XSAVE manages here (what user space reads with XGETBV); zero when the CPU has FXSAVE only.
#[inline(always)]
pub fn xfeatures() -> u64 {
    XFEATURES.load(Ordering::Relaxed)
}

/// The components in save areas.
#[inline(always)]
fn saved() -> u64 {
    SAVED.load(Ordering::Relaxed)
}

/// Gives this CPU's registers their initial values, PKRU too. Preemption is off; the registers are the calling thread's.
#[inline]
pub fn load_initial() {
    // SAFETY: The image is valid, and large enough: with an empty `XSTATE_BV` XRSTOR reads nothing behind the header.
    unsafe { insn::restore((&raw const insn::INITIAL).cast()) };
    pkru::load(pkru::INIT);
}

/// Bytes of a saved state as programs see it.
#[inline(always)]
pub fn xstate_size() -> usize {
    IMAGE_SIZE.load(Ordering::Relaxed)
}

/// Where PKRU is in a state as programs see it, if it is there.
#[inline]
pub fn pkru_at() -> Option<usize> {
    Some(PKRU_AT.load(Ordering::Relaxed)).filter(|&at| at != 0)
}

#[inline(always)]
fn area_size() -> usize {
    AREA_SIZE.load(Ordering::Relaxed)
}
