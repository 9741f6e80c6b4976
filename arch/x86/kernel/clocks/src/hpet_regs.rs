// SPDX-License-Identifier: GPL-2.0
//! Where the registers of an HPET are, and their bits, for `hpet` and for the driver of the comparators that it leaves
//! (`drivers/char/hpet`). Source: IA-PC HPET specification 1.0a.

/// Bytes of registers.
pub const SIZE: usize = 0x400;
/// What the chip can do.
pub const CAPABILITIES: usize = 0x00;
/// Femtoseconds of a tick.
pub const PERIOD: usize = 0x04;
/// The chip's configuration.
pub const CONFIG: usize = 0x10;
/// Interrupts by level that are due; ones clear them.
pub const STATUS: usize = 0x20;
/// The counter's lower half.
pub const COUNTER: usize = 0xf0;

const COMPARATORS: usize = 0x100;
const STRIDE: usize = 0x20;

/// Configuration of comparator `at`.
pub const fn timer_config(at: usize) -> usize {
    COMPARATORS + at * STRIDE
}

/// The lines of the I/O APIC that comparator `at` may have, by bits.
pub const fn timer_routes(at: usize) -> usize {
    timer_config(at) + 4
}

/// The lower half of comparator `at`'s value.
pub const fn timer_comparator(at: usize) -> usize {
    timer_config(at) + 8
}

/// [`CAPABILITIES`]: the number of the last comparator, from this bit on.
pub const CAP_LAST_SHIFT: u32 = 8;
/// So many numbers there are, less one.
pub const CAP_LAST_MASK: u32 = 0x1f;
/// [`CAPABILITIES`]: the counter has 64 bits.
pub const CAP_WIDE: u32 = 1 << 13;
/// [`CAPABILITIES`]: the first two comparators can have the old timer's and the clock's lines.
pub const CAP_LEGACY: u32 = 1 << 15;

/// [`CONFIG`]: the counter runs, interrupts come.
pub const CONFIG_ENABLE: u32 = 1 << 0;
/// [`CONFIG`]: the first two comparators have the old timer's and the clock's lines.
pub const CONFIG_LEGACY: u32 = 1 << 1;

/// A comparator's configuration: its interrupt is level-triggered.
pub const TIMER_LEVEL: u32 = 1 << 1;
/// Its interrupt comes.
pub const TIMER_ENABLE: u32 = 1 << 2;
/// It repeats by itself.
pub const TIMER_PERIODIC: u32 = 1 << 3;
/// It can do that.
pub const TIMER_PERIODIC_CAPABLE: u32 = 1 << 4;
/// The next value written is that of the first interrupt, the one after it the period.
pub const TIMER_SET_VALUE: u32 = 1 << 6;
/// It compares 32 bits.
pub const TIMER_32BIT: u32 = 1 << 8;
/// Its line of the I/O APIC, from this bit on.
pub const TIMER_ROUTE_SHIFT: u32 = 9;
/// That line's bits.
pub const TIMER_ROUTE_MASK: u32 = 0x1f << TIMER_ROUTE_SHIFT;
/// Messages instead of a line.
pub const TIMER_MESSAGES: u32 = 1 << 14;
