// SPDX-License-Identifier: GPL-2.0
//! Each CPU's local timer as its event device: in TSC-deadline mode where the CPU has it, else as a count-down whose frequency
//! is measured against the TSC. Machines whose local timer is refused (`nolapic_timer`, `lapic=notscdeadline` for the first
//! mode) and that have one CPU fall back to the HPET or the PIT. Source: Intel SDM volume 3, 11.5.4.

use crate::{hpet, pit, tsc};
use boot_info::BootInfo;
use clock_hw::{ClockEvent, TIMEKEEPING, mult_shift};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use x86_apic::irq_vectors::LOCAL_TIMER_VECTOR;
use x86_apic::local::{self, LVT_MASKED, LVT_TIMER, TIMER_CURRENT, TIMER_DIVIDE, TIMER_INITIAL};
use x86_cpu::asm;
use x86_cpu::cpuid::features;
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::tsc::{rdtsc, rdtsc_ordered};

const MODE_NONE: u8 = 0;
const MODE_ONESHOT: u8 = 1;
const MODE_DEADLINE: u8 = 2;
/// LVT timer mode bits.
const LVT_DEADLINE: u32 = 2 << 17;
/// Divide by one.
const DIVIDE_1: u32 = 0b1011;

static MODE: AtomicU8 = AtomicU8::new(MODE_NONE);
/// Count-downs a second.
static FREQUENCY: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds to device ticks (TSC cycles or count-downs): `ticks = ns * MULT >> SHIFT`.
static MULT: AtomicU32 = AtomicU32::new(0);
static SHIFT: AtomicU32 = AtomicU32::new(0);

/// Longest distance programmed at once.
const MAX_DELTA_NS: u64 = 2_000_000_000;

fn ticks(ns: u64) -> u64 {
    ns.wrapping_mul(u64::from(MULT.load(Ordering::Relaxed))) >> SHIFT.load(Ordering::Relaxed)
}

/// Chooses the mode and starts the boot CPU's device.
pub(crate) fn init(info: &BootInfo) {
    pit::silence();
    if info.has_option(b"nolapic_timer") || !local::is_enabled() {
        return fallback();
    }
    let deadline = features().tsc_deadline && info.option_value(b"lapic") != Some(b"notscdeadline");
    let (mode, hz) = if deadline && !tsc::is_unstable() && tsc::hz() != 0 {
        (MODE_DEADLINE, tsc::hz())
    } else {
        (MODE_ONESHOT, calibrate())
    };
    if hz == 0 {
        klog::pr_err!("APIC timer: it does not run");
        return fallback();
    }
    FREQUENCY.store(hz, Ordering::Relaxed);
    let (mult, shift) = mult_shift(1_000_000_000, hz, MAX_DELTA_NS / 1_000_000_000 + 1);
    MULT.store(mult, Ordering::Relaxed);
    SHIFT.store(shift, Ordering::Relaxed);
    MODE.store(mode, Ordering::Release);
    klog::pr_info!("APIC timer: {}, {} kHz", if deadline { "TSC deadline" } else { "one-shot" }, hz / 1000);
    start_cpu();
}

/// Sets up the calling CPU's timer and registers it.
pub(crate) fn start_cpu() {
    let device: &'static dyn ClockEvent = match MODE.load(Ordering::Acquire) {
        MODE_ONESHOT => {
            local::write(TIMER_DIVIDE, DIVIDE_1);
            local::write(LVT_TIMER, u32::from(LOCAL_TIMER_VECTOR));
            &OneShot
        }
        MODE_DEADLINE => {
            local::write(LVT_TIMER, LVT_DEADLINE | u32::from(LOCAL_TIMER_VECTOR));
            // In xAPIC mode the write by memory must come before the MSR's (SDM 11.5.4.1).
            core::sync::atomic::fence(Ordering::SeqCst);
            &Deadline
        }
        _ => return,
    };
    if let Some(time) = TIMEKEEPING.get() {
        time.register_event(device);
    }
}

/// Starts the count-down, so that the measuring of the TSC gives its frequency too ([`counted`]).
pub(crate) fn start_count() {
    if local::is_enabled() {
        local::write(TIMER_DIVIDE, DIVIDE_1);
        local::write(LVT_TIMER, LVT_MASKED | u32::from(LOCAL_TIMER_VECTOR));
        local::write(TIMER_INITIAL, u32::MAX);
    }
}

