// SPDX-License-Identifier: GPL-2.0
//! Requests that wait: for a file to be ready, for a time, for a number of results; and taking them back.

use crate::abi::{cancel, op, timeout};
use crate::request::Request;
use crate::ring::{Ring, RingFile};
use crate::workers::Found;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec, WeakArc};
use ktime::hrtimer::{Clock, HrTimer, Restart};
use locking::SpinLock;
use sync::poll::WakeCallback;
use sync::{PollMask, PollTable};
use x86_mm::uaccess::get_user;

/// Why a request waits.
enum Until {
    /// Its file has one of these events.
    Ready,
    /// A time, or, if it is there, so many results in all.
    Time(Option<u32>),
    /// A time by which the request with this number is to be over.
    TimeFor(u64),
}

struct Waiting {
    until: Until,
    request: KBox<Request>,
}

/// The requests of a ring that wait.
pub(crate) struct Pending {
    list: SpinLock<KVec<Waiting>>,
    ids: AtomicU64,
    /// Timeouts that count results.
    counting: AtomicU32,
}

impl Pending {
    pub(crate) const fn new() -> Self {
        Self { list: SpinLock::new(KVec::new()), ids: AtomicU64::new(1), counting: AtomicU32::new(0) }
    }

    pub(crate) fn new_id(&self) -> u64 {
        self.ids.fetch_add(1, Relaxed)
    }

    /// Adds one. Gives it back without memory.
    fn add(&self, until: Until, request: KBox<Request>) -> Result<(), KBox<Request>> {
        let counts = matches!(until, Until::Time(Some(_)));
        loop {
            let needed = self.list.lock_irqsave().len() + 1;
            let Ok(mut room) = KVec::with_capacity(needed.next_power_of_two().max(8), GFP_KERNEL) else {
                return Err(request);
            };
            let mut list = self.list.lock_irqsave();
            if list.len() >= list.capacity() {
                if room.capacity() <= list.len() {
                    continue;
                }
                for waiting in list.drain_all() {
                    // The room was measured.
                    let _ = room.push_within_capacity(waiting);
                }
                core::mem::swap(&mut *list, &mut room);
            }
            if counts {
                self.counting.fetch_add(1, AcqRel);
            }
            let _ = list.push_within_capacity(Waiting { until, request });
            return Ok(());
        }
    }

    /// Takes the first one that `which` means. Who takes it ends it.
    fn take(&self, which: impl Fn(&Waiting) -> bool) -> Option<KBox<Request>> {
        let mut list = self.list.lock_irqsave();
        let index = list.iter().position(which)?;
        let waiting = list.swap_remove(index)?;
        if matches!(waiting.until, Until::Time(Some(_))) {
            self.counting.fetch_sub(1, AcqRel);
        }
        Some(waiting.request)
    }

    fn take_id(&self, id: u64) -> Option<KBox<Request>> {
        self.take(|waiting| waiting.request.id == id)
    }

    /// The timer of the first time-out that `which` means, which waits for its time alone from here on.
    fn uncount(&self, which: impl Fn(&Waiting) -> bool) -> Option<Arc<HrTimer>> {
        let mut list = self.list.lock_irqsave();
        let waiting = list.iter_mut().find(|waiting| which(waiting))?;
        if matches!(core::mem::replace(&mut waiting.until, Until::Time(None)), Until::Time(Some(_))) {
            self.counting.fetch_sub(1, AcqRel);
        }
        waiting.request.timer.clone()
    }

    /// Changes a request that still waits; false if it does not.
    fn with(&self, id: u64, f: impl FnOnce(&mut Request)) -> bool {
        let mut list = self.list.lock_irqsave();
        match list.iter_mut().find(|waiting| waiting.request.id == id) {
            Some(waiting) => {
                f(&mut waiting.request);
                true
            }
            None => false,
        }
    }

    /// So many results were posted: ends timeouts that waited for as many. Any context.
    pub(crate) fn counted(&self, posted: u32) {
        while self.counting.load(Acquire) != 0 {
            let reached = |waiting: &Waiting| matches!(waiting.until, Until::Time(Some(target)) if posted.wrapping_sub(target).cast_signed() >= 0);
            let Some(request) = self.take(reached) else { return };
            request.ring.timeouts.fetch_add(1, SeqCst);
            request.end(Ok(0));
        }
    }

    /// The request with a time limit is over: the limit is not needed. Any context.
    pub(crate) fn target_ended(&self, id: u64) {
        if let Some(request) = self.take(|waiting| matches!(waiting.until, Until::TimeFor(target) if target == id)) {
            request.end(Err(ECANCELED));
        }
    }

    /// Takes back what waits. May sleep.
    pub(crate) fn cancel_all(&self) {
        while let Some(request) = self.take(|_| true) {
            request.end(Err(ECANCELED));
        }
    }
}

/// A file's wake-up.
struct Wake {
    ring: WeakArc<Ring>,
    id: u64,
    key: u32,
    fired: AtomicBool,
}

