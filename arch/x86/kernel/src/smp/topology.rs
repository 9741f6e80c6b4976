// SPDX-License-Identifier: GPL-2.0
//! CPU numbers and APIC ids. CPU 0 is the one that booted; the others follow in firmware's order. Fixed at boot.

use crate::acpi::madt::Madt;
use core::sync::atomic::{AtomicU32, Ordering};
use x86_cpu::{CpuId, MAX_CPUS};

const NONE: u32 = u32::MAX;

static APIC_IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(NONE) }; MAX_CPUS];

/// The APIC id of a CPU.
#[inline]
pub fn apic_id(cpu: CpuId) -> Option<u32> {
    let id = APIC_IDS.get(cpu as usize)?.load(Ordering::Relaxed);
    (id != NONE).then_some(id)
}

/// Numbers the CPUs, at most `max` of them. Returns how many.
pub(super) fn init(madt: &Madt, boot_apic_id: u32, max: usize) -> u32 {
    let mut count = 0;
    let others = madt.apic_ids().iter().copied().filter(|&id| id != boot_apic_id);
    for (slot, id) in APIC_IDS.iter().zip(core::iter::once(boot_apic_id).chain(others)).take(max.max(1)) {
        slot.store(id, Ordering::Relaxed);
        count += 1;
    }
    if madt.surplus != 0 {
        klog::pr_warn!("{} CPUs ignored: this kernel numbers {MAX_CPUS}", madt.surplus);
    }
    count
}
