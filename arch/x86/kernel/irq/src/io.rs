// SPDX-License-Identifier: GPL-2.0
//! IOAPICs: inputs are global system interrupts (GSIs), each with a redirection entry. Firmware says which GSI the sixteen ISA
//! interrupts arrive at, and how.
//!
//! Lock: `IOAPICS`, interrupts off; index and data register belong together, and so do the halves of an entry.
//! Source: Intel 82093AA data sheet; ACPI specification 5.2.12 (overrides).

use crate::vectors;
use errno::{Result, code::EINVAL};
use locking::{SetOnce, SpinLock};
use mm_alloc::MmioRegion;
use x86_acpi::line::{Line, Polarity, Trigger};
use x86_acpi::madt::Madt;
use x86_cpu::CpuId;

/// IOAPICs that are used.
const MAX_IOAPICS: usize = 16;
/// Where a machine without ACPI has its one.
const DEFAULT_ADDRESS: u64 = 0xfec0_0000;

const IOREGSEL: usize = 0;
const IOWIN: usize = 0x10;
const REG_VERSION: u32 = 1;
const REG_ENTRIES: u32 = 0x10;

const ENTRY_MASKED: u32 = 1 << 16;
const ENTRY_LEVEL: u32 = 1 << 15;
const ENTRY_LOW: u32 = 1 << 13;

struct IoApic {
    registers: MmioRegion,
    gsi_base: u32,
    inputs: u32,
    /// Who has each input: CPU and vector.
    routes: [Option<(CpuId, u8)>; 240],
}

impl IoApic {
    fn read(&self, register: u32) -> u32 {
        self.registers.write32(IOREGSEL, register);
        self.registers.read32(IOWIN)
    }

    fn write(&self, register: u32, value: u32) {
        self.registers.write32(IOREGSEL, register);
        self.registers.write32(IOWIN, value);
    }

    fn set_low(&self, input: u32, low: u32) {
        self.write(REG_ENTRIES + input * 2, low);
    }

    fn low(&self, input: u32) -> u32 {
        self.read(REG_ENTRIES + input * 2)
    }
}

static IOAPICS: SpinLock<[Option<IoApic>; MAX_IOAPICS]> = SpinLock::new([const { None }; MAX_IOAPICS]);
static ISA_LINES: SetOnce<[Line; 16]> = SetOnce::new();
static GSI_END: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(16);

/// Maps the IOAPICs and masks every input.
pub fn init(madt: &Madt) {
    let mut lines: [Line; 16] =
        core::array::from_fn(|irq| Line { gsi: irq as u32, trigger: Trigger::Edge, polarity: Polarity::High });
    for over in madt.overrides() {
        if let Some(line) = lines.get_mut(usize::from(over.source)) {
            *line = over.line;
        }
    }
    // Set once, at boot; a second call would change nothing.
    let _ = ISA_LINES.set(lines);
    let mut count = 0;
    for (address, gsi_base) in madt.ioapics() {
        count += add(address, gsi_base);
    }
    if count == 0 && madt.is_default() {
        count += add(DEFAULT_ADDRESS, 0);
    }
    if count == 0 {
        klog::pr_warn!("No IOAPIC: devices without MSI will not work");
    }
}

fn add(address: u64, gsi_base: u32) -> u32 {
    let registers = match MmioRegion::map(address, 0x20) {
        Ok(registers) => registers,
        Err(error) => {
            klog::pr_err!("IOAPIC at {address:#x}: {error}");
            return 0;
        }
    };
    let mut apic = IoApic { registers, gsi_base, inputs: 0, routes: [None; 240] };
    let version = apic.read(REG_VERSION);
    if version == u32::MAX {
        return 0;
    }
    apic.inputs = ((version >> 16 & 0xff) + 1).min(apic.routes.len() as u32);
    for input in 0..apic.inputs {
        apic.set_low(input, ENTRY_MASKED);
    }
    let end = gsi_base.saturating_add(apic.inputs);
    klog::pr_info!("IOAPIC: address {address:#x}, version {}, GSI {gsi_base}-{}", version & 0xff, end - 1);
    GSI_END.fetch_max(end, core::sync::atomic::Ordering::Relaxed);
    let mut all = IOAPICS.lock_irqsave();
    match all.iter_mut().find(|slot| slot.is_none()) {
        Some(slot) => {
            *slot = Some(apic);
            1
        }
        None => 0,
    }
}

