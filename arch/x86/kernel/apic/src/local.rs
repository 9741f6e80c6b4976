// SPDX-License-Identifier: GPL-2.0
//! The local APIC of each CPU, by memory (xAPIC) or by MSR (x2APIC, where firmware or a hypervisor has it or ids need it).
//! Registers have the same numbers in both. Functions act on the calling CPU's APIC. No locks; sending an IPI through memory
//! takes two writes, so interrupts are kept off between them. Source: Intel SDM volume 3, chapter 11.

use crate::irq_vectors::{ERROR_VECTOR, SPURIOUS_VECTOR};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use errno::{Result, code::ENODEV};
use mm_alloc::MmioRegion;
use x86_acpi::madt::Madt;
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::{asm, cpuid, msr};

const ID: u32 = 0x20;
const VERSION: u32 = 0x30;
const TPR: u32 = 0x80;
const EOI: u32 = 0xb0;
const SVR: u32 = 0xf0;
const ISR: u32 = 0x100;
const ESR: u32 = 0x280;
const ICR: u32 = 0x300;
const ICR_HIGH: u32 = 0x310;
/// LVT entry of the timer.
pub const LVT_TIMER: u32 = 0x320;
const LVT_THERMAL: u32 = 0x330;
const LVT_PERF: u32 = 0x340;
const LVT_LINT0: u32 = 0x350;
const LVT_LINT1: u32 = 0x360;
const LVT_ERROR: u32 = 0x370;
/// Count that the timer starts from.
pub const TIMER_INITIAL: u32 = 0x380;
/// Count that the timer has come to.
pub const TIMER_CURRENT: u32 = 0x390;
/// Divisor of the timer's clock.
pub const TIMER_DIVIDE: u32 = 0x3e0;

/// LVT: masked.
pub const LVT_MASKED: u32 = 1 << 16;
/// LVT delivery mode NMI.
const LVT_NMI: u32 = 4 << 8;
/// SVR: APIC software enable.
const SVR_ENABLE: u32 = 1 << 8;
/// ICR: delivery pending.
const ICR_BUSY: u32 = 1 << 12;
/// ICR: assert.
const ICR_ASSERT: u32 = 1 << 14;
/// ICR delivery modes.
const ICR_NMI: u32 = 4 << 8;
const ICR_INIT: u32 = 5 << 8;
const ICR_STARTUP: u32 = 6 << 8;
/// ICR: level triggered (INIT only).
const ICR_LEVEL: u32 = 1 << 15;
/// APIC_BASE MSR: x2APIC mode.
const BASE_X2APIC: u64 = 1 << 10;
/// APIC_BASE MSR: enabled.
const BASE_ENABLE: u64 = 1 << 11;

static ENABLED: AtomicBool = AtomicBool::new(false);
static X2APIC: AtomicBool = AtomicBool::new(false);
/// Virtual address of the registers in xAPIC mode.
static BASE: AtomicUsize = AtomicUsize::new(0);

/// Whether the machine has local APICs in use.
pub fn is_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Whether they are in x2APIC mode.
pub fn is_x2apic() -> bool {
    X2APIC.load(Ordering::Relaxed)
}

/// Reads a register.
pub fn read(register: u32) -> u32 {
    if is_x2apic() {
        // SAFETY: In x2APIC mode every register used here has this MSR.
        unsafe { msr::rdmsr(msr::X2APIC_BASE + (register >> 4)) as u32 }
    } else {
        let address = BASE.load(Ordering::Relaxed) + register as usize;
        // SAFETY: `BASE` is the mapping of the registers, made before `ENABLED`; all registers are inside its page.
        unsafe { (address as *const u32).read_volatile() }
    }
}

/// Writes a register.
#[inline]
pub fn write(register: u32, value: u32) {
    if is_x2apic() {
        // SAFETY: As in `read`; values keep to the APIC's own business.
        unsafe { msr::wrmsr(msr::X2APIC_BASE + (register >> 4), u64::from(value)) };
    } else {
        let address = BASE.load(Ordering::Relaxed) + register as usize;
        // SAFETY: As in `read`.
        unsafe { (address as *mut u32).write_volatile(value) };
    }
}

/// Ends the interrupt in service.
#[inline(always)]
pub fn eoi() {
    write(EOI, 0);
}

/// This CPU's APIC id by the register.
pub fn id() -> u32 {
    let value = read(ID);
    if is_x2apic() { value } else { value >> 24 }
}

/// Reads and clears the error status.
pub fn error_status() -> u32 {
    write(ESR, 0);
    read(ESR)
}

