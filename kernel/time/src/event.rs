// SPDX-License-Identifier: GPL-2.0
//! Each CPU's clock event device: programmed for the CPU's first timer, and nothing else. No periodic tick.

use crate::{hrtimer, timekeeper};
use clock_hw::ClockEvent;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use klog::pr_info;
use locking::SetOnce;
use x86_cpu::percpu::CpuId;

const MAX_DEVICES: usize = 8;

static DEVICES: [SetOnce<&'static dyn ClockEvent>; MAX_DEVICES] = [const { SetOnce::new() }; MAX_DEVICES];

x86_cpu::percpu! {
    /// Index + 1 of this CPU's device; 0: none yet.
    static DEVICE: AtomicUsize = AtomicUsize::new(0);
    /// Interrupts of the device.
    static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
}

#[inline]
fn device() -> Option<&'static dyn ClockEvent> {
    let index = DEVICE.this_racy().load(Ordering::Relaxed).checked_sub(1)?;
    DEVICES.get(index)?.get().copied()
}

/// Whether `cpu` has an event device, that is, runs.
pub(crate) fn online(cpu: CpuId) -> bool {
    DEVICE.on(cpu).is_some_and(|d| d.load(Ordering::Relaxed) != 0)
}

/// The name of `cpu`'s device.
pub fn device_name(cpu: CpuId) -> Option<&'static str> {
    let index = DEVICE.on(cpu)?.load(Ordering::Relaxed).checked_sub(1)?;
    DEVICES.get(index)?.get().map(|d| d.name())
}

/// Timer interrupts on `cpu` so far (`LOC` of `/proc/interrupts`).
pub fn interrupts(cpu: CpuId) -> u64 {
    INTERRUPTS.on(cpu).map_or(0, |n| n.load(Ordering::Relaxed))
}

/// This CPU has `new`: used if it is better than what there is. Interrupts off.
pub(crate) fn register(new: &'static dyn ClockEvent) {
    let index = DEVICES.iter().position(|slot| match slot.get() {
        Some(d) => d.name() == new.name(),
        None => slot.set(new).is_ok(),
    });
    let Some(index) = index else { return };
    let old = device();
    if old.is_some_and(|o| o.rating() >= new.rating()) {
        return;
    }
    if let Some(old) = old {
        old.stop();
    }
    DEVICE.this_racy().store(index + 1, Ordering::Relaxed);
    pr_info!("clockevents: CPU{} uses {}", x86_cpu::cpu_id(), new.name());
    hrtimer::reprogram();
}

/// Arms this CPU's device for monotonic time `at`. Interrupts off.
#[inline]
pub(crate) fn program(at: u64) {
    if let Some(device) = device() {
        let delta = at.saturating_sub(timekeeper::now_ns());
        device.set_next_event(delta.clamp(device.min_delta_ns(), device.max_delta_ns()));
    }
}

/// Arms this CPU's device `delta` nanoseconds from now, whatever the clocks do. Interrupts off.
pub(crate) fn program_in(delta: u64) {
    if let Some(device) = device() {
        device.set_next_event(delta.clamp(device.min_delta_ns(), device.max_delta_ns()));
    }
}

/// Nothing is to come: the one-shot device has fired and stays silent.
#[inline]
pub(crate) fn stop() {}

/// No interrupt comes before this CPU's device is armed again. Interrupts off.
pub(crate) fn shut_down() {
    if let Some(device) = device() {
        device.stop();
    }
}

/// The device fired. Hard interrupt context.
pub(crate) fn interrupt() {
    let count = INTERRUPTS.this_racy();
    count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    let was_idle = rcu::irq_enter();
    hrtimer::interrupt();
    rcu::irq_exit(was_idle);
}
