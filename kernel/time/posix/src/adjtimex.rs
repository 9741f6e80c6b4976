// SPDX-License-Identifier: GPL-2.0
//! `adjtimex(2)` and `clock_adjtime(2)`: reading the state, steering the rate, stepping the clock. There is no phase-locked loop
//! in here: `ADJ_OFFSET` (slewing) answers `EOPNOTSUPP`, daemons then steer by frequency and steps. Nor are leap seconds inserted:
//! `STA_INS` and `STA_DEL` answer `EOPNOTSUPP`.
//!
//! The largest error grows by itself, as it does on Linux: who does not say how good the clock is has an unsynchronised one after
//! some hours.

use crate::clock::{ClockId, clock};
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};
use errno::Result;
use errno::code::{EINVAL, EOPNOTSUPP, EPERM};
use ktime::{NSEC_PER_SEC, timekeeper};
use locking::{SpinGuard, SpinLock};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{get_user, put_user};

const ADJ_OFFSET: u32 = 0x0001;
const ADJ_FREQUENCY: u32 = 0x0002;
const ADJ_MAXERROR: u32 = 0x0004;
const ADJ_ESTERROR: u32 = 0x0008;
const ADJ_STATUS: u32 = 0x0010;
const ADJ_TIMECONST: u32 = 0x0020;
const ADJ_TAI: u32 = 0x0080;
const ADJ_SETOFFSET: u32 = 0x0100;
const ADJ_MICRO: u32 = 0x1000;
const ADJ_NANO: u32 = 0x2000;
const ADJ_TICK: u32 = 0x4000;
/// `ADJ_OFFSET_SS_READ`: read what an old-style `adjtime` has left.
const ADJ_OFFSET_SS_READ: u32 = 0xa001;
const STA_INS: i64 = 0x0010;
const STA_DEL: i64 = 0x0020;
const STA_UNSYNC: i64 = 0x0040;
const STA_CLOCKERR: i64 = 0x1000;
const STA_NANO: i64 = 0x2000;
/// Bits that programs cannot set.
const STA_RONLY: i64 = 0xff00;
/// The bit that tells `adjtime`'s interface.
const ADJ_ADJTIME: u32 = 0x8000;
/// Largest frequency offset: 500 ppm, 16 bits after the point.
const MAX_FREQ: i64 = 500 << 16;
/// Linux's factor from the ABI's frequency to nanoseconds a second with 32 bits after the point.
const PPM_SCALE: i64 = 1000 << 16;
/// Microseconds of a tick of the ABI's 100 Hz.
const TICK_USEC: i64 = 10_000;
const NTP_PHASE_LIMIT: i64 = 16_000_000;
/// Microseconds by which the largest error grows in a second (500 ppm).
const MAXERROR_GROWTH: i64 = 500;
const TIME_OK: usize = 0;
const TIME_ERROR: usize = 5;

static FREQ: AtomicI64 = AtomicI64::new(0);
static TICK: AtomicI64 = AtomicI64::new(TICK_USEC);
static STATUS: AtomicI64 = AtomicI64::new(STA_UNSYNC);
static MAXERROR: AtomicI64 = AtomicI64::new(NTP_PHASE_LIMIT);
static ESTERROR: AtomicI64 = AtomicI64::new(NTP_PHASE_LIMIT);
static TIMECONST: AtomicI64 = AtomicI64::new(2);

/// The second (since boot) up to which [`MAXERROR`] has grown. Held while `MAXERROR` and `STATUS` change.
static GROWN: SpinLock<u64> = SpinLock::new(0);

/// Lets the largest error grow up to now.
fn grow() -> SpinGuard<'static, u64> {
    let mut grown = GROWN.lock();
    let second = ktime::now_ns() / NSEC_PER_SEC;
    let passed = i64::try_from(second.saturating_sub(*grown)).unwrap_or(i64::MAX);
    *grown = second;
    let error = MAXERROR.load(Relaxed).saturating_add(passed.saturating_mul(MAXERROR_GROWTH));
    if error > NTP_PHASE_LIMIT {
        STATUS.fetch_or(STA_UNSYNC, Relaxed);
    }
    MAXERROR.store(error.min(NTP_PHASE_LIMIT), Relaxed);
    grown
}

/// The clock was set: nobody knows how good it is.
pub(crate) fn clear() {
    let _grown = grow();
    STATUS.fetch_or(STA_UNSYNC, Relaxed);
    MAXERROR.store(NTP_PHASE_LIMIT, Relaxed);
    ESTERROR.store(NTP_PHASE_LIMIT, Relaxed);
}

/// `struct timex` as 64-bit words.
type Timex = [i64; 26];

/// `adjtimex(2)`.
pub fn sys_adjtimex(regs: &PtRegs) -> Result<usize> {
    adjust(regs.arg0())
}

/// `clock_adjtime(2)`: real time only.
pub fn sys_clock_adjtime(regs: &PtRegs) -> Result<usize> {
    let id = regs.arg0() as i32;
    // CPU time cannot be set, whosever; what has these bits is a device's clock.
    if id < 0 && id & 7 != 3 {
        return Err(EOPNOTSUPP);
    }
    match clock(id)? {
        ClockId::Realtime => adjust(regs.arg1()),
        _ => Err(EOPNOTSUPP),
    }
}

