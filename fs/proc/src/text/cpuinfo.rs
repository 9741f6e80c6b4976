// SPDX-License-Identifier: GPL-2.0
//! `/proc/cpuinfo`: one record a processor. What CPUID says is read on the CPU that shows it; machines whose CPUs differ in
//! what they can do are not supported. `bogomips` is derived from the time-stamp counter's rate, as Linux does with a known
//! rate.

use super::cpuflags;
use errno::Result;
use kernfs::Attribute;
use vfs::{SeqBuf, seq_print};
use x86::clocks::tsc;
use x86::smp;
use x86_cpu::cpuid::{cpuid, features};

/// The file.
pub(super) struct CpuInfo;

impl Attribute for CpuInfo {
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let left = if at >= 64 { 0 } else { smp::online() >> at << at };
        if left == 0 {
            return Ok(None);
        }
        record(left.trailing_zeros(), out)?;
        Ok(Some(u64::from(left.trailing_zeros()) + 1))
    }
}

/// The brand string of leaves 0x8000_0002 to 4.
fn model_name() -> [u8; 48] {
    let mut name = [0; 48];
    if features().max_ext_leaf < 0x8000_0004 {
        return name;
    }
    for (chunk, leaf) in name.chunks_exact_mut(16).zip(0x8000_0002..) {
        let l = cpuid(leaf, 0);
        for (to, from) in chunk.iter_mut().zip([l.eax, l.ebx, l.ecx, l.edx].iter().flat_map(|w| w.to_le_bytes())) {
            *to = from;
        }
    }
    name
}

/// KiB of the largest cache: leaf 4 (Intel), else the second-level cache of leaf 0x8000_0006.
fn cache_kib() -> u32 {
    let mut largest = 0;
    if features().max_leaf >= 4 {
        for index in 0..8 {
            let l = cpuid(4, index);
            if l.eax & 0x1f == 0 {
                break;
            }
            let (ways, parts, line) = ((l.ebx >> 22) + 1, (l.ebx >> 12 & 0x3ff) + 1, (l.ebx & 0xfff) + 1);
            let bytes = u64::from(ways) * u64::from(parts) * u64::from(line) * (u64::from(l.ecx) + 1);
            largest = largest.max((bytes / 1024) as u32);
        }
    }
    if largest == 0 && features().max_ext_leaf >= 0x8000_0006 {
        largest = cpuid(0x8000_0006, 0).ecx >> 16;
    }
    largest
}

fn record(cpu: u32, out: &mut SeqBuf) -> Result {
    let f = features();
    let khz = u64::from(tsc::khz());
    let name = model_name();
    let name = name.split(|&b| b == 0).next().unwrap_or(b"").trim_ascii();
    seq_print!(out, "processor\t: {cpu}\nvendor_id\t: ")?;
    out.put(&f.vendor)?;
    seq_print!(out, "\ncpu family\t: {}\nmodel\t\t: {}\nmodel name\t: ", f.family, f.model)?;
    out.put(if name.is_empty() { b"unknown" } else { name })?;
    seq_print!(out, "\nstepping\t: {}\n", f.stepping)?;
    seq_print!(out, "cpu MHz\t\t: {}.{:03}\n", khz / 1000, khz % 1000)?;
    let cache = cache_kib();
    if cache != 0 {
        seq_print!(out, "cache size\t: {cache} KB\n")?;
    }
    topology(cpu, out)?;
    seq_print!(
        out,
        "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: {}\nwp\t\t: yes\nflags\t\t:",
        f.max_leaf as i32
    )?;
    cpuflags::show(out)?;
    // Twice the counter's rate: what the delay loop would find.
    seq_print!(out, "\nbogomips\t: {}.{:02}\n", khz * 2 / 1000, khz * 2 % 1000 / 10)?;
    let line = (cpuid(1, 0).ebx >> 8 & 0xff) * 8;
    seq_print!(out, "clflush size\t: {line}\ncache_alignment\t: {line}\n")?;
    seq_print!(out, "address sizes\t: {} bits physical, {} bits virtual\n", f.phys_bits, f.virt_bits)?;
    out.put(b"power management:\n\n")
}

fn topology(cpu: u32, out: &mut SeqBuf) -> Result {
    let Some(place) = smp::topology::place(cpu) else { return Ok(()) };
    let same_package = |other: &u32| smp::topology::place(*other).is_some_and(|p| p.package == place.package);
    let siblings = smp::cpus_in(smp::online()).filter(same_package).count();
    // Each core is counted where its first thread is.
    let mut cores = 0;
    for other in smp::cpus_in(smp::online()).filter(same_package) {
        let core = smp::topology::place(other).map(|p| p.core);
        let earlier = smp::cpus_in(smp::online())
            .filter(same_package)
            .take_while(|before| *before < other)
            .any(|before| smp::topology::place(before).map(|p| p.core) == core);
        cores += u32::from(!earlier);
    }
    let apic = smp::apic_id(cpu).unwrap_or(0);
    seq_print!(out, "physical id\t: {}\nsiblings\t: {siblings}\n", place.package)?;
    seq_print!(out, "core id\t\t: {}\ncpu cores\t: {cores}\napicid\t\t: {apic}\ninitial apicid\t: {apic}\n", place.core)
}
