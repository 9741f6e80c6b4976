// SPDX-License-Identifier: GPL-2.0
//! The 8254: a reference of last resort for the TSC, and an event device for machines without a usable local APIC timer. Only
//! channel 0 is used, since small machines have no gate for channel 2. Used by one CPU (the boot CPU).
//! Source: Intel 8254 data sheet.

use clock_hw::{ClockEvent, ClockSource};
use locking::SpinLock;
use x86_cpu::io::{inb, outb};

/// Input frequency in Hz.
const FREQUENCY: u64 = 1_193_182;
const CHANNEL0: u16 = 0x40;
const MODE: u16 = 0x43;

/// The ports: a reading is a command and two bytes.
static PORTS: SpinLock<()> = SpinLock::new(());

/// Channel 0 as a free-running 16-bit counter.
pub(super) struct PitCounter;

/// Starts channel 0 as a counter. `None` when nothing counts there.
pub(super) fn counter() -> Option<&'static PitCounter> {
    static COUNTER: PitCounter = PitCounter;
    let guard = PORTS.lock_irqsave();
    // SAFETY: Channel 0 belongs to this driver. Mode 2, both bytes, reload 65536.
    unsafe {
        outb(MODE, 0x34);
        outb(CHANNEL0, 0);
        outb(CHANNEL0, 0);
    }
    drop(guard);
    let first = COUNTER.read();
    (0..1000).any(|_| COUNTER.read() != first).then_some(&COUNTER)
}

impl ClockSource for PitCounter {
    fn name(&self) -> &'static str {
        "pit"
    }
    fn rating(&self) -> u32 {
        110
    }
    fn read(&self) -> u64 {
        let _guard = PORTS.lock_irqsave();
        // SAFETY: As above; latching has no effect on the count.
        let count = unsafe {
            outb(MODE, 0x00);
            u16::from_le_bytes([inb(CHANNEL0), inb(CHANNEL0)])
        };
        // It counts down.
        u64::from(0u16.wrapping_sub(count))
    }
    fn mask(&self) -> u64 {
        0xffff
    }
    fn frequency_hz(&self) -> u64 {
        FREQUENCY
    }
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
        let _guard = PORTS.lock_irqsave();
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
