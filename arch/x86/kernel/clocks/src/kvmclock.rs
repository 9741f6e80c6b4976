// SPDX-License-Identifier: GPL-2.0
//! kvm-clock: KVM tells each CPU how its TSC relates to the host's time. It gives the TSC's frequency without measuring, the
//! wall clock at boot, and a clock source that survives migration. Source: Linux's `Documentation/virt/kvm/x86/msr.rst` and
//! `cpuid.rst`.

use boot_info::BootInfo;
use clock_hw::ClockSource;
use core::sync::atomic::{AtomicI64, Ordering, fence};
use x86_cpu::cpuid::features;
use x86_cpu::tsc::rdtsc_ordered;
use x86_cpu::{cpu_id, pvclock};

/// CPUID 0x40000001 eax: the new MSRs.
const FEATURE_CLOCKSOURCE2: u32 = 1 << 3;
/// CPUID 0x40000001 eax: the flags of the time structure mean something.
const FEATURE_STABLE_BIT: u32 = 1 << 24;
/// Flag: readings are monotonic across CPUs.
const FLAG_TSC_STABLE: u32 = 1 << 0;

fn available() -> bool {
    features().kvm_features & FEATURE_CLOCKSOURCE2 != 0
}

/// Tells KVM where the boot CPU's structure is. First thing of the clocks.
pub(crate) fn early_init(info: &BootInfo) {
    if available() && !info.has_option(b"no-kvmclock") {
        pvclock::enable(info.kernel.virt_base, info.kernel.phys_base);
    }
}

/// The TSC's frequency as KVM gives it.
pub(crate) fn tsc_khz() -> Option<u32> {
    if !pvclock::is_enabled() {
        return None;
    }
    let time = pvclock::time_of(0)?;
    let mul = u64::from(time.tsc_to_system_mul.load(Ordering::Relaxed));
    if mul == 0 {
        return None;
    }
    let khz = (1_000_000u64 << 32) / mul;
    let shift = time.shift_flags.load(Ordering::Relaxed) as i8;
    let khz = if shift < 0 { khz << u32::from(shift.unsigned_abs()).min(31) } else { khz >> shift.min(63) };
    u32::try_from(khz).ok().filter(|&khz| khz != 0)
}

/// The clock source, under KVM.
pub(crate) fn init() -> Option<&'static dyn ClockSource> {
    pvclock::is_enabled().then_some(&KvmClock)
}

/// Wall-clock nanoseconds since 1970 at the moment the host's clock (which [`read_ns`] continues) was zero.
pub(crate) fn boot_wall_ns() -> Option<u64> {
    if !pvclock::is_enabled() {
        return None;
    }
    let (seconds, nanoseconds) = pvclock::wall_clock()?;
    (seconds != 0).then(|| u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds))
}

/// Nanoseconds of the host's clock.
pub(crate) fn read_ns() -> u64 {
    let Some(time) = pvclock::time_of(cpu_id()) else { return 0 };
    let (ns, flags) = loop {
        let version = time.version.load(Ordering::Acquire);
        let delta = rdtsc_ordered().wrapping_sub(time.tsc_timestamp.load(Ordering::Relaxed));
        let shift_flags = time.shift_flags.load(Ordering::Relaxed);
        let shift = shift_flags as i8;
        let delta = if shift < 0 { delta >> u32::from(shift.unsigned_abs()).min(63) } else { delta << shift.min(63) };
        let scaled = (u128::from(delta) * u128::from(time.tsc_to_system_mul.load(Ordering::Relaxed))) >> 32;
        let ns = time.system_time.load(Ordering::Relaxed).wrapping_add(scaled as u64);
        fence(Ordering::Acquire);
        if version & 1 == 0 && version == time.version.load(Ordering::Relaxed) {
            break (ns, shift_flags >> 8);
        }
    };
    if features().kvm_features & FEATURE_STABLE_BIT != 0 && flags & FLAG_TSC_STABLE != 0 {
        return ns;
    }
    // CPUs may disagree: never go back behind what any of them has shown.
    let last = LAST.fetch_max(ns as i64, Ordering::Relaxed);
    ns.max(last as u64)
}

static LAST: AtomicI64 = AtomicI64::new(0);

struct KvmClock;

impl ClockSource for KvmClock {
    fn name(&self) -> &'static str {
        "kvm-clock"
    }
    fn rating(&self) -> u32 {
        // An invariant TSC is as good and quicker.
        if features().invariant_tsc { 299 } else { 400 }
    }
    fn read(&self) -> u64 {
        // The reading belongs to one CPU's structure.
        let _irq = x86_cpu::irqflags::IrqGuard::new();
        read_ns()
    }
    fn mask(&self) -> u64 {
        u64::MAX
    }
    fn frequency_hz(&self) -> u64 {
        1_000_000_000
    }
}
