// SPDX-License-Identifier: GPL-2.0
//! The HPET: main counter as a clock source (and reference for the TSC), comparator 0 as an event device of last resort.
//! Registers: `hpet_regs`.

use crate::hpet_regs::*;
use clock_hw::{ClockEvent, ClockSource};
use locking::SetOnce;
use mm_alloc::MmioRegion;
use x86_acpi::tables;

/// Femtoseconds in a second.
const FEMTO: u64 = 1_000_000_000_000_000;

/// The comparator that is an event device.
const OWN: usize = 0;

/// The one HPET.
pub(crate) struct Hpet {
    registers: MmioRegion,
    frequency: u64,
}

static HPET: SetOnce<Hpet> = SetOnce::new();

/// Finds it by the ACPI table and starts its counter.
pub(crate) fn init() -> Option<&'static Hpet> {
    let address = tables::hpet()?.address;
    let registers = MmioRegion::map(address, SIZE).ok()?;
    let period = u64::from(registers.read32(PERIOD));
    // The specification allows up to 100 ns; all ones or zero is nobody there.
    if period == 0 || period > 100_000_000 {
        return None;
    }
    registers.write32(CONFIG, registers.read32(CONFIG) & !CONFIG_LEGACY | CONFIG_ENABLE);
    let timer = registers.read32(timer_config(OWN));
    registers.write32(timer_config(OWN), timer & !(TIMER_ENABLE | TIMER_PERIODIC));
    let frequency = FEMTO / period;
    // First and only call.
    let _ = HPET.set(Hpet { registers, frequency });
    klog::pr_info!("hpet: {} Hz at {address:#x}", frequency);
    HPET.get()
}

/// What a driver of its other comparators must know.
#[derive(Clone, Copy, Debug)]
pub struct HpetFound {
    /// Physical address of the registers.
    pub address: u64,
    /// Ticks of the counter a second.
    pub frequency: u64,
}

/// The kernel has these comparators for itself: the first, which can be its timer, and the second, whose interrupt by the
/// legacy route is that of the CMOS clock.
pub const HPET_OWN_COMPARATORS: usize = 2;

/// The HPET, if there is one and its counter runs.
pub fn hpet_found() -> Option<HpetFound> {
    HPET.get().map(|hpet| HpetFound { address: hpet.registers.phys(), frequency: hpet.frequency })
}

/// The HPET as an event device, if it can raise the timer interrupt by the legacy route.
pub(crate) fn event() -> Option<&'static dyn ClockEvent> {
    let hpet = HPET.get()?;
    if hpet.registers.read32(CAPABILITIES) & CAP_LEGACY == 0 {
        return None;
    }
    hpet.registers.write32(CONFIG, hpet.registers.read32(CONFIG) | CONFIG_LEGACY);
    hpet.registers.write32(timer_config(OWN), TIMER_32BIT);
    Some(hpet)
}

impl ClockSource for Hpet {
    fn name(&self) -> &'static str {
        "hpet"
    }
    fn rating(&self) -> u32 {
        250
    }
    fn read(&self) -> u64 {
        u64::from(self.registers.read32(COUNTER))
    }
    fn mask(&self) -> u64 {
        // 32 bits: the only width that every HPET reads in one piece.
        u64::from(u32::MAX)
    }
    fn frequency_hz(&self) -> u64 {
        self.frequency
    }
}

impl ClockEvent for Hpet {
    fn name(&self) -> &'static str {
        "hpet"
    }
    fn rating(&self) -> u32 {
        120
    }
    fn is_per_cpu(&self) -> bool {
        false
    }
    fn min_delta_ns(&self) -> u64 {
        10_000
    }
    fn max_delta_ns(&self) -> u64 {
        (1 << 31) * 1_000_000_000 / self.frequency.max(1)
    }
    fn set_next_event(&self, delta_ns: u64) {
        let delta = delta_ns.clamp(self.min_delta_ns(), self.max_delta_ns());
        let ticks = (u128::from(delta) * u128::from(self.frequency) / 1_000_000_000) as u32;
        let target = self.registers.read32(COUNTER).wrapping_add(ticks.max(1));
        self.registers.write32(timer_comparator(OWN), target);
        self.registers.write32(timer_config(OWN), TIMER_32BIT | TIMER_ENABLE);
        // The comparator fires on equality: if the counter has passed it meanwhile, aim again, further.
        if (self.registers.read32(COUNTER).wrapping_sub(target) as i32) >= 0 {
            let again = self.registers.read32(COUNTER).wrapping_add(1 << 12);
            self.registers.write32(timer_comparator(OWN), again);
        }
    }
    fn stop(&self) {
        self.registers.write32(timer_config(OWN), TIMER_32BIT);
    }
}
