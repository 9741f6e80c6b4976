// SPDX-License-Identifier: GPL-2.0
//! A channel: the queue of a device, and who may use it.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use kernel::ext::{AliveGuard, KString, SpinLock, WaitQueue};
use kernel::filesystem::mm_alloc::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sync::Arc;
use p9net::{Channel, Request};
use virtio::{Sg, VirtQueue, VirtioDevice};

/// Entries of the queue, and pieces of one request, at most.
pub(crate) const ENTRIES: u16 = 128;

pub(crate) struct Ring {
    /// Made when interrupts are connected.
    pub(crate) queue: Option<VirtQueue<Arc<Request>>>,
    /// Where a chain is put together.
    pieces: KVec<Sg>,
}

/// A device.
pub(crate) struct Virtio {
    pub(crate) device: Arc<VirtioDevice>,
    /// What is mounted.
    pub(crate) tag: KString,
    pub(crate) ring: SpinLock<Ring>,
    /// For room in the queue.
    room: WaitQueue,
    /// Counts what ended, or that all did: when it changes there may be room.
    ended: AtomicU32,
    /// A client has it.
    used: AtomicBool,
    _alive: AliveGuard,
}

/// Why a request is not in the queue.
enum Refused {
    /// It is full.
    Full,
    Failed(Error),
}

impl Virtio {
    pub(crate) fn new(device: &Arc<VirtioDevice>, tag: KString, alive: AliveGuard) -> Result<Self> {
        let ring = Ring { queue: None, pieces: KVec::with_capacity(ENTRIES.into(), GFP_KERNEL)? };
        Ok(Self {
            device: device.clone(),
            tag,
            ring: SpinLock::new(ring),
            room: WaitQueue::new(),
            ended: AtomicU32::new(0),
            used: AtomicBool::new(false),
            _alive: alive,
        })
    }

    /// A client takes it. EBUSY: another has it.
    pub(crate) fn claim(&self) -> Result {
        if self.used.swap(true, AcqRel) { Err(EBUSY) } else { Ok(()) }
    }

    /// Puts a request into the queue and tells the device.
    fn try_submit(&self, request: &Arc<Request>) -> Result<(), Refused> {
        let mut guard = self.ring.lock_irqsave();
        let Ring { queue, pieces } = &mut *guard;
        let Some(queue) = queue else { return Err(Refused::Failed(EIO)) };
        pieces.clear();
        let mut out = 0;
        let put = |addr, len, writes: bool| {
            out += usize::from(!writes);
            pieces.push_within_capacity(Sg { addr, len }).map_err(|_| EINVAL)
        };
        request.for_each_piece(put).map_err(Refused::Failed)?;
        match queue.add(pieces, out, request.clone()) {
            Ok(()) => {}
            Err((ENOSPC, _)) => return Err(Refused::Full),
            Err((error, _)) => return Err(Refused::Failed(error)),
        }
        let kick = queue.prepare_kick();
        drop(guard);
        if kick {
            self.device.transport().notify(0);
        }
        Ok(())
    }

    /// Something ended: there may be room.
    fn made_room(&self) {
        self.ended.fetch_add(1, AcqRel);
        self.room.wake_up_all();
    }

    /// Ends what the device is done with. Any context.
    pub(crate) fn interrupt(&self) {
        let mut ended = false;
        loop {
            let next = {
                let mut ring = self.ring.lock_irqsave();
                let Some(queue) = &mut ring.queue else { break };
                queue.get()
            };
            match next {
                Ok(Some((request, len))) => {
                    ended = true;
                    request.done(len);
                }
                Ok(None) => break,
                // It wrote nonsense: nothing will be answered any more.
                Err(_) => {
                    self.fail_all();
                    break;
                }
            }
        }
        if ended {
            self.made_room();
        }
    }

    /// Nobody waits for an answer any more. The memory of the requests stays the device's until its reset.
    fn fail_all(&self) {
        let ring = self.ring.lock_irqsave();
        if let Some(queue) = &ring.queue {
            queue.for_each_token(|request| request.fail());
        }
        drop(ring);
        self.made_room();
    }

    /// The device goes: requests are answered by an error. Only after its reset.
    pub(crate) fn shut_down(&self) {
        let queue = self.ring.lock_irqsave().queue.take();
        if let Some(mut queue) = queue {
            while let Some(request) = queue.detach_unused() {
                request.fail();
            }
        }
        self.made_room();
    }
}

/// A client's channel.
pub(crate) struct Connection(pub(crate) Arc<Virtio>);

impl Channel for Connection {
    fn submit(&self, request: &Arc<Request>, killable: bool) -> Result {
        let virtio = &self.0;
        loop {
            let seen = virtio.ended.load(Acquire);
            let changed = || virtio.ended.load(Acquire) != seen;
            match virtio.try_submit(request) {
                Ok(()) => return Ok(()),
                Err(Refused::Failed(error)) => return Err(error),
                Err(Refused::Full) if killable => virtio.room.wait_killable(changed)?,
                Err(Refused::Full) => virtio.room.wait_until(changed),
            }
        }
    }

    /// As Linux: three entries are for what is no data.
    fn max_message(&self) -> u32 {
        let ring = self.0.ring.lock_irqsave();
        let entries = ring.queue.as_ref().map_or(0, |queue| queue.size());
        PAGE_SIZE as u32 * u32::from(entries.saturating_sub(3))
    }

    fn close(&self) {
        self.0.used.store(false, Release);
    }
}
