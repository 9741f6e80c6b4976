// SPDX-License-Identifier: GPL-2.0
//! Which CPUs there are, and talking to them by interrupts: rescheduling, stopping. Calls of functions are `x86_smp`.
//!
//! Sets of CPUs are 64-bit masks ([`CpuMask`]), as [`MAX_CPUS`](x86_cpu::MAX_CPUS) is 64. The online mask only grows.

use crate::{panic_cpu, topology};
use core::sync::atomic::{AtomicU64, Ordering};
use x86_apic::irq_vectors::{REBOOT_VECTOR, RESCHEDULE_VECTOR};
use x86_apic::local;
use x86_cpu::{CpuId, cpu_id, irqflags::local_irq_disable};

/// A set of CPUs, bit `n` for CPU `n`.
pub type CpuMask = u64;

static ONLINE: AtomicU64 = AtomicU64::new(1);
static POSSIBLE: AtomicU64 = AtomicU64::new(1);

/// CPUs that run.
#[inline(always)]
pub fn online() -> CpuMask {
    ONLINE.load(Ordering::Acquire)
}

/// CPUs that have a number and a per-CPU area.
#[inline(always)]
pub fn possible() -> CpuMask {
    POSSIBLE.load(Ordering::Acquire)
}

/// How many CPUs run.
pub fn num_online() -> u32 {
    online().count_ones()
}

/// Whether `cpu` runs.
pub fn is_online(cpu: CpuId) -> bool {
    online() & mask_of(cpu) != 0
}

/// The set with `cpu` alone; empty for a number out of range.
#[inline]
pub const fn mask_of(cpu: CpuId) -> CpuMask {
    if cpu < 64 { 1 << cpu } else { 0 }
}

/// The CPUs of a set, lowest first.
#[inline]
pub fn cpus_in(mut mask: CpuMask) -> impl Iterator<Item = CpuId> {
    core::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let cpu = mask.trailing_zeros();
        mask &= mask - 1;
        Some(cpu)
    })
}

/// `cpu` runs from now on.
pub fn set_online(cpu: CpuId) {
    ONLINE.fetch_or(mask_of(cpu), Ordering::AcqRel);
}

/// These CPUs have a number and a per-CPU area.
pub fn set_possible(mask: CpuMask) {
    POSSIBLE.store(mask, Ordering::Release);
}

/// Sends an interrupt to `cpu`.
pub fn send_ipi(cpu: CpuId, vector: u8) {
    if let Some(id) = topology::apic_id(cpu) {
        local::send_ipi(id, vector);
    }
}

/// Sends the reschedule interrupt for the scheduler (`x86_cpu::preempt::SEND_RESCHED`).
pub struct ReschedIpi;

impl x86_cpu::preempt::SendResched for ReschedIpi {
    fn send(&self, cpu: CpuId) {
        send_ipi(cpu, RESCHEDULE_VECTOR);
    }
}

/// Stops the others for good and waits until they have stopped or a second is over; CPUs that do not answer get an NMI (their
/// NMI handler halts while a panic is in progress). For panic and reboot. The caller stays on this CPU.
pub fn stop_other_cpus() {
    if !local::is_enabled() {
        return;
    }
    let me = mask_of(cpu_id());
    for cpu in cpus_in(online() & !me) {
        send_ipi(cpu, REBOOT_VECTOR);
    }
    wait_alone(me, 1000);
    if panic_cpu::in_progress() {
        for cpu in cpus_in(online() & !me) {
            if let Some(id) = topology::apic_id(cpu) {
                local::send_nmi(id);
            }
        }
    }
}

fn wait_alone(me: CpuMask, milliseconds: u32) {
    for _ in 0..milliseconds * 10 {
        if online() & !me == 0 {
            return;
        }
        x86_delay::delay::udelay(100);
    }
}

/// The end of this CPU (see [`stop_other_cpus`]).
pub fn stop_this_cpu() -> ! {
    local_irq_disable();
    ONLINE.fetch_and(!mask_of(cpu_id()), Ordering::AcqRel);
    local::shutdown_cpu();
    x86_cpu::asm::halt_forever()
}