impl WakeCallback for Wake {
    fn wake(&self, events: PollMask) -> bool {
        if events.0 & self.key == 0 || self.fired.swap(true, AcqRel) {
            return false;
        }
        if let Some(ring) = self.ring.upgrade() {
            fire(&ring, self.id);
        }
        true
    }
}

/// A file's wake-ups for a request with several results.
pub(crate) struct Again {
    ring: WeakArc<Ring>,
    id: u64,
    key: u32,
    /// There was one since the file was looked at.
    pub(crate) told: AtomicBool,
}

impl Again {
    pub(crate) fn new(ring: &Arc<Ring>, id: u64, events: PollMask) -> Self {
        let key = events.0 | PollMask::ERR.0 | PollMask::HUP.0;
        Self { ring: Arc::downgrade(ring), id, key, told: AtomicBool::new(false) }
    }
}

impl WakeCallback for Again {
    fn wake(&self, events: PollMask) -> bool {
        if events.0 & self.key == 0 {
            return false;
        }
        self.told.store(true, SeqCst);
        if let Some(ring) = self.ring.upgrade() {
            // It may be being looked at: then it is seen that there was one.
            fire(&ring, self.id);
        }
        true
    }
}

/// The request goes on when `again` tells so. It comes back if that told something meanwhile. May sleep.
pub(crate) fn watch_again(request: KBox<Request>, again: &Again) -> Option<KBox<Request>> {
    let (ring, id) = (request.ring.clone(), request.id);
    if let Err(request) = ring.pending.add(Until::Ready, request) {
        request.end(Err(ENOMEM));
        return None;
    }
    if ring.is_closed() {
        // Perhaps just now: it has to go, too.
        ring.pending.cancel_all();
        return None;
    }
    if again.told.load(SeqCst) { ring.pending.take_id(id) } else { None }
}

/// What the request waited for is there: its task goes on. Any context.
fn fire(ring: &Arc<Ring>, id: u64) {
    if let Some(request) = ring.pending.take_id(id) {
        ring.go_on_later(request);
    }
}

/// Puts a request off until its file has one of `events`.
pub(crate) fn wait_ready(mut request: KBox<Request>, events: PollMask) {
    let (ring, id) = (request.ring.clone(), request.id);
    let Some(file) = request.file.clone() else { return request.end(Err(EBADF)) };
    if file.private::<RingFile>().is_some() {
        // A request that waits keeps its file open, and a ring that is open keeps its requests.
        return request.end(Err(EINVAL));
    }
    request.polled = true;
    let key = events.0 | PollMask::ERR.0 | PollMask::HUP.0;
    let wake = Wake { ring: Arc::downgrade(&ring), id, key, fired: AtomicBool::new(false) };
    let wake = match Arc::new(wake, GFP_KERNEL) {
        Ok(wake) => wake,
        Err(error) => return request.end(Err(error.into())),
    };
    if let Err(request) = ring.pending.add(Until::Ready, request) {
        return request.end(Err(ENOMEM));
    }
    if ring.is_closed() {
        // Perhaps just now: it has to go, too.
        return ring.pending.cancel_all();
    }
    let mut table = PollTable::for_callback(wake, false);
    let ready = file.poll(&mut table);
    let failed = table.error();
    let mut table = Some(table);
    // If it was taken meanwhile, the table goes here.
    ring.pending.with(id, |request| request.table = table.take());
    drop(table);
    if let Some(error) = failed
        && let Some(request) = ring.pending.take_id(id)
    {
        return request.end(Err(error));
    }
    if ready.0 & key != 0 {
        fire(&ring, id);
    }
}

/// The clock, and when on it, that a request's `struct timespec` and flags say.
fn time_of(at: u64, flags: u32) -> Result<(Clock, u64)> {
    let clock = match flags & (timeout::BOOTTIME | timeout::REALTIME) {
        0 => Clock::Monotonic,
        timeout::BOOTTIME => Clock::Boottime,
        timeout::REALTIME => Clock::Realtime,
        _ => return Err(EINVAL),
    };
    Ok((clock, when_of(clock, span_of(at)?, flags)))
}

/// Nanoseconds of the program's `struct timespec`.
fn span_of(at: u64) -> Result<u64> {
    let [seconds, ns] = get_user::<[i64; 2]>(at as usize)?;
    if seconds < 0 || ns < 0 {
        return Err(EINVAL);
    }
    Ok(seconds.cast_unsigned().saturating_mul(1_000_000_000).saturating_add(ns.cast_unsigned()))
}

/// A time on `clock`: from now on, or with `ABS` as it is.
fn when_of(clock: Clock, span: u64, flags: u32) -> u64 {
    if flags & timeout::ABS != 0 { span } else { clock.now_ns().saturating_add(span) }
}

/// A timer that is to be started, and for when.
pub(crate) type Armed = (Arc<HrTimer>, u64);

