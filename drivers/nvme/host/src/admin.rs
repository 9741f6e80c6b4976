// SPDX-License-Identifier: GPL-2.0
//! Administrative commands: one at a time, and its end is waited for by looking, since there are few and some come before interrupts.

use crate::queue::{Finished, Pair};
use crate::spec::{Command, admin, command, error_of};
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use kernel::hardware::ktime;
use kernel::hardware::mm_alloc::dma::DmaBuffer;
use kernel::hardware::mm_alloc::{MmioRegion, PAGE_SIZE};

const DEPTH: u16 = 32;
/// Time for a command: a minute, as Linux has it.
const TIMEOUT_NS: u64 = 60_000_000_000;

/// The administrative rings.
pub(crate) struct Admin {
    pub(crate) pair: Pair<()>,
    /// What identification says goes here.
    data: DmaBuffer,
}

impl Admin {
    pub(crate) fn new(regs: &Arc<MmioRegion>, stride: usize) -> Result<Self> {
        Ok(Self { pair: Pair::new(regs, 0, DEPTH, stride)?, data: DmaBuffer::new(PAGE_SIZE, false, GFP_KERNEL)? })
    }

    /// `AQA`: the sizes of both rings, less one.
    pub(crate) fn attributes() -> u32 {
        u32::from(DEPTH - 1) << 16 | u32::from(DEPTH - 1)
    }

    /// Sends a command and waits: its result. ETIMEDOUT; what its status means. May sleep.
    fn run(&self, command: Command) -> Result<u32> {
        self.pair.submit((), true, |_, ()| Ok(command)).map_err(|(error, ())| error)?;
        let deadline = ktime::now_ns().saturating_add(TIMEOUT_NS);
        let mut done: [Option<Finished<()>>; 1] = [None];
        while self.pair.reap(&mut done)? == 0 {
            if ktime::now_ns() > deadline {
                return Err(ETIMEDOUT);
            }
            ktime::sleep_ns(50_000);
        }
        let [Some(finished)] = done else { return Err(EIO) };
        error_of(finished.status).map_or(Ok(finished.result), Err)
    }

    /// Identifies something; `f` looks at the answer.
    pub(crate) fn identify<R>(&self, what: u32, nsid: u32, f: impl FnOnce(&DmaBuffer) -> Result<R>) -> Result<R> {
        let mut words = command(admin::IDENTIFY, nsid);
        let at = self.data.bus_addr();
        let [_, _, _, _, _, _, prp_low, prp_high, _, _, cns, ..] = &mut words;
        (*prp_low, *prp_high, *cns) = (at as u32, (at >> 32) as u32, what);
        self.run(words)?;
        f(&self.data)
    }

    /// Asks for `count` pairs of rings: how many there are.
    pub(crate) fn set_queues(&self, count: u16) -> Result<u16> {
        let mut words = command(admin::SET_FEATURES, 0);
        let wanted = u32::from(count.saturating_sub(1));
        let [_, _, _, _, _, _, _, _, _, _, feature, value, ..] = &mut words;
        (*feature, *value) = (admin::NUM_QUEUES, wanted << 16 | wanted);
        let got = self.run(words)?;
        Ok(((got & 0xffff).min(got >> 16) as u16).saturating_add(1).min(count))
    }

    /// Makes a pair of rings with interrupt message `vector` (`None`: no interrupts).
    pub(crate) fn create<T>(&self, pair: &Pair<T>, depth: u16, vector: Option<u16>) -> Result {
        let (sq, cq) = pair.addresses();
        let size = u32::from(depth - 1) << 16 | u32::from(pair.id);
        let enabled = vector.map_or(0, |vector| u32::from(vector) << 16 | 2);
        for (opcode, at, flags) in [
            // One piece of memory; its interrupt.
            (admin::CREATE_CQ, cq, 1 | enabled),
            // The completion ring that belongs to it.
            (admin::CREATE_SQ, sq, 1 | u32::from(pair.id) << 16),
        ] {
            let mut words = command(opcode, 0);
            let [_, _, _, _, _, _, prp_low, prp_high, _, _, ten, eleven, ..] = &mut words;
            (*prp_low, *prp_high, *ten, *eleven) = (at as u32, (at >> 32) as u32, size, flags);
            self.run(words)?;
        }
        Ok(())
    }
}
