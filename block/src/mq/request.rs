// SPDX-License-Identifier: GPL-2.0
//! `Request`: bios that go to the hardware together. With a volatile cache a request may take several steps: flush what is in the
//! cache, transfer, flush what was transferred (`PREFLUSH`, `FUA` that the hardware does not have). The driver sees one step at a time.

use super::merge::{Merged, is_mergeable, try_merge};
use super::queue::Queue;
use super::sched::{Sched, Sent};
use crate::bio::{Bio, BioVec};
use crate::limits::QueueLimits;
use crate::trace::{Action, Extra};
use crate::types::{Op, OpFlags, SECTOR_SHIFT};
use errno::Result;
use kalloc::flags::{GFP_KERNEL, GFP_NOWAIT};
use kalloc::{Arc, InsertError, KBox, KVec};

/// What a request still has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    PreFlush,
    Data,
    PostFlush,
}

/// A request.
pub struct Request {
    tag: u32,
    body: Body,
    /// A word for the driver.
    pub private: u64,
}

/// All of a request but its tag: what goes from a scheduler's request to a hardware queue's.
struct Body {
    op: Op,
    flags: OpFlags,
    sector: u64,
    len: u64,
    segments: u32,
    priority: u16,
    bios: KVec<KBox<Bio>>,
    step: Step,
    post_flush: bool,
    joinable: bool,
    /// Counted in the statistics.
    counted: bool,
    start_ns: u64,
    /// Where it goes, while it is in use.
    home: Option<(Arc<Queue>, u32)>,
    /// Whose tag it is, if it is a scheduler's.
    sched: Option<Arc<Sched>>,
    /// Its scheduler wants to hear of its end.
    sent: Option<Sent>,
}

impl Request {
    pub(super) fn new(tag: u32) -> Result<Self> {
        let body = Body {
            op: Op::Read,
            flags: OpFlags::NONE,
            sector: 0,
            len: 0,
            segments: 0,
            priority: 0,
            bios: KVec::with_capacity(1, GFP_KERNEL)?,
            step: Step::Data,
            post_flush: false,
            joinable: false,
            counted: false,
            start_ns: 0,
            home: None,
            sched: None,
            sent: None,
        };
        Ok(Self { tag, body, private: 0 })
    }

    /// Its number in its hardware queue: below the depth, and no other request's meanwhile.
    #[inline]
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// Index of its hardware queue.
    #[inline]
    pub fn hw_queue(&self) -> u32 {
        self.body.home.as_ref().map_or(0, |home| home.1)
    }

    pub(crate) fn queue(&self) -> Option<&Arc<Queue>> {
        self.body.home.as_ref().map(|home| &home.0)
    }

    /// Whether it is one of `queue`'s.
    pub fn is_on(&self, queue: &Arc<Queue>) -> bool {
        self.queue().is_some_and(|its| Arc::ptr_eq(its, queue))
    }

    pub(super) fn set_hw_queue(&mut self, hw: u32) {
        if let Some(home) = &mut self.body.home {
            home.1 = hw;
        }
    }

    /// The scheduler whose request it is.
    pub(super) fn sched(&self) -> Option<&Arc<Sched>> {
        self.body.sched.as_ref()
    }

    pub(super) fn take_sched(&mut self) -> Option<Arc<Sched>> {
        self.body.sched.take()
    }

    /// A scheduler sent it, and wants to hear of its end.
    pub(super) fn set_sent(&mut self, sent: Option<Sent>) {
        self.body.sent = sent;
    }

    pub(super) fn set_sched(&mut self, sched: Arc<Sched>) {
        self.body.sched = Some(sched);
    }

    /// What is to be done now.
    #[inline]
    pub fn op(&self) -> Op {
        if self.body.step == Step::Data { self.body.op } else { Op::Flush }
    }

    /// How (`FUA` is there only if the hardware has it).
    #[inline]
    pub fn flags(&self) -> OpFlags {
        self.body.flags
    }

    /// The priority of who sent it, as `ioprio_set(2)` has it.
    #[inline]
    pub fn priority(&self) -> u16 {
        self.body.priority
    }

    /// First sector on the disk.
    #[inline]
    pub fn sector(&self) -> u64 {
        self.body.sector
    }

    /// Bytes; 0 for a flush.
    #[inline]
    pub fn len(&self) -> u64 {
        if self.body.step == Step::Data { self.body.len } else { 0 }
    }

    /// Whether it concerns no sectors.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sectors.
    #[inline]
    pub fn sectors(&self) -> u64 {
        self.len() >> SECTOR_SHIFT
    }

    /// The sector after the last.
    #[inline]
    pub(super) fn end_sector(&self) -> u64 {
        self.body.sector.saturating_add(self.sectors())
    }

    /// The pieces of memory, in order; none for a flush.
    pub fn segments(&self) -> impl Iterator<Item = &BioVec> {
        let bios: &[KBox<Bio>] = if self.body.step == Step::Data { &self.body.bios } else { &[] };
        bios.iter().flat_map(|bio| bio.segments().iter())
    }

    pub(super) fn first_piece(&self) -> Option<&BioVec> {
        self.body.bios.first()?.segments().first()
    }

    pub(super) fn last_piece(&self) -> Option<&BioVec> {
        self.body.bios.last()?.segments().last()
    }

    /// How many pieces there are.
    pub fn nr_segments(&self) -> u32 {
        if self.body.step == Step::Data { self.body.segments } else { 0 }
    }

