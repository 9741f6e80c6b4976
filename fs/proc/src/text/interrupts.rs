// SPDX-License-Identifier: GPL-2.0
//! `/proc/interrupts`: how often each interrupt came to each processor. Locks: those of `irq::describe`.

use errno::Result;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use vfs::{SeqBuf, seq_print};
use x86::irq::{Counter, counter};
use x86::smp;

/// What the hardware layer counts by itself: kind, name and description.
pub(super) const ARCH: [(Counter, &str, &str); 6] = [
    (Counter::Nmi, "NMI", "Non-maskable interrupts"),
    (Counter::LocalTimer, "LOC", "Local timer interrupts"),
    (Counter::Spurious, "SPU", "Spurious interrupts"),
    (Counter::Reschedule, "RES", "Rescheduling interrupts"),
    (Counter::CallFunction, "CAL", "Function call interrupts"),
    (Counter::Tlb, "TLB", "TLB shootdowns"),
];

/// One of those, over all processors.
pub(super) fn total_of(which: Counter) -> u64 {
    smp::cpus_in(smp::possible()).map(|cpu| u64::from(counter(cpu, which))).sum()
}

/// `/proc/interrupts`.
pub(super) fn show(out: &mut SeqBuf) -> Result {
    let online = smp::online();
    out.put(b"           ")?;
    for cpu in smp::cpus_in(online) {
        seq_print!(out, "CPU{cpu:<8}")?;
    }
    out.byte(b'\n')?;
    for irq in 0..irq::NR_IRQS as u32 {
        device_line(out, irq, online)?;
    }
    for (which, name, text) in ARCH {
        seq_print!(out, "{name:>3}:")?;
        for cpu in smp::cpus_in(online) {
            seq_print!(out, " {:>10}", counter(cpu, which))?;
        }
        seq_print!(out, "   {text}\n")?;
    }
    let errors = total_of(Counter::Error);
    seq_print!(out, "ERR: {errors:>10}\n")
}

fn device_line(out: &mut SeqBuf, irq: u32, online: smp::CpuMask) -> Result {
    // `describe` holds a lock of the interrupt's while it calls: its words are kept and written afterwards.
    let mut names: KVec<u8> = KVec::new();
    let (mut chip, mut flow) = ([0u8; 16], [0u8; 16]);
    let mut result = Ok(());
    let used = irq::describe(irq, &mut |controller, kind, name| {
        copy_word(&mut chip, controller);
        copy_word(&mut flow, kind);
        if !names.is_empty() && result.is_ok() {
            result = names.extend_from_slice(b", ", GFP_KERNEL);
        }
        if result.is_ok() {
            result = names.extend_from_slice(name, GFP_KERNEL);
        }
    });
    result?;
    if !used {
        return Ok(());
    }
    seq_print!(out, "{irq:>3}:")?;
    for cpu in smp::cpus_in(online) {
        seq_print!(out, " {:>10}", irq::count(irq, cpu))?;
    }
    seq_print!(out, " {:>8} {irq:>4}-{:<8}", word(&chip), word(&flow))?;
    out.put(b"  ")?;
    out.put(&names)?;
    out.byte(b'\n')
}

fn copy_word(to: &mut [u8; 16], text: &str) {
    *to = [0; 16];
    for (to, from) in to.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

fn word(bytes: &[u8; 16]) -> &str {
    core::str::from_utf8(bytes).unwrap_or("").trim_end_matches('\0')
}
