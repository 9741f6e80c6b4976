// SPDX-License-Identifier: GPL-2.0
//! A pair of rings. Commands of all namespaces go through it; each takes a place, whose number is the command's, and which holds what
//! is told when the controller is done.

use crate::spec::Command;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use kernel::ext::SpinLock;
use kernel::hardware::mm_alloc::dma::DmaBuffer;
use kernel::hardware::mm_alloc::{MmioRegion, PhysAddr};

const SQE: usize = 64;
const CQE: usize = 16;

/// A finished command: its place's token, its status, its first word.
pub(crate) struct Finished<T> {
    pub(crate) token: T,
    pub(crate) status: u16,
    pub(crate) result: u32,
}

struct Inner<T> {
    sq: DmaBuffer,
    cq: DmaBuffer,
    tail: u16,
    /// What the controller was told of `tail`.
    told: u16,
    head: u16,
    /// The phase that entries of this round have.
    phase: bool,
    places: KVec<Option<T>>,
    free: KVec<u16>,
}

/// A pair of rings and its places.
pub(crate) struct Pair<T> {
    pub(crate) id: u16,
    depth: u16,
    regs: Arc<MmioRegion>,
    sq_bell: usize,
    cq_bell: usize,
    inner: SpinLock<Inner<T>>,
}

impl<T> Pair<T> {
    /// Rings number `id` with `depth` entries; `stride` is the distance of doorbells. ENOMEM.
    pub(crate) fn new(regs: &Arc<MmioRegion>, id: u16, depth: u16, stride: usize) -> Result<Self> {
        let places = depth.saturating_sub(1).max(1);
        let mut list = KVec::with_capacity(places.into(), GFP_KERNEL)?;
        let mut free = KVec::with_capacity(places.into(), GFP_KERNEL)?;
        for place in (0..places).rev() {
            list.push(None, GFP_KERNEL)?;
            free.push(place, GFP_KERNEL)?;
        }
        let inner = Inner {
            sq: DmaBuffer::new(usize::from(depth) * SQE, false, GFP_KERNEL)?,
            cq: DmaBuffer::new(usize::from(depth) * CQE, false, GFP_KERNEL)?,
            tail: 0,
            told: 0,
            head: 0,
            phase: true,
            places: list,
            free,
        };
        let bell = crate::spec::reg::DOORBELLS + usize::from(id) * 2 * stride;
        Ok(Self { id, depth, regs: regs.clone(), sq_bell: bell, cq_bell: bell + stride, inner: SpinLock::new(inner) })
    }

    /// Where the rings are: submission, completion.
    pub(crate) fn addresses(&self) -> (PhysAddr, PhysAddr) {
        let inner = self.inner.lock_irqsave();
        (inner.sq.bus_addr(), inner.cq.bus_addr())
    }

    /// Commands that it holds at most.
    pub(crate) fn places(&self) -> u16 {
        self.depth.saturating_sub(1).max(1)
    }

    /// Puts a command in: `build` makes it for its place and the token. `tell`: the controller is to know now. `Err` gives the token
    /// back with EBUSY (full) or the error of `build`.
    pub(crate) fn submit(
        &self,
        token: T,
        tell: bool,
        build: impl FnOnce(u16, &T) -> Result<Command>,
    ) -> Result<(), (errno::Error, T)> {
        let mut inner = self.inner.lock_irqsave();
        let Some(place) = inner.free.pop() else { return Err((EBUSY, token)) };
        let mut command = match build(place, &token) {
            Ok(command) => command,
            Err(error) => {
                let _ = inner.free.push_within_capacity(place);
                return Err((error, token));
            }
        };
        let [first, ..] = &mut command;
        *first |= u32::from(place) << 16;
        let start = usize::from(inner.tail) * SQE;
        for (i, word) in command.iter().enumerate() {
            inner.sq.write32(start + i * 4, *word);
        }
        if let Some(slot) = inner.places.get_mut(usize::from(place)) {
            *slot = Some(token);
        }
        inner.tail = if inner.tail + 1 < self.depth { inner.tail + 1 } else { 0 };
        if tell {
            self.tell(&mut inner);
        }
        Ok(())
    }

    fn tell(&self, inner: &mut Inner<T>) {
        if inner.told != inner.tail {
            inner.told = inner.tail;
            // x86 keeps the stores before it in order.
            self.regs.write32(self.sq_bell, inner.tail.into());
        }
    }

    /// Tells the controller of what it was not told yet.
    pub(crate) fn commit(&self) {
        self.tell(&mut self.inner.lock_irqsave());
    }

    /// Takes finished commands, as many as `out` has room for; how many. EIO: the controller named a place that is not in use.
    pub(crate) fn reap(&self, out: &mut [Option<Finished<T>>]) -> Result<usize> {
        let mut inner = self.inner.lock_irqsave();
        let (mut done, mut result) = (0, Ok(()));
        for slot in out.iter_mut() {
            let start = usize::from(inner.head) * CQE;
            let last = inner.cq.read32(start + 12);
            if (last >> 16 & 1 != 0) != inner.phase {
                break;
            }
            core::sync::atomic::fence(core::sync::atomic::Ordering::Acquire);
            let (place, status) = (last as u16, (last >> 17) as u16);
            let value = inner.cq.read32(start);
            inner.head += 1;
            if inner.head >= self.depth {
                inner.head = 0;
                inner.phase = !inner.phase;
            }
            done += 1;
            let Some(token) = inner.places.get_mut(usize::from(place)).and_then(Option::take) else {
                result = Err(EIO);
                continue;
            };
            let _ = inner.free.push_within_capacity(place);
            *slot = Some(Finished { token, status, result: value });
        }
        if done != 0 {
            self.regs.write32(self.cq_bell, inner.head.into());
        }
        result.map(|()| done)
    }

    /// The controller was stopped: takes a command it had, until there is none.
    pub(crate) fn take_back(&self) -> Option<T> {
        let mut inner = self.inner.lock_irqsave();
        let place = inner.places.iter().position(Option::is_some)?;
        let token = inner.places.get_mut(place)?.take();
        let _ = inner.free.push_within_capacity(u16::try_from(place).ok()?);
        token
    }

    /// Whether a command for which `is` holds is with the controller. Under the lock that keeps it from ending.
    pub(crate) fn has(&self, is: impl FnMut(&T) -> bool) -> bool {
        self.inner.lock_irqsave().places.iter().flatten().any(is)
    }

    /// Empties the rings for a controller that starts again. All commands were taken back.
    pub(crate) fn restart(&self) {
        let mut inner = self.inner.lock_irqsave();
        (inner.tail, inner.told, inner.head, inner.phase) = (0, 0, 0, true);
        for at in (0..usize::from(self.depth) * CQE).step_by(4) {
            inner.cq.write32(at, 0);
        }
    }
}