/// The count-down's value, which falls; 0 without a local APIC.
pub(crate) fn counted() -> u32 {
    if local::is_enabled() { local::read(TIMER_CURRENT) } else { 0 }
}

/// Takes the frequency that was measured beside the TSC's.
pub(crate) fn set_measured(hz: u64) {
    FREQUENCY.store(hz, Ordering::Relaxed);
}

/// Count-downs a second, as measured already or by 5 ms of the TSC. Zero when it stands still.
fn calibrate() -> u64 {
    local::write(TIMER_INITIAL, 0);
    let measured = FREQUENCY.load(Ordering::Relaxed);
    let hz = tsc::hz();
    if measured != 0 || hz == 0 {
        return measured;
    }
    let _irq = IrqGuard::new();
    start_count();
    let (start, first) = (rdtsc_ordered(), local::read(TIMER_CURRENT));
    let window = hz / 200;
    while rdtsc().wrapping_sub(start) < window {
        asm::cpu_relax();
    }
    let (end, last) = (rdtsc_ordered(), local::read(TIMER_CURRENT));
    local::write(TIMER_INITIAL, 0);
    let counted = u128::from(first.wrapping_sub(last));
    u64::try_from(counted * u128::from(hz) / u128::from(end.wrapping_sub(start).max(1))).unwrap_or(0)
}

/// The HPET or the PIT, through ISA interrupt 0: only for one CPU. `kernel/irq` routes it (see [`fallback_line`]).
fn fallback() {
    let device = hpet::event().unwrap_or(&pit::Pit);
    klog::pr_info!("clockevent: {} on IRQ 0", device.name());
    FALLBACK.store(1, Ordering::Relaxed);
    let line = x86_irq::io::isa_line(0);
    if let Err(error) = x86_irq::io::route_vector(line, LOCAL_TIMER_VECTOR) {
        klog::pr_err!("clockevent: no route for IRQ 0: {error}");
        return;
    }
    if let Some(time) = TIMEKEEPING.get() {
        time.register_event(device);
    }
}

static FALLBACK: AtomicU8 = AtomicU8::new(0);

/// Whether events come from one device for the boot CPU only, so that no other CPU can be used.
pub(crate) fn is_fallback() -> bool {
    FALLBACK.load(Ordering::Relaxed) != 0
}

struct Deadline;

impl ClockEvent for Deadline {
    fn name(&self) -> &'static str {
        "lapic-deadline"
    }
    fn rating(&self) -> u32 {
        150
    }
    fn is_per_cpu(&self) -> bool {
        true
    }
    fn min_delta_ns(&self) -> u64 {
        100
    }
    fn max_delta_ns(&self) -> u64 {
        MAX_DELTA_NS
    }
    #[inline]
    fn set_next_event(&self, delta_ns: u64) {
        let target = rdtsc().wrapping_add(ticks(delta_ns.min(MAX_DELTA_NS)));
        local::set_tsc_deadline(target);
    }
    fn stop(&self) {
        local::set_tsc_deadline(0);
    }
    fn stops_in_idle(&self) -> bool {
        !features().arat
    }
}

struct OneShot;

impl ClockEvent for OneShot {
    fn name(&self) -> &'static str {
        "lapic"
    }
    fn rating(&self) -> u32 {
        100
    }
    fn is_per_cpu(&self) -> bool {
        true
    }
    fn min_delta_ns(&self) -> u64 {
        1000
    }
    fn max_delta_ns(&self) -> u64 {
        let whole = u64::from(u32::MAX) * 1_000_000_000 / FREQUENCY.load(Ordering::Relaxed).max(1);
        whole.min(MAX_DELTA_NS)
    }
    #[inline]
    fn set_next_event(&self, delta_ns: u64) {
        let count = ticks(delta_ns.min(MAX_DELTA_NS)).clamp(1, u64::from(u32::MAX));
        local::write(TIMER_INITIAL, count as u32);
    }
    fn stop(&self) {
        local::write(TIMER_INITIAL, 0);
    }
    fn stops_in_idle(&self) -> bool {
        !features().arat
    }
}
