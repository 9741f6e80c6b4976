// SPDX-License-Identifier: GPL-2.0
//! The policies a scheduler can have, as one.

use super::merge::{Merged, try_merge};
use super::request::Request;
use crate::bio::Bio;
use crate::limits::QueueLimits;
use crate::types::{Op, OpFlags};
use errno::Result;
use kalloc::KBox;
use kyber::{Domain, Kyber};
use mq_deadline::{Class, Deadline};

pub use kyber::Tunables as KyberTunables;
pub use mq_deadline::Tunables as DeadlineTunables;

/// What an administrator can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunables {
    /// Of mq-deadline.
    Deadline(DeadlineTunables),
    /// Of Kyber.
    Kyber(KyberTunables),
}

impl Tunables {
    /// Those at first of the scheduler with this name; `None` if there is no such.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "mq-deadline" => Some(Self::Deadline(DeadlineTunables::default())),
            "kyber" => Some(Self::Kyber(KyberTunables::default())),
            _ => None,
        }
    }

    /// The scheduler's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deadline(_) => "mq-deadline",
            Self::Kyber(_) => "kyber",
        }
    }

    /// What says whether somebody waits for a bio, as the scheduler sees it.
    pub(super) fn urgent(&self) -> fn(&Bio) -> bool {
        match self {
            Self::Deadline(_) => |bio| !bio.op().is_write() && !bio.flags().any(OpFlags::RAHEAD | OpFlags::BACKGROUND),
            Self::Kyber(_) => |bio| !bio.op().is_write() || bio.flags().has(OpFlags::SYNC),
        }
    }
}

/// The requests of a scheduler, in the order that its policy wants.
#[allow(clippy::large_enum_variant, reason = "a disk has one, which lies in its `Sched`")]
pub(super) enum Policy {
    Deadline(Deadline<KBox<Request>>),
    Kyber(Kyber<KBox<Request>>),
}

/// The class that an `ioprio` says.
fn class(priority: u16) -> Class {
    match priority >> 13 {
        1 => Class::Rt,
        3 => Class::Idle,
        _ => Class::Be,
    }
}

/// The kind that Kyber has for an operation.
fn domain(op: Op) -> Domain {
    match op {
        Op::Read => Domain::Read,
        Op::Write => Domain::Write,
        Op::Discard => Domain::Discard,
        _ => Domain::Other,
    }
}

impl kyber::Item for Request {
    fn domain(&self) -> Domain {
        domain(self.op())
    }
}

impl Policy {
    /// Room for `depth` requests. ENOMEM. May sleep.
    pub(super) fn new(depth: u32, tunables: Tunables) -> Result<Self> {
        Ok(match tunables {
            Tunables::Deadline(tunables) => Self::Deadline(Deadline::new(depth, tunables)?),
            Tunables::Kyber(tunables) => Self::Kyber(Kyber::new(depth, tunables)?),
        })
    }

    pub(super) fn tunables(&self) -> Tunables {
        match self {
            Self::Deadline(state) => Tunables::Deadline(state.tunables),
            Self::Kyber(state) => Tunables::Kyber(state.tunables),
        }
    }

    /// Those of another policy are nothing to this one.
    pub(super) fn set_tunables(&mut self, tunables: Tunables) {
        match (self, tunables) {
            (Self::Deadline(state), Tunables::Deadline(new)) => state.tunables = new,
            (Self::Kyber(state), Tunables::Kyber(new)) => state.tunables = new,
            _ => {}
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Deadline(state) => state.len(),
            Self::Kyber(state) => state.len(),
        }
    }

    /// Puts one in; given back if there is no room.
    pub(super) fn insert(&mut self, request: KBox<Request>) -> Result<(), KBox<Request>> {
        match self {
            Self::Deadline(state) => {
                let (class, now) = (class(request.priority()), request.start_ns());
                state.insert(request, class, now)
            }
            Self::Kyber(state) => state.insert(request),
        }
    }

    /// Takes the one to be sent next, and what is to be told of when it is over.
    pub(super) fn dispatch(&mut self, now: u64) -> Option<(KBox<Request>, Option<Domain>)> {
        match self {
            Self::Deadline(state) => Some((state.dispatch(now)?, None)),
            Self::Kyber(state) => state.dispatch().map(|(request, domain)| (request, Some(domain))),
        }
    }

    /// Takes any: nothing is sent any more.
    pub(super) fn take_any(&mut self, now: u64) -> Option<KBox<Request>> {
        match self {
            Self::Deadline(state) => state.dispatch(now),
            Self::Kyber(state) => state.take_any(),
        }
    }

    /// Joins a bio with a request that waits; else gives it back.
    pub(super) fn merge(&mut self, bio: KBox<Bio>, limits: &QueueLimits) -> Result<(), KBox<Bio>> {
        match self {
            Self::Deadline(state) => merge_ordered(state, bio, limits),
            Self::Kyber(state) => {
                let mut bio = bio;
                for request in state.recent(domain(bio.op())) {
                    bio = match try_merge(request, bio, limits) {
                        Ok(_) => return Ok(()),
                        Err(bio) => bio,
                    };
                }
                Err(bio)
            }
        }
    }

    /// A request that [`Self::dispatch`] gave a kind for is over: it took `total` since it was made, `device` since it was sent.
    pub(super) fn done(&mut self, domain: Domain, total: u64, device: u64, now: u64) {
        if let Self::Kyber(state) = self {
            state.release(domain);
            state.note(domain, total, device, now);
        }
    }
}

fn merge_ordered(state: &mut Deadline<KBox<Request>>, bio: KBox<Bio>, limits: &QueueLimits) -> Result<(), KBox<Bio>> {
    let (class, write) = (class(bio.priority()), bio.op().is_write());
    let back = state.ending_at(class, write, bio.sector());
    let found = back.or_else(|| state.starting_at(class, write, bio.end_sector()));
    let Some(index) = found else { return Err(bio) };
    let Some(request) = state.item_mut(index) else { return Err(bio) };
    if try_merge(request, bio, limits)? == Merged::Front {
        state.moved(class, index);
    }
    Ok(())
}
