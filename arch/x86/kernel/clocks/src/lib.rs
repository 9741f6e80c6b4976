// SPDX-License-Identifier: GPL-2.0
//! Clock hardware: counters (TSC, kvm-clock, HPET, ACPI PM timer, PIT), one-shot timers (TSC-deadline, local APIC, HPET, PIT),
//! the CMOS clock, delays, and the watchdog that compares the TSC with another counter. Found devices are handed to
//! `kernel/time` through `clock_hw`.
//!
//! Order at boot: [`early_init`] (TSC frequency by the quickest way, so that delays and printk's time stamps work), then
//! [`init`] when tables and devices can be mapped, then each CPU's event device.
//! Lock, innermost and taken with interrupts off: `watchdog::LAST`.

#![no_std]
#![forbid(unsafe_code)]

mod hpet;
pub mod hpet_regs;
mod kvmclock;
mod lapic_timer;
mod pit;
mod pm_timer;
pub mod rtc;
pub mod tsc;
mod watchdog;

use boot_info::BootInfo;
use clock_hw::{ClockSource, TIMEKEEPING};
use x86_acpi::fadt::Fadt;

pub use hpet::{HPET_OWN_COMPARATORS, HpetFound, hpet_found};
pub use x86_delay::delay;

/// Calibrates the TSC against whatever needs no mapping: CPUID, KVM, the PIT. Boot CPU, interrupts off.
pub fn early_init(info: &BootInfo) {
    tsc::early_init(info);
}

/// Finds and registers clock sources, improves the TSC's calibration, and starts the boot CPU's event device. After the APICs
/// are up, interrupts off, `TIMEKEEPING` set.
pub fn init(info: &BootInfo, fadt: Option<&Fadt>) {
    let hpet = if info.option_value(b"hpet") == Some(b"disable") { None } else { hpet::init() };
    let pm_timer = fadt.and_then(pm_timer::init);
    tsc::refine(hpet.map(|h| h as &dyn ClockSource).or(pm_timer.map(|p| p as &dyn ClockSource)));
    if let Some(hpet) = hpet {
        register(hpet);
    }
    if let Some(pm_timer) = pm_timer {
        register(pm_timer);
    }
    if let Some(kvm) = kvmclock::init() {
        register(kvm);
    }
    watchdog::init(hpet.map(|h| h as &'static dyn ClockSource).or(pm_timer.map(|p| p as &'static dyn ClockSource)));
    if let Some(tsc) = tsc::source() {
        register(tsc);
    }
    lapic_timer::init(info);
}

/// The event device of a CPU that has just started. Interrupts off.
pub fn init_secondary() {
    x86_cpu::pvclock::init_cpu();
    tsc::check_secondary();
    lapic_timer::start_cpu();
}

/// Whether the only event device is the boot CPU's, so that no other CPU can be used.
pub fn is_single_cpu() -> bool {
    lapic_timer::is_fallback()
}

/// Wall-clock time now, in nanoseconds since 1970, by the best clock there is. EIO without one. For `kernel/time` at boot.
pub fn read_wall_ns() -> errno::Result<i64> {
    if let Some(at_zero) = kvmclock::boot_wall_ns() {
        return Ok(at_zero.saturating_add(kvmclock::read_ns()) as i64);
    }
    rtc::read_seconds()?.checked_mul(1_000_000_000).ok_or(errno::code::EIO)
}

fn register(source: &'static dyn ClockSource) {
    match TIMEKEEPING.get() {
        Some(time) => time.register_source(source),
        None => klog::pr_warn!("clocksource {}: nobody to take it", source.name()),
    }
}
