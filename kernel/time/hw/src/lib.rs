// SPDX-License-Identifier: GPL-2.0
//! The seam between clock hardware and time keeping: what a clock source and a clock event device are, and the hook through
//! which drivers (`arch/x86/kernel`: TSC, kvm-clock, HPET, ACPI PM, PIT, local APIC) hand them to `kernel/time`.
//!
//! `kernel/time` sets [`TIMEKEEPING`] before the drivers probe. No locks here: devices are `'static`.

#![no_std]
#![forbid(unsafe_code)]

use hook::Hook;

/// How the vDSO may read a clock source by itself (`vdso_clock_mode` in Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VdsoMode {
    /// It cannot; user space must make the system call.
    None,
    /// `rdtsc`; the source's cycles are the TSC's.
    Tsc,
}

/// A free-running counter.
pub trait ClockSource: Sync {
    /// Name as `/sys/devices/system/clocksource` shows it (`tsc`, `kvm-clock`, `hpet`, `acpi_pm`, `pit`).
    fn name(&self) -> &'static str;
    /// Preference, higher is better (Linux's scale: tsc 300, hpet 250, acpi_pm 200).
    fn rating(&self) -> u32;
    /// The counter. Any context. Monotonic on one CPU modulo [`Self::mask`]; where it is wider than 64 bits' worth of wrap
    /// (kvm-clock, TSC) monotonic across CPUs too.
    fn read(&self) -> u64;
    /// All ones over the counter's width.
    fn mask(&self) -> u64;
    /// Counts a second.
    fn frequency_hz(&self) -> u64;
    /// How the vDSO may read it.
    fn vdso_mode(&self) -> VdsoMode {
        VdsoMode::None
    }
    /// The counter is the TSC itself, so that `kernel/time` may read it with `rdtsc` in line instead of through this object.
    fn is_tsc(&self) -> bool {
        self.vdso_mode() == VdsoMode::Tsc
    }
    /// Compares itself with another counter and reports to [`TimeKeeping::mark_unstable`] if it proves wrong. Whether there is a
    /// reason to call again in about a second (`CLOCK_SOURCE_MUST_VERIFY`): not for a source that is known to be right, or
    /// that there is nothing to compare with. Any context but NMI; one caller at a time.
    fn verify(&self) -> bool {
        false
    }
}

/// A timer that raises one interrupt at a set time on the CPU that programs it. One-shot only: Rideau has no periodic tick.
/// A device object serves every CPU that it was registered for; each method acts on the calling CPU's instance.
/// Methods are called with interrupts off.
pub trait ClockEvent: Sync {
    /// Name as `/proc/timer_list` shows it (`lapic-deadline`, `lapic`, `hpet`, `pit`).
    fn name(&self) -> &'static str;
    /// Preference, higher is better.
    fn rating(&self) -> u32;
    /// Each CPU has its own instance. `false`: one device, its interrupt arrives at the boot CPU only.
    fn is_per_cpu(&self) -> bool;
    /// Shortest programmable distance in nanoseconds.
    fn min_delta_ns(&self) -> u64;
    /// Longest programmable distance in nanoseconds; a longer wait is cut into pieces by the caller.
    fn max_delta_ns(&self) -> u64;
    /// Arms the interrupt `delta_ns` from now (clamped to the two limits), replacing an earlier setting.
    fn set_next_event(&self, delta_ns: u64);
    /// Disarms it.
    fn stop(&self);
    /// Whether an idle state deeper than `hlt` may stop it.
    fn stops_in_idle(&self) -> bool {
        false
    }
}

