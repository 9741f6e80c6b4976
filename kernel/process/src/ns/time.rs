// SPDX-License-Identifier: GPL-2.0
//! Name spaces of clocks: monotonic and boot time with an offset. Source: `time_namespaces(7)`. A task's own clocks stay as they are; a
//! new name space is for its children, who enter it when they are made. From the first of them on its offsets stand still.
//!
//! Lock: a name space's offsets (a mutex), taken alone; readers of offsets take none: they read those that stand still.

use super::{NsProxy, NsType, Slot, of};
use crate::hooks::{self, VdsoData};
use crate::thread::with_thread;
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};
use errno::Result;
use errno::code::{EACCES, EBUSY, EINVAL, EPERM, ERANGE, ESRCH, EUSERS};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::SetOnce;
use mm::Mm;
use sync::Mutex;
use task::Task;
use vfs::ns_count::NsCount;
use vfs::nsfs::{Namespace, NsKind, NsRef, new_number, number, typed_ref};
use vfs::{SeqBuf, seq_print};

const SECOND: i64 = 1_000_000_000;
/// Most seconds that 63 bits of nanoseconds hold.
const MOST_SECONDS: i64 = i64::MAX / SECOND;

/// The clocks that are shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shifted {
    /// Monotonic time, and what is measured like it.
    Monotonic,
    /// Time since boot, with what the machine slept.
    Boottime,
}

/// A name space.
struct TimeNs {
    number: u64,
    /// What is to be added to the clocks of the first one.
    monotonic: AtomicI64,
    boottime: AtomicI64,
    /// Whether a task has entered it.
    frozen: Mutex<bool>,
    /// The vDSO's data for programs in it; made when the first one enters, and not for the first name space.
    vdso: SetOnce<Arc<dyn VdsoData>>,
    /// Of the user who made it; the first is nobody's.
    _count: Option<NsCount>,
}

static KIND: NsKind = NsKind { flag: uapi::CLONE_NEWTIME, name: "time" };
static FIRST: SetOnce<Arc<TimeNs>> = SetOnce::new();

/// Clocks as a kind.
pub(super) struct Time;
pub(super) static TIME: Time = Time;

impl Namespace for TimeNs {
    fn kind(&self) -> &'static NsKind {
        &KIND
    }

    fn number(&self) -> u64 {
        self.number
    }
}

impl TimeNs {
    /// A new one; the first, which is nobody's, is ready.
    fn shared(number: u64, offsets: (i64, i64), count: Option<NsCount>) -> Result<Arc<Self>> {
        let ns = Self {
            number,
            monotonic: AtomicI64::new(offsets.0),
            boottime: AtomicI64::new(offsets.1),
            frozen: Mutex::new(count.is_none()),
            vdso: SetOnce::new(),
            _count: count,
        };
        Ok(Arc::new(ns, GFP_KERNEL)?)
    }

    fn offset(&self, clock: Shifted) -> i64 {
        match clock {
            Shifted::Monotonic => self.monotonic.load(Relaxed),
            Shifted::Boottime => self.boottime.load(Relaxed),
        }
    }

    fn offsets(&self) -> (i64, i64) {
        (self.offset(Shifted::Monotonic), self.offset(Shifted::Boottime))
    }

    /// A task is about to enter: the offsets stay. May sleep. `ENOMEM`.
    fn freeze(&self) -> Result {
        let mut frozen = self.frozen.lock();
        if !*frozen {
            let (monotonic, boottime) = self.offsets();
            if let Some(data) = hooks::shifted_vdso(monotonic, boottime)? {
                self.vdso.set(data).map_err(|_| EBUSY)?;
            }
            *frozen = true;
        }
        Ok(())
    }
}

fn known(ns: &NsRef) -> Result<&TimeNs> {
    typed_ref::<TimeNs>(&**ns).ok_or(EINVAL)
}

/// Whether no other task uses the current one's memory.
fn is_alone() -> bool {
    if crate::current_process().is_none_or(|process| process.thread_count() != 1) {
        return false;
    }
    let Some(own) = mm::current_mm() else { return true };
    if Arc::strong_count(&own) == 1 {
        return true;
    }
    // Somebody has it: another process, or who only looks.
    let current = task::current();
    let mut from = 1;
    while let Some((tid, other)) = crate::pid::next_thread(from) {
        let shares = mm::with_mm_of(&other, |mm| Arc::ptr_eq(mm, &own)).unwrap_or(false);
        if shares && !core::ptr::eq(&*other, &*current) {
            return false;
        }
        from = tid.saturating_add(1);
    }
    true
}

