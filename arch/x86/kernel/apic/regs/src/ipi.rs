// SPDX-License-Identifier: GPL-2.0
//! Sending interrupts to CPUs: the interrupt command register. Through memory that takes two writes, so interrupts are kept off between
//! them. Source: Intel SDM volume 3, 11.6.

use crate::regs::{self, FIRST_VECTOR, is_x2apic};
use core::sync::atomic::{Ordering, fence};
use x86_cpu::asm::cpu_relax;
use x86_cpu::irqflags::IrqGuard;

/// Delivery pending.
const BUSY: u32 = 1 << 12;
/// Assert.
const ASSERT: u32 = 1 << 14;
/// Delivery modes.
const NMI: u32 = 4 << 8;
const INIT: u32 = 5 << 8;
const STARTUP: u32 = 6 << 8;
/// Level triggered (INIT only).
const LEVEL: u32 = 1 << 15;

/// # Safety
/// The CPU's handler for what is sent is there.
unsafe fn send(apic_id: u32, command: u32) {
    if is_x2apic() {
        // Earlier stores must be seen before the interrupt: the MSR write does not order them by itself.
        fence(Ordering::SeqCst);
        // SAFETY: By contract.
        unsafe { regs::write_icr(apic_id, command) };
        return;
    }
    let _irq = IrqGuard::new();
    wait_idle();
    // SAFETY: By contract.
    unsafe { regs::write_icr_memory(apic_id, command) };
}

fn wait_idle() {
    if is_x2apic() {
        return;
    }
    // Bounded: an APIC that never gets rid of an IPI is broken, and waiting longer helps nobody.
    for _ in 0..1_000_000 {
        if regs::icr() & BUSY == 0 {
            return;
        }
        cpu_relax();
    }
}

/// Sends `vector` to the CPU with APIC id `apic_id`. The vectors of exceptions are not sent.
#[inline]
pub fn send_ipi(apic_id: u32, vector: u8) {
    if vector >= FIRST_VECTOR {
        // SAFETY: Every vector from there on has a gate for interrupts.
        unsafe { send(apic_id, u32::from(vector) | ASSERT) };
    }
}

/// Sends an NMI.
pub fn send_nmi(apic_id: u32) {
    // SAFETY: Every CPU that runs handles NMIs; one that does not run is not disturbed.
    unsafe { send(apic_id, NMI | ASSERT) };
}

/// INIT, asserted.
///
/// # Safety
/// The CPU does not run: this would end whatever it does.
pub unsafe fn send_init(apic_id: u32) {
    // SAFETY: By contract.
    unsafe { send(apic_id, INIT | LEVEL | ASSERT) };
    wait_idle();
}

/// INIT, de-asserted (ignored by x2APICs and modern CPUs).
///
/// # Safety
/// As [`send_init`].
pub unsafe fn send_init_deassert(apic_id: u32) {
    if !is_x2apic() {
        // SAFETY: By contract.
        unsafe { send(apic_id, INIT | LEVEL) };
        wait_idle();
    }
}

/// STARTUP at page number `page` (below 256).
///
/// # Safety
/// The CPU does not run, and in that page is what it is to run, in real mode.
pub unsafe fn send_startup(apic_id: u32, page: u8) {
    // SAFETY: By contract.
    unsafe { send(apic_id, STARTUP | u32::from(page)) };
    wait_idle();
}
