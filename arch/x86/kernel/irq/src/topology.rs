// SPDX-License-Identifier: GPL-2.0
//! CPU numbers and APIC ids. CPU 0 is the one that booted; the others follow in firmware's order. Fixed at boot.

use core::sync::atomic::{AtomicU32, Ordering};
use x86_acpi::madt::Madt;
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
pub fn init(madt: &Madt, boot_apic_id: u32, max: usize) -> u32 {
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

/// Where a CPU is in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the package.
    pub package: u32,
    /// Number of the core within its package.
    pub core: u32,
    /// Number of the thread within its core.
    pub thread: u32,
}

/// Where `cpu` is, from its APIC id and the widths of the id's fields (CPUID leaf 0xb; without it each CPU is a package).
pub fn place(cpu: CpuId) -> Option<Place> {
    let id = apic_id(cpu)?;
    let (threads, cores) = id_widths();
    // Widths are below 32.
    let package = id >> cores;
    let core = (id & low_bits(cores)) >> threads;
    Some(Place { package, core, thread: id & low_bits(threads) })
}

fn low_bits(n: u32) -> u32 {
    (1 << n) - 1
}

/// Bits of an APIC id below the core's number, and below the package's.
fn id_widths() -> (u32, u32) {
    let (mut threads, mut cores) = (0, 0);
    if x86_cpu::cpuid::features().max_leaf < 0xb {
        return (0, 0);
    }
    for level in 0..8 {
        let leaf = x86_cpu::cpuid::cpuid(0xb, level);
        match leaf.ecx >> 8 & 0xff {
            0 => break,
            1 => threads = leaf.eax & 31,
            _ => {}
        }
        cores = leaf.eax & 31;
    }
    (threads, cores)
}