/// Gives programs in `mm` the data of `proxy`'s clocks.
fn dress(proxy: &NsProxy, mm: &Mm) {
    let ns = proxy.get(Slot::Time).and_then(|ns| typed_ref::<TimeNs>(&**ns));
    hooks::switch_vdso(mm, ns.and_then(|ns| ns.vdso.get()).map(|data| &**data));
}

impl NsType for Time {
    fn kind(&self) -> &'static NsKind {
        &KIND
    }

    fn first(&self) -> Option<NsRef> {
        let ns: NsRef = FIRST.get()?.clone();
        Some(ns)
    }

    fn create(&self, proxy: &mut NsProxy) -> Result {
        let old = proxy.space(Slot::TimeForChildren).ok_or(EINVAL)?;
        let ns = TimeNs::shared(new_number(), known(&old)?.offsets(), Some(NsCount::new(&KIND)?))?;
        proxy.set(Slot::TimeForChildren, ns);
        Ok(())
    }

    fn enter(&self, ns: &NsRef, proxy: &mut NsProxy) -> Result {
        // Other threads would see their clocks jump.
        if !is_alone() {
            return Err(EUSERS);
        }
        known(ns)?.freeze()?;
        proxy.set(Slot::Time, ns.clone());
        proxy.set(Slot::TimeForChildren, ns.clone());
        Ok(())
    }

    fn of(&self, task: &Task) -> Option<NsRef> {
        of(task, Slot::Time)
    }

    fn entered(&self, proxy: &NsProxy) {
        if let Some(mm) = mm::current_mm() {
            dress(proxy, &mm);
        }
    }
}

/// The first name space. Once, at boot.
pub(super) fn init() -> Result {
    FIRST.set(TimeNs::shared(number::TIME, (0, 0), None)?).map_err(|_| EBUSY)
}

/// Whether the children of who has `proxy` get other clocks than it has itself.
pub(super) fn children_differ(proxy: &NsProxy) -> bool {
    let pair = (proxy.get(Slot::Time), proxy.get(Slot::TimeForChildren));
    match pair {
        (None, None) => false,
        (Some(own), Some(children)) => !Arc::ptr_eq(own, children),
        // Whoever has gone back to the first one has it by name.
        _ => match (proxy.space(Slot::Time), proxy.space(Slot::TimeForChildren)) {
            (Some(own), Some(children)) => !Arc::ptr_eq(&own, &children),
            _ => false,
        },
    }
}

/// A child with `proxy` enters the name space for children, in its memory `mm` if that is its own. May sleep.
pub(super) fn enter_child(proxy: &mut NsProxy, mm: Option<&Mm>) -> Result {
    let Some(ns) = proxy.space(Slot::TimeForChildren) else { return Ok(()) };
    known(&ns)?.freeze()?;
    proxy.set(Slot::Time, ns);
    if let Some(mm) = mm {
        dress(proxy, mm);
    }
    Ok(())
}

/// The vDSO's data for a new program of the current task; `None` for what the first name space has.
pub(crate) fn with_vdso<R>(f: impl FnOnce(Option<&dyn VdsoData>) -> R) -> R {
    let proxy = with_thread(|thread| if thread.ns.is_null() { None } else { thread.ns.get() }).flatten();
    let ns = proxy.as_deref().and_then(|proxy| proxy.get(Slot::Time));
    let ns = ns.and_then(|ns| typed_ref::<TimeNs>(&**ns));
    f(ns.and_then(|ns| ns.vdso.get()).map(|data| &**data))
}

/// What is to be added to a clock for the current task.
#[inline]
pub fn offset(clock: Shifted) -> i64 {
    with_thread(|thread| if thread.ns.is_null() { 0 } else { own_offset(thread, clock) }).unwrap_or(0)
}

#[cold]
fn own_offset(thread: &crate::Thread, clock: Shifted) -> i64 {
    let section = rcu::read_lock();
    let ns = thread.ns.load(&section).and_then(|proxy| proxy.get(Slot::Time));
    ns.and_then(|ns| typed_ref::<TimeNs>(&**ns)).map_or(0, |ns| ns.offset(clock))
}

/// A moment of a clock as the current task sees it.
#[inline]
pub fn shown(clock: Shifted, ns: u64) -> u64 {
    ns.saturating_add_signed(offset(clock))
}

