// SPDX-License-Identifier: GPL-2.0
//! Where KVM writes each CPU's time, and how it is told so (`kvmclock` is the clock made of it). Written by the hypervisor alone.
//! Source: Linux's `Documentation/virt/kvm/x86/msr.rst`.

use crate::{MAX_CPUS, cpu_id, msr};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// `struct pvclock_vcpu_time_info`, in words that KVM rewrites at any time.
#[repr(C, align(64))]
pub struct VcpuTime {
    /// Odd while it is written.
    pub version: AtomicU32,
    pad: u32,
    /// The TSC when it was written.
    pub tsc_timestamp: AtomicU64,
    /// The host's clock then, in ns.
    pub system_time: AtomicU64,
    /// Nanoseconds of a TSC cycle, in 2^-32.
    pub tsc_to_system_mul: AtomicU32,
    /// `tsc_shift` (signed, byte 0) and `flags` (byte 1).
    pub shift_flags: AtomicU32,
}

static TIMES: [VcpuTime; MAX_CPUS] = [const {
    VcpuTime {
        version: AtomicU32::new(0),
        pad: 0,
        tsc_timestamp: AtomicU64::new(0),
        system_time: AtomicU64::new(0),
        tsc_to_system_mul: AtomicU32::new(0),
        shift_flags: AtomicU32::new(0),
    }
}; MAX_CPUS];

/// `struct pvclock_wall_clock`.
#[repr(C, align(16))]
struct WallClock {
    version: AtomicU32,
    seconds: AtomicU32,
    nanoseconds: AtomicU32,
}
static WALL: WallClock =
    WallClock { version: AtomicU32::new(0), seconds: AtomicU32::new(0), nanoseconds: AtomicU32::new(0) };

/// Virtual minus physical address of the kernel image.
static IMAGE_DELTA: AtomicU64 = AtomicU64::new(0);

fn phys_of<T>(object: &'static T) -> u64 {
    (core::ptr::from_ref(object).addr() as u64).wrapping_sub(IMAGE_DELTA.load(Ordering::Relaxed))
}

/// Sets how far the kernel's image is from its physical place, which turns this on, and tells KVM where this CPU's structure is.
/// KVM has the MSRs (`FEATURE_CLOCKSOURCE2`).
pub fn enable(virt_base: u64, phys_base: u64) {
    IMAGE_DELTA.store(virt_base.wrapping_sub(phys_base), Ordering::Relaxed);
    init_cpu();
}

/// Whether it is on.
pub fn is_enabled() -> bool {
    IMAGE_DELTA.load(Ordering::Relaxed) != 0
}

/// Tells KVM where the calling CPU's structure is.
pub fn init_cpu() {
    if !is_enabled() {
        return;
    }
    if let Some(time) = TIMES.get(cpu_id() as usize) {
        // SAFETY: KVM has the MSR (feature bit); the structure is static and written by the hypervisor alone. Bit 0: on.
        unsafe { msr::wrmsr(msr::KVM_SYSTEM_TIME_NEW, phys_of(time) | 1) };
    }
}

/// CPU `cpu`'s structure.
#[inline]
pub fn time_of(cpu: crate::CpuId) -> Option<&'static VcpuTime> {
    TIMES.get(cpu as usize)
}

/// The wall clock when the host's clock was zero: seconds and nanoseconds; `None` if the host is just writing it. It is on.
pub fn wall_clock() -> Option<(u32, u32)> {
    // SAFETY: KVM has the MSR; it fills the static structure before the write returns.
    unsafe { msr::wrmsr(msr::KVM_WALL_CLOCK_NEW, phys_of(&WALL)) };
    fence(Ordering::Acquire);
    let time = (WALL.seconds.load(Ordering::Relaxed), WALL.nanoseconds.load(Ordering::Relaxed));
    (WALL.version.load(Ordering::Relaxed) & 1 == 0).then_some(time)
}