/// What `kernel/time` offers to the drivers.
pub trait TimeKeeping: Sync {
    /// A clock source was found. Process context, boot CPU, once for each source.
    fn register_source(&self, source: &'static dyn ClockSource);
    /// A source proved unreliable (TSC by the watchdog): switch away, and rate it zero. Any context but NMI.
    fn mark_unstable(&self, source: &'static dyn ClockSource, why: &'static str);
    /// The calling CPU has this event device. Interrupts off, once on each CPU for per-CPU devices.
    fn register_event(&self, device: &'static dyn ClockEvent);
    /// The calling CPU's event device fired. Hard interrupt context, interrupts off.
    fn event_interrupt(&self);
}

/// Set by `kernel/time`.
pub static TIMEKEEPING: Hook<dyn TimeKeeping> = Hook::new();

/// What user space needs to tell the time by itself. With `delta = (cycles - cycle_last) & mask` (0 if negative):
/// `mono_ns = base_ns + ((delta as u128 * mult + frac) >> 32)`; `CLOCK_REALTIME` is that plus `real_offset_ns`, `CLOCK_TAI` plus
/// `tai_offset_ns` more, and `CLOCK_BOOTTIME` is monotonic time plus `boot_offset_ns`. `CLOCK_MONOTONIC_RAW` is the same formula
/// with the `raw_` fields. The coarse clocks are the fine ones rounded down to [`COARSE_NS`].
#[derive(Clone, Copy, Debug)]
pub struct VdsoTime {
    /// How to read the counter; [`VdsoMode::None`]: make the system call.
    pub mode: VdsoMode,
    /// Counter value at the base.
    pub cycle_last: u64,
    /// Counter width.
    pub mask: u64,
    /// Nanoseconds for a cycle, 32 bits after the point.
    pub mult: u64,
    /// Monotonic time at the base.
    pub base_ns: u64,
    /// Fraction of a nanosecond at the base, 32 bits.
    pub frac: u64,
    /// As `mult`, not steered.
    pub raw_mult: u64,
    /// As `base_ns`, not steered.
    pub raw_base_ns: u64,
    /// As `frac`, not steered.
    pub raw_frac: u64,
    /// Real time minus monotonic time.
    pub real_offset_ns: i64,
    /// TAI minus real time.
    pub tai_offset_ns: i64,
    /// Boot time minus monotonic time.
    pub boot_offset_ns: i64,
}

/// Resolution of the coarse clocks: one tick of Linux's at `HZ=250`.
pub const COARSE_NS: u64 = 4_000_000;

/// Receives the time for the vDSO's data page.
pub trait VdsoUpdate: Sync {
    /// The conversion changed. Interrupts off, calls serialised, any CPU. The data page has its own sequence counter.
    fn update(&self, time: &VdsoTime);
}

/// The vDSO (`arch/x86/kernel`), if there is one.
pub static VDSO: Hook<dyn VdsoUpdate> = Hook::new();

/// `(mult, shift)` such that `ns = cycles * mult >> shift`, exact enough that `max_seconds` worth of cycles do not overflow
/// 64 bits. Source: the arithmetic described in Linux's `Documentation/timers/timekeeping.rst`.
pub const fn mult_shift(from_hz: u64, to_hz: u64, max_seconds: u64) -> (u32, u32) {
    if from_hz == 0 {
        return (0, 0);
    }
    // Bits that `max_seconds` of input cycles need above 32 bound the size of the multiplier.
    let mut spread = ((max_seconds as u128 * from_hz as u128) >> 32) as u64;
    let mut bits = 32u32;
    while spread != 0 {
        spread >>= 1;
        bits = bits.saturating_sub(1);
    }
    let mut shift = 32u32;
    while shift > 0 {
        let mult = (((to_hz as u128) << shift) + from_hz as u128 / 2) / from_hz as u128;
        if mult >> bits == 0 {
            return (mult as u32, shift);
        }
        shift -= 1;
    }
    ((to_hz / from_hz) as u32, 0)
}

#[cfg(test)]
mod tests {
    use super::mult_shift;

    #[test]
    fn converts_within_a_part_per_million() {
        for hz in [1_193_182u64, 3_579_545, 14_318_180, 100_000_000, 1_000_000_000, 2_999_999_999, 5_000_000_000] {
            let (mult, shift) = mult_shift(hz, 1_000_000_000, 600);
            let second = ((hz as u128 * mult as u128) >> shift) as i128;
            assert!((second - 1_000_000_000).abs() < 1000, "{hz}: {second}");
            let long = hz.checked_mul(600).and_then(|c| c.checked_mul(u64::from(mult)));
            assert!(long.is_some(), "{hz} overflows");
        }
    }

    #[test]
    fn nothing_from_a_stopped_clock() {
        assert_eq!(mult_shift(0, 1_000_000_000, 600), (0, 0));
    }
}
