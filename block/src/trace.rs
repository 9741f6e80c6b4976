// SPDX-License-Identifier: GPL-2.0
//! Telling somebody what happens to the bios and requests of a disk (`blktrace`). Costs a look at a pointer while nobody listens. No
//! locks: the listener is found under RCU.

use crate::bio::Bio;
use crate::disk::Gendisk;
use crate::mq::Request;
use crate::types::{Op, OpFlags};
use errno::Result;
use kalloc::Arc;
use kdev::Dev;

/// What happened; the values are those of `enum blktrace_act`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Action {
    /// A bio was sent.
    Queue = 1,
    /// A bio was joined with the end of a request.
    BackMerge = 2,
    /// A bio was joined with the start of a request.
    FrontMerge = 3,
    /// A bio got a request.
    GetRequest = 4,
    /// The driver did not take a request for now.
    Requeue = 6,
    /// A request goes to the driver.
    Issue = 7,
    /// It is over.
    Complete = 8,
    /// A task keeps its requests back from here on.
    Plug = 9,
    /// It sends them.
    Unplug = 10,
    /// A request went to the scheduler.
    Insert = 12,
    /// A bio was cut.
    Split = 13,
    /// A bio for a partition is one for the disk now.
    Remap = 15,
}

/// What more there is to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extra {
    /// Nothing.
    None,
    /// Requests that are sent; the sector where the rest begins.
    Number(u64),
    /// Device and sector before.
    From(Dev, u64),
}

/// Something that happened on a disk.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// What.
    pub action: Action,
    /// The operation.
    pub op: Op,
    /// How it is done.
    pub flags: OpFlags,
    /// First sector on the disk.
    pub sector: u64,
    /// Bytes.
    pub bytes: u64,
    /// How it ended.
    pub status: Result,
    /// It is about a request.
    pub of_request: bool,
    /// What more there is.
    pub extra: Extra,
}

impl Event {
    /// One about a bio.
    pub(crate) fn of_bio(action: Action, bio: &Bio, extra: Extra) -> Self {
        let (op, flags, sector, bytes) = (bio.op(), bio.flags(), bio.sector(), bio.len());
        Self { action, op, flags, sector, bytes, status: bio.status(), of_request: false, extra }
    }

    /// One about neither.
    fn bare(action: Action, extra: Extra) -> Self {
        let (op, flags) = (Op::Read, OpFlags::NONE);
        Self { action, op, flags, sector: 0, bytes: 0, status: Ok(()), of_request: false, extra }
    }
}

/// Who listens.
pub trait Tracer: Send + Sync {
    /// Something happened. Any context, with locks of the block layer held: must not sleep, nor send bios.
    fn event(&self, event: &Event);
}

/// A listener, as a disk keeps it.
pub struct Traced(pub Arc<dyn Tracer>);

impl Gendisk {
    /// Says who listens from now on; an earlier one may hear of a few things more, until a grace period is over.
    pub fn set_tracer(&self, tracer: Option<Arc<Traced>>) {
        self.tracer.replace(tracer);
    }

    /// Tells the listener, if there is one.
    #[inline]
    pub(crate) fn trace(&self, event: impl FnOnce() -> Event) {
        if !self.tracer.is_null() {
            self.tell(&event());
        }
    }

    /// Tells of a bio that was just sent, and that was for `before` of its device. Its end is told of too, by itself if it will have no
    /// request.
    #[inline]
    pub(crate) fn trace_sent(&self, bio: &mut Bio, before: u64) {
        if self.tracer.is_null() {
            return;
        }
        if bio.bdev().is_partition() {
            bio.trace(Action::Remap, Extra::From(bio.bdev().dev(), before));
        }
        bio.trace(Action::Queue, Extra::None);
        bio.traced = self.ops().queue().is_none();
    }

    #[cold]
    fn tell(&self, event: &Event) {
        let section = rcu::read_lock();
        if let Some(tracer) = self.tracer.load(&section) {
            tracer.0.event(event);
        }
    }
}

impl Bio {
    /// Tells of it.
    #[inline]
    pub(crate) fn trace(&self, action: Action, extra: Extra) {
        self.bdev().disk().trace(|| Event::of_bio(action, self, extra));
    }
}

impl Request {
    /// Tells of it.
    #[inline]
    pub(crate) fn trace(&self, action: Action, status: Result) {
        let Some(bio) = self.bios().first() else { return };
        bio.bdev().disk().trace(|| {
            let (op, flags, sector, bytes) = (self.op(), self.flags(), self.sector(), self.len());
            Event { action, op, flags, sector, bytes, status, of_request: true, extra: Extra::None }
        });
    }

    /// Tells of a task that begins to keep requests back, this one first, or that sends `count` of them.
    #[inline]
    pub(crate) fn trace_plug(&self, count: Option<u64>) {
        let Some(bio) = self.bios().first() else { return };
        bio.bdev().disk().trace(|| match count {
            Some(count) => Event::bare(Action::Unplug, Extra::Number(count)),
            None => Event::bare(Action::Plug, Extra::None),
        });
    }
}
