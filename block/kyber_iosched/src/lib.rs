// SPDX-License-Identifier: GPL-2.0
//! The I/O scheduler Kyber: its policy (the pure crate `kyber`) over requests, in the block layer's table of schedulers. A disk that
//! uses it keeps the module. Writing `kyber` to `/sys/block/DISK/queue/scheduler` loads it (`kyber-iosched`). No locks: the block layer's
//! is around all that is called here.

#![no_std]
#![forbid(unsafe_code)]

use kernel::block::blk_mq::{Policy, Request, SchedulerType, register_scheduler, unregister_scheduler};
use kernel::block::{Bio, Op, OpFlags, QueueLimits};
use kernel::prelude::*;
use kyber::{Domain, Item, Kyber, Tunables};

module! {
    type: Module,
    name: "kyber_iosched",
    authors: ["The Rideau developers"],
    description: "Kyber I/O scheduler",
    license: "GPL",
}

static TYPE: SchedulerType = SchedulerType {
    name: "kyber",
    tunables: &["read_lat_nsec", "write_lat_nsec"],
    has_async_depth: false,
    urgent: |bio| !bio.op().is_write() || bio.flags().has(OpFlags::SYNC),
    new: |depth| Ok(KBox::new(Scheduler(Kyber::new(depth, Tunables::default())?), GFP_KERNEL)?),
};

/// Kinds, by the number that the block layer keeps for a request.
const KINDS: [Domain; 4] = [Domain::Read, Domain::Write, Domain::Discard, Domain::Other];

/// The kind of an operation.
fn domain(op: Op) -> Domain {
    match op {
        Op::Read => Domain::Read,
        Op::Write => Domain::Write,
        Op::Discard => Domain::Discard,
        _ => Domain::Other,
    }
}

/// A request that waits.
struct Waiting(KBox<Request>);

impl Item for Waiting {
    fn domain(&self) -> Domain {
        domain(self.0.op())
    }
}

struct Scheduler(Kyber<Waiting>);

impl Policy for Scheduler {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn insert(&mut self, request: KBox<Request>) -> Result<(), KBox<Request>> {
        self.0.insert(Waiting(request)).map_err(|Waiting(request)| request)
    }

    fn dispatch(&mut self, _: u64) -> Option<(KBox<Request>, Option<u32>)> {
        self.0.dispatch().map(|(Waiting(request), domain)| (request, Some(domain as u32)))
    }

    fn take_any(&mut self, _: u64) -> Option<KBox<Request>> {
        self.0.take_any().map(|Waiting(request)| request)
    }

    fn merge(&mut self, bio: KBox<Bio>, limits: &QueueLimits) -> Result<(), KBox<Bio>> {
        let mut bio = bio;
        for Waiting(request) in self.0.recent(domain(bio.op())) {
            bio = match request.try_join(bio, limits) {
                Ok(()) => return Ok(()),
                Err(bio) => bio,
            };
        }
        Err(bio)
    }

    fn done(&mut self, kind: u32, total: u64, device: u64, now: u64) {
        if let Some(&domain) = KINDS.get(kind as usize) {
            self.0.release(domain);
            self.0.note(domain, total, device, now);
        }
    }

    fn tunable(&self, index: usize) -> u64 {
        match index {
            0 => self.0.tunables.read_lat,
            _ => self.0.tunables.write_lat,
        }
    }

    fn set_tunable(&mut self, index: usize, value: u64) {
        match index {
            0 => self.0.tunables.read_lat = value,
            _ => self.0.tunables.write_lat = value,
        }
    }
}

/// While this is there, so is the scheduler.
struct Module;

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        register_scheduler(&TYPE, module.header())?;
        Ok(Self)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        unregister_scheduler(&TYPE);
    }
}
