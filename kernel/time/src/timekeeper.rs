// SPDX-License-Identifier: GPL-2.0
//! What time it is. One clock source drives all clocks; readers convert its cycles under a sequence counter without a lock or
//! a division. The product of cycles and multiplier has 128 bits, so a 64-bit counter never needs to be looked at in between;
//! a narrower one is (`source::watch_wrap`).
//!
//! While the machine sleeps ([`suspend`] to [`resume`]) the monotonic clocks stand still; boot time and real time have gone on
//! when it wakes. Locks: the sequence lock's own and, inside it, `SUSPENDED`; interrupts off, innermost.

use crate::source;
use clock_hw::{ClockSource, VdsoMode, VdsoTime};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use locking::{SeqLock, SpinLock};
use x86_cpu::tsc::rdtsc_ordered;

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: u64 = 1_000_000_000;

struct Keeper {
    /// The source is the TSC: read in line.
    tsc: AtomicBool,
    cycle_last: AtomicU64,
    mask: AtomicU64,
    /// Nanoseconds a cycle, 32 bits after the point, as steered by `adjtimex`.
    mult: AtomicU64,
    base_ns: AtomicU64,
    /// Fraction below `base_ns`, 32 bits.
    frac: AtomicU64,
    raw_mult: AtomicU64,
    raw_base_ns: AtomicU64,
    raw_frac: AtomicU64,
    /// Real time minus monotonic time.
    real_offset: AtomicI64,
    /// TAI minus real time.
    tai_offset: AtomicI64,
    /// Boot time minus monotonic time: how long the machine slept.
    boot_offset: AtomicI64,
}

static KEEPER: SeqLock<Keeper> = SeqLock::new(Keeper {
    tsc: AtomicBool::new(false),
    cycle_last: AtomicU64::new(0),
    mask: AtomicU64::new(u64::MAX),
    mult: AtomicU64::new(0),
    base_ns: AtomicU64::new(0),
    frac: AtomicU64::new(0),
    raw_mult: AtomicU64::new(0),
    raw_base_ns: AtomicU64::new(0),
    raw_frac: AtomicU64::new(0),
    real_offset: AtomicI64::new(0),
    tai_offset: AtomicI64::new(0),
    boot_offset: AtomicI64::new(0),
});

impl Keeper {
    #[inline(always)]
    fn delta(&self) -> u64 {
        let last = self.cycle_last.load(Relaxed);
        if self.tsc.load(Relaxed) {
            // A CPU whose counter is a little behind must not see the past become the far future.
            rdtsc_ordered().saturating_sub(last)
        } else {
            source::read_current().wrapping_sub(last) & self.mask.load(Relaxed)
        }
    }

    #[inline(always)]
    fn mono(&self) -> u64 {
        let scaled =
            u128::from(self.delta()) * u128::from(self.mult.load(Relaxed)) + u128::from(self.frac.load(Relaxed));
        self.base_ns.load(Relaxed).wrapping_add((scaled >> 32) as u64)
    }

    fn raw(&self) -> u64 {
        let product = u128::from(self.delta()) * u128::from(self.raw_mult.load(Relaxed));
        let scaled = product + u128::from(self.raw_frac.load(Relaxed));
        self.raw_base_ns.load(Relaxed).wrapping_add((scaled >> 32) as u64)
    }

    /// Moves the base to now, so that the conversion may change without a jump. Writers only.
    fn rebase(&self) {
        let delta = self.delta();
        let scaled = u128::from(delta) * u128::from(self.mult.load(Relaxed)) + u128::from(self.frac.load(Relaxed));
        self.base_ns.store(self.base_ns.load(Relaxed).wrapping_add((scaled >> 32) as u64), Relaxed);
        self.frac.store(scaled as u64 & 0xffff_ffff, Relaxed);
        let raw = u128::from(delta) * u128::from(self.raw_mult.load(Relaxed)) + u128::from(self.raw_frac.load(Relaxed));
        self.raw_base_ns.store(self.raw_base_ns.load(Relaxed).wrapping_add((raw >> 32) as u64), Relaxed);
        self.raw_frac.store(raw as u64 & 0xffff_ffff, Relaxed);
        self.cycle_last.store(self.cycle_last.load(Relaxed).wrapping_add(delta) & self.mask.load(Relaxed), Relaxed);
    }

