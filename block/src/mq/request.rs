// SPDX-License-Identifier: GPL-2.0
//! `Request`: bios that go to the hardware together. With a volatile cache a request may take several steps: flush what is in the
//! cache, transfer, flush what was transferred (`PREFLUSH`, `FUA` that the hardware does not have). The driver sees one step at a time.

use super::queue::Queue;
use crate::bio::{Bio, BioVec};
use crate::types::{Op, OpFlags, SECTOR_SHIFT};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};

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
    op: Op,
    flags: OpFlags,
    sector: u64,
    len: u64,
    segments: u32,
    bios: KVec<KBox<Bio>>,
    step: Step,
    post_flush: bool,
    start_ns: u64,
    /// Where it goes, while it is in use.
    home: Option<(Arc<Queue>, u32)>,
    /// A word for the driver.
    pub private: u64,
}

impl Request {
    pub(super) fn new(tag: u32) -> Result<Self> {
        Ok(Self {
            tag,
            op: Op::Read,
            flags: OpFlags::NONE,
            sector: 0,
            len: 0,
            segments: 0,
            bios: KVec::with_capacity(1, GFP_KERNEL)?,
            step: Step::Data,
            post_flush: false,
            start_ns: 0,
            home: None,
            private: 0,
        })
    }

    /// Its number in its hardware queue: below the depth, and no other request's meanwhile.
    #[inline]
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// Index of its hardware queue.
    #[inline]
    pub fn hw_queue(&self) -> u32 {
        self.home.as_ref().map_or(0, |home| home.1)
    }

    /// What is to be done now.
    #[inline]
    pub fn op(&self) -> Op {
        if self.step == Step::Data { self.op } else { Op::Flush }
    }

    /// How (`FUA` is there only if the hardware has it).
    #[inline]
    pub fn flags(&self) -> OpFlags {
        self.flags
    }

    /// First sector on the disk.
    #[inline]
    pub fn sector(&self) -> u64 {
        self.sector
    }

    /// Bytes; 0 for a flush.
    #[inline]
    pub fn len(&self) -> u64 {
        if self.step == Step::Data { self.len } else { 0 }
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

    /// The pieces of memory, in order; none for a flush.
    pub fn segments(&self) -> impl Iterator<Item = &BioVec> {
        let bios: &[KBox<Bio>] = if self.step == Step::Data { &self.bios } else { &[] };
        bios.iter().flat_map(|bio| bio.segments().iter())
    }

    /// How many pieces there are.
    pub fn nr_segments(&self) -> u32 {
        if self.step == Step::Data { self.segments } else { 0 }
    }

    /// The bios (each is a range of its own in a discard of several).
    pub fn bios(&self) -> &[KBox<Bio>] {
        &self.bios
    }

    /// Makes it the request of `bio`. `fua`, `cache`: what the hardware has.
    pub(super) fn begin(&mut self, queue: &Arc<Queue>, hw: u32, bio: KBox<Bio>, cache: bool, fua: bool) {
        let flags = bio.flags();
        self.op = bio.op();
        self.sector = bio.sector();
        self.len = bio.len();
        self.segments = bio.segments().len() as u32;
        self.start_ns = ktime::now_ns();
        let data = !bio.is_empty();
        self.step =
            if self.op == Op::Flush || cache && flags.has(OpFlags::PREFLUSH) { Step::PreFlush } else { Step::Data };
        self.post_flush = data && cache && !fua && flags.has(OpFlags::FUA);
        self.flags = if cache && fua { flags } else { flags.without(OpFlags::FUA) };
        self.home = Some((queue.clone(), hw));
        let (op, start) = (self.stat_op(), self.start_ns);
        for_stats(&bio, |stats| stats.start(op, start));
        // There is room for one.
        let _ = self.bios.push_within_capacity(bio);
    }

    /// What it is counted as.
    fn stat_op(&self) -> Op {
        if self.len == 0 { Op::Flush } else { self.op }
    }

    /// It was done (or failed): tells the bios' receivers and frees the tag, or goes on with the next step. Any context. It may call
    /// `queue_rq` for others: the driver holds no lock that it takes there.
    pub fn complete(mut self: KBox<Self>, status: Result) {
        let next = match self.step {
            Step::PreFlush if self.len != 0 => Some(Step::Data),
            Step::Data if self.post_flush => Some(Step::PostFlush),
            _ => None,
        };
        if let (Some(step), Ok(())) = (next, status)
            && let Some((queue, hw)) = self.home.clone()
        {
            self.step = step;
            queue.requeue(hw, self);
            return;
        }
        let now = ktime::now_ns();
        let (op, len, start) = (self.stat_op(), self.len, self.start_ns);
        if let Some(bio) = self.bios.first() {
            for_stats(bio, |stats| stats.end(op, len, start, now));
        }
        let home = self.home.take();
        while let Some(bio) = self.bios.pop() {
            bio.end(status);
        }
        if let Some((queue, hw)) = home {
            queue.freed(hw, self);
        }
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