/// The moment that the current task means by `ns` of its clock.
#[inline]
pub fn meant(clock: Shifted, ns: u64) -> u64 {
    let offset = offset(clock);
    // One before the clock began has passed.
    if offset == 0 { ns } else { i64::try_from(ns).unwrap_or(i64::MAX).saturating_sub(offset).max(0).cast_unsigned() }
}

/// The offsets of the name space for the children of `task` (`/proc/PID/timens_offsets`). `ESRCH`.
pub fn show_offsets(task: &Task, out: &mut SeqBuf) -> Result {
    let Some(ns) = of(task, Slot::TimeForChildren) else { return Ok(()) };
    let (monotonic, boottime) = known(&ns)?.offsets();
    for (name, offset) in [("monotonic", monotonic), ("boottime", boottime)] {
        seq_print!(out, "{name:<10} {:10} {:9}\n", offset.div_euclid(SECOND), offset.rem_euclid(SECOND))?;
    }
    Ok(())
}

/// An offset as a program writes it: the clock, seconds, nanoseconds. `EINVAL`.
fn parse_line(line: &[u8]) -> Result<(Shifted, i64, i64)> {
    let text = core::str::from_utf8(line).map_err(|_| EINVAL)?;
    let mut words = text.split_ascii_whitespace();
    let clock = match words.next() {
        Some("monotonic" | "1") => Shifted::Monotonic,
        Some("boottime" | "7") => Shifted::Boottime,
        _ => return Err(EINVAL),
    };
    let mut number = || words.next().and_then(|word| word.parse::<i64>().ok()).ok_or(EINVAL);
    let (seconds, nanoseconds) = (number()?, number()?);
    if (0..SECOND).contains(&nanoseconds) { Ok((clock, seconds, nanoseconds)) } else { Err(EINVAL) }
}

/// The offset in nanoseconds. `ERANGE` for one with which the clock would stand before its beginning, or near the end of what it can show.
fn checked(clock: Shifted, seconds: i64, nanoseconds: i64) -> Result<i64> {
    if !(-MOST_SECONDS..=MOST_SECONDS).contains(&seconds) {
        return Err(ERANGE);
    }
    let now = match clock {
        Shifted::Monotonic => ktime::now_ns(),
        Shifted::Boottime => ktime::boottime_ns(),
    };
    let offset = i128::from(seconds) * i128::from(SECOND) + i128::from(nanoseconds);
    let then = (i128::from(now) + offset).div_euclid(i128::from(SECOND));
    if !(0..=i128::from(MOST_SECONDS / 2)).contains(&then) {
        return Err(ERANGE);
    }
    i64::try_from(offset).map_err(|_| ERANGE)
}

/// Sets offsets of the name space for the children of `task` from a program's lines, of which two count; the bytes taken. `EINVAL`,
/// `ERANGE`, `EPERM`, `ESRCH`, `EACCES` once a task has entered it.
pub fn set_offsets(task: &Task, data: &[u8]) -> Result<usize> {
    if data.len() >= 4096 {
        return Err(EINVAL);
    }
    let data = data.split(|&byte| byte == 0).next().unwrap_or(data);
    let mut given = [None; 2];
    let mut taken = 0;
    for place in &mut given {
        let rest = data.get(taken..).unwrap_or(&[]);
        if taken != 0 && rest.is_empty() {
            break;
        }
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or(rest);
        *place = Some(parse_line(line)?);
        taken += (line.len() + 1).min(rest.len());
    }
    let ns = of(task, Slot::TimeForChildren).ok_or(ESRCH)?;
    let ns = known(&ns)?;
    if !cred::capable(cred::CAP_SYS_TIME) {
        return Err(EPERM);
    }
    let mut offsets = [None; 2];
    for (offset, line) in offsets.iter_mut().zip(given) {
        if let Some((clock, seconds, nanoseconds)) = line {
            *offset = Some((clock, checked(clock, seconds, nanoseconds)?));
        }
    }
    let frozen = ns.frozen.lock();
    if *frozen {
        return Err(EACCES);
    }
    for (clock, offset) in offsets.into_iter().flatten() {
        match clock {
            Shifted::Monotonic => ns.monotonic.store(offset, Relaxed),
            Shifted::Boottime => ns.boottime.store(offset, Relaxed),
        }
    }
    drop(frozen);
    Ok(taken)
}
