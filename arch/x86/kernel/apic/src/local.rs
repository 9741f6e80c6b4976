// SPDX-License-Identifier: GPL-2.0
//! The local APIC of each CPU, by memory (xAPIC) or by MSR (x2APIC, where firmware or a hypervisor has it or ids need it).
//! Registers have the same numbers in both. Functions act on the calling CPU's APIC. No locks; sending an IPI through memory
//! takes two writes, so interrupts are kept off between them. Source: Intel SDM volume 3, chapter 11.

use crate::irq_vectors::{ERROR_VECTOR, SPURIOUS_VECTOR};
use core::sync::atomic::{AtomicBool, Ordering};
use errno::{Result, code::ENODEV};
use x86_acpi::madt::Madt;
use x86_apic_regs::regs;
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::{asm, cpuid};

pub use regs::{is_x2apic, read, set_tsc_deadline, write};

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

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Whether the machine has local APICs in use.
pub fn is_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
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
    let (phys, already) = regs::base();
    let large_ids = madt.highest_apic_id() >= 255;
    let x2apic = features.x2apic && (already || features.hypervisor || large_ids);
    match x2apic {
        true => regs::use_x2apic(),
        false => regs::map(madt.local_apic_address.unwrap_or(phys))?,
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
    regs::enable();
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
        regs::write_icr(apic_id, command);
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
