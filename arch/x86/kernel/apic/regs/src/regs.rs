// SPDX-License-Identifier: GPL-2.0
//! The registers of the calling CPU's local APIC, by memory (xAPIC) or by MSR (x2APIC); they have the same numbers in both.
//! Whoever calls cannot make the APIC raise the vector of an exception, for which the entry code expects another frame, nor reach other
//! MSRs. Source: Intel SDM volume 3, chapter 11.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use errno::{Result, code::ENODEV};
use mm_alloc::MmioRegion;
use x86_cpu::{cpuid, msr};

/// APIC_BASE MSR: x2APIC mode.
const BASE_X2APIC: u64 = 1 << 10;
/// APIC_BASE MSR: enabled.
const BASE_ENABLE: u64 = 1 << 11;
/// Spurious vector and software enable.
const SVR: u32 = 0xf0;
/// SVR: APIC software enable.
const SVR_ENABLE: u32 = 1 << 8;
/// First of eight words: what is in service.
const ISR: u32 = 0x100;
/// Interrupt command.
const ICR: u32 = 0x300;
const ICR_HIGH: u32 = 0x310;
/// Bytes that the registers take in memory.
const SIZE: usize = 4096;
/// Vectors below are exceptions.
pub(crate) const FIRST_VECTOR: u8 = 32;

/// Registers that may have any value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Register {
    /// APIC id.
    Id = 0x20,
    /// Version, and how many entries the local vector table has.
    Version = 0x30,
    /// Task priority.
    Tpr = 0x80,
    /// End of interrupt.
    Eoi = 0xb0,
    /// Error status.
    Esr = 0x280,
    /// Count that the timer starts from.
    TimerInitial = 0x380,
    /// Count that the timer has come to.
    TimerCurrent = 0x390,
    /// Divisor of the timer's clock.
    TimerDivide = 0x3e0,
}

/// Entries of the local vector table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Lvt {
    /// Timer.
    Timer = 0x320,
    /// Thermal sensor.
    Thermal = 0x330,
    /// Performance counters.
    Perf = 0x340,
    /// Pin LINT0.
    Lint0 = 0x350,
    /// Pin LINT1.
    Lint1 = 0x360,
    /// Errors of the APIC.
    Error = 0x370,
}

/// LVT: masked.
pub const LVT_MASKED: u32 = 1 << 16;
/// LVT delivery mode NMI.
pub const LVT_NMI: u32 = 4 << 8;
/// LVT: the delivery mode.
const LVT_MODE: u32 = 7 << 8;

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
fn place(offset: u32) -> *mut u32 {
    BASE.load(Ordering::Relaxed).wrapping_byte_add(offset as usize)
}

/// # Safety
/// `offset` is that of a register, which x2APIC mode has too.
#[inline]
unsafe fn read_at(offset: u32) -> u32 {
    if is_x2apic() {
        // SAFETY: By contract. CPUs have the mode (`use_x2apic`).
        unsafe { msr::rdmsr(msr::X2APIC_BASE + (offset >> 4)) as u32 }
    } else {
        // SAFETY: Inside the mapping of the registers, or what stands in for it.
        unsafe { place(offset).read_volatile() }
    }
}

/// # Safety
/// As [`read_at`], and the value makes the APIC raise nothing but interrupts.
#[inline]
unsafe fn write_at(offset: u32, value: u32) {
    if is_x2apic() {
        // SAFETY: As in `read_at`.
        unsafe { msr::wrmsr(msr::X2APIC_BASE + (offset >> 4), u64::from(value)) };
    } else {
        // SAFETY: As in `read_at`.
        unsafe { place(offset).write_volatile(value) };
    }
}

/// Reads a register.
#[inline]
pub fn read(register: Register) -> u32 {
    // SAFETY: Both modes have all of them.
    unsafe { read_at(register as u32) }
}

/// Writes a register.
#[inline]
pub fn write(register: Register, value: u32) {
    // SAFETY: Both modes have all of them; none says what is raised.
    unsafe { write_at(register as u32, value) };
}

/// Writes an entry of the local vector table: a vector, an NMI, or [`LVT_MASKED`]. Any other is masked.
pub fn write_lvt(entry: Lvt, value: u32) {
    let vector = value & LVT_MODE == 0 && value as u8 >= FIRST_VECTOR;
    let mask = if vector || value & LVT_MODE == LVT_NMI { 0 } else { LVT_MASKED };
    // SAFETY: Both modes have all of them, if the CPU has; it raises an interrupt, an NMI, or nothing.
    unsafe { write_at(entry as u32, value | mask) };
}

/// Turns the APIC on or off by software, with this vector for spurious interrupts.
pub fn software_enable(on: bool, vector: u8) {
    let vector = u32::from(vector.max(FIRST_VECTOR));
    // SAFETY: Both modes have it, and the vector is no exception's.
    unsafe { write_at(SVR, vector | if on { SVR_ENABLE } else { 0 }) };
}

/// A word (0 to 7) of what is in service.
pub fn in_service(word: u32) -> u32 {
    // SAFETY: There are eight.
    unsafe { read_at(ISR + (word & 7) * 0x10) }
}

/// The interrupt command register's low half.
pub(crate) fn icr() -> u32 {
    // SAFETY: Both modes have it.
    unsafe { read_at(ICR) }
}

/// Sends an interrupt in x2APIC mode.
///
/// # Safety
/// The mode is on; the CPU's handler for what is sent is there.
#[inline]
pub(crate) unsafe fn write_icr(apic_id: u32, command: u32) {
    // SAFETY: The ICR exists in x2APIC mode.
    unsafe { msr::wrmsr(msr::X2APIC_BASE + (ICR >> 4), u64::from(apic_id) << 32 | u64::from(command)) };
}

/// Sends an interrupt in xAPIC mode. Interrupts are off.
///
/// # Safety
/// The mode is on; the CPU's handler for what is sent is there.
#[inline]
pub(crate) unsafe fn write_icr_memory(apic_id: u32, command: u32) {
    // SAFETY: By contract.
    unsafe {
        write_at(ICR_HIGH, apic_id << 24);
        write_at(ICR, command);
    }
}

/// Where the registers are in physical memory, and whether the APIC is in x2APIC mode already. ENODEV without an APIC.
pub fn base() -> Result<(u64, bool)> {
    const CPUID_APIC: u32 = 1 << 9;
    if cpuid::features().hwcap & CPUID_APIC == 0 {
        return Err(ENODEV);
    }
    // SAFETY: The MSR exists wherever CPUID has the APIC.
    let base = unsafe { msr::rdmsr(msr::APIC_BASE) };
    Ok((base & 0x000f_ffff_ffff_f000, base & BASE_X2APIC != 0))
}

/// From now on registers are MSRs; [`enable`] follows on each CPU. Nothing happens if CPUs do not have the mode.
pub fn use_x2apic() {
    X2APIC.store(cpuid::features().x2apic, Ordering::Relaxed);
}

/// Maps the registers, for ever.
pub fn map(phys: u64) -> Result {
    // SAFETY: Only the functions here write to the mapping.
    let region = unsafe { MmioRegion::map_local_apic(phys, SIZE)? };
    BASE.store(core::ptr::with_exposed_provenance_mut(region.virt()), Ordering::Relaxed);
    core::mem::forget(region);
    Ok(())
}

/// Turns the calling CPU's APIC on, in the mode that was chosen. It has one ([`base`]).
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
    // SAFETY: A timer's interrupt hurts nobody. Where the timer does not have this mode the write faults, and changes nothing.
    unsafe { msr::wrmsr(msr::TSC_DEADLINE, target) };
}
