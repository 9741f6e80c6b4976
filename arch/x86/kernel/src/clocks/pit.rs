// SPDX-License-Identifier: GPL-2.0
//! The 8254: a reference of last resort for the TSC, and an event device for machines without a usable local APIC timer.
//! Used by one CPU (the boot CPU). Source: Intel 8254 data sheet.

use clock_hw::ClockEvent;
use x86_cpu::io::{inb, outb};
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::tsc::rdtsc_ordered;

/// Input frequency in Hz.
pub(super) const FREQUENCY: u64 = 1_193_182;
const CHANNEL0: u16 = 0x40;
const CHANNEL2: u16 = 0x42;
const MODE: u16 = 0x43;
/// System control port B: gate and output of channel 2, speaker.
const CONTROL_B: u16 = 0x61;
/// Its bit 5: output of channel 2.
const OUT2: u8 = 1 << 5;

/// Counts the TSC over 10 ms of channel 2. `None` when the PIT does not answer.
pub(super) fn measure_tsc() -> Option<u64> {
    const WINDOW: u64 = FREQUENCY / 100;
    // SAFETY: Channel 2 and its gate belong to the speaker, which is off; no other code uses them at boot.
    unsafe {
        outb(CONTROL_B, inb(CONTROL_B) & !2 | 1);
        // Channel 2, both bytes, mode 0: output rises at the end of the count.
        outb(MODE, 0xb0);
        outb(CHANNEL2, WINDOW as u8);
        outb(CHANNEL2, (WINDOW >> 8) as u8);
    }
    let _irq = IrqGuard::new();
    let start = rdtsc_ordered();
    let mut polls = 0u32;
    // SAFETY: Reading the port has no effect.
    while unsafe { inb(CONTROL_B) } & OUT2 == 0 {
        polls += 1;
        if rdtsc_ordered().wrapping_sub(start) > 10_000_000_000 {
            return None;
        }
    }
    let cycles = rdtsc_ordered().wrapping_sub(start);
    // An output that is high from the start means that there is no PIT.
    (polls > 10).then(|| cycles * FREQUENCY / WINDOW)
}

/// Channel 0 as an event device.
pub(super) struct Pit;

impl ClockEvent for Pit {
    fn name(&self) -> &'static str {
        "pit"
    }
    fn rating(&self) -> u32 {
        110
    }
    fn is_per_cpu(&self) -> bool {
        false
    }
    fn min_delta_ns(&self) -> u64 {
        12_571
    }
    fn max_delta_ns(&self) -> u64 {
        27_461_862
    }
    fn set_next_event(&self, delta_ns: u64) {
        let delta = delta_ns.clamp(self.min_delta_ns(), self.max_delta_ns());
        let ticks = delta * FREQUENCY / 1_000_000_000;
        // SAFETY: Channel 0 belongs to this driver; mode 0 counts down once.
        unsafe {
            outb(MODE, 0x30);
            outb(CHANNEL0, ticks as u8);
            outb(CHANNEL0, (ticks >> 8) as u8);
        }
    }
    fn stop(&self) {
        // SAFETY: As above; a mode 0 channel without a count does nothing.
        unsafe { outb(MODE, 0x30) };
    }
}

/// Stops the periodic tick that firmware may have left running.
pub(super) fn silence() {
    Pit.stop();
}
