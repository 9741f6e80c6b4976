// SPDX-License-Identifier: GPL-2.0
//! The local APIC of each CPU, by memory (xAPIC) or by MSR (x2APIC, where firmware or a hypervisor has it or ids need it).
//! Registers have the same numbers in both. Functions act on the calling CPU's APIC. No locks. Source: Intel SDM volume 3, chapter 11.

use crate::irq_vectors::{ERROR_VECTOR, SPURIOUS_VECTOR};
use core::sync::atomic::{AtomicBool, Ordering};
use errno::Result;
use x86_acpi::madt::Madt;
use x86_apic_regs::regs::{self, LVT_NMI};
use x86_cpu::cpuid;

pub use x86_apic_regs::ipi::{send_init, send_init_deassert, send_ipi, send_nmi, send_startup};
pub use x86_apic_regs::regs::{LVT_MASKED, Lvt, Register, is_x2apic, read, set_tsc_deadline, write, write_lvt};

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Whether the machine has local APICs in use.
pub fn is_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Ends the interrupt in service.
#[inline(always)]
pub fn eoi() {
    write(Register::Eoi, 0);
}

/// This CPU's APIC id by the register.
pub fn id() -> u32 {
    let value = read(Register::Id);
    if is_x2apic() { value } else { value >> 24 }
}

/// Reads and clears the error status.
pub fn error_status() -> u32 {
    write(Register::Esr, 0);
    read(Register::Esr)
}

/// Finds the APIC and starts the boot CPU's. ENODEV without one.
pub fn init(madt: &Madt) -> Result {
    let features = cpuid::features();
    let (phys, already) = regs::base().inspect_err(|_| {
        klog::pr_err!("No local APIC: machines with the 8259 alone are not supported");
    })?;
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
        read(Register::Version) & 0xff
    );
    Ok(())
}

/// Starts the calling CPU's APIC with everything masked but NMI on LINT1 (boot CPU) and errors. Interrupts off.
pub fn init_cpu() {
    regs::enable();
    write(Register::Tpr, 0);
    regs::software_enable(true, SPURIOUS_VECTOR);
    let highest_lvt = read(Register::Version) >> 16 & 0xff;
    write_lvt(Lvt::Timer, LVT_MASKED);
    write_lvt(Lvt::Lint0, LVT_MASKED);
    write_lvt(Lvt::Lint1, if x86_cpu::cpu_id() == 0 { LVT_NMI } else { LVT_MASKED | LVT_NMI });
    if highest_lvt >= 4 {
        write_lvt(Lvt::Perf, LVT_MASKED);
    }
    if highest_lvt >= 5 {
        write_lvt(Lvt::Thermal, LVT_MASKED);
    }
    write(Register::Esr, 0);
    write_lvt(Lvt::Error, u32::from(ERROR_VECTOR));
    // Firmware may have left interrupts in service.
    for word in 0..8 {
        while regs::in_service(word) != 0 {
            eoi();
        }
    }
}

/// Stops the calling CPU's APIC (before a reset or a halt for ever).
pub fn shutdown_cpu() {
    if is_enabled() {
        write_lvt(Lvt::Timer, LVT_MASKED);
        write_lvt(Lvt::Lint1, LVT_MASKED);
        regs::software_enable(false, SPURIOUS_VECTOR);
    }
}