    /// The bios, in the order of their sectors; the next one begins where one ends.
    pub fn bios(&self) -> &[KBox<Bio>] {
        &self.body.bios
    }

    /// When it was made, on the monotonic clock.
    pub(super) fn start_ns(&self) -> u64 {
        self.body.start_ns
    }

    /// Joins `bio` with it, if they are neighbours and fit within `limits`; else gives it back. For schedulers.
    pub fn try_join(&mut self, bio: KBox<Bio>, limits: &QueueLimits) -> Result<(), KBox<Bio>> {
        try_merge(self, bio, limits).map(|_| ())
    }

    /// Whether others may be joined with it.
    pub(super) fn is_joinable(&self) -> bool {
        self.body.joinable
    }

    /// Makes it the request of `bio`. `fua`, `cache`: what the hardware has. `counted`: in the statistics.
    pub(super) fn begin(&mut self, queue: &Arc<Queue>, hw: u32, bio: KBox<Bio>, cache: bool, fua: bool, counted: bool) {
        let flags = bio.flags();
        let body = &mut self.body;
        body.op = bio.op();
        body.sector = bio.sector();
        body.len = bio.len();
        body.segments = bio.segments().len() as u32;
        body.priority = bio.priority();
        body.start_ns = ktime::now_ns();
        body.joinable = is_mergeable(&bio);
        let data = !bio.is_empty();
        body.step =
            if body.op == Op::Flush || cache && flags.has(OpFlags::PREFLUSH) { Step::PreFlush } else { Step::Data };
        body.post_flush = data && cache && !fua && flags.has(OpFlags::FUA);
        body.flags = if cache && fua { flags } else { flags.without(OpFlags::FUA) };
        body.home = Some((queue.clone(), hw));
        body.counted = counted;
        if counted {
            let (op, start) = (body.stat_op(), body.start_ns);
            for_stats(&bio, |stats| stats.start(op, start));
        }
        bio.trace(Action::GetRequest, Extra::None);
        // There is room for one.
        let _ = body.bios.push_within_capacity(bio);
    }

    /// Takes a neighbour in. Gives it back if there is no memory to remember it; the room made stays for later.
    pub(super) fn join(&mut self, bio: KBox<Bio>, at: Merged) -> Result<(), KBox<Bio>> {
        let body = &mut self.body;
        if body.bios.reserve(1, GFP_NOWAIT).is_err() {
            return Err(bio);
        }
        if body.counted {
            let op = bio.op();
            for_stats(&bio, |stats| stats.merged(op));
        }
        bio.trace(if at == Merged::Back { Action::BackMerge } else { Action::FrontMerge }, Extra::None);
        body.len += bio.len();
        body.segments = body.segments.saturating_add(bio.segments().len() as u32);
        match at {
            Merged::Back => body.bios.push_within_capacity(bio).map_err(|refused| refused.0),
            Merged::Front => {
                body.sector = bio.sector();
                body.bios.insert_within_capacity(0, bio).map_err(InsertError::into_value)
            }
        }
    }

    /// The request goes on as `other`, whose tag is another one; the caller's has nothing in it then.
    pub(super) fn move_to(&mut self, other: &mut Self) {
        core::mem::swap(&mut self.body, &mut other.body);
    }

    /// It was done (or failed): tells the bios' receivers and frees the tag, or goes on with the next step. Any context. It may call
    /// `queue_rq` for others: the driver holds no lock that it takes there.
    pub fn complete(mut self: KBox<Self>, status: Result) {
        self.trace(Action::Complete, status);
        let next = match self.body.step {
            Step::PreFlush if self.body.len != 0 => Some(Step::Data),
            Step::Data if self.body.post_flush => Some(Step::PostFlush),
            _ => None,
        };
        if let (Some(step), Ok(())) = (next, status)
            && let Some((queue, hw)) = self.body.home.clone()
        {
            self.body.step = step;
            queue.requeue(hw, self);
            return;
        }
        let body = &mut self.body;
        if let Some(bio) = body.bios.first() {
            bio.bdev().disk().add_random();
        }
        if body.counted
            && let Some(bio) = body.bios.first()
        {
            let now = ktime::now_ns();
            let (op, len, start) = (body.stat_op(), body.len, body.start_ns);
            for_stats(bio, |stats| stats.end(op, len, start, now));
        }
        if let Some(sent) = body.sent.take() {
            sent.done(body.start_ns);
        }
        let (home, sched) = (body.home.take(), body.sched.take());
        for bio in body.bios.drain_all() {
            bio.end(status);
        }
        match (home, sched) {
            (_, Some(sched)) => sched.put(self),
            (Some((queue, hw)), None) => queue.freed(hw, self),
            (None, None) => {}
        }
    }
}

impl Body {
    /// What it is counted as.
    fn stat_op(&self) -> Op {
        if self.len == 0 { Op::Flush } else { self.op }
    }
}

impl mq_deadline::Item for Request {
    fn sector(&self) -> u64 {
        self.body.sector
    }

    fn end(&self) -> u64 {
        self.end_sector()
    }

    fn is_write(&self) -> bool {
        self.body.op.is_write()
    }
}

/// The counters that a bio's request counts in: the disk's, and the partition's.
fn for_stats(bio: &Bio, f: impl Fn(&crate::DiskStats)) {
    let bdev = bio.bdev();
    f(bdev.disk().stats());
    if bdev.is_partition() {
        f(bdev.stats());
    }
}
