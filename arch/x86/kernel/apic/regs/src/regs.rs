// SPDX-License-Identifier: GPL-2.0
//! The registers of the calling CPU's local APIC, by memory (xAPIC) or by MSR (x2APIC); they have the same numbers in both.
//! Source: Intel SDM volume 3, chapter 11.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use errno::Result;
use mm_alloc::MmioRegion;
use x86_cpu::msr;

/// APIC_BASE MSR: x2APIC mode.
const BASE_X2APIC: u64 = 1 << 10;
/// APIC_BASE MSR: enabled.
const BASE_ENABLE: u64 = 1 << 11;
/// Interrupt command.
const ICR: u32 = 0x300;
/// Bytes that the registers take in memory.
const SIZE: usize = 4096;

/// Stands in for the registers before they are mapped.
#[repr(align(16))]
struct Nobody([AtomicU32; SIZE / 4]);
static NOBODY: Nobody = Nobody([const { AtomicU32::new(0) }; SIZE / 4]);

static X2APIC: AtomicBool = AtomicBool::new(false);
/// The registers in xAPIC mode: `SIZE` bytes, mapped for ever.
static BASE: AtomicPtr<u32> = AtomicPtr::new(NOBODY.0.as_ptr().cast_mut().cast());

/// Whether APICs are in x2APIC mode.
#[inline]
pub fn is_x2apic() -> bool {
    X2APIC.load(Ordering::Relaxed)
}

/// Where a register is in memory.
#[inline(always)]
fn place(register: u32) -> *mut u32 {
    BASE.load(Ordering::Relaxed).wrapping_byte_add((register & 0xff0) as usize)
}

/// Reads a register (its offset in memory).
#[inline]
pub fn read(register: u32) -> u32 {
    if is_x2apic() {
        // SAFETY: In x2APIC mode every register that the kernel uses has this MSR.
        unsafe { msr::rdmsr(msr::X2APIC_BASE + (register >> 4)) as u32 }
    } else {
        // SAFETY: Inside the mapping of the registers, or what stands in for it.
        unsafe { place(register).read_volatile() }
    }
}

/// Writes a register. Values keep to the APIC's own business.
#[inline]
pub fn write(register: u32, value: u32) {
    if is_x2apic() {
        // SAFETY: As in `read`.
        unsafe { msr::wrmsr(msr::X2APIC_BASE + (register >> 4), u64::from(value)) };
    } else {
        // SAFETY: As in `read`.
        unsafe { place(register).write_volatile(value) };
    }
}

/// Sends an interrupt in x2APIC mode; the vectors are the kernel's own.
pub fn write_icr(apic_id: u32, command: u32) {
    // SAFETY: The ICR exists in x2APIC mode.
    unsafe { msr::wrmsr(msr::X2APIC_BASE + (ICR >> 4), u64::from(apic_id) << 32 | u64::from(command)) };
}

/// Where the registers are in physical memory, and whether the APIC is in x2APIC mode already. The CPU has an APIC.
pub fn base() -> (u64, bool) {
    // SAFETY: The MSR exists wherever CPUID has the APIC.
    let base = unsafe { msr::rdmsr(msr::APIC_BASE) };
    (base & 0x000f_ffff_ffff_f000, base & BASE_X2APIC != 0)
}

/// From now on registers are MSRs; [`enable`] follows on each CPU.
pub fn use_x2apic() {
    X2APIC.store(true, Ordering::Relaxed);
}

/// Maps the registers, for ever.
pub fn map(phys: u64) -> Result {
    let region = MmioRegion::map(phys, SIZE)?;
    BASE.store(core::ptr::with_exposed_provenance_mut(region.virt()), Ordering::Relaxed);
    core::mem::forget(region);
    Ok(())
}

/// Turns the calling CPU's APIC on, in the mode that was chosen.
pub fn enable() {
    // SAFETY: The MSR exists; the base address is kept.
    unsafe {
        let base = msr::rdmsr(msr::APIC_BASE);
        msr::wrmsr(msr::APIC_BASE, base | BASE_ENABLE);
        if is_x2apic() {
            msr::wrmsr(msr::APIC_BASE, base | BASE_ENABLE | BASE_X2APIC);
        }
    }
}

/// Sets this CPU's timer to fire when the TSC reaches `target`, at once if it has; zero disarms it. The timer is in TSC-deadline
/// mode (`cpuid::features().tsc_deadline`).
#[inline]
pub fn set_tsc_deadline(target: u64) {
    // SAFETY: The MSR exists where the timer has this mode; a timer's interrupt hurts nobody.
    unsafe { msr::wrmsr(msr::TSC_DEADLINE, target) };
}
