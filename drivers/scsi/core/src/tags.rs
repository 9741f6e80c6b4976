// SPDX-License-Identifier: GPL-2.0
//! `Tags`: for every tag of every hardware queue of a unit's requests a command that is kept ready, so that nothing is allocated on
//! the way. For drivers above.

use crate::command::{Command, Data, End};
use crate::unit::Unit;
use block::mq::{Expired, HwQueue, Refused, Request, TimeoutAction};
use core::sync::atomic::{AtomicU64, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use kernel::hardware::{block, locking};
use locking::SpinLock;

/// What belongs to a tag.
struct Place {
    command: SpinLock<Option<KBox<Command>>>,
    /// The number that its command was sent with.
    id: AtomicU64,
}

/// The commands, by hardware queue and tag.
pub struct Tags(KVec<KVec<Place>>);

impl Tags {
    /// Those of `depth` requests in each of `queues` hardware queues. ENOMEM.
    pub fn new(queues: u32, depth: u32) -> Result<Self> {
        let mut places = KVec::with_capacity(queues as usize, GFP_KERNEL)?;
        for hw in 0..queues {
            let mut list = KVec::with_capacity(depth as usize, GFP_KERNEL)?;
            for _ in 0..depth {
                let command = SpinLock::new(Some(KBox::new(Command::new(hw), GFP_KERNEL)?));
                list.push(Place { command, id: AtomicU64::new(0) }, GFP_KERNEL)?;
            }
            places.push(list, GFP_KERNEL)?;
        }
        Ok(Self(places))
    }

    fn place(&self, hw: u32, tag: u32) -> Option<&Place> {
        self.0.get(hw as usize)?.get(tag as usize)
    }

    /// Sends the command of `request`, as `fill` sets it, to `unit`, which is that of `end`. Any context.
    pub fn send(
        &self,
        unit: &Unit,
        end: Arc<dyn End>,
        hw: u32,
        request: KBox<Request>,
        last: bool,
        fill: impl FnOnce(&mut Command),
    ) -> Result<(), Refused> {
        let Some(place) = self.place(hw, request.tag()) else { return Err(Refused::Failed(request, EIO)) };
        let Some(mut command) = place.command.lock_irqsave().take() else {
            return Err(Refused::Failed(request, EIO));
        };
        fill(&mut command);
        command.request = Some(request);
        place.id.store(command.begin(end), Release);
        let Err((error, mut command)) = unit.submit(command, last) else { return Ok(()) };
        let request = command.request.take();
        command.data = Data::None;
        command.forget_end();
        *place.command.lock_irqsave() = Some(command);
        match request {
            Some(request) if error == EBUSY => Err(Refused::Busy(request)),
            Some(request) => Err(Refused::Failed(request, if error == ENXIO { EIO } else { error })),
            // It gives back what it was given.
            None => Ok(()),
        }
    }

    /// Keeps a command that came back for the next request with the tag; before `request` is completed, when the tag is free.
    pub fn keep(&self, request: &Request, mut command: KBox<Command>) {
        command.data = Data::None;
        if let Some(place) = self.place(request.hw_queue(), request.tag()) {
            *place.command.lock_irqsave() = Some(command);
        }
    }

    /// The request of a tag takes too long: its command is brought back. May sleep.
    pub fn late(&self, unit: &Unit, hw: &HwQueue, expired: Expired) -> TimeoutAction {
        let id = self.place(hw.index(), expired.tag).map_or(0, |place| place.id.load(Acquire));
        if hw.is_expired(&expired) && id != 0 {
            // If another request has the tag by now, its command has another number.
            unit.late(hw.index(), id);
        }
        TimeoutAction::ResetTimer
    }
}