    fn publish(&self) {
        let Some(vdso) = clock_hw::VDSO.get() else { return };
        vdso.update(&VdsoTime {
            mode: if self.tsc.load(Relaxed) { VdsoMode::Tsc } else { VdsoMode::None },
            cycle_last: self.cycle_last.load(Relaxed),
            mask: self.mask.load(Relaxed),
            mult: self.mult.load(Relaxed),
            base_ns: self.base_ns.load(Relaxed),
            frac: self.frac.load(Relaxed),
            raw_mult: self.raw_mult.load(Relaxed),
            raw_base_ns: self.raw_base_ns.load(Relaxed),
            raw_frac: self.raw_frac.load(Relaxed),
            real_offset_ns: self.real_offset.load(Relaxed),
            tai_offset_ns: self.tai_offset.load(Relaxed),
            boot_offset_ns: self.boot_offset.load(Relaxed),
        });
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds: since boot, steered, never set. Any context but NMI.
#[inline]
pub fn now_ns() -> u64 {
    KEEPER.read(|k| k.mono())
}

/// `CLOCK_REALTIME` in nanoseconds since 1970. Any context but NMI.
#[inline]
pub fn real_ns() -> u64 {
    KEEPER.read(|k| k.mono().wrapping_add_signed(k.real_offset.load(Relaxed)))
}

/// `CLOCK_BOOTTIME` in nanoseconds.
#[inline]
pub fn boottime_ns() -> u64 {
    KEEPER.read(|k| k.mono().wrapping_add_signed(k.boot_offset.load(Relaxed)))
}

/// Boot time minus monotonic time.
pub fn boot_offset_ns() -> i64 {
    KEEPER.read(|k| k.boot_offset.load(Relaxed))
}

/// `CLOCK_MONOTONIC_RAW` in nanoseconds: the counter's own rate.
pub fn raw_ns() -> u64 {
    KEEPER.read(|k| k.raw())
}

/// `CLOCK_TAI` in nanoseconds.
pub fn tai_ns() -> u64 {
    KEEPER.read(|k| {
        k.mono().wrapping_add_signed(k.real_offset.load(Relaxed)).wrapping_add_signed(k.tai_offset.load(Relaxed))
    })
}

/// `CLOCK_REALTIME_COARSE`: what file systems stamp with.
#[inline]
pub fn real_coarse_ns() -> u64 {
    coarse(real_ns())
}

/// A fine clock's value as the coarse clock shows it.
#[inline]
pub fn coarse(ns: u64) -> u64 {
    ns - ns % clock_hw::COARSE_NS
}

/// Real time minus monotonic time.
pub fn real_offset_ns() -> i64 {
    KEEPER.read(|k| k.real_offset.load(Relaxed))
}

/// TAI minus real time, in nanoseconds.
pub fn tai_offset_ns() -> i64 {
    KEEPER.read(|k| k.tai_offset.load(Relaxed))
}

/// Sets the TAI offset (`ADJ_TAI`).
pub fn set_tai_offset(seconds: i32) {
    let k = KEEPER.write();
    k.tai_offset.store(i64::from(seconds) * NSEC_PER_SEC as i64, Relaxed);
    k.publish();
}

/// Sets real time. Timers on it must be told: [`crate::hrtimer::clock_was_set`].
pub fn set_real_ns(ns: u64) {
    {
        let k = KEEPER.write();
        k.real_offset.store(ns.wrapping_sub(k.mono()) as i64, Relaxed);
        k.publish();
    }
    crate::hrtimer::clock_was_set();
}

/// Moves real time by `delta_ns` (`ADJ_SETOFFSET`).
pub fn shift_real_ns(delta_ns: i64) {
    {
        let k = KEEPER.write();
        k.real_offset.store(k.real_offset.load(Relaxed).wrapping_add(delta_ns), Relaxed);
        k.publish();
    }
    crate::hrtimer::clock_was_set();
}

/// Steers the monotonic clock's rate: `ppm_scaled` is `adjtimex`'s `freq` (parts per million, 16 bits after the point) plus
/// the tick length's share.
pub fn set_rate(ppm_scaled: i64) {
    let k = KEEPER.write();
    k.rebase();
    let raw = k.raw_mult.load(Relaxed);
    let adjust = i128::from(raw) * i128::from(ppm_scaled) / (1_000_000i128 << 16);
    k.mult.store(raw.wrapping_add_signed(adjust as i64), Relaxed);
    k.publish();
}

/// Takes up a clock source: time goes on from where it is.
pub(crate) fn switch_source(new: &'static dyn ClockSource, commit: impl FnOnce()) {
    let hz = u128::from(new.frequency_hz().max(1));
    let mult = (((u128::from(NSEC_PER_SEC) << 32) + hz / 2) / hz) as u64;
    let k = KEEPER.write();
    if k.raw_mult.load(Relaxed) != 0 {
        k.rebase();
    }
    commit();
    k.tsc.store(new.is_tsc(), Relaxed);
    k.mask.store(new.mask(), Relaxed);
    k.cycle_last.store(if new.is_tsc() { rdtsc_ordered() } else { new.read() }, Relaxed);
    k.mult.store(mult, Relaxed);
    k.raw_mult.store(mult, Relaxed);
    k.publish();
}

/// Moves the base forward, before a narrow counter wraps.
pub(crate) fn accumulate() {
    let k = KEEPER.write();
    k.rebase();
    k.publish();
}

/// A clock that goes on whatever the machine does, in whole seconds: for a sleep that the clock source's counter may have wrapped in.
pub trait PersistentClock: Sync {
    /// Seconds since 1970; `None` without a sensible clock. Interrupts are off.
    fn seconds(&self) -> Option<i64>;
}

/// That clock, if there is one (`init`).
pub static PERSISTENT: hook::Hook<dyn PersistentClock> = hook::Hook::new();

/// What [`suspend`] leaves for [`resume`].
struct Suspended {
    cycles: u64,
    mult: u64,
    raw_mult: u64,
    sched_mult: u64,
    seconds: Option<i64>,
}

static SUSPENDED: SpinLock<Option<Suspended>> = SpinLock::new(None);

fn persistent_seconds() -> Option<i64> {
    PERSISTENT.get().filter(|_| source::wrap_interval().is_some())?.seconds()
}

fn counter(k: &Keeper) -> u64 {
    if k.tsc.load(Relaxed) { rdtsc_ordered() } else { source::read_current() }
}

/// All clocks stand still from here on. The CPUs idle, interrupts off.
pub(crate) fn suspend() {
    let seconds = persistent_seconds();
    // Its readers find no multiplier, and then this.
    SCHED_FROZEN.store(sched_clock().max(1), Release);
    let sched_mult = SCHED_MULT.swap(0, AcqRel);
    let k = KEEPER.write();
    k.rebase();
    let state = Suspended {
        cycles: k.cycle_last.load(Relaxed),
        mult: k.mult.swap(0, Relaxed),
        raw_mult: k.raw_mult.swap(0, Relaxed),
        sched_mult,
        seconds,
    };
    k.publish();
    *SUSPENDED.lock() = Some(state);
}

/// They go on; boot time and real time by as much as [`suspend`] was ago. Interrupts are off. [`woken`] follows.
pub(crate) fn resume() {
    let Some(state) = SUSPENDED.lock().take() else { return };
    let seconds =
        state.seconds.and_then(|before| persistent_seconds()?.checked_sub(before)).filter(|&slept| slept >= 0);
    {
        let k = KEEPER.write();
        let now = counter(&k);
        let cycles = if k.tsc.load(Relaxed) {
            now.saturating_sub(state.cycles)
        } else {
            now.wrapping_sub(state.cycles) & k.mask.load(Relaxed)
        };
        let counted = ((u128::from(cycles) * u128::from(state.mult)) >> 32) as u64;
        let slept = match seconds {
            // To the second, where the counter may have wrapped.
            Some(seconds) if seconds.unsigned_abs() > counted / NSEC_PER_SEC + 1 => {
                seconds.unsigned_abs().saturating_mul(NSEC_PER_SEC)
            }
            _ => counted,
        };
        k.cycle_last.store(now, Relaxed);
        k.mult.store(state.mult, Relaxed);
        k.raw_mult.store(state.raw_mult, Relaxed);
        for offset in [&k.boot_offset, &k.real_offset] {
            offset.store(offset.load(Relaxed).wrapping_add_unsigned(slept), Relaxed);
        }
        k.publish();
    }
    if state.sched_mult != 0 {
        SCHED_OFFSET.store(SCHED_FROZEN.load(Relaxed), Relaxed);
        SCHED_BASE.store(x86_cpu::tsc::rdtsc(), Relaxed);
        SCHED_MULT.store(state.sched_mult, Release);
    }
    SCHED_FROZEN.store(0, Release);
}

/// Timers on clocks that went on hear of it. Task context.
pub fn woken() {
    crate::hrtimer::clock_was_set();
}

/// Gives the vDSO the present state (it registered after the clock source).
pub fn publish_vdso() {
    KEEPER.write().publish();
}

// The scheduler's clock: the TSC by itself, good in any context, NMI included, never steered.
static SCHED_MULT: AtomicU64 = AtomicU64::new(0);
static SCHED_BASE: AtomicU64 = AtomicU64::new(0);
/// What other sources had counted when the TSC took over.
static SCHED_OFFSET: AtomicU64 = AtomicU64::new(0);
/// Where it stands while the machine sleeps; else 0.
static SCHED_FROZEN: AtomicU64 = AtomicU64::new(0);

/// Uses the TSC at `hz` for [`sched_clock`]; called as soon as its frequency is known.
pub fn set_sched_clock(hz: u64) {
    if hz == 0 || SCHED_MULT.load(Relaxed) != 0 {
        return;
    }
    SCHED_OFFSET.store(slow_sched_clock(), Relaxed);
    SCHED_BASE.store(x86_cpu::tsc::rdtsc(), Relaxed);
    SCHED_MULT.store((((u128::from(NSEC_PER_SEC)) << 32) / u128::from(hz)) as u64, Relaxed);
}

/// Nanoseconds since boot for accounting and log stamps: cheap, any context, not exactly comparable with [`now_ns`].
#[inline(always)]
pub fn sched_clock() -> u64 {
    let mult = SCHED_MULT.load(Acquire);
    if mult == 0 {
        return slow_sched_clock();
    }
    sched_clock_by(mult)
}

#[inline(always)]
fn sched_clock_by(mult: u64) -> u64 {
    let cycles = x86_cpu::tsc::rdtsc().saturating_sub(SCHED_BASE.load(Relaxed));
    (((u128::from(cycles) * u128::from(mult)) >> 32) as u64).wrapping_add(SCHED_OFFSET.load(Relaxed))
}

#[cold]
fn slow_sched_clock() -> u64 {
    match (SCHED_FROZEN.load(Acquire), SCHED_MULT.load(Acquire)) {
        (0, 0) => {}
        // The machine woke just now.
        (0, mult) => return sched_clock_by(mult),
        (frozen, _) => return frozen,
    }
    if source::current().is_some() { now_ns() } else { 0 }
}

pub(crate) struct LogTime;

impl printk::LogClock for LogTime {
    fn now_ns(&self) -> u64 {
        // Without the TSC an NMI must not read the sequence lock that it may have interrupted.
        if SCHED_MULT.load(Relaxed) == 0 && x86_cpu::preempt::preempt_count() & (0xf << 20) != 0 {
            return 0;
        }
        sched_clock()
    }
}
