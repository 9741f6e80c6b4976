// SPDX-License-Identifier: GPL-2.0
//! The trusted part of the kernel that is about the PC as a machine: descriptor tables, entry code, exceptions and oopses,
//! interrupt controllers, SMP start-up and IPIs, clock hardware, static ACPI tables, reset.
//!
//! Boot order, called by `init` on the boot CPU with interrupts off unless said otherwise:
//! 1. [`early_init`] first of all: CPU features, descriptor tables, exceptions, a rough clock. Nothing allocates.
//! 2. [`smp::boot::reserve_early`] right after `memblock::init`; [`smp::boot::reserve_tables`] after the final page tables.
//! 3. [`init_irq`] when the heap works: ACPI tables, APICs, CPU numbers and per-CPU areas, guarded exception stacks.
//! 4. [`init_clocks`] when `kernel/time` has set `clock_hw::TIMEKEEPING`.
//! 5. [`smp::boot::bring_up`] in process context, when the scheduler has set [`smp::boot::SECONDARY_START`].
//!
//! Callers above: `kernel/irq` ([`irq::chip`], `irq::IRQ_DISPATCH`), `kernel/time` (through `clock_hw`), `kernel/syscalls`
//! ([`register_syscalls`]), `kernel/process` ([`start_thread`], [`reboot`]), `mm` ([`smp::call`]), drivers (`acpi`).
//!
//! Parts without unsafe code are crates of their own below this directory: static tables (`acpi`), IOAPICs and vectors (`irq`),
//! clocks (`clocks`), exceptions, interrupts, panic and reset (`traps`). Their unsafe neighbours are the local APIC (`apic`), stacks
//! (`stacks`) and calls of other CPUs (`smp`). No locks here but theirs.

#![no_std]

extern crate alloc;

pub mod apic;
mod cpu_setup;
pub mod entry;
pub mod gdt;
pub mod idt;
pub mod smp;
#[cfg(any(test, CONFIG_KUNIT = "y"))]
mod tests;

use boot_info::BootInfo;
use locking::SetOnce;

pub use entry::syscall::{SyscallFn, register_syscalls};
pub(crate) use x86_stacks::ist;
pub use x86_traps::exit::start_thread;
pub use x86_traps::{irq, panic, reboot, traps};
pub use {x86_acpi as acpi, x86_clocks as clocks, x86_pci as pci_config};

/// CPU, descriptor tables, exceptions. The first thing the boot CPU does in Rust code of the kernel proper.
pub fn early_init(info: &'static BootInfo) {
    x86_cpu::cpuid::init();
    cpu_setup::options(info);
    cpu_setup::init();
    x86_cpu::crc::init();
    // SAFETY: This is the boot CPU, and the first time.
    unsafe { ist::install_boot() };
    gdt::load();
    idt::init();
    idt::load();
    // Set once, here.
    let _ = BOOT_INFO.set(info);
    static RESCHED: &dyn x86_cpu::preempt::SendResched = &smp::ReschedIpi;
    x86_cpu::preempt::SEND_RESCHED.set(&RESCHED);
    static TLB: &dyn x86_mm::TlbIpi = &smp::TlbShootdown;
    x86_mm::TLB_IPI.set(&TLB);
    static PRINTER: &dyn task::hooks::DebugReport = &traps::stacktrace::StackPrinter;
    task::hooks::DEBUG_REPORT.set(&PRINTER);
    reboot::options(info);
    // SAFETY: The head found the image there and moved it where it is.
    unsafe { x86_cpu::pvclock::set_image(info.kernel.virt_base, info.kernel.phys_base) };
    clocks::early_init(info);
}

static BOOT_INFO: SetOnce<&'static BootInfo> = SetOnce::new();

/// ACPI tables, interrupt controllers, CPU numbers, per-CPU areas, stacks with guard pages. Needs the heap and mappings.
pub fn init_irq(info: &BootInfo) -> errno::Result {
    acpi::init(info);
    let madt = acpi::madt::Madt::read();
    apic::init(&madt)?;
    smp::boot::prepare(info, &madt);
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    // SAFETY: This is CPU 0, with interrupts off.
    unsafe { ist::install_guarded(0) }
}

/// Clock sources and the boot CPU's event device.
pub fn init_clocks(info: &BootInfo) {
    let _irq = x86_cpu::irqflags::IrqGuard::new();
    let fadt = acpi::fadt::Fadt::read();
    clocks::init(info, fadt.as_ref());
}