/// One past the highest GSI.
pub fn gsi_end() -> u32 {
    GSI_END.load(core::sync::atomic::Ordering::Relaxed)
}

/// Where ISA interrupt `irq` arrives.
pub fn isa_line(irq: u8) -> Line {
    let plain = Line { gsi: u32::from(irq), trigger: Trigger::Edge, polarity: Polarity::High };
    ISA_LINES.get().and_then(|lines| lines.get(usize::from(irq))).copied().unwrap_or(plain)
}

/// Runs `f` on the IOAPIC that has `gsi`, with the number of the input.
fn with_input<R>(gsi: u32, f: impl FnOnce(&mut IoApic, u32) -> R) -> Option<R> {
    let mut all = IOAPICS.lock_irqsave();
    let apic = all.iter_mut().flatten().find(|a| gsi >= a.gsi_base && gsi - a.gsi_base < a.inputs)?;
    let input = gsi - apic.gsi_base;
    Some(f(apic, input))
}

/// See `chip::ioapic_route`.
pub fn route(gsi: u32, trigger: Trigger, polarity: Polarity, irq: u32, cpu: CpuId) -> Result<u8> {
    let apic_id = crate::topology::apic_id(cpu).filter(|&id| id < 255).ok_or(EINVAL)?;
    with_input(gsi, |_, _| ()).ok_or(EINVAL)?;
    let vector = vectors::allocate(cpu, irq)?;
    let mut low = u32::from(vector) | ENTRY_MASKED;
    if trigger == Trigger::Level {
        low |= ENTRY_LEVEL;
    }
    if polarity == Polarity::Low {
        low |= ENTRY_LOW;
    }
    let old = with_input(gsi, |apic, input| {
        apic.set_low(input, low);
        apic.write(REG_ENTRIES + input * 2 + 1, apic_id << 24);
        apic.routes.get_mut(input as usize).and_then(|route| route.replace((cpu, vector)))
    });
    if let Some(Some((cpu, vector))) = old {
        vectors::release(cpu, vector);
    }
    Ok(vector)
}

/// Routes a line to a fixed vector of the boot CPU, unmasked (the timer of last resort).
pub fn route_vector(line: Line, vector: u8) -> Result {
    let apic_id = crate::topology::apic_id(0).filter(|&id| id < 255).ok_or(EINVAL)?;
    let low = u32::from(vector) | if line.trigger == Trigger::Level { ENTRY_LEVEL } else { 0 };
    let low = low | if line.polarity == Polarity::Low { ENTRY_LOW } else { 0 };
    with_input(line.gsi, |apic, input| {
        apic.write(REG_ENTRIES + input * 2 + 1, apic_id << 24);
        apic.set_low(input, low);
    })
    .ok_or(EINVAL)
}

/// Masks or unmasks a GSI.
pub fn set_masked(gsi: u32, masked: bool) {
    // A GSI that no IOAPIC has cannot raise anything.
    let _ = with_input(gsi, |apic, input| {
        let low = apic.low(input);
        apic.set_low(input, if masked { low | ENTRY_MASKED } else { low & !ENTRY_MASKED });
    });
}

/// Masks a GSI and gives its vector back.
pub fn release(gsi: u32) {
    let old = with_input(gsi, |apic, input| {
        apic.set_low(input, ENTRY_MASKED);
        apic.routes.get_mut(input as usize).and_then(Option::take)
    });
    if let Some(Some((cpu, vector))) = old {
        vectors::release(cpu, vector);
    }
}

/// Masks everything (before a reset or power-off).
pub fn shutdown() {
    // On a panic the lock may be held for ever: then leave it.
    if let Some(all) = IOAPICS.try_lock_irqsave() {
        for apic in all.iter().flatten() {
            for input in 0..apic.inputs {
                apic.set_low(input, ENTRY_MASKED);
            }
        }
    }
}