/// Finds the APIC and starts the boot CPU's. ENODEV without one.
pub fn init(madt: &Madt) -> Result {
    const CPUID_APIC: u32 = 1 << 9;
    let features = cpuid::features();
    if features.hwcap & CPUID_APIC == 0 {
        klog::pr_err!("No local APIC: machines with the 8259 alone are not supported");
        return Err(ENODEV);
    }
    // SAFETY: The MSR exists wherever CPUID has the APIC.
    let base = unsafe { msr::rdmsr(msr::APIC_BASE) };
    let already = base & BASE_X2APIC != 0;
    let large_ids = madt.highest_apic_id() >= 255;
    let x2apic = features.x2apic && (already || features.hypervisor || large_ids);
    X2APIC.store(x2apic, Ordering::Relaxed);
    if !x2apic {
        let phys = madt.local_apic_address.unwrap_or(base & 0x000f_ffff_ffff_f000);
        let region = MmioRegion::map(phys, 4096)?;
        BASE.store(region.virt(), Ordering::Relaxed);
        // The registers stay mapped for ever.
        core::mem::forget(region);
    }
    ENABLED.store(true, Ordering::Relaxed);
    init_cpu();
    klog::pr_info!(
        "APIC: {} mode, boot CPU id {}, version {:#x}",
        if x2apic { "x2apic" } else { "xapic" },
        id(),
        read(VERSION) & 0xff
    );
    Ok(())
}

/// Starts the calling CPU's APIC with everything masked but NMI on LINT1 (boot CPU) and errors. Interrupts off.
pub fn init_cpu() {
    // SAFETY: The MSR exists; the base address is kept.
    unsafe {
        let base = msr::rdmsr(msr::APIC_BASE);
        msr::wrmsr(msr::APIC_BASE, base | BASE_ENABLE);
        if is_x2apic() {
            msr::wrmsr(msr::APIC_BASE, base | BASE_ENABLE | BASE_X2APIC);
        }
    }
    write(TPR, 0);
    write(SVR, SVR_ENABLE | u32::from(SPURIOUS_VECTOR));
    let highest_lvt = read(VERSION) >> 16 & 0xff;
    write(LVT_TIMER, LVT_MASKED);
    write(LVT_LINT0, LVT_MASKED);
    write(LVT_LINT1, if x86_cpu::cpu_id() == 0 { LVT_NMI } else { LVT_MASKED | LVT_NMI });
    if highest_lvt >= 4 {
        write(LVT_PERF, LVT_MASKED);
    }
    if highest_lvt >= 5 {
        write(LVT_THERMAL, LVT_MASKED);
    }
    write(ESR, 0);
    write(LVT_ERROR, u32::from(ERROR_VECTOR));
    // Firmware may have left interrupts in service.
    for word in 0..8 {
        while read(ISR + word * 0x10) != 0 {
            eoi();
        }
    }
}

/// Stops the calling CPU's APIC (before a reset or a halt for ever).
pub fn shutdown_cpu() {
    if is_enabled() {
        write(LVT_TIMER, LVT_MASKED);
        write(LVT_LINT1, LVT_MASKED);
        write(SVR, u32::from(SPURIOUS_VECTOR));
    }
}

fn send(apic_id: u32, command: u32) {
    if is_x2apic() {
        // Earlier stores must be seen before the interrupt: the MSR write does not order them by itself.
        core::sync::atomic::fence(Ordering::SeqCst);
        // SAFETY: The ICR exists in x2APIC mode; the vectors sent are the kernel's own.
        unsafe { msr::wrmsr(msr::X2APIC_BASE + (ICR >> 4), u64::from(apic_id) << 32 | u64::from(command)) };
        return;
    }
    let _irq = IrqGuard::new();
    wait_idle();
    write(ICR_HIGH, apic_id << 24);
    write(ICR, command);
}

fn wait_idle() {
    if is_x2apic() {
        return;
    }
    // Bounded: an APIC that never gets rid of an IPI is broken, and waiting longer helps nobody.
    for _ in 0..1_000_000 {
        if read(ICR) & ICR_BUSY == 0 {
            return;
        }
        asm::cpu_relax();
    }
}

/// Sends `vector` to the CPU with APIC id `apic_id`.
pub fn send_ipi(apic_id: u32, vector: u8) {
    send(apic_id, u32::from(vector) | ICR_ASSERT);
}

/// Sends an NMI.
pub fn send_nmi(apic_id: u32) {
    send(apic_id, ICR_NMI | ICR_ASSERT);
}

/// INIT, asserted.
pub fn send_init(apic_id: u32) {
    send(apic_id, ICR_INIT | ICR_LEVEL | ICR_ASSERT);
    wait_idle();
}

/// INIT, de-asserted (ignored by x2APICs and modern CPUs).
pub fn send_init_deassert(apic_id: u32) {
    if !is_x2apic() {
        send(apic_id, ICR_INIT | ICR_LEVEL);
        wait_idle();
    }
}

/// STARTUP at page number `page` (below 256).
pub fn send_startup(apic_id: u32, page: u8) {
    send(apic_id, ICR_STARTUP | u32::from(page));
    wait_idle();
}

/// Sets this CPU's timer to fire when the TSC reaches `target`, at once if it has; zero disarms it. The timer is in TSC-deadline
/// mode (`cpuid::features().tsc_deadline`).
#[inline]
pub fn set_tsc_deadline(target: u64) {
    // SAFETY: The MSR exists where the timer has this mode; a timer's interrupt hurts nobody.
    unsafe { msr::wrmsr(msr::TSC_DEADLINE, target) };
}
