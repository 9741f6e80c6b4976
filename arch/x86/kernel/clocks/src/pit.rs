// SPDX-License-Identifier: GPL-2.0
//! The 8254: a reference of last resort for the TSC, and an event device for machines without a usable local APIC timer. Only
//! channel 0 is used, since small machines have no gate for channel 2. Used by one CPU (the boot CPU).
//! Source: Intel 8254 data sheet.

use clock_hw::{ClockEvent, ClockSource};
use locking::SpinLock;
use x86_cpu::io::PortRange;

/// Input frequency in Hz.
const FREQUENCY: u64 = 1_193_182;
const BASE: u16 = 0x40;
const CHANNEL0: u16 = 0;
const MODE: u16 = 3;

/// The ports: a reading is a command and two bytes.
static PORTS: SpinLock<PortRange> = SpinLock::new(match PortRange::claim(BASE, 4) {
    Some(ports) => ports,
    None => panic!("the timer's ports may be claimed"),
});

/// Channel 0 as a free-running 16-bit counter.
pub(crate) struct PitCounter;

/// Starts channel 0 as a counter. `None` when nothing counts there.
pub(crate) fn counter() -> Option<&'static PitCounter> {
    static COUNTER: PitCounter = PitCounter;
    let ports = PORTS.lock_irqsave();
    // Mode 2, both bytes, reload 65536.
    ports.write8(MODE, 0x34);
    ports.write8(CHANNEL0, 0);
    ports.write8(CHANNEL0, 0);
    drop(ports);
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
        let ports = PORTS.lock_irqsave();
        // Latching has no effect on the count.
        ports.write8(MODE, 0x00);
        let count = u16::from_le_bytes([ports.read8(CHANNEL0), ports.read8(CHANNEL0)]);
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
pub(crate) struct Pit;

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
        let ports = PORTS.lock_irqsave();
        // Mode 0 counts down once.
        ports.write8(MODE, 0x30);
        ports.write8(CHANNEL0, ticks as u8);
        ports.write8(CHANNEL0, (ticks >> 8) as u8);
    }
    fn stop(&self) {
        // A mode 0 channel without a count does nothing.
        PORTS.lock_irqsave().write8(MODE, 0x30);
    }
}

/// Stops the periodic tick that firmware may have left running.
pub(crate) fn silence() {
    Pit.stop();
}
