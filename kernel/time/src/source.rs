// SPDX-License-Identifier: GPL-2.0
//! Clock sources: the list, the choice (best rating, or `clocksource=`), and narrow counters' wrap watch.
//!
//! Sources stay registered for ever. `CHANGE` serialises registration and choice; the time keeper's lock nests inside.

use crate::hrtimer::{Clock, HrTimer, Restart};
use crate::timekeeper;
use clock_hw::ClockSource;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use kalloc::Arc;
use klog::{pr_info, pr_warn};
use locking::{SetOnce, SpinLock};

const MAX_SOURCES: usize = 8;
const NONE: usize = usize::MAX;

struct Slot {
    source: SetOnce<&'static dyn ClockSource>,
    unstable: AtomicBool,
}

static SLOTS: [Slot; MAX_SOURCES] =
    [const { Slot { source: SetOnce::new(), unstable: AtomicBool::new(false) } }; MAX_SOURCES];
static CURRENT: AtomicUsize = AtomicUsize::new(NONE);
static CHANGE: SpinLock<Override> = SpinLock::new(Override { name: [0; 32], len: 0 });

struct Override {
    name: [u8; 32],
    len: usize,
}

/// The source in use.
pub fn current() -> Option<&'static dyn ClockSource> {
    SLOTS.get(CURRENT.load(Ordering::Acquire)).and_then(|s| s.source.get().copied())
}

/// The sources, best or not, for `/sys/devices/system/clocksource`.
pub fn available() -> impl Iterator<Item = &'static dyn ClockSource> {
    SLOTS.iter().filter(|s| !s.unstable.load(Ordering::Relaxed)).filter_map(|s| s.source.get().copied())
}

#[inline]
pub(crate) fn read_current() -> u64 {
    current().map_or(0, |s| s.read())
}

/// Prefers the source of this name (`clocksource=`, or a write to `current_clocksource`). False if there is none such (yet).
pub fn prefer(name: &str) -> bool {
    let mut choice = CHANGE.lock_irqsave();
    choice.len = 0;
    for b in name.bytes().take(32) {
        let len = choice.len;
        if let Some(slot) = choice.name.get_mut(len) {
            *slot = b;
            choice.len += 1;
        }
    }
    reselect(&choice);
    current().is_some_and(|s| s.name() == name)
}

pub(crate) fn register(source: &'static dyn ClockSource) {
    let choice = CHANGE.lock_irqsave();
    if SLOTS.iter().any(|s| s.source.get().is_some_and(|x| x.name() == source.name())) {
        return;
    }
    let Some(slot) = SLOTS.iter().find(|s| s.source.get().is_none()) else {
        pr_warn!("clocksource: no room for {}", source.name());
        return;
    };
    if slot.source.set(source).is_err() {
        return;
    }
    pr_info!(
        "clocksource: {}: mask: {:#x} freq: {} Hz, rating: {}",
        source.name(),
        source.mask(),
        source.frequency_hz(),
        source.rating()
    );
    if source.is_tsc() {
        timekeeper::set_sched_clock(source.frequency_hz());
    }
    reselect(&choice);
}

pub(crate) fn mark_unstable(source: &'static dyn ClockSource, why: &'static str) {
    let choice = CHANGE.lock_irqsave();
    for slot in SLOTS.iter().filter(|s| s.source.get().is_some_and(|x| x.name() == source.name())) {
        if !slot.unstable.swap(true, Ordering::Relaxed) {
            pr_warn!("clocksource: {} is unstable: {why}", source.name());
        }
    }
    reselect(&choice);
}

fn reselect(choice: &Override) {
    let wanted = choice.name.get(..choice.len).unwrap_or_default();
    let best = SLOTS
        .iter()
        .enumerate()
        .filter(|(_, s)| !s.unstable.load(Ordering::Relaxed))
        .filter_map(|(i, s)| s.source.get().map(|x| (i, *x)))
        .max_by_key(|(_, x)| (!wanted.is_empty() && x.name().as_bytes() == wanted, x.rating()));
    if let Some((index, source)) = best
        && CURRENT.load(Ordering::Relaxed) != index
    {
        timekeeper::switch_source(source, || CURRENT.store(index, Ordering::Release));
        pr_info!("clocksource: Switched to clocksource {}", source.name());
    }
}

static WRAP_TIMER: SetOnce<Arc<HrTimer>> = SetOnce::new();

/// Starts looking at the clock often enough that a narrow counter cannot wrap unseen and one that must prove itself does. A
/// 64-bit counter that is known to be right needs no looking, and an idle system stays idle. Task context, after the sources are registered.
pub fn watch_wrap() -> errno::Result {
    let timer = HrTimer::new(Clock::Monotonic, |timer: &Arc<HrTimer>| {
        timekeeper::accumulate();
        match watch_interval() {
            Some(interval) => {
                timer.forward_now(interval);
                Restart::Yes
            }
            None => Restart::No,
        }
    })?;
    if let Some(interval) = watch_interval() {
        timer.start(timekeeper::now_ns().saturating_add(interval));
    }
    // Called once; a second timer would only be dropped.
    let _ = WRAP_TIMER.set(timer);
    Ok(())
}

/// When to look next, if at all; a source that is watched is compared meanwhile.
fn watch_interval() -> Option<u64> {
    let verify = current().is_some_and(|source| source.verify()).then_some(timekeeper::NSEC_PER_SEC);
    // The comparison may have changed the current source.
    match (wrap_interval(), verify) {
        (Some(wrap), Some(verify)) => Some(wrap.min(verify)),
        (wrap, verify) => wrap.or(verify),
    }
}

/// A third of the time in which the current source wraps, if that is within a day.
pub(crate) fn wrap_interval() -> Option<u64> {
    const DAY: u64 = 86_400 * timekeeper::NSEC_PER_SEC;
    let source = current()?;
    let wrap =
        u128::from(source.mask()) * u128::from(timekeeper::NSEC_PER_SEC) / u128::from(source.frequency_hz().max(1));
    u64::try_from(wrap / 3).ok().filter(|&ns| ns < DAY)
}