/// Makes a time-out: `TIMEOUT`, or with `target` the limit of another request. The caller starts it; `None`: it is over already.
pub(crate) fn wait_time(mut request: KBox<Request>, target: Option<u64>) -> Option<Armed> {
    const KNOWN: u32 = timeout::ABS | timeout::BOOTTIME | timeout::REALTIME | timeout::ETIME_SUCCESS;
    let sqe = request.sqe;
    if sqe.op_flags & !KNOWN != 0 || sqe.len != 1 || sqe.buf_index != 0 || target.is_some() && sqe.off != 0 {
        request.end(Err(EINVAL));
        return None;
    }
    let (ring, id) = (request.ring.clone(), request.id);
    let weak = Arc::downgrade(&ring);
    let made = time_of(sqe.addr, sqe.op_flags).and_then(|(clock, when)| {
        let timer = HrTimer::new(clock, move |_: &Arc<HrTimer>| {
            if let Some(ring) = weak.upgrade() {
                expire(&ring, id);
            }
            Restart::No
        })?;
        Ok((timer, when))
    });
    let (timer, when) = match made {
        Ok(made) => made,
        Err(error) => {
            request.end(Err(error));
            return None;
        }
    };
    request.timer = Some(timer.clone());
    let until = match target {
        Some(target) => Until::TimeFor(target),
        None if sqe.off == 0 => Until::Time(None),
        // Results from now on.
        None => Until::Time(Some(ring.posted().wrapping_add(sqe.off as u32))),
    };
    if let Err(request) = ring.pending.add(until, request) {
        request.end(Err(ENOMEM));
        return None;
    }
    if ring.is_closed() {
        // Perhaps just now: it has to go, too.
        ring.pending.cancel_all();
        return None;
    }
    Some((timer, when))
}

/// A time is up. Any context.
fn expire(ring: &Arc<Ring>, id: u64) {
    let target = {
        let list = ring.pending.list.lock_irqsave();
        list.iter().find(|waiting| waiting.request.id == id).and_then(|waiting| match waiting.until {
            Until::TimeFor(target) => Some(target),
            _ => None,
        })
    };
    let Some(request) = ring.pending.take_id(id) else { return };
    let Some(target) = target else {
        ring.timeouts.fetch_add(1, SeqCst);
        return request.end(Err(ETIME));
    };
    match ring.pending.take_id(target) {
        Some(late) => {
            late.end(Err(ECANCELED));
            request.end(Err(ETIME));
        }
        // It is being done, and cannot be taken back.
        None => request.end(Err(EALREADY)),
    }
}

/// `TIMEOUT_REMOVE`: takes a time-out back, or gives it another time.
pub(crate) fn remove_timeout(request: &Request) -> Result<usize> {
    let (sqe, pending) = (request.sqe, &request.ring.pending);
    let its = |waiting: &Waiting| waiting.request.sqe.user_data == sqe.addr && matches!(waiting.until, Until::Time(_));
    if sqe.op_flags & timeout::UPDATE != 0 {
        if sqe.op_flags & !(timeout::UPDATE | timeout::ABS) != 0 {
            return Err(EINVAL);
        }
        let span = span_of(sqe.off)?;
        let timer = pending.uncount(its).ok_or(ENOENT)?;
        timer.start(when_of(timer.clock(), span, sqe.op_flags));
        return Ok(0);
    }
    if sqe.op_flags != 0 {
        return Err(EINVAL);
    }
    pending.take(its).ok_or(ENOENT)?.end(Err(ECANCELED));
    Ok(0)
}

/// `POLL_REMOVE`.
pub(crate) fn remove_poll(request: &Request) -> Result<usize> {
    let sqe = request.sqe;
    if sqe.len != 0 {
        return Err(EINVAL);
    }
    let its =
        |waiting: &Waiting| waiting.request.sqe.user_data == sqe.addr && waiting.request.sqe.opcode == op::POLL_ADD;
    request.ring.pending.take(its).ok_or(ENOENT)?.end(Err(ECANCELED));
    Ok(0)
}

/// `ASYNC_CANCEL`: by what the program calls the request.
pub(crate) fn cancel(request: &Request) -> Result<usize> {
    let sqe = request.sqe;
    if sqe.op_flags & !(cancel::ALL | cancel::ANY) != 0 {
        return Err(EINVAL);
    }
    let any = sqe.op_flags & cancel::ANY != 0;
    let its = |waiting: &Waiting| any || waiting.request.sqe.user_data == sqe.addr;
    let mut count = 0;
    let many = sqe.op_flags & (cancel::ALL | cancel::ANY) != 0;
    loop {
        let queued = |request: &Request| any || request.sqe.user_data == sqe.addr;
        let found = match request.ring.pending.take(its) {
            Some(found) => found,
            None => match request.ring.workers.take_back(queued, (!many).then_some(sqe.addr)) {
                Found::Queued(found) => found,
                // It is interrupted, but may be too far for that.
                Found::Running => return Err(EALREADY),
                Found::Nothing => break,
            },
        };
        found.end(Err(ECANCELED));
        count += 1;
        if !many {
            return Ok(0);
        }
    }
    if count == 0 { Err(ENOENT) } else { Ok(count) }
}
