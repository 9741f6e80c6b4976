// SPDX-License-Identifier: GPL-2.0
//! The TSC: its frequency, whether it can be trusted, and the clock source.
//!
//! Frequency, best first: CPUID leaf 0x15, KVM's own clock parameters, a comparison with the HPET or the PM timer, one with the
//! PIT. Trust: an invariant TSC, or one under a hypervisor or an emulator, is taken and watched (`watchdog`); `tsc=reliable`
//! or `tsc=nowatchdog` skip the watching, `tsc=unstable` refuses it.
//! Source: Intel SDM volume 3, 18.17 and 19.7.3.

use crate::{kvmclock, lapic_timer, pit};
use boot_info::BootInfo;
use clock_hw::{ClockSource, VdsoMode};
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use x86_cpu::cpuid::features;
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::tsc::{rdtsc, rdtsc_ordered};
use x86_delay::set_hz;

pub use x86_delay::{hz, khz};

static UNSTABLE: AtomicBool = AtomicBool::new(false);
/// No watching.
static RELIABLE: AtomicBool = AtomicBool::new(false);
/// The frequency is exact (CPUID, hypervisor): no refinement.
static EXACT: AtomicBool = AtomicBool::new(false);

/// Whether the TSC was found not to be usable as a clock.
pub fn is_unstable() -> bool {
    UNSTABLE.load(Ordering::Relaxed)
}

pub(crate) fn is_reliable() -> bool {
    RELIABLE.load(Ordering::Relaxed)
}

pub(crate) fn set_unstable(why: &'static str) {
    if !UNSTABLE.swap(true, Ordering::Relaxed) {
        klog::pr_warn!("tsc: Marking TSC unstable due to {why}");
        if let Some(time) = clock_hw::TIMEKEEPING.get() {
            time.mark_unstable(&TSC, why);
        }
    }
}

pub(crate) fn early_init(info: &BootInfo) {
    kvmclock::early_init(info);
    match info.option_value(b"tsc") {
        Some(b"unstable") => UNSTABLE.store(true, Ordering::Relaxed),
        Some(b"reliable" | b"nowatchdog") => RELIABLE.store(true, Ordering::Relaxed),
        // Constant and never stopping: what Linux takes without a watchdog too.
        _ => RELIABLE.store(features().invariant_tsc, Ordering::Relaxed),
    }
    let exact = match features().tsc_khz {
        0 => kvmclock::tsc_khz(),
        khz => Some(khz),
    };
    if let Some(khz) = exact {
        EXACT.store(true, Ordering::Relaxed);
        set_hz(u64::from(khz) * 1000);
        klog::pr_info!("tsc: Detected {}.{:03} MHz processor", khz / 1000, khz % 1000);
    }
}

/// Measures against `reference` (HPET or PM timer), or the PIT when there is none.
pub(crate) fn refine(reference: Option<&dyn ClockSource>) {
    if EXACT.load(Ordering::Relaxed) {
        return;
    }
    let reference = reference.or_else(|| pit::counter().map(|counter| counter as &dyn ClockSource));
    let measured = reference.map(measure).filter(|&hz| hz != 0);
    match measured {
        Some(hz) => {
            set_hz(hz);
            klog::pr_info!("tsc: Detected {}.{:03} MHz processor", hz / 1_000_000, hz / 1000 % 1000);
        }
        None => {
            klog::pr_err!("tsc: no way to find the frequency");
            set_unstable("unknown frequency");
        }
    }
}

/// Counts the TSC, and the local APIC timer beside it, while `source` runs for about 10 ms.
fn measure(source: &dyn ClockSource) -> u64 {
    let _irq = IrqGuard::new();
    let window = source.frequency_hz() / 100;
    lapic_timer::start_count();
    let (tsc_start, start) = read_pair(source);
    let apic_start = lapic_timer::counted();
    loop {
        let now = source.read().wrapping_sub(start) & source.mask();
        if now >= window {
            break;
        }
        // A counter that stands still never gets there.
        if rdtsc().wrapping_sub(tsc_start) > 10_000_000_000 {
            return 0;
        }
    }
    let apic_end = lapic_timer::counted();
    let (tsc_end, end) = read_pair(source);
    let elapsed = end.wrapping_sub(start) & source.mask();
    let apic = u64::from(apic_start.wrapping_sub(apic_end)) * source.frequency_hz() / elapsed.max(1);
    lapic_timer::set_measured(apic);
    let cycles = u128::from(tsc_end.wrapping_sub(tsc_start)) * u128::from(source.frequency_hz());
    u64::try_from(cycles / u128::from(elapsed.max(1))).unwrap_or(0)
}

/// A reading of the TSC and of `source` close together: of five, the one least disturbed (by a hypervisor, by SMIs).
fn read_pair(source: &dyn ClockSource) -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..5 {
        let before = rdtsc_ordered();
        let value = source.read();
        let gap = rdtsc_ordered().wrapping_sub(before);
        if gap < best.0 {
            best = (gap, before.wrapping_add(gap / 2), value);
        }
    }
    (best.1, best.2)
}

/// The clock source, unless the TSC is known to be bad.
pub(crate) fn source() -> Option<&'static dyn ClockSource> {
    (!is_unstable() && hz() != 0).then_some(&TSC)
}

/// Compares a starting CPU's TSC with the boot CPU's. The boot CPU publishes its last reading while it waits for us in
/// `udelay`; a TSC that is behind what was already seen elsewhere would let time run backwards.
pub(crate) fn check_secondary() {
    let seen = LAST_SEEN.load(Ordering::Acquire);
    let now = rdtsc_ordered() as i64;
    if seen != 0 && now.wrapping_sub(seen) < 0 {
        set_unstable("TSCs of the CPUs are not synchronised");
    }
}

static LAST_SEEN: AtomicI64 = AtomicI64::new(0);

/// Publishes this CPU's TSC for [`check_secondary`].
pub fn publish() {
    LAST_SEEN.store(rdtsc_ordered() as i64, Ordering::Release);
}

struct Tsc;
static TSC: Tsc = Tsc;

impl ClockSource for Tsc {
    fn name(&self) -> &'static str {
        "tsc"
    }
    fn rating(&self) -> u32 {
        300
    }
    fn read(&self) -> u64 {
        rdtsc()
    }
    fn mask(&self) -> u64 {
        u64::MAX
    }
    fn frequency_hz(&self) -> u64 {
        hz()
    }
    fn vdso_mode(&self) -> VdsoMode {
        VdsoMode::Tsc
    }
    fn verify(&self) -> bool {
        crate::watchdog::check()
    }
}