fn adjust(at: usize) -> Result<usize> {
    let mut tx = get_user::<Timex>(at)?;
    let modes = tx[0] as u32;
    // The old interface wants its offset.
    if modes & ADJ_ADJTIME != 0 && modes & ADJ_OFFSET == 0 {
        return Err(EINVAL);
    }
    if modes != 0 && modes != ADJ_OFFSET_SS_READ && !cred::capable(cred::CAP_SYS_TIME) {
        return Err(EPERM);
    }
    if modes != ADJ_OFFSET_SS_READ {
        apply(modes, &tx)?;
    }
    drop(grow());
    let status = STATUS.load(Relaxed);
    let now = ktime::real_ns();
    let sub = now % NSEC_PER_SEC;
    tx = [0; 26];
    tx[0] = i64::from(modes);
    tx[2] = FREQ.load(Relaxed);
    tx[3] = MAXERROR.load(Relaxed);
    tx[4] = ESTERROR.load(Relaxed);
    tx[5] = status;
    tx[6] = TIMECONST.load(Relaxed);
    tx[7] = 1;
    tx[8] = MAX_FREQ;
    tx[9] = (now / NSEC_PER_SEC) as i64;
    tx[10] = if status & STA_NANO != 0 { sub } else { sub / 1000 } as i64;
    tx[11] = TICK.load(Relaxed);
    tx[20] = timekeeper::tai_offset_ns() / NSEC_PER_SEC as i64;
    put_user(at, tx)?;
    Ok(if status & (STA_UNSYNC | STA_CLOCKERR) != 0 { TIME_ERROR } else { TIME_OK })
}

fn apply(modes: u32, tx: &Timex) -> Result {
    if modes & ADJ_OFFSET != 0 {
        return Err(EOPNOTSUPP);
    }
    if modes & ADJ_STATUS != 0 && tx[5] & (STA_INS | STA_DEL) != 0 {
        return Err(EOPNOTSUPP);
    }
    if modes & ADJ_TICK != 0 && !(TICK_USEC * 9 / 10..=TICK_USEC * 11 / 10).contains(&tx[11]) {
        return Err(EINVAL);
    }
    // Linux refuses what its own fixed-point arithmetic could not hold, and clamps the rest.
    if modes & ADJ_FREQUENCY != 0 && !(i64::MIN / PPM_SCALE..=i64::MAX / PPM_SCALE).contains(&tx[2]) {
        return Err(EINVAL);
    }
    if modes & ADJ_SETOFFSET != 0 {
        let unit = if modes & ADJ_NANO != 0 { 1 } else { 1000 };
        let sub = tx[10].checked_mul(unit).filter(|n| (0..NSEC_PER_SEC as i64).contains(n)).ok_or(EINVAL)?;
        let delta = tx[9].checked_mul(NSEC_PER_SEC as i64).and_then(|s| s.checked_add(sub)).ok_or(EINVAL)?;
        if ktime::real_ns().checked_add_signed(delta).is_none_or(|t| t > i64::MAX as u64 || t < ktime::now_ns()) {
            return Err(EINVAL);
        }
        timekeeper::shift_real_ns(delta);
        clear();
    }
    let grown = grow();
    if modes & ADJ_STATUS != 0 {
        let kept = STATUS.load(Relaxed) & STA_RONLY;
        STATUS.store(kept | tx[5] & 0xffff_ffff & !STA_RONLY, Relaxed);
    }
    if modes & ADJ_NANO != 0 {
        STATUS.fetch_or(STA_NANO, Relaxed);
    }
    if modes & ADJ_MICRO != 0 {
        STATUS.fetch_and(!STA_NANO, Relaxed);
    }
    for (mode, slot, value) in
        [(ADJ_MAXERROR, &MAXERROR, tx[3]), (ADJ_ESTERROR, &ESTERROR, tx[4]), (ADJ_TIMECONST, &TIMECONST, tx[6])]
    {
        if modes & mode != 0 {
            slot.store(value.clamp(0, NTP_PHASE_LIMIT), Relaxed);
        }
    }
    drop(grown);
    if modes & ADJ_TAI != 0 {
        timekeeper::set_tai_offset(i32::try_from(tx[6]).map_err(|_| EINVAL)?);
    }
    if modes & ADJ_FREQUENCY != 0 {
        FREQ.store(tx[2].clamp(-MAX_FREQ, MAX_FREQ), Relaxed);
    }
    if modes & ADJ_TICK != 0 {
        TICK.store(tx[11], Relaxed);
    }
    if modes & (ADJ_FREQUENCY | ADJ_TICK) != 0 {
        // A microsecond of the tick is 100 ppm.
        let ppm = (TICK.load(Relaxed) - TICK_USEC) * (1_000_000 / TICK_USEC);
        timekeeper::set_rate(FREQ.load(Relaxed) + (ppm << 16));
    }
    Ok(())
}
